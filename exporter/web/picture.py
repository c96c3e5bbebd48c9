"""The picture of an account's mail by the hour: numbers in, SVG paths and a description out. Pure.

Must not know HTML; the template draws the paths. The x axis has one unit for each hour, the y axis 100 units
for the highest value, downwards as in SVG. Emails have one scale, shares of the attempts another: trouble at
night, when there is little mail, shows in the shares only.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from exporter.ledger.hourly import HOUR_SECONDS, Hour
from exporter.observers.shares import Share

_DAY_HOURS: Final = 24
_MIN_ATTEMPTS: Final = 10
"""An hour with fewer attempts has no share: one of one is no trouble."""


class Midnight(NamedTuple):
    """The start of a day, in UTC."""

    hour: int
    """On the x axis."""
    percent: float
    """Of the width."""
    day: str


class Picture(NamedTuple):
    """What the template draws. Paths are in SVG's syntax."""

    width: int
    """Hours."""
    highest: int
    """Emails of the hour with the most."""
    total: str
    failed: str
    undelivered: str
    """On top of the failed ones."""
    failed_share: str
    """Of the attempts; 100 units are all."""
    undelivered_share: str
    midnights: tuple[Midnight, ...]
    description: str
    worst: str
    """About the hour with the highest share of failed and undelivered emails; empty if there is none."""


def picture(hours: Sequence[Hour], as_of: float, lookback: float) -> Picture:
    """The hours of the window that ends at `as_of`, and is `lookback` seconds long."""
    start, end = int((as_of - lookback) // HOUR_SECONDS), int(as_of // HOUR_SECONDS)
    width = end - start + 1
    by_place = {round(hour.start / HOUR_SECONDS) - start: hour for hour in hours}
    shown = {place: hour for place, hour in by_place.items() if 0 <= place < width}
    highest = max((hour.total for hour in shown.values()), default=0)
    scale = 100 / (highest or 1)
    shares = [
        (place, hour.failed / hour.attempts, hour.undelivered / hour.attempts)
        for place, hour in shown.items()
        if hour.attempts >= _MIN_ATTEMPTS
    ]
    worst = _worst(shown.values())
    return Picture(
        width,
        highest,
        total=_bars((place, 0.0, hour.total * scale) for place, hour in shown.items()),
        failed=_bars((place, 0.0, hour.failed * scale) for place, hour in shown.items()),
        undelivered=_bars(
            (place, hour.failed * scale, hour.undelivered * scale) for place, hour in shown.items()
        ),
        failed_share=_bars((place, 0.0, 100 * failed) for place, failed, _ in shares),
        undelivered_share=_bars((place, 100 * failed, 100 * more) for place, failed, more in shares),
        midnights=tuple(_midnights(start, width)),
        description=" ".join(filter(None, (_description(shown.values(), start, end, highest), worst))),
        worst=worst,
    )


def _bars(bars: Iterable[tuple[int, float, float]]) -> str:
    """A path of one rectangle for each bar, of place, bottom and height; nothing above 100."""
    edges = (
        (place, round(100 - bottom, 1), round(100 - min(bottom + height, 100), 1))
        for place, bottom, height in bars
    )
    return "".join(f"M{place} {low}V{high}h1V{low}z" for place, low, high in edges if high < low)


def _midnights(start: int, width: int) -> Iterator[Midnight]:
    for hour in range(-start % _DAY_HOURS, width, _DAY_HOURS):
        day = datetime.fromtimestamp((start + hour) * HOUR_SECONDS, UTC)
        yield Midnight(hour, 100 * hour / width, f"{day:%a} {day.day}")


def _worst(hours: Iterable[Hour]) -> str:
    bad = [
        (Share(hour.failed + hour.undelivered, hour.attempts), hour)
        for hour in hours
        if hour.attempts >= _MIN_ATTEMPTS and hour.failed + hour.undelivered
    ]
    if not bad:
        return ""
    share, hour = max(bad, key=lambda each: (each[0].value, each[1].start))
    return (
        f"Highest share: {share} of {hour.attempts:,} attempts failed or undelivered,"
        f" created in the hour from {_time(hour.start)} UTC."
    )


def _description(hours: Iterable[Hour], start: int, end: int, highest: int) -> str:
    numbers = [(hour.total, hour.failed, hour.undelivered) for hour in hours] or [(0, 0, 0)]
    total, failed, undelivered = map(sum, zip(*numbers, strict=True))
    return (
        f"Emails by the hour in which their operation was created, from {_time(start * HOUR_SECONDS)}"
        f" to {_time((end + 1) * HOUR_SECONDS)} UTC: {total:,} in all, {failed:,} failed,"
        f" {undelivered:,} undelivered; at most {highest:,} in one hour."
    )


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
