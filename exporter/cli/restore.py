"""The command `restore`: a state file, such as a backup, becomes the state in PostgreSQL."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from exporter import app
from exporter.cli.command import Command, Flag, WrongUsage, load_settings
from exporter.cli.states import run
from exporter.clock import SystemClock
from exporter.config.database import read_password


def _restore(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized, accounts_required=False)
    if "input" not in flags:
        raise WrongUsage("restore needs --input=FILE")
    if settings.database is None:
        raise WrongUsage("state.url: is not set; to restore a state file, put it in its place")
    from exporter.storage.postgresql.moving import from_file  # needs the driver

    password = partial(read_password, settings.database, settings.state.password_file)
    copying = from_file(flags.input, settings.database, password, SystemClock())
    return app.SUCCESS if run(copying) else app.FAILED


COMMAND: Final = Command(
    _restore,
    "write a state file to the database of state.url",
    "The database must not have a state yet, and no exporter may use it.\n"
    "Exit code 1: nothing, or not everything, was written.",
    flags=(Flag("input", "state file, such as a backup", metavar="FILE", read=Path),),
    settings=r"state\..*|log\..*|shard",
    needs_account=False,
)
