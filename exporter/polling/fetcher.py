"""Fetching the non-final operations of an account, as far as time allows, into the ledger.

Sees a protocol; must not know of HTTP, of listings or of what is published.

Rule 1: a fetch that failed for want of Twilio leaves the listing's numbers standing. One that shows a refused
credential or a reply we cannot read fails the poll, because the next fetch would fare no better.
Rule 2: no fetch begins after `FETCH_SHARE` of the interval, after `FAILURES_TO_STOP_AT` failures in a row, or
during a pause that outlasts the poll. Operations left over are counted as skipped.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

from exporter.clock import Clock
from exporter.errors import Refused, Throttled, TwilioError, Unavailable, Unreachable
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

    async def fetch_unfinished(
        self,
        ledger: Ledger,
        current: CurrentPoll,
        *,
        covered: set[str],
        refreshed_before: Mapping[str, float],
    ) -> None:
        """Those that this poll did not list first, then those whose last reply before the poll is oldest.

        Raises the `TwilioError` that every other fetch would meet, too.
        """

        def fetch_order() -> list[str]:
            unfinished = ledger.unfinished()
            return sorted(unfinished, key=lambda each: (each in covered, refreshed_before.get(each, 0.0)))

        queue = deque(await offload(ledger, fetch_order))
        await self._fetch_all(queue, ledger, current)

    async def _fetch_all(self, queue: deque[str], ledger: Ledger, current: CurrentPoll) -> None:
        stop_at = current.started + self._seconds
        fatal: list[TwilioError] = []
        failed_in_a_row = 0

        async def fetch_on() -> None:
            nonlocal failed_in_a_row
            while queue and not fatal and self._clock.monotonic() < stop_at:
                try:
                    fetched = await self._fetch(queue.popleft(), stop_at, ledger, current)
                    failed_in_a_row = 0 if fetched else failed_in_a_row + 1
                    if failed_in_a_row >= FAILURES_TO_STOP_AT:
                        return
                except Throttled:  # the pause outlasts this poll: there is no time for any of them
                    current.skipped += 1 + len(queue)
                    queue.clear()
                except TwilioError as error:
                    fatal.append(error)

        # An error raised through the group could swallow a cancellation that comes at the same moment.
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._concurrency, len(queue))):
                workers.create_task(fetch_on())
        if fatal:
            raise fatal[0]
        current.skipped += len(queue)

    async def _fetch(self, operation_id: str, stop_at: float, ledger: Ledger, current: CurrentPoll) -> bool:
        """Whether it was answered. Raises what every further fetch would meet, too."""
        try:
            operation = await self._api.fetch_operation(operation_id, give_up_at=stop_at)
        except (Unavailable, Unreachable, Refused):
            return False
        except Throttled as error:
            if error.retryable:
                return False
            raise
        current.fetched += 1
        if operation is None:
            ledger.mark_not_found(operation_id)
        else:
            ledger.absorb(operation, self._clock.now())
        return True
