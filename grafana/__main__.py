"""`python -m grafana` writes all generated files."""

from grafana.files import FOLDER, files

for path, text in files().items():
    (FOLDER / path).write_text(text, encoding="utf-8")
