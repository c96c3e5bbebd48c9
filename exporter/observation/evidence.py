"""What was observed of an account, as numbers, known words and operations. Pure.

Must not know how the account is asked, what the evidence means, or how it is shown.

Rule 1: of a reply only checked ids, times, stats, known words and harmless headers are kept (`harmless`).
Rule 2: times are Unix seconds of Twilio's clock.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

from exporter.observation.harmless import harmless_headers
from exporter.operation import Operation

PageFilters: TypeAlias = Literal["carried", "required", "forgotten"]
"""A page token without the filters of its listing brings them, is refused, or leads to an unfiltered page."""

SORTABLE_ROWS: Final = 10
"""A listing with fewer rows may look sorted by chance."""

ORDERS: Final[Mapping[str, Callable[[Operation], float]]] = {
    "newest first": lambda each: -each.created_at,
    "oldest first": lambda each: each.created_at,
    "last updated first": lambda each: -each.updated_at,
    "first updated first": lambda each: each.updated_at,
}

KEPT_CHANGES: Final = 50
KEPT_VALUES: Final = 5
"""Of each header."""


class Listing(NamedTuple):
    """All rows of a listing, in the order of the replies."""

    asked_at: float
    answered_at: float
    operations: Sequence[Operation]
    complete: bool
    """Whether the last page was read."""


class Change(NamedTuple):
    """Two successive states of an operation with different stats."""

    before: Operation
    after: Operation

    @property
    def updated_at_moved(self) -> bool:
        return self.after.updated_at > self.before.updated_at


@dataclass(slots=True)
class Share:
    """How many of the observations are positive."""

    positive: int = 0
    of: int = 0

    def add(self, positive: bool) -> None:
        self.positive += positive
        self.of += 1


@dataclass(slots=True)
class ErrorsCall:
    """Replies to the undocumented call `…/{operationId}/Errors`."""

    statuses: Counter[int] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    """Those keys of the JSON that Twilio's other replies have."""


@dataclass(slots=True)
class Evidence:
    """Grows with each observation."""

    operations: dict[str, Operation] = field(default_factory=dict)
    """The last seen state of each."""
    listings: int = 0
    finished_twice: set[str] = field(default_factory=set)
    """Operations that were final in two listings, so that a change would have been seen."""
    moved_after_final: Share = field(default_factory=Share)
    """Changes of stats after COMPLETED or CANCELED; positive: `updatedAt` moved with them."""
    moved_before_final: Share = field(default_factory=Share)
    """The same before, without a change of the operation's status."""
    changes: list[Change] = field(default_factory=list)
    sorted_listings: int = 0
    """Listings that are long enough to show an order."""
    orders: Counter[str] = field(default_factory=Counter)
    """In how many of them each order holds."""
    same_order: Share = field(default_factory=Share)
    """Whether two successive listings have their common rows in the same order."""
    new_operations: int = 0
    missing_seconds: float = 0.0
    """The highest age at which a listing did not yet contain an operation."""
    listed_seconds: float = 0.0
    """The highest age of an operation in the first listing that contained it."""
    start_included: Share = field(default_factory=Share)
    end_included: Share = field(default_factory=Share)
    page_filters: Counter[PageFilters] = field(default_factory=Counter)
    errors_call: ErrorsCall = field(default_factory=ErrorsCall)
    replies: int = 0
    headers: Counter[str] = field(default_factory=Counter)
    """Replies with each header, by its name in lower case."""
    header_values: dict[str, set[str]] = field(default_factory=dict)
    _last: Listing | None = None

    def saw_listing(self, listing: Listing) -> None:
        """All listings of an evidence must have the same start and no end."""
        self.listings += 1
        for operation in listing.operations:
            before = self.operations.get(operation.id)
            if before is not None:
                self._compare(before, operation)
            elif self._last is not None and self._last.complete:
                self._note_new(operation, self._last.asked_at, listing.answered_at)
            self.operations[operation.id] = operation
        self._note_order(listing)
        self._last = listing

    def saw_headers(self, headers: Mapping[str, str]) -> None:
        self.replies += 1
        for name, value in harmless_headers(headers):
            self.headers[name] += 1
            if value is not None and len(values := self.header_values.setdefault(name, set())) < KEPT_VALUES:
                values.add(value)

    def by_creation(self) -> list[Operation]:
        """Oldest first; of several with the same `createdAt` one."""
        return sorted({each.created_at: each for each in self.operations.values()}.values(), key=_created)

    def _compare(self, before: Operation, after: Operation) -> None:
        if before.is_final:
            self.finished_twice.add(after.id)
        if before.stats == after.stats:
            return
        change = Change(before, after)
        if before.is_final:
            self.moved_after_final.add(change.updated_at_moved)
        elif before.status == after.status:
            self.moved_before_final.add(change.updated_at_moved)
        if len(self.changes) < KEPT_CHANGES:
            self.changes.append(change)

    def _note_new(self, operation: Operation, missing_at: float, listed_at: float) -> None:
        self.new_operations += 1
        self.missing_seconds = max(self.missing_seconds, missing_at - operation.created_at)
        self.listed_seconds = max(self.listed_seconds, listed_at - operation.created_at)

    def _note_order(self, listing: Listing) -> None:
        if len(listing.operations) >= SORTABLE_ROWS:
            self.sorted_listings += 1
            self.orders.update(_orders_of(listing.operations))
        if self._last is not None:
            common = {each.id for each in self._last.operations} & {each.id for each in listing.operations}
            if len(common) >= SORTABLE_ROWS:
                self.same_order.add(_ids(self._last, common) == _ids(listing, common))


def _created(operation: Operation) -> float:
    return operation.created_at


def _orders_of(operations: Sequence[Operation]) -> Iterator[str]:
    for name, key in ORDERS.items():
        if all(key(before) <= key(after) for before, after in pairwise(operations)):
            yield name


def _ids(listing: Listing, among: set[str]) -> list[str]:
    return [each.id for each in listing.operations if each.id in among]
