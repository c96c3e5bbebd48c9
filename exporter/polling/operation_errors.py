"""The errors of the worst operations, counted by Twilio's code, as long as Twilio answers that call.

Uses a protocol and callables; must not contain HTTP or publishing. The call is named in Twilio's prose and
has no published schema, so that nothing else may depend on it.

Rule: a 404 or a reply in another form than expected ends the calls for the account until the next start.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from exporter.email import ErrorPage
from exporter.errors import Malformed, Refused, Truncated
from exporter.events import Observer, OperationErrorsUnsupported
from exporter.ledger.snapshot import Snapshot
from exporter.polling.bad_mail import Send
from exporter.twilio.client import RequestBudget


class ErrorsApi(Protocol):
    async def list_errors_page(
        self, operation_id: str, page_token: str | None, *, budget: RequestBudget, give_up_at: float
    ) -> ErrorPage | None:
        """`None`: not found. `give_up_at` is monotonic. Raises `TwilioError`."""
        ...


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    codes: Counter[int]
    complete: bool
    """Whether the budget sufficed for all."""


class ErrorReader:
    """Reads the errors of one account's operations."""

    def __init__(self, account: str, api: ErrorsApi, emit: Observer) -> None:
        self._account = account
        self._api = api
        self._emit = emit
        self._is_supported = True

    async def read(self, snapshot: Snapshot, budget: RequestBudget, send: Send) -> ErrorCounts | None:
        """The errors of the top failing operations with failed emails; `None`: Twilio does not give them.

        Raises `TwilioError`.
        """
        if not self._is_supported:
            return None
        try:
            return await self._count(
                [operation.id for operation in snapshot.top_failing if operation.stats.failed], budget, send
            )
        except Malformed as error:
            self._is_supported = False
            self._emit(OperationErrorsUnsupported(self._account, error))
            return None

    async def _count(self, ids: Iterable[str], budget: RequestBudget, send: Send) -> ErrorCounts:
        codes = Counter[int]()
        due = deque[tuple[str, str | None]]((each, None) for each in ids)  # operations and page tokens
        done = set[tuple[str, str | None]]()
        while due:
            if budget.left <= 0:
                return ErrorCounts(codes, complete=False)
            operation_id, token = page_wanted = due.popleft()
            if page_wanted in done:
                raise Truncated("the errors of an operation do not end: a page token was repeated")
            done.add(page_wanted)
            page = await send(partial(self._list_page, operation_id, token, budget))
            codes.update(page.codes)
            if page.next_token is not None:
                due.append((operation_id, page.next_token))
        return ErrorCounts(codes, complete=True)

    async def _list_page(
        self, operation_id: str, token: str | None, budget: RequestBudget, give_up_at: float
    ) -> ErrorPage:
        page = await self._api.list_errors_page(operation_id, token, budget=budget, give_up_at=give_up_at)
        if page is None:
            raise Refused("Twilio answered 404 to the request for the errors of an operation")
        return page
