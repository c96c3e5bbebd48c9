"""The commands of the runbook run as they are typed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from exporter.cli.commands import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
EXPLAIN = dict(re.findall(r"^\| ([\w]+) \| `(.* explain .*)` \|$", PAGE, re.MULTILINE))
INSTALLED = "/opt/twilio-email-exporter/bin/twilio-email-exporter"
SETTINGS = "/etc/twilio-email-exporter"


def section(alert: str) -> str:
    return PAGE.partition(f"## {alert}\n")[2].partition("\n## ")[0]


def test_there_is_one_for_each_way_of_installing() -> None:
    """Those of docs/installing.md that run in production."""
    assert EXPLAIN.keys() == {"pip", "container", "systemd", "Compose", "Kubernetes"}


@pytest.mark.parametrize("alert", ["TwilioEmailFailedSpike", "TwilioEmailUndeliveredSpike"])
def test_a_spike_is_explained_first(alert: str) -> None:
    """The first step of the diagnosis is the breakdown, and `explain`."""
    first = section(alert).partition("**Diagnosis.**")[2].partition("\n2. ")[0]
    assert "Row *Why*" in first
    assert "[`explain`](#explain)" in first
    assert "[`explain OPERATION_ID`](#explain)" in section(alert)
    assert "\n## explain\n" in PAGE


def test_nothing_is_asked_of_twilio() -> None:
    """No step says to ask Twilio."""
    assert not re.search(r"ask twilio|look up its emails at twilio", PAGE, re.IGNORECASE)


@pytest.mark.parametrize("way", ["pip", "systemd"])
def test_a_command_reaches_the_program(tmp_path: Path, way: str) -> None:
    """A shell runs it with the service's environment and the arguments of `explain`."""
    program, environment = tmp_path / "program", tmp_path / "environment"
    program.write_text('#!/bin/sh\necho "$TWILIO_ACCOUNT_SID" "$TWILIO_AUTH_TOKEN_FILE" "$@"\n')
    program.chmod(0o755)
    environment.write_text("TWILIO_ACCOUNT_SID=AC1\nEXPORTER_BREAKDOWN__BY=recipient_domain,tag:campaign\n")
    command = EXPLAIN[way].replace(INSTALLED, str(program)).replace(SETTINGS, str(tmp_path))
    done = subprocess.run(
        [shutil.which("sh") or "sh", "-c", command.removeprefix("sudo ")],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    seen = {"pip": "explain --last=1h", "systemd": f"AC1 {tmp_path}/auth-token explain --last=1h"}
    assert done.stdout.split() == seen[way].split()


@pytest.mark.parametrize("way", EXPLAIN)
def test_flags_exist(way: str) -> None:
    """The command and its flags are those of the program."""
    command, flag = EXPLAIN[way].rstrip("'").split()[-2:]
    assert flag.partition("=")[0] in {each.spelling for each in COMMANDS[command].flags}
