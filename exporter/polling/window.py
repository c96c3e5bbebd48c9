"""Which ranges a poll lists: pure arithmetic on Unix times.

The window is the past that is counted. Every poll lists the recent part of it and one slice of the older
part. Listed intervals record when each part was last listed, so that no instant is missed. The only input
about operations is how many are older than the recent part; must not contain requests or accounts.

Rule 1: a part that was never listed is listed now. This covers the first poll, a longer lookback and the
time after an outage.
Rule 2: of the older part, the slice that was listed longest ago comes next, so that all of it is listed
again within the sweep interval.
Rule 3: there are no more slices than pages: an account that fits on one page is read in one listing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.ledger.saved import ListedInterval, ListedIntervals

SETTLING_SECONDS: Final = 60.0
"""The last minute always counts as not listed: a new operation may take a moment to appear in a listing."""

MARGIN_SECONDS: Final = 10.0
"""Added to both sides of a range: Twilio's reference does not state whether the bounds are inclusive."""


class Range(NamedTuple):
    """A part of the past to list, from `start` up to `end`."""

    start: float
    end: float


NEVER: Final = -math.inf


@dataclass(frozen=True, slots=True)
class Listing:
    """The settings that shape a listing, in seconds, and the size of a page."""

    lookback: float
    recent: float
    sweep_interval: float
    page_size: int

    def start(self, now: float) -> float:
        """Where the window begins."""
        return now - self.lookback

    def ranges(
        self, now: float, listed_intervals: ListedIntervals, *, older_operations: int, spacing: float
    ) -> tuple[Range, ...]:
        """The ranges that this poll must list, newest first.

        `older_operations`: how many there are in the older part. `spacing`: seconds between polls.
        """
        window_start = self.start(now)
        whole = (Range(window_start, now),)
        slices = self.slices(older_operations, spacing)
        past = _gapless(listed_intervals, window_start, now)
        recent_start = max(window_start, min(now - self.recent, _first_unlisted_tail(past)))
        older = [piece for piece in past if piece.start < recent_start]
        if slices == 1 or not older:
            return whole
        width = (recent_start - window_start) / slices
        sweep = _stalest(_clipped(older, window_start, recent_start), width)
        return _merged([*sweep, Range(recent_start, now)])

    def slices(self, older_operations: int, spacing: float) -> int:
        """The number of slices of the older part; with one, every poll lists the whole window."""
        # One poll of a sweep is lost to what has just left the recent part, one to the slice under way.
        polls = int(self.sweep_interval / spacing) - 2
        return max(1, min(math.ceil(older_operations / self.page_size), polls))


def listed(
    listed_intervals: ListedIntervals, ranges: Iterable[Range], now: float, window_start: float
) -> ListedIntervals:
    """The listed intervals after these ranges were listed, without what has left the window."""
    fresh = [ListedInterval(start, min(end, now - SETTLING_SECONDS), now) for start, end in ranges]
    pieces = [piece for piece in listed_intervals if piece.listed_at <= now]
    for cut in fresh:
        pieces = [rest for piece in pieces for rest in _without(piece, cut)]
    pieces = sorted(piece for piece in [*pieces, *fresh] if piece.start < piece.end)
    return tuple(_joined(_clipped(pieces, window_start, now)))


def _gapless(listed_intervals: ListedIntervals, start: float, end: float) -> list[ListedInterval]:
    """The same past from start to end; a part that no interval covers was never listed.

    An interval listed in the future means that the clock was set back. It is ignored.
    """
    filled: list[ListedInterval] = []
    reached = start
    for piece in _clipped([piece for piece in listed_intervals if piece.listed_at <= end], start, end):
        if piece.start > reached:
            filled.append(ListedInterval(reached, piece.start, NEVER))
        filled.append(piece)
        reached = piece.end
    if reached < end:
        filled.append(ListedInterval(reached, end, NEVER))
    return filled


def _first_unlisted_tail(past: list[ListedInterval]) -> float:
    """Start of the part at the end of the past that was never listed."""
    tail = past[-1] if past else None
    return tail.start if tail and tail.listed_at == NEVER else math.inf


def _stalest(pieces: list[ListedInterval], width: float) -> list[Range]:
    """Every part that was never listed, and `width` seconds from the instant listed longest ago."""
    chosen = [Range(piece.start, piece.end) for piece in pieces if piece.listed_at == NEVER]
    rest = [piece for piece in pieces if piece.listed_at != NEVER]
    if rest:
        first = min(rest, key=lambda piece: (piece.listed_at, piece.start))
        chosen.append(Range(first.start, min(first.start + width, pieces[-1].end)))
    return chosen


def _merged(ranges: list[Range]) -> tuple[Range, ...]:
    """Ranges that touch become one, so that they cost one listing; newest first."""
    merged: list[Range] = []
    for piece in sorted(ranges):
        if merged and piece.start <= merged[-1].end:
            merged[-1] = Range(merged[-1].start, max(merged[-1].end, piece.end))
        else:
            merged.append(piece)
    return tuple(reversed(merged))


def _clipped(pieces: Iterable[ListedInterval], start: float, end: float) -> list[ListedInterval]:
    inside = (
        ListedInterval(max(piece.start, start), min(piece.end, end), piece.listed_at) for piece in pieces
    )
    return [piece for piece in inside if piece.start < piece.end]


def _without(piece: ListedInterval, cut: ListedInterval) -> list[ListedInterval]:
    left = ListedInterval(piece.start, min(piece.end, cut.start), piece.listed_at)
    right = ListedInterval(max(piece.start, cut.end), piece.end, piece.listed_at)
    return [rest for rest in (left, right) if rest.start < rest.end]


def _joined(pieces: list[ListedInterval]) -> list[ListedInterval]:
    joined: list[ListedInterval] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and last.end == piece.start and last.listed_at == piece.listed_at:
            joined[-1] = ListedInterval(last.start, piece.end, piece.listed_at)
        else:
            joined.append(piece)
    return joined
