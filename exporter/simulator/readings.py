"""The open questions of Twilio's reference, each with the answer that a simulated account gives.

One frozen value belongs to a world. Whatever the exporter does must be right, or absent, with every value of
it. It must not know operations, pages or the exporter.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

States: TypeAlias = Literal["exclusive", "cumulative"]
UpdatedAt: TypeAlias = Literal["always", "until_final", "with_status"]
Order: TypeAlias = Literal["newest", "oldest", "shuffled"]
StatusFilter: TypeAlias = Literal["after_cutting", "before_cutting", "ignored"]
PageFilters: TypeAlias = Literal["required", "carried", "forgotten"]


@dataclass(frozen=True, slots=True)
class Readings:
    """The defaults are the likeliest answers, and the strictest one for `page_filters`."""

    states: States = "exclusive"
    """`exclusive`: an email is in one status, so that `delivered` falls when it is opened. `cumulative`: an
    email that has been sent or delivered stays in those stats: opened ≤ delivered ≤ sent."""
    updated_at: UpdatedAt = "always"
    """`always`: moves with each change. `until_final`: not with changes after COMPLETED or CANCELED.
    `with_status`: only with the operation's status, not with deliveries."""
    order: Order = "newest"
    """Of a listing; `shuffled` is arbitrary, and the same each time."""
    inclusive: bool = True
    """Whether startDate and endDate are included."""
    page_filters: PageFilters = "required"
    """A page token without the filters of its listing: `required`, 400; `carried`, the token brings them;
    `forgotten`, the page is not filtered."""
    status_filter: StatusFilter = "after_cutting"
    """`after_cutting`: pages are cut to their size first, so that they may be short or empty although more
    follow. `ignored`: pages show every status."""
    listed_after_seconds: float = 0.0
    """Delay until a new operation is listed. It can be fetched at once."""
    empty_page_every: int | None = None
    """Every n-th page is empty, with `next`; at least 2."""
    errors: bool = True
    """Whether the Errors of an operation can be listed; otherwise the call gets 404."""


DEFAULT: Final = Readings()
