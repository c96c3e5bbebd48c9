"""The command line of `observe`, and Ctrl-C in a real process."""

import json
import signal
from pathlib import Path

import pytest

from tests.support.program import eventually, finish, found_in, started

ONE = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "secret"}
TWO = """\
accounts:
  - {name: shop, account_sid: AC00000000000000000000000000000000, auth_token: secret}
  - {name: news, account_sid: AC11111111111111111111111111111111, auth_token: secret}
"""


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--for=soon", "--for: is not a duration"),
        ("--for=59s", "--for: is not between 60s and 1d"),
        ("--for=2d", "--for: is not between 60s and 1d"),
        ("--account=shop", "write one of default"),
        ("--format=json", "--format is not a flag of observe"),
    ],
)
def test_a_wrong_flag(flag: str, problem: str) -> None:
    """A wrong flag ends it with exit code 2 and one line."""
    done = finish("observe", flag, **ONE)
    assert done.returncode == 2
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_several_accounts_need_a_choice(tmp_path: Path) -> None:
    """With several accounts one must be named."""
    file = tmp_path / "settings.yaml"
    file.write_text(TWO)
    for flags in ([], ["--account=other"]):
        done = finish("observe", f"--config-file={file}", *flags)
        assert done.returncode == 2
        assert "one of shop, news" in done.stderr


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    """It is reported before the first request, with exit code 1."""
    done = finish("observe", f"--output={tmp_path}/none/report.json", **ONE)
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert not done.stdout


def test_control_c(tmp_path: Path) -> None:
    """SIGINT ends the process with exit code 0, the answers and the report."""
    log, output, served = tmp_path / "log", tmp_path / "report.json", tmp_path / "simulator"
    with started(served, "simulator", "--listen-address=127.0.0.1:0"):
        printed = eventually(
            found_in(served, r"SID=(\S+) TWILIO_AUTH_TOKEN=(\S+)\n.*URL=(\S+)"), "the simulator"
        )
        variables = {
            "TWILIO_ACCOUNT_SID": printed[1],
            "TWILIO_AUTH_TOKEN": printed[2],
            "EXPORTER_API__BASE_URL": printed[3],
        }
        with started(log, "observe", f"--output={output}", **variables) as process:
            eventually(found_in(log, "watching for 600 s"), "the start")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    report = json.loads(output.read_text())
    assert report["interrupted"]
    assert "watched for" in log.read_text()
