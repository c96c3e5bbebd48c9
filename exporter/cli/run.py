"""The command `run`."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from logging import INFO, WARNING

from exporter import __version__, app
from exporter.cli.starting import load_settings, serve
from exporter.config.changes import changed_settings
from exporter.config.loading import load
from exporter.config.parsers import duration_text
from exporter.config.settings import Settings
from exporter.logs import line


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized)

    def changed() -> list[str]:
        return changed_settings(settings, load(flags, os.environ, unrecognized=unrecognized))

    return serve(app.run(settings, on_start=partial(_log_start, settings), changed_settings=changed))


def _log_start(settings: Settings) -> None:
    state = settings.database or settings.state.path
    line(
        INFO,
        "starting",
        version=__version__,
        accounts=len(settings.own_accounts),
        interval=duration_text(settings.poll.interval),
        state=state or "none",
        shard=settings.shard,
    )
    if state is None:
        line(
            WARNING,
            "no state: counters start at zero with each process, and alerts miss what happens in between;"
            " set state.path or state.url",
        )
