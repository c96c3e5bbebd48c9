"""The command `check`."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Final

from exporter import app
from exporter.cli.command import Command, load_settings
from exporter.output import OUTPUT


def _check(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    return asyncio.run(app.check(load_settings(flags, unrecognized), out=OUTPUT))


COMMAND: Final = Command(
    _check,
    "test each credential and estimate the requests of polling",
    "Exit code 1: a credential fails, or polling does not fit its interval.",
    settings=r"(api|poll|log)\..*|shard",
)
