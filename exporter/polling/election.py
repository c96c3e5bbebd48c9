"""Makes this process the active one whenever it gets the lock of the database, for as long as it keeps it.

Part of the composition root, like `app`; imported only with `state.url`, as it needs the driver.

Rule 1: each term begins with the state as the database has it, because another process may have been active.
Rule 2: a term that ends because the lock was lost saves nothing.
Rule 3: until the database has answered for the first time, a refusal ends the start. Later it is waited out,
as an outage is, because the process still shows its own metrics.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

from exporter.clock import Clock
from exporter.config.database import Database, read_password
from exporter.config.settings import Settings
from exporter.errors import RefusedError, StateError
from exporter.observers.activity import Activity, Mandate
from exporter.storage.postgresql.connection import closing, connector
from exporter.storage.postgresql.lease import Lease, LockSession, Timing
from exporter.storage.postgresql.store import PostgresStore
from exporter.storage.store import StateStore

Term: TypeAlias = Callable[[StateStore, Mandate], AbstractAsyncContextManager[object]]
"""Polls from the state that it loads; after a normal end it has saved."""

T = TypeVar("T")


class Election:
    """`accounts` are those in the settings; `on_ready` is called when it is known who is active."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        accounts: Iterable[str],
        activity: Activity,
        clock: Clock,
        on_ready: Callable[[], object],
        lease_seconds: float,
    ) -> None:
        self._database = database
        self._activity = activity
        self._clock = clock
        self._on_ready = on_ready
        self._timing = Timing(lease_seconds)
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        password = partial(read_password, database, settings.state.password_file)
        self._connect = connector(database, password, self._timing.server)
        self._open = partial(
            PostgresStore, database, self._connect, keep=tuple(accounts), window=settings.poll.lookback
        )
        self._was_reached = False
        activity.await_database()

    async def run(self, term: Term, stop: asyncio.Event) -> None:
        """Take part until `stop` is set. Raises `RefusedError` at the start."""
        while not stop.is_set():
            try:
                await self._campaign(term, stop)
            except StateError as error:
                self._activity.cut_off(str(error))
            except RefusedError as error:
                if not self._was_reached:
                    raise
                self._activity.cut_off(str(error))
            await _unless(stop, self._clock.sleep(self._timing.attempt))

    async def _campaign(self, term: Term, stop: asyncio.Event) -> None:
        """One session. Raises `StateError` when it is lost, and `RefusedError`."""
        connection = await _unless(stop, self._connect())
        if connection is None:
            return
        async with closing(connection):
            session = LockSession(connection, self._database, self._clock, self._timing)
            lease = await _unless(stop, self._wait_for_lock(session))
            if lease is not None:
                await self._act(session, lease, term, stop)

    async def _wait_for_lock(self, session: LockSession) -> Lease:
        while (lease := await session.try_lock(self._name)) is None:
            self._was_reached = True
            last = await session.last_grant()
            if last is not None:  # the first holder may still be creating the tables
                self._activity.stand_by(last.holder, last.since)
                self._on_ready()
            await self._clock.sleep(self._timing.attempt)
        self._was_reached = True
        return lease

    async def _act(self, session: LockSession, lease: Lease, term: Term, stop: asyncio.Event) -> None:
        """Be active until `stop` is set. Raises `StateError` when the lease has ended."""
        leave = asyncio.Event()
        keeping = asyncio.create_task(session.keep(lease))
        acting = asyncio.create_task(self._run_term(lease, term, leave))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({keeping, acting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and self._activity.is_active:
                leave.set()
                await asyncio.wait({keeping, acting}, return_when=asyncio.FIRST_COMPLETED)
            if acting.done():
                acting.result()
            elif keeping.done():
                keeping.result()
        finally:
            lease.end()
            for task in (keeping, acting, stopping):
                task.cancel()
            await asyncio.gather(keeping, acting, stopping, return_exceptions=True)

    async def _run_term(self, lease: Lease, term: Term, leave: asyncio.Event) -> None:
        # What a scrape has seen is noted at once, by a connection that never waits for a save: the next
        # process would show it again if this one died before.
        async with aclosing(self._open(lease)) as store, aclosing(self._open(lease)) as notes:
            async with term(store, lease), self._recording(notes):
                self._on_ready()
                await leave.wait()
            self._activity.retire()
            await notes.note_shown(self._activity.seen)

    @asynccontextmanager
    async def _recording(self, store: PostgresStore) -> AsyncIterator[None]:
        """Keep what scrapes have seen of the counters, after each scrape that has seen more."""
        more = asyncio.Event()
        self._activity.on_seen(more.set)

        async def record() -> None:
            while True:
                await more.wait()
                more.clear()
                with suppress(StateError):  # then the next scrape is the next attempt
                    await store.note_shown(self._activity.seen)

        recording = asyncio.create_task(record())
        try:
            yield
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; `None` if `stop` is set before, which cancels it."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
