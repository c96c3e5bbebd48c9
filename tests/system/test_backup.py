"""`backup`, as a user runs it."""

from pathlib import Path

import pytest

from tests.support.program import eventually, fetch, finish, found_in, started
from tests.system.test_program import ACCOUNT, ANY_PORT, metrics_url, simulator, up

__all__ = ["simulator"]


def test_moving_an_exporter(tmp_path: Path, simulator: str) -> None:
    """A backup of a running exporter is the state of another one."""
    log, backup = tmp_path / "run.log", tmp_path / "moved.sqlite"
    settings = {**ACCOUNT, "EXPORTER_API__BASE_URL": simulator}
    state = {"EXPORTER_STATE__PATH": str(tmp_path / "state.sqlite")}
    with started(log, "--web.listen_address", ANY_PORT, **settings, **state):
        eventually(lambda: up(metrics_url(log)), "the first poll")
        done = finish("backup", f"--output={backup}", **state)
        assert (done.returncode, done.stderr) == (0, "")
        account, file = done.stdout.splitlines()
        assert account.startswith("account default: ")
        assert file == f"{backup}: {backup.stat().st_size} bytes, checked"
        again = finish("backup", f"--output={backup}", **state)
        assert (again.returncode, again.stdout) == (1, "")
        assert again.stderr == f"{backup} exists already; name another file\n"
    moved = tmp_path / "moved.log"
    with started(moved, "--web.listen_address", ANY_PORT, **settings, EXPORTER_STATE__PATH=str(backup)):
        restored = eventually(
            found_in(moved, r'msg="state restored".* tracked_operations=(\d+)'), "the state"
        )
        assert f" {restored.group(1)} operations, " in account
        assert fetch(f"{metrics_url(moved)}/-/healthy") == "OK\n"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("--output=b",), 2, "state.path: is not set; there is no state to back up"),
        (("--state.path=no.sqlite",), 2, "backup needs --output=FILE"),
        (("--output=/", "--state.path=no.sqlite"), 2, '--output: "/" is not a file; see --help'),
        (("--output=b", "--state.path=no.sqlite"), 1, "no.sqlite: does not exist"),
        (
            ("--output=b", "--state.path=no.sqlite", "--format=text"),
            2,
            "--format is not a flag of backup, only of once and explain",
        ),
    ],
)
def test_backup_that_cannot_be_made(arguments: tuple[str, ...], code: int, line: str) -> None:
    """One line that names the reason, and exit code 2 if the command line is wrong."""
    done = finish("backup", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{line}\n")
