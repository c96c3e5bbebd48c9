"""The dead-man's handle: whether every account's loop still shows signs of life.

Every report is one. A loop that waits for its next tick reports at each tick, and a long listing reports
every page, so that silence over several intervals is a loop that hangs. Must not know tasks or HTTP.
"""

from collections.abc import Iterable
from typing import Final

from exporter.clock import Clock
from exporter.events import Event

SILENT_INTERVALS: Final = 5
"""So many may pass without a word; a poll that waits out a hold takes one or two."""


class Watchdog:
    """`patience`: seconds that a single request may take beyond that."""

    def __init__(self, accounts: Iterable[str], clock: Clock, *, interval: float, patience: float) -> None:
        self._clock = clock
        self._allowed = SILENT_INTERVALS * interval + patience
        self._last_event_at = dict.fromkeys(accounts, clock.monotonic())

    def observe(self, event: Event) -> None:
        self._last_event_at[event.account] = self._clock.monotonic()

    def reason(self) -> str | None:
        """Which loop hangs; `None`: none does."""
        now = self._clock.monotonic()
        for account, last_event_at in self._last_event_at.items():
            silent = now - last_event_at
            if silent > self._allowed:
                return f"the poll loop of account {account} has shown no sign of life for {silent:.0f} s"
        return None
