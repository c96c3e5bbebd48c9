"""How many of the latest deliveries were late, from the counters of successive polls. Pure."""

from collections import deque
from math import inf
from typing import Final, NamedTuple

from exporter.ledger.snapshot import Snapshot
from exporter.observers.shares import Share

SHORT_SECONDS: Final = 3600.0
LONG_SECONDS: Final = 6 * 3600.0
_SPACING: Final = 300.0
"""Least time between two samples: an account needs few."""


class LateDeliveries(NamedTuple):
    """Late deliveries, and all deliveries, that were counted within some time."""

    short: Share
    """Within the last hour."""
    long: Share
    """Within the last six hours."""
    earlier: Share
    """Before that, since counting began."""


class DeliveryHistory:
    """The counters of one account at some instants of the last six hours.

    At the start the history is shorter: it begins with the first snapshot. It begins again after `max_gap`
    seconds without a poll: the delays of the deliveries in the gap may be shorter than they seem.
    """

    def __init__(self, max_gap: float) -> None:
        self._max_gap = max_gap
        self._last_at = -inf
        self._samples: deque[tuple[float, Share]] = deque()

    def note(self, snapshot: Snapshot) -> LateDeliveries:
        """Take the counters of a snapshot, and compare them with the earlier ones."""
        now, latest = snapshot.as_of, _counted(snapshot)
        samples = self._samples
        if not self._last_at <= now <= self._last_at + self._max_gap:  # or the clock was set back
            samples.clear()
        self._last_at = now
        while len(samples) > 1 and samples[1][0] <= now - LONG_SECONDS:
            samples.popleft()
        if not samples or samples[-1][0] <= now - _SPACING:
            samples.append((now, latest))
        _, oldest = samples[0]
        within_hour = [counted for at, counted in samples if at <= now - SHORT_SECONDS]
        return LateDeliveries(
            short=_between(within_hour[-1] if within_hour else oldest, latest),
            long=_between(oldest, latest),
            earlier=oldest,
        )


def _counted(snapshot: Snapshot) -> Share:
    return Share(int(snapshot.counts["late", ""]), int(snapshot.counts["stat", "delivered"]))


def _between(before: Share, after: Share) -> Share:
    return Share(after.emails - before.emails, after.all - before.all)
