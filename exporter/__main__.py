"""The entry point. Runs a health check at once; loads the program for every other command.

First protects the process from its environment: standard streams that are closed, full or cannot encode
Unicode, and variables that libraries read.
"""

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from exporter import healthcheck


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    _open_closed_streams()
    # They switch prometheus_client to multiprocess mode, which keeps the values in files.
    for variable in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(variable, None)
    try:
        if arguments[:1] == ["healthcheck"]:
            return healthcheck.main(arguments[1:])
        from exporter.cli.main import main as run_command

        return run_command(arguments)
    finally:
        _discard_unwritten()


def _open_closed_streams() -> None:
    """Otherwise a file that is opened later gets the descriptor, and the output meant for the stream."""
    # Each takes the lowest free descriptor, so the order matters.
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: PTH123, SIM115 - lasts as long as the process
    # For reading: writing to a closed standard output must fail, not succeed silently.
    sys.stdout = sys.stdout or open(os.devnull)  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _discard_unwritten() -> None:
    """Otherwise the interpreter tries again at exit, fails, and changes the exit code to 120."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


if __name__ == "__main__":
    sys.exit(main())
