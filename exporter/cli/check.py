"""The command `check`."""

import argparse
import asyncio
from collections.abc import Sequence

from exporter import app
from exporter.cli.starting import load_settings
from exporter.output import OUTPUT


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    return asyncio.run(app.check(load_settings(flags, unrecognized), out=OUTPUT))
