"""Whether the states of an email exclude each other or accumulate, judged by an account's operations. Pure.

Twilio's reference and samples contradict each other: after an open, `delivered` may fall (each email is in
one state) or stay (each email is counted in every state that it reached). Must not know where operations come
from or how the verdict is shown.

Rule: an operation is evidence against a reading if it is impossible under that reading.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from exporter.operation import EMAIL_STATUSES, STATS, Stats

READINGS: Final = ("exclusive", "cumulative", "contradictory", "undetermined")
"""What the operations of an account can support."""

DECISIVE_OPERATIONS: Final = 10
"""Pieces of evidence, on both sides together, from which on they decide."""

_FIRST_STATE: Final = STATS.index(EMAIL_STATUSES[0])

TOLERATED_SHARE: Final = 0.01
"""Share of the evidence that may be on the other side: a reply may be read while the operation changes."""


class Evidence(NamedTuple):
    """Numbers of operations; one that contradicts both readings is counted in both."""

    against_cumulative: int = 0
    against_exclusive: int = 0

    @property
    def reading(self) -> str:
        """One of `READINGS`."""
        total = sum(self)
        if total < DECISIVE_OPERATIONS:
            return "undetermined"
        if min(self) > TOLERATED_SHARE * total:
            return "contradictory"
        return "exclusive" if self.against_cumulative > self.against_exclusive else "cumulative"


NO_EVIDENCE: Final = Evidence()


def evidence_of(operations: Iterable[Stats]) -> Evidence:
    tally = EvidenceTally()
    for stats in operations:
        tally.add(stats, 1)
    return tally.total()


class EvidenceTally:
    """The evidence of a changing set of operations."""

    def __init__(self) -> None:
        self._against_cumulative = 0
        self._against_exclusive = 0

    def add(self, stats: Stats, times: int) -> None:
        """`times` is the number of operations with these stats that enter; negative: that leave."""
        against_cumulative, against_exclusive = speaks_against(stats)
        if against_cumulative:
            self._against_cumulative += times
        if against_exclusive:
            self._against_exclusive += times

    def total(self) -> Evidence:
        return Evidence(self._against_cumulative, self._against_exclusive)


def speaks_against(stats: Stats) -> tuple[bool, bool]:
    """Whether one operation contradicts cumulative states, and whether it contradicts exclusive ones.

    A stat that is absent proves nothing.
    """
    _, _, _, _, _, sent, delivered, opened, _, _, _ = stats
    against_cumulative = delivered is not None and (
        (opened or 0) > delivered or (sent is not None and delivered > sent)
    )
    return against_cumulative, stats.total is not None and _states(stats) > stats.total


def _states(stats: Stats) -> int:
    """The sum of the eight states; called for every operation of a first listing."""
    try:
        return sum(stats[_FIRST_STATE:])  # type: ignore[arg-type]
    except TypeError:  # one is absent
        return sum(filter(None, stats[_FIRST_STATE:]))


def arrived_emails(reading: str, *, delivered: int, opened: int, any_opened: bool) -> int | None:
    """Emails that reached their recipient; `None`: the reading that this depends on is not known.

    `any_opened`: whether an email of the window was opened. If none was, both readings agree.
    """
    if reading == "exclusive":
        return delivered + opened
    return delivered if reading == "cumulative" or not any_opened else None
