"""Emails that were handed to Twilio and are not yet settled, by the age of their operation's sending. Pure.

Kept by adding and removing operations, so that a poll costs what it listed, not what is known. Must not know
when sending began or which operations there are.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from exporter.operation import Operation

_MINUTE: Final = 60.0


def waiting_emails(operation: Operation) -> int:
    """The emails of one operation that wait: exact, or too low, under every reading of its stats.

    `queued + sent`, but never more than what `total` leaves for them: where states accumulate, `sent`
    includes the emails that have arrived. 0 while the operation is scheduled, and without `total`.
    """
    total, _, _, scheduled, queued, sent, *settled = operation.stats
    on_the_way = (queued or 0) + (sent or 0)
    if not on_the_way or total is None or operation.status == "scheduled":
        return 0
    return max(0, min(on_the_way, total - (scheduled or 0) - sum(filter(None, settled))))


class WaitingEmails:
    """Instants are Unix times."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._minutes: defaultdict[int, dict[str, int]] = defaultdict(dict)
        self._totals: defaultdict[int, int] = defaultdict(int)

    def __contains__(self, operation_id: object) -> bool:
        return operation_id in self._began

    def put(self, operation_id: str, began: float, emails: int) -> None:
        """Replace what is known of an operation whose sending began at `began`."""
        self.drop(operation_id)
        if emails:
            minute = int(began // _MINUTE)
            self._began[operation_id] = began
            self._minutes[minute][operation_id] = emails
            self._totals[minute] += emails

    def drop(self, operation_id: str) -> None:
        began = self._began.pop(operation_id, None)
        if began is not None:
            minute = int(began // _MINUTE)
            self._totals[minute] -= self._minutes[minute].pop(operation_id)
            if not self._minutes[minute]:
                del self._minutes[minute], self._totals[minute]

    def begun_by(self, instants: Iterable[float]) -> list[int]:
        """For each instant, the waiting emails of the operations whose sending began then or earlier."""
        minutes = sorted(self._totals)
        reached = [0, *accumulate(map(self._totals.__getitem__, minutes))]
        return [
            reached[bisect_left(minutes, instant // _MINUTE)] + self._begun_in_its_minute(instant)
            for instant in instants
        ]

    def _begun_in_its_minute(self, instant: float) -> int:
        current = self._minutes.get(int(instant // _MINUTE), {})
        return sum(emails for each, emails in current.items() if self._began[each] <= instant)
