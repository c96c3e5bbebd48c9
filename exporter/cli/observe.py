"""The command `observe`: what an account shows about the open questions of Twilio's reference."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from exporter.cli.command import Command, Flag, load_settings, serve
from exporter.clock import SystemClock
from exporter.config.accounts import Account
from exporter.config.parsers import duration_text, parse_duration
from exporter.config.problems import Problem, SettingsError
from exporter.config.settings import Settings
from exporter.observation.service import observe
from exporter.output import OUTPUT
from exporter.supervisor import stop_on_signals

DEFAULT_SECONDS: Final = 600.0
BOUNDS: Final = (60.0, 86400.0)


def _observe(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized)
    account = _chosen(settings, getattr(flags, "account", None))
    seconds, output = getattr(flags, "for", DEFAULT_SECONDS), getattr(flags, "output", None)
    return serve(_until_stopped(settings, account, seconds, output))


async def _until_stopped(settings: Settings, account: Account, seconds: float, output: Path | None) -> int:
    stop, clock = stop_on_signals(), SystemClock()
    return await observe(
        settings, account, seconds, clock=clock, stop=stop, out=OUTPUT, err=sys.stderr, output=output
    )


def _chosen(settings: Settings, name: str | None) -> Account:
    """The account of that name, or the only one. Raises `SettingsError`."""
    accounts = settings.accounts
    found = [account for account in accounts if name in {None, account.name}]
    if len(found) == 1:
        return found[0]
    names = ", ".join(account.name for account in accounts)
    message = f"write one of {names}" if name is not None else f"choose one of {names}"
    raise SettingsError([Problem("account", "--account:", message)])


def _duration(text: str) -> float:
    """Raises `ValueError`."""
    seconds = parse_duration(text)
    shortest, longest = BOUNDS
    if not shortest <= seconds <= longest:
        raise ValueError(f"is not between {duration_text(shortest)} and {duration_text(longest)}")
    return seconds


COMMAND: Final = Command(
    _observe,
    "watch an account, and answer open questions about the API",
    "Prints how many requests it will send. Ctrl-C ends it, with what was seen.\n"
    "Exit code 1: the account cannot be read, or the report cannot be written.",
    flags=(
        Flag("for", "how long to watch, 1m to 1d (default: 10m)", metavar="DURATION", read=_duration),
        Flag("output", "write a JSON report without identifying values", metavar="FILE", read=Path),
        Flag("account", "the account to watch, if several are configured", metavar="NAME"),
    ),
    settings=r"api\.(?!concurrency)\w+|log\..*",
)
