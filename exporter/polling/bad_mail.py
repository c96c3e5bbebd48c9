"""Listing the failed and undelivered emails of an account within a budget of requests.

Uses a protocol and callables; must not contain HTTP, counts or publishing.

Rule 1: the pages of both statuses alternate, so that a budget that ends early cuts both.
Rule 2: Twilio ignores a parameter that it does not know, so rows that were not asked for are dropped.
Rule 3: no token is kept after a listing.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from exporter.email import BAD_STATUSES, Email, EmailPage
from exporter.polling.endless import ListingGuard
from exporter.polling.window import MARGIN_SECONDS
from exporter.twilio.client import RequestBudget

T = TypeVar("T")

MAX_PAGES = 5000
"""Pages of one status. A longer listing is treated as endless."""


class EmailsApi(Protocol):
    async def list_emails_page(
        self,
        status: str,
        start: float,
        end: float,
        page_token: str | None,
        *,
        budget: RequestBudget,
        give_up_at: float,
        operation_id: str | None = None,
        tag_keys: Collection[str] | None = None,
    ) -> EmailPage:
        """Emails created between two Unix times; `give_up_at` is monotonic. Raises `TwilioError`."""
        ...


class Send(Protocol):
    """Decides when a request is made, and until when it may be retried."""

    async def __call__(self, request: Callable[[float], Awaitable[T]], /) -> T:
        """`request` takes the instant of the monotonic clock to give up at."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which emails are listed. Unix times; both are included."""

    start: float
    end: float
    operation_id: str | None = None
    """Only the emails of this operation."""
    tag_keys: Collection[str] | None = None
    """The tags to keep; `None` keeps all."""

    def includes(self, email: Email) -> bool:
        is_of_operation = self.operation_id is None or email.operation_id in {None, self.operation_id}
        return is_of_operation and self.start <= email.created_at <= self.end + MARGIN_SECONDS


@dataclass(slots=True)
class _Listing:
    status: str
    token: str | None = None
    guard: ListingGuard = field(default_factory=partial(ListingGuard, MAX_PAGES))


async def list_bad_mail(
    api: EmailsApi, wanted: Wanted, absorb: Callable[[Email], object], budget: RequestBudget, send: Send
) -> bool:
    """Pass each email to `absorb`, in any order and maybe twice; whether the budget sufficed for all.

    Emails whose status has changed since they were selected come along. Raises `TwilioError`.
    """
    listings = deque(_Listing(status) for status in BAD_STATUSES)
    while listings:
        if budget.left <= 0:
            return False
        listing = listings.popleft()
        page = await send(partial(_list_page, api, wanted, listing, budget))
        for email in filter(wanted.includes, page.emails):
            absorb(email)
        listing.guard.check(page)
        listing.token = page.next_token
        if listing.token is not None:
            listings.append(listing)
    return True


async def _list_page(
    api: EmailsApi, wanted: Wanted, listing: _Listing, budget: RequestBudget, give_up_at: float
) -> EmailPage:
    return await api.list_emails_page(
        listing.status,
        wanted.start - MARGIN_SECONDS,
        wanted.end + MARGIN_SECONDS,
        listing.token,
        budget=budget,
        give_up_at=give_up_at,
        operation_id=wanted.operation_id,
        tag_keys=wanted.tag_keys,
    )
