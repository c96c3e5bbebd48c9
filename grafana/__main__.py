"""`python -m grafana` writes all generated files."""

from grafana.files import FOLDERS, files

for path, text in files().items():
    for folder in FOLDERS:
        (folder / path).write_text(text, encoding="utf-8")
