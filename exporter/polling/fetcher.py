"""Fetching non-final operations of an account, as far as time allows, into the ledger.

Uses a protocol; must not contain HTTP, listings or publishing.

Rule 1: a failed fetch keeps the values from the listing. Only a refused credential fails the poll.
Rule 2: an operation that this poll has listed exists, whatever a gateway answers to its fetch.
Rule 3: no fetch begins after `FETCH_SHARE` of the interval, after `FAILURES_TO_STOP_AT` failures in a row, or
during a pause that outlasts the poll. Operations left over are counted as skipped.
Rule 4: the operation whose last fetch is longest ago is fetched first, whether that fetch failed or not.
"""

import asyncio
from collections import deque
from functools import partial
from math import inf
from typing import Final, Protocol

from exporter.clock import Clock
from exporter.errors import Refused, TwilioError, Unauthorized
from exporter.ledger.ledger import Ledger
from exporter.operation import Operation
from exporter.polling.current_poll import CurrentPoll
from exporter.polling.estimate import FETCH_SHARE
from exporter.polling.offload import offload

FAILURES_TO_STOP_AT: Final = 5
"""Failed fetches in a row, each after its retries."""


class FetchApi(Protocol):
    async def fetch_operation(self, operation_id: str, *, give_up_at: float) -> Operation | None:
        """The operation; `None`: not found. `give_up_at` is monotonic. Raises `TwilioError`."""
        ...


class Fetcher:
    """Fetches one account's operations into a ledger."""

    def __init__(self, api: FetchApi, clock: Clock, *, interval: float, concurrency: int) -> None:
        self._api = api
        self._clock = clock
        self._seconds = FETCH_SHARE * interval
        self._concurrency = concurrency
        self._fetched_at: dict[str, float] = {}  # monotonic, of non-final operations

    async def fetch_unfinished(self, ledger: Ledger, current: CurrentPoll, *, with_listed: bool) -> None:
        """Fetch non-final operations, first those that this poll did not list. Raises `Unauthorized`.

        `with_listed`: also those that it did list.
        """
        order = await offload(ledger, partial(self._fetch_order, ledger, current))
        queue = deque(each for each in order if with_listed or each not in current.listed_unfinished)
        refused: list[Unauthorized] = []
        # An error raised through the group could swallow a cancellation that comes at the same moment.
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._concurrency, len(queue))):
                workers.create_task(self._fetch_on(queue, refused, ledger, current))
        if refused:
            raise refused[0]
        current.skipped += len(queue)

    def _fetch_order(self, ledger: Ledger, current: CurrentPoll) -> list[str]:
        """Ids in the order of fetching; of equals, the one with the oldest reply comes first."""
        unfinished = ledger.unfinished()
        self._fetched_at = {each: at for each, at in self._fetched_at.items() if each in unfinished}
        return sorted(
            unfinished,
            key=lambda each: (
                each in current.listed_unfinished,
                self._fetched_at.get(each, -inf),
                unfinished[each],
            ),
        )

    async def _fetch_on(
        self, queue: deque[str], refused: list[Unauthorized], ledger: Ledger, current: CurrentPoll
    ) -> None:
        """A worker that takes operations from the queue until it is empty."""
        stop_at = current.started + self._seconds
        while queue and not refused and self._clock.monotonic() < stop_at:
            if current.failed_in_a_row >= FAILURES_TO_STOP_AT:
                return
            try:
                await self._fetch(queue.popleft(), stop_at, ledger, current)
            except Unauthorized as error:
                refused.append(error)
            except TwilioError:  # the pause outlasts this poll: there is no time for any of them
                current.skipped += 1 + len(queue)
                queue.clear()

    async def _fetch(self, operation_id: str, stop_at: float, ledger: Ledger, current: CurrentPoll) -> None:
        """Raises `Unauthorized`, and every error after which no fetch can be sent in this poll."""
        self._fetched_at[operation_id] = self._clock.monotonic()
        try:
            operation = await self._api.fetch_operation(operation_id, give_up_at=stop_at)
            if operation is None and operation_id in current.listed_unfinished:
                raise Refused("Twilio answered 404 to the fetch of an operation that it had just listed")
        except TwilioError as error:
            if isinstance(error, Unauthorized) or error.outlasts_poll:
                raise
            current.note_failure(error)
            return
        current.fetched += 1
        current.failed_in_a_row = 0
        if operation is None:
            ledger.mark_not_found(operation_id)
        else:
            ledger.absorb(operation, current.api_time(self._clock.now()))
