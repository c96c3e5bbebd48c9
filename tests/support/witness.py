"""Computes what an account's counters must show, from the simulated world only: no replies, no ledger.

Of each operation and stat the highest observed value counts, minus the first value of a baseline. It is
unknown which values a failed poll observed, so there are two bounds: what successful polls must have
observed, and what failed polls may have observed in addition. A counter below the first bound has lost
emails, one above the second has invented some. If no value falls, both bounds become equal.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from exporter.ledger.counters import COUNTED
from exporter.operation import STATS
from exporter.simulator.life import Life
from exporter.simulator.traffic import HOUR_SECONDS
from exporter.simulator.world import RETENTION_SECONDS, World

_INDEXES: Final = tuple(STATS.index(stat) for stat in COUNTED)


@dataclass(slots=True)
class _Watched:
    """An operation that may still change."""

    created_at: float
    rests_at: float
    highest: list[int] | None = None
    """`None`: not seen yet."""


class Sight:
    """Observes a world at certain instants, from `coverage` on, and counts."""

    def __init__(self, world: World, coverage: float) -> None:
        self._world = world
        self._coverage = coverage
        self._watched: dict[str, _Watched] = {}
        self._hour = int((coverage - RETENTION_SECONDS) // HOUR_SECONDS)
        self.counts = dict.fromkeys(COUNTED, 0)

    def look(self, instants: Sequence[float], now: float) -> None:
        """Count what the world showed at one of these instants; which one is unknown, so the lowest values.

        Operations that are older than the window at `now` are dropped.
        """
        self.draw(instants[0])
        for operation_id, watched in list(self._watched.items()):
            if watched.created_at < now - RETENTION_SECONDS:
                del self._watched[operation_id]
                continue
            shown = [self._world.find(operation_id, at) for at in instants]
            # What is not yet created, or answers 404, cannot be seen.
            stats = [operation.stats for operation in shown if operation is not None]
            if len(stats) < len(shown):
                continue
            self._count(watched, [min(each[index] or 0 for each in stats) for index in _INDEXES])
            if watched.rests_at <= instants[0]:
                del self._watched[operation_id]

    def draw(self, at: float) -> None:
        while self._hour <= at // HOUR_SECONDS:
            for row in self._world.rows(self._hour):
                rests_at = row.events[-1].at if isinstance(row, Life) else inf
                self._watched[row.id] = _Watched(row.created_at, rests_at)
            self._hour += 1

    def _count(self, watched: _Watched, values: list[int]) -> None:
        if watched.highest is None:
            watched.highest = values if watched.created_at < self._coverage else [0] * len(values)
        for place, (stat, value) in enumerate(zip(COUNTED, values, strict=True)):
            if value > watched.highest[place]:
                self.counts[stat] += value - watched.highest[place]
                watched.highest[place] = value


class Witness:
    """Observes one account from its first poll on.

    `lag`: polls until the whole window has been listed; 0 for a small account.
    """

    def __init__(self, world: World, coverage: float, lag: int) -> None:
        self._must = Sight(world, coverage)
        self._may = Sight(world, coverage)
        self._lag = lag
        self._waiting: deque[float] = deque()
        self._at = self._now = coverage
        for sight in (self._must, self._may):  # the first poll lists everything
            sight.look([coverage], coverage)
        self.lost = dict.fromkeys(COUNTED, 0.0)
        self.invented = dict.fromkeys(COUNTED, 0.0)

    def summary(self) -> Iterator[tuple[str, int, int]]:
        """By stat: the lower bound of the counter, and how much higher the upper bound is."""
        for stat in COUNTED:
            yield stat, self._must.counts[stat], self._may.counts[stat] - self._must.counts[stat]

    def began(self, at: float, now: float) -> None:
        """A poll starts at `now`; its replies show the world at `at`."""
        self._at, self._now = at, now
        for sight in (self._must, self._may):  # before anything that was created answers 404
            sight.draw(at)

    def succeeded(self) -> None:
        """The last poll was published."""
        self._may.look([self._at], self._now)
        self._waiting.append(self._at)
        if len(self._waiting) > self._lag:
            self._must.look(self._waiting, self._now)
            self._waiting.popleft()

    def left_rows_out(self) -> None:
        """The last poll was published without some rows, so the lower bound does not rise."""
        self._may.look([self._at], self._now)
        self._waiting.clear()

    def failed(self) -> None:
        """The last poll failed; the ledger may still contain what it observed."""
        self._may.look([self._at], self._now)

    def judge(self, shown: dict[str, float]) -> None:
        """Record the largest deviations; a loss and a later excess do not cancel out."""
        for stat, value in shown.items():
            self.lost[stat] = max(self.lost[stat], self._must.counts[stat] - value)
            self.invented[stat] = max(self.invented[stat], value - self._may.counts[stat])
