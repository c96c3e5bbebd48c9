"""What several commands do: load the settings, run until a signal."""

import argparse
import asyncio
import os
from collections.abc import Coroutine, Sequence
from typing import Any

from exporter import logs
from exporter.config.loading import load
from exporter.config.settings import Settings
from exporter.supervisor import ignore_signals


def load_settings(flags: argparse.Namespace, unrecognized: Sequence[str], **options: Any) -> Settings:
    """The settings; the log is set up with them. Raises `SettingsError`."""
    settings = load(flags, os.environ, unrecognized=unrecognized, **options)
    logs.configure(settings.log.level, settings.log.format)
    return settings


def serve(command: Coroutine[None, None, int]) -> int:
    """Run until a signal; further signals do not change the exit code."""
    try:
        return asyncio.run(command)
    finally:
        ignore_signals()
