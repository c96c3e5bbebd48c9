"""Writes the version of `exporter/__init__.py` into the files of the chart that repeat it.

`python -m tools.version` writes them; a test checks that they are up to date.
"""

import re
from pathlib import Path
from typing import Final

from exporter import __version__

CHART: Final = Path(__file__).parent.parent / "helm" / "twilio-email-exporter"
FILES: Final = (CHART / "Chart.yaml", CHART / "README.md")


def with_version(text: str, version: str = __version__) -> str:
    """The text with this version of the chart, of the program and of the image's tag."""
    text = re.sub(r"^((?:appV|v)ersion: ).*$", rf"\g<1>{version}", text, flags=re.MULTILINE)
    return re.sub(r"(?<=/twilio-email-exporter:)\d+\.\d+\.\d+\b", version, text)


if __name__ == "__main__":
    for file in FILES:
        file.write_text(with_version(file.read_text(encoding="utf-8")), encoding="utf-8")
