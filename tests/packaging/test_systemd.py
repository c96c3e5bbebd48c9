"""The systemd unit, checked with systemd's own tools."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from exporter.config.settings import SETTINGS
from exporter.config.sources import ACCOUNT_VARIABLES
from tests.support.program import ROOT

UNIT: Final = ROOT / "systemd" / "twilio-email-exporter.service"
PROGRAM: Final = "/opt/twilio-email-exporter/bin/twilio-email-exporter"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A copy of the unit whose program exists on this machine."""
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert text.count(f"ExecStart={PROGRAM} run\n") == 1
    copy.write_text(text.replace(PROGRAM, "/bin/true"))
    return copy


def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_understands_it(unit: Path) -> None:
    """Every line: systemd passes over what it does not know, with a warning."""
    done = asked("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_is_hardened(unit: Path) -> None:
    """By systemd's own measure, of which 10 is the worst; docs/installing.md has the figure."""
    done = asked("security", "--offline=yes", str(unit))
    (exposure,) = re.findall(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(exposure) <= 1.5
    assert f" {exposure} of 10" in (ROOT / "docs" / "installing.md").read_text()


def test_variables_are_settings() -> None:
    """The unit sets variables that the program knows; it exits with code 2 on others."""
    named = re.findall(r"^Environment=(\w+)=", UNIT.read_text(), re.MULTILINE)
    assert set(named) == {"TWILIO_AUTH_TOKEN_FILE", "EXPORTER_STATE__PATH"}
    assert set(named) <= {*ACCOUNT_VARIABLES.values(), *(setting.variable for setting in SETTINGS)}
