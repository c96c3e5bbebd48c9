"""The command `once`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from exporter import app
from exporter.cli.command import Command, Flag, load_settings
from exporter.output import OUTPUT


def _once(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized)
    as_table = getattr(flags, "format", "text") == "table"
    return asyncio.run(app.once(settings, as_table=as_table, out=OUTPUT, err=sys.stderr))


COMMAND: Final = Command(
    _once,
    "poll once and print the metrics; starts no server",
    "The state file is neither read nor written. Exit code 1: the poll failed.",
    flags=(Flag("format", "Prometheus text, or a table to read (default: text)", ("text", "table")),),
    settings=r"(api|poll|alerts|log)\..*|metrics\.top_operations|shard",
)
