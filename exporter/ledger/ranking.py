"""Ids by rank: finds the first few of very many without sorting all of them. Pure.

A heap with lazy deletion: an outdated entry stays until it is popped, or until outdated entries outnumber
the current ones. Must not know what a rank is made of.
"""

import heapq
from typing import Generic, TypeVar

Rank = TypeVar("Rank", bound=tuple[float, ...])


class Ranking(Generic[Rank]):
    """The lowest rank comes first; of equal ones the lower id."""

    def __init__(self) -> None:
        self._ranks: dict[str, Rank] = {}
        self._heap: list[tuple[Rank, str]] = []

    def put(self, name: str, rank: Rank) -> None:
        if self._ranks.get(name) != rank:
            self._ranks[name] = rank
            heapq.heappush(self._heap, (rank, name))

    def drop(self, name: str) -> None:
        self._ranks.pop(name, None)

    def first(self, count: int) -> list[str]:
        if len(self._heap) > 2 * len(self._ranks):
            self._heap = [(rank, name) for name, rank in self._ranks.items()]
            heapq.heapify(self._heap)
        found: list[tuple[Rank, str]] = []
        while self._heap and len(found) < count:
            best = heapq.heappop(self._heap)
            # An id that returned to an earlier rank has two equal entries, popped one after the other.
            if self._ranks.get(best[1]) == best[0] and best not in found[-1:]:
                found.append(best)
        for best in found:
            heapq.heappush(self._heap, best)
        return [name for _, name in found]
