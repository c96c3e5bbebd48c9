"""The picture of an account's mail by the hour: numbers in, coordinates and a description out. Pure.

Must not know HTML; the template draws the paths. The x axis has one unit for each hour, the y axis 100 units
for the hour with the most emails, pointing down as in SVG.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from exporter.ledger.hourly import HOUR_SECONDS, Hour
from exporter.observers.shares import Share

_HEIGHT: Final = 100.0
_MIN_ATTEMPTS: Final = 10
"""An hour with fewer attempts is not called the worst."""


class Midnight(NamedTuple):
    """The start of a day on the x axis."""

    hour: int
    percent: float
    """Of the width."""
    day: str


class Picture(NamedTuple):
    """What the template draws. Paths are in SVG's syntax."""

    width: int
    """Hours."""
    highest: int
    """Emails of the hour with the most, or 1."""
    total: str
    failed: str
    undelivered: str
    midnights: list[Midnight]
    description: str
    worst: str
    """About the hour with the highest share of failed and undelivered emails; empty if there is none."""


def picture(hours: Sequence[Hour], as_of: float, lookback: float) -> Picture:
    """The hours of the window, as of an instant. `lookback`: length of the window in seconds."""
    end = int(as_of // HOUR_SECONDS)
    start = int((as_of - lookback) // HOUR_SECONDS)
    width = end - start + 1
    shown = [hour for hour in hours if start <= hour.start // HOUR_SECONDS <= end]
    highest = max((hour.total for hour in shown), default=0) or 1
    worst = _worst(shown)
    return Picture(
        width,
        highest,
        total=_bars((_x(hour, start), 0, hour.total) for hour in shown).scaled(highest),
        failed=_bars((_x(hour, start), 0, hour.failed) for hour in shown).scaled(highest),
        undelivered=_bars((_x(hour, start), hour.failed, hour.undelivered) for hour in shown).scaled(highest),
        midnights=list(_midnights(start, width)),
        description=_description(shown, start, end) + worst,
        worst=worst,
    )


def _x(hour: Hour, start: int) -> int:
    return round(hour.start / HOUR_SECONDS) - start
