"""Whether a listing filtered by status takes fewer requests than fetches: pure arithmetic on counts.

Must not know how a listing or a fetch is made. Used while polling and to estimate the cost of a poll.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from exporter.operation import Operation

LISTED_STATUSES: Final = ("scheduled", "processing")
"""In the order of an operation's life: one that has left the first is looked for under the second.

No listing can ask for `unknown`: these operations are fetched.
"""

MIN_EVIDENCE: Final = 10
"""Rows of a page that can show whether its filter was ignored. Fewer cost little."""


class FilteredListing(NamedTuple):
    """What is known of a listing before it is made."""

    stale: int
    """Operations that it would refresh; each fetch refreshes one."""
    matching: int
    """Operations that have its status."""
    in_range: int
    """Operations of every status created in its range."""
    page_size: int

    def pages(self, *, reads_all: bool) -> int:
        """`reads_all`: Twilio cuts pages first and filters them then, so that pages are short or empty."""
        rows = self.in_range if reads_all else min(self.matching, self.in_range)
        return max(1, math.ceil(rows / self.page_size))

    def saves_requests(self, unseen: int, pages_read: int = 0, *, reads_all: bool = False) -> bool:
        """Whether its next pages take fewer requests than fetches of what it has not shown so far.

        Whatever it shows, it is over after as many pages as it could have saved fetches.
        """
        pages_left = max(1, self.pages(reads_all=reads_all) - pages_read)
        return pages_left < unseen and pages_read < self.stale


def is_cut_before_filtered(operations: Sequence[Operation], page_size: int) -> bool:
    """Whether a page that has a next one shows that Twilio filters pages after it has cut them."""
    return len(operations) < page_size / 2


def is_filter_ignored(operations: Sequence[Operation]) -> bool:
    """Whether a page filtered by a status that is not final shows mostly final operations.

    Not any other status: many operations may have moved on at once, and a listing may lag behind.
    """
    final = sum(operation.is_final for operation in operations)
    return len(operations) >= MIN_EVIDENCE and final > len(operations) / 2
