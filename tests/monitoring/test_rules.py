"""Rules and what they make of our series, evaluated by promtool of Prometheus 2 and 3.

Files in `rules` are evaluated each minute, as in alerts.yaml; those in `rules/days` each five minutes, which
is enough for days and takes a fifth of the time.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from grafana import rules
from tests.support.promtool import VERSIONS, promtool

FOLDER: Final = Path(__file__).parent / "rules"
FILES: Final = sorted(FOLDER.rglob("*.test.yaml"))
MINUTES_OF_DAYS: Final = 5


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.yaml"))
def test_rules_do_what_the_tables_say(file: Path, version: str, tmp_path: Path) -> None:
    """Each case is named in the file."""
    minutes = MINUTES_OF_DAYS if file.parent.name == "days" else 1
    (tmp_path / "alerts.yaml").write_text(rules.text(EVALUATION_INTERVAL=60 * minutes))
    for each in (file, *FOLDER.glob("*.rules.yaml")):
        shutil.copy(each, tmp_path)
    done = subprocess.run(
        [promtool(version), "test", "rules", file.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_promtool_accepts_the_rule_file(version: str) -> None:
    """Both versions read every expression and every template."""
    done = subprocess.run(
        [promtool(version), "check", "rules", rules.TEMPLATE.with_name("alerts.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
