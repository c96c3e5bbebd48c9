"""The watchdog: whether the scheduler of every account is still active.

The events of polls count as activity; those of the breakdown do not, because it continues without polls. A
scheduler that waits for its next poll emits one at each interval, and a long listing emits one for each page,
so that silence over several intervals means that the scheduler hangs.
Must not contain tasks or HTTP.
"""

from collections.abc import Iterable
from typing import Final

from exporter.clock import Clock
from exporter.events import (
    POLL_CALLS,
    Event,
    ListingProgressed,
    PollCrashed,
    PollFinished,
    PollScheduled,
    PollStarted,
    RequestFinished,
)

SILENT_INTERVALS: Final = 5
"""Intervals that may pass without an event; a poll that waits for the end of a pause takes one or two."""

_ACTIVITY: Final = (PollStarted, ListingProgressed, PollFinished, PollCrashed, PollScheduled)


class Watchdog:
    """`patience`: seconds added to the allowed silence, for a single request."""

    def __init__(self, accounts: Iterable[str], clock: Clock, *, interval: float, patience: float) -> None:
        self._clock = clock
        self._allowed = SILENT_INTERVALS * interval + patience
        self._last_event_at: dict[str, float] = {}
        self._accounts = tuple(accounts)
        self.start()

    def start(self) -> None:
        """The schedulers start now."""
        self._last_event_at = dict.fromkeys(self._accounts, self._clock.monotonic())

    def stop(self) -> None:
        """There are no schedulers, because another process is the active one."""
        self._last_event_at = {}

    def observe(self, event: Event) -> None:
        is_activity = (
            event.call in POLL_CALLS if isinstance(event, RequestFinished) else isinstance(event, _ACTIVITY)
        )
        if is_activity:
            self._last_event_at[event.account] = self._clock.monotonic()

    def reason(self) -> str | None:
        """A message that names the hanging scheduler; `None` if none hangs."""
        now = self._clock.monotonic()
        for account, last_event_at in self._last_event_at.items():
            silent = now - last_event_at
            if silent > self._allowed:
                return f"the scheduler of account {account} has shown no activity for {silent:.0f} s"
        return None
