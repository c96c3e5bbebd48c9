"""The command `restore`: a state file, such as a backup, becomes the state in PostgreSQL."""

import argparse
from collections.abc import Sequence
from functools import partial

from exporter.cli.command import WrongUsage
from exporter.cli.starting import load_settings
from exporter.cli.states import copied
from exporter.clock import SystemClock
from exporter.config.database import read_password
from exporter.exit_codes import FAILED, SUCCESS


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized, accounts_required=False)
    if "input" not in flags:
        raise WrongUsage("restore needs --input=FILE")
    if settings.database is None:
        raise WrongUsage("state.url: is not set; without a database, copy the backup to state.path")
    from exporter.storage.postgresql.moving import from_file  # needs the driver

    password = partial(read_password, settings.database, settings.state.password_file)
    copying = from_file(flags.input, settings.database, password, SystemClock())
    return SUCCESS if copied(copying) else FAILED
