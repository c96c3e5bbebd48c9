"""The command `backup`: a copy of the state file, also while an exporter uses it."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from exporter import app
from exporter.cli.command import Command, Flag, WrongUsage, load_settings
from exporter.clock import SystemClock
from exporter.errors import DamagedError, RefusedError, StateError
from exporter.logs import time_text
from exporter.output import OUTPUT, complain
from exporter.storage.backup import back_up


def _backup(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    path = load_settings(flags, unrecognized, accounts_required=False).state.path
    if "output" not in flags:
        raise WrongUsage("backup needs --output=FILE")
    if path is None:
        raise WrongUsage("state.path: is not set; there is no state to back up")
    try:
        accounts = asyncio.run(back_up(path, flags.output, SystemClock()))
    except DamagedError as error:
        complain(f"the state is damaged: {error}")
        return app.FAILED
    except (RefusedError, StateError) as error:
        complain(str(error))
        return app.FAILED
    for each in accounts:
        saved = time_text(each.saved_at)
        OUTPUT.write(f"account {each.name}: {each.operations.rows} operations, last poll at {saved}\n")
    OUTPUT.write(f"{flags.output}: {flags.output.stat().st_size} bytes, checked\n")
    return app.SUCCESS


def _file(text: str) -> Path:
    path = Path(text)
    if not path.name:
        raise ValueError(f'"{text}" is not a file')
    return path


COMMAND: Final = Command(
    _backup,
    "copy the state to a new file, also while the exporter runs",
    "Needs the same state.path as the exporter. Exit code 1: there is no new file.",
    flags=(Flag("output", "file to create; it must not exist", metavar="FILE", read=_file),),
    settings=r"state\..*|log\..*",
    needs_account=False,
)
