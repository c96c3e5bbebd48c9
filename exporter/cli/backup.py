"""The command `backup`: a copy of the state as a file, also while an exporter uses it."""

import argparse
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from exporter.cli.command import WrongUsage
from exporter.cli.starting import load_settings
from exporter.cli.states import copied
from exporter.clock import SystemClock
from exporter.config.database import read_password
from exporter.config.settings import Settings
from exporter.exit_codes import FAILED, SUCCESS
from exporter.output import OUTPUT
from exporter.storage.backup import back_up
from exporter.storage.codec import AccountRow


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized, accounts_required=False)
    if "output" not in flags:
        raise WrongUsage("backup needs --output=FILE")
    if not copied(_copying(settings, flags.output)):
        return FAILED
    OUTPUT.write(f"{flags.output}: {flags.output.stat().st_size} bytes, checked\n")
    return SUCCESS


def _copying(settings: Settings, output: Path) -> Coroutine[Any, Any, list[AccountRow]]:
    """Raises `WrongUsage`."""
    if settings.database is not None:
        from exporter.storage.postgresql.moving import to_file  # needs the driver

        password = partial(read_password, settings.database, settings.state.password_file)
        return to_file(settings.database, password, output, SystemClock())
    if settings.state.path is None:
        raise WrongUsage("state.path: is not set; there is no state to back up")
    return back_up(settings.state.path, output, SystemClock())
