"""The command `once`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from exporter import app
from exporter.cli.starting import load_settings
from exporter.output import OUTPUT


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized)
    as_table = getattr(flags, "format", "text") == "table"
    return asyncio.run(app.once(settings, as_table=as_table, out=OUTPUT, err=sys.stderr))
