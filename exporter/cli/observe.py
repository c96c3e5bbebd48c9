"""The command `observe`: what an account shows about the open questions of Twilio's reference."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from exporter.cli.flags import DEFAULT_WATCH
from exporter.cli.starting import load_settings, serve
from exporter.clock import SystemClock
from exporter.config.accounts import Account
from exporter.config.problems import Problem, SettingsError
from exporter.config.settings import Settings
from exporter.observation.service import observe
from exporter.output import OUTPUT
from exporter.supervisor import stop_on_signals


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized)
    account = _chosen(settings, getattr(flags, "account", None))
    seconds, output = getattr(flags, "for", DEFAULT_WATCH), getattr(flags, "output", None)
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
