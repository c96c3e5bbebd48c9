"""Shares of emails: the arithmetic of the verdicts, and how a share is written. Pure."""

from collections.abc import Sequence
from itertools import accumulate
from statistics import median
from typing import Final, NamedTuple

from exporter.ledger.hourly import HOUR_SECONDS, Hour

_DAY_HOURS: Final = 24

MIN_SAMPLES: Final = 6
"""Days, one ending with each hour, that are needed to say what is normal."""


class Share(NamedTuple):
    """Some emails, or attempts, of all."""

    emails: int
    all: int

    @property
    def value(self) -> float:
        """From 0 to 1: emails can fail later than their attempt, or without one."""
        if not self.all:
            return float(self.emails > 0)
        return min(1.0, self.emails / self.all)

    def __str__(self) -> str:
        return percent(self.value)


def percent(share: float) -> str:
    """More digits near 0 % and 100 %, which are written only for none and for all."""
    points = 100 * share
    if points in {0, 100}:
        return f"{points:.0f} %"
    digits = 0 if 10 <= points <= 90 else 1 if 1 <= points <= 99 else 2
    smallest: float = 10**-digits
    return f"{min(max(points, smallest), 100 - smallest):.{digits}f} %"


def normal_share(hours: Sequence[Hour], stat: str, *, min_attempts: int) -> float:
    """The median share of attempts over the days that end with each hour of the window; 0 if unknown.

    A median, because an incident of a day or two does not move it.
    """
    if not hours:
        return 0.0
    first = hours[0].start
    length = round((hours[-1].start - first) / HOUR_SECONDS) + 1
    emails, attempts = [0] * length, [0] * length
    for hour in hours:
        index = round((hour.start - first) / HOUR_SECONDS)
        emails[index], attempts[index] = getattr(hour, stat), hour.attempts
    days = zip(_day_sums(emails), _day_sums(attempts), strict=True)
    shares = [Share(*day).value for day in days if day[1] >= min_attempts]
    return median(shares) if len(shares) >= MIN_SAMPLES else 0.0


def _day_sums(values: Sequence[int]) -> list[int]:
    """The sum of each 24 consecutive values."""
    sums = [0, *accumulate(values)]
    return [later - earlier for earlier, later in zip(sums, sums[_DAY_HOURS:], strict=False)]
