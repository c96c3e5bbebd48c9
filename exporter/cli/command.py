"""A command as a record, and what several commands do: load the settings, run until a signal."""

import argparse
import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from exporter import logs
from exporter.config.loading import load
from exporter.config.settings import Settings
from exporter.supervisor import ignore_signals

INVALID_CONFIGURATION: Final = 2


class WrongUsage(Exception):
    """A wrong command line; the message is one line."""


class Flag(NamedTuple):
    """A flag that is not a setting. Commands may have flags of the same name and different meaning."""

    name: str
    """With underscores, as in the parsed flags, which have it only if it was given."""
    help: str
    """With the default."""
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    read: Callable[[str], Any] = str
    """Raises `ValueError` with the remedy."""

    @property
    def spelling(self) -> str:
        return f"--{self.name.replace('_', '-')}"


class Command(NamedTuple):
    run: Callable[[argparse.Namespace, Sequence[str]], int]
    """Takes the parsed flags and the unrecognized arguments; returns the exit code."""
    summary: str
    """One line of at most 62 characters."""
    details: str = ""
    operand: str = ""
    """A word that may follow the name; the command finds it among the unrecognized arguments."""
    flags: tuple[Flag, ...] = ()
    settings: str = ".*"
    """Those that have an effect, as a pattern of their paths; `--help` shows no others."""
    defaults: Mapping[str, str] = MappingProxyType({})
    """Defaults of settings that differ from those of `run`, by path."""
    needs_account: bool = True


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
