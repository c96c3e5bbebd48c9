"""The command `run`."""

import argparse
from collections.abc import Sequence
from typing import Final

from exporter import app
from exporter.cli.command import Command, load_settings, serve


def _run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    return serve(app.run(load_settings(flags, unrecognized)))


COMMAND: Final = Command(
    _run,
    "poll and serve metrics until SIGTERM or SIGINT (default)",
    "SIGHUP reloads the secret files and the file of web.config_file.",
)
