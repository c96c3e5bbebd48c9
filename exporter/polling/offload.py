"""Runs work on a ledger, in a thread if the ledger is large.

Must not contain the work itself.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from exporter.ledger.ledger import Ledger

LARGE_LEDGER: Final = 20_000
"""Operations. Work on fewer blocks the event loop for a few milliseconds only."""

T = TypeVar("T")


async def offload(ledger: Ledger, work: Callable[[], T]) -> T:
    """The result of `work`. After a day's outage, work on a million operations takes a second.

    The caller must not use the ledger in the meantime. A cancellation waits until the thread has finished.
    """
    if len(ledger) < LARGE_LEDGER:
        return work()
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise
