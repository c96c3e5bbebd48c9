"""The command `backup`: a copy of the state file, also while an exporter uses it."""

import argparse
import asyncio
from collections.abc import Sequence

from exporter.cli.command import WrongUsage
from exporter.cli.starting import load_settings
from exporter.clock import SystemClock
from exporter.errors import DamagedError, RefusedError, StateError
from exporter.exit_codes import FAILED, SUCCESS
from exporter.logs import time_text
from exporter.output import OUTPUT, complain
from exporter.storage.backup import back_up


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    path = load_settings(flags, unrecognized, accounts_required=False).state.path
    if "output" not in flags:
        raise WrongUsage("backup needs --output=FILE")
    if path is None:
        raise WrongUsage("state.path: is not set; there is no state to back up")
    try:
        accounts = asyncio.run(back_up(path, flags.output, SystemClock()))
    except DamagedError as error:
        complain(f"the state is damaged: {error}")
        return FAILED
    except (RefusedError, StateError) as error:
        complain(str(error))
        return FAILED
    for each in accounts:
        saved = time_text(each.saved_at)
        OUTPUT.write(f"account {each.name}: {each.operations.rows} operations, last poll at {saved}\n")
    OUTPUT.write(f"{flags.output}: {flags.output.stat().st_size} bytes, checked\n")
    return SUCCESS
