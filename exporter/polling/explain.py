"""The command `explain`, for one account: lists the bad mail of a time or of an operation, and counts it.

Uses a protocol; must not contain HTTP, settings or output.

Rule: without dimensions from the settings, emails are counted by both domains and by the tags that they have.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from exporter.breakdown import DOMAIN_DIMENSIONS, TAG_PREFIX, Breakdown, Tally, tag_keys
from exporter.clock import Clock
from exporter.email import BAD_STATUSES, Email
from exporter.errors import TwilioError
from exporter.operation import Operation
from exporter.polling.bad_mail import EmailsApi, Wanted, list_bad_mail
from exporter.twilio.client import RequestBudget

T = TypeVar("T")

MAX_TAGS: Final = 10
"""Tags that are counted unasked, the most frequent ones. An email has at most as many."""


class ExplainApi(EmailsApi, Protocol):
    async def fetch_operation(
        self, operation_id: str, *, give_up_at: float, budget: RequestBudget | None = None
    ) -> Operation | None:
        """`None` when it does not exist. Raises `TwilioError`."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What to explain. Durations are in seconds."""

    lookback: float
    """Emails created within this time before now."""
    operation_id: str | None
    """Only the emails of this operation."""
    max_requests: int
    """For each account."""
    by: Sequence[str]
    """Dimensions, as in the settings; empty: the usual ones."""
    top: int
    """Values shown for each dimension."""
    patience: float
    """For each request, with its retries."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for one account. Without an error and a breakdown the operation does not exist there."""

    account: str
    question: Question
    operation: Operation | None = None
    breakdown: Breakdown | None = None
    error: TwilioError | None = None


async def explain_account(
    account: str,
    api: ExplainApi,
    clock: Clock,
    question: Question,
    on_progress: Callable[[str, int, int], None],
) -> Explanation:
    """`on_progress` takes the account, its emails and its requests, after each request."""
    budget, operation = RequestBudget(question.max_requests), None
    found: list[Email] = []

    async def send(request: Callable[[float], Awaitable[T]]) -> T:
        reply = await request(clock.monotonic() + question.patience)
        on_progress(account, len(found), question.max_requests - budget.left)
        return reply

    try:
        if (wanted_id := question.operation_id) is not None:
            operation = await send(
                lambda give_up_at: api.fetch_operation(wanted_id, give_up_at=give_up_at, budget=budget)
            )
            if operation is None:
                return Explanation(account, question)
        now = clock.now()
        wanted = Wanted(now - question.lookback, now, wanted_id, _tag_keys(question.by))
        complete = await list_bad_mail(api, wanted, found.append, budget, send)
    except TwilioError as error:
        return Explanation(account, question, operation, error=error)
    return Explanation(account, question, operation, _breakdown(found, question, now, complete=complete))


def _tag_keys(by: Sequence[str]) -> frozenset[str] | None:
    return frozenset(tag_keys(by)) if by else None


def _breakdown(found: Iterable[Email], question: Question, now: float, *, complete: bool) -> Breakdown:
    bad = [email for email in found if email.status in BAD_STATUSES]
    tally = Tally(question.by or (*DOMAIN_DIMENSIONS, *_found_tags(bad)))
    for email in found:
        tally.absorb(email)
    return Breakdown(now, question.lookback, complete, tally.emails, tally.rows(question.top))


def _found_tags(emails: Iterable[Email]) -> list[str]:
    keys = Counter(key for email in emails for key in email.tags)
    ranked = sorted(keys.items(), key=lambda item: (-item[1], item[0]))
    return [f"{TAG_PREFIX}{key}" for key, _ in ranked[:MAX_TAGS]]
