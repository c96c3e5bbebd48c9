"""Opens the state file, and resumes polling from the state that an earlier process saved.

Part of the composition root, like `app`. Rule: a state that is damaged for one account is not used for any.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from logging import ERROR, INFO
from typing import NamedTuple

from exporter.clock import Clock
from exporter.config.settings import Settings
from exporter.errors import DamagedError
from exporter.ledger.counters import Counts
from exporter.ledger.snapshot import Snapshot
from exporter.logs import line
from exporter.polling.poller import Poller
from exporter.storage.sqlite import Storage
from exporter.storage.store import StateStore


class Known(NamedTuple):
    """What is known of a restored account."""

    account: str
    snapshot: Snapshot
    seen: Counts | None
    """What scrapes have seen of its counters in another process; `None`: they start as they were saved."""


@asynccontextmanager
async def open_storage(
    settings: Settings, accounts: Iterable[str], clock: Clock
) -> AsyncIterator[Storage | None]:
    """The open state file, or `None` without `state.path`. Raises `RefusedError`."""
    if settings.state.path is None:
        yield None
        return
    storage = Storage(settings.state.path, keep=accounts, window=settings.poll.lookback)
    try:
        try:
            await storage.open()
        except DamagedError as error:
            await _set_aside(storage, clock, error)
        yield storage
    finally:
        await storage.close()


async def resume_pollers(pollers: Sequence[Poller], storage: StateStore, clock: Clock) -> list["Known"]:
    """Restore the pollers from the saved state; returns what is known of each restored account."""
    try:
        found = [await storage.load(poller.account, poller.rebuild) for poller in pollers]
        seen = {
            poller.account: await storage.shown(poller.account)
            for poller, restored in zip(pollers, found, strict=True)
            if restored is not None
        }
    except DamagedError as error:
        await _set_aside(storage, clock, error)
        return []
    known = []
    for poller, restored in zip(pollers, found, strict=True):
        if restored is not None:
            snapshot = poller.resume(restored)
            tracked = snapshot.tracked_operations
            line(INFO, "state restored", account=poller.account, tracked_operations=tracked)
            known.append(Known(poller.account, snapshot, seen[poller.account]))
    return known


async def _set_aside(storage: StateStore, clock: Clock, error: DamagedError) -> None:
    aside = await storage.set_aside(clock.now())
    if aside is not None:
        line(ERROR, "state is damaged; counters restart at zero", error=error, set_aside=aside)
