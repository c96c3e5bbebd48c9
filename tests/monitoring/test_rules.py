"""Rules and what they make of our series, evaluated by Prometheus' own promtool."""

import subprocess
from pathlib import Path

import pytest

RULES = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))


@pytest.mark.long
@pytest.mark.needs("promtool")
@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_rules_do_what_the_tables_say(file: Path) -> None:
    """Each case is named in the file."""
    done = subprocess.run(
        ["promtool", "test", "rules", file.name], cwd=file.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
