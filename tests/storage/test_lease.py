"""The lock and the lease: one holder at a time, and what is late writes nothing."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from exporter.clock import SystemClock
from exporter.config.database import Database
from exporter.errors import StateError
from exporter.ledger.saved import Progress
from exporter.storage.postgresql.lease import Grant, Lease, LockSession, Timing
from exporter.storage.postgresql.store import PostgresStore
from tests.storage.backends import connect_to, leading, lock_session, store_of
from tests.storage.samples import PROGRESS, ROWS, changes, whole
from tests.support.clock import SATURDAY, ManualClock
from tests.support.postgres import Postgres
from tests.support.wire import wire_to

GRANT = Grant(1, "a test", SATURDAY)
QUICK = Timing(1.0)
END_ALL_HOLDERS = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
PATIENT = 30.0
"""Seconds after which a wait is a failure, on a loaded machine."""

needs_postgres = pytest.mark.needs("initdb")


def lease_at(clock: ManualClock) -> Lease:
    return Lease(GRANT, clock, Timing(10.0), clock.monotonic())


def test_holder_gives_up_before_the_server_does_and_before_another_may_begin() -> None:
    """And asks several times before."""
    timing = Timing(10.0)
    assert 3 * timing.renewal < timing.holder < timing.server
    assert timing.server + timing.attempt < timing.lease


def test_lease_ends_by_itself() -> None:
    """Counted from the question, not from the answer."""
    clock = ManualClock()
    lease = lease_at(clock)
    clock.advance(7.4)
    assert lease.is_held
    lease.renew(clock.monotonic() - 2)
    clock.advance(5.4)
    assert lease.is_held
    clock.advance(0.2)
    assert not lease.is_held


def test_lease_that_has_ended_does_not_begin_again() -> None:
    """An answer that comes too late, after the end was seen, changes nothing."""
    clock = ManualClock()
    lease = lease_at(clock)
    clock.advance(8)
    assert not lease.is_held
    lease.renew(clock.monotonic())
    assert not lease.is_held
    assert lease.seconds_left == 0


async def test_who_asks_without_a_lease_waits_for_its_cancellation() -> None:
    """It does not go on, and reports nothing."""
    clock = ManualClock()
    lease = lease_at(clock)
    await lease.confirm()
    lease.end()
    asking = asyncio.create_task(lease.confirm())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def taken(session: LockSession) -> Lease:
    """The lock, as soon as it is free."""
    async with asyncio.timeout(PATIENT):
        while (lease := await session.try_lock("the next")) is None:
            await asyncio.sleep(0.05)
    return lease


@needs_postgres
async def test_one_holder_at_a_time(postgres_server: Postgres) -> None:
    """The next one gets the lock as soon as the first has left, and another generation."""
    database = postgres_server.database()
    async with lock_session(database) as second:
        assert await second.last_grant() is None
        async with lock_session(database) as first:
            lease = await first.try_lock("pod-1/1")
            assert lease is not None
            assert await second.try_lock("pod-2/1") is None
            assert await second.last_grant() == lease.grant
            assert lease.grant[:2] == (1, "pod-1/1")
        next_lease = await taken(second)
        assert next_lease.grant[:2] == (2, "the next")
        assert next_lease.since >= lease.since


@needs_postgres
async def test_each_schema_has_a_lock_of_its_own(postgres_server: Postgres) -> None:
    """Two installations may share a database."""
    async with leading(postgres_server.database()) as one, leading(postgres_server.database()) as another:
        await one.save("a", changes(), PROGRESS)
        assert await another.load("a", whole) is None


@needs_postgres
async def test_silent_holder_loses_the_lock(postgres_server: Postgres) -> None:
    """Its process may be suspended; its own lease has ended before."""
    database = postgres_server.database()
    async with lock_session(database, QUICK) as next_session:
        with suppress(StateError):
            async with lock_session(database, QUICK) as silent:
                lease = await silent.try_lock("silent")
                assert lease is not None
                await taken(next_session)
                assert not lease.is_held


@needs_postgres
async def test_holder_that_speaks_keeps_the_lock(postgres_server: Postgres) -> None:
    """For longer than a lease."""
    database = postgres_server.database()
    async with lock_session(database, QUICK) as session, lock_session(database, QUICK) as other:
        lease = await session.try_lock("speaks")
        assert lease is not None
        keeping = asyncio.create_task(session.keep(lease))
        for _ in range(15):
            assert await other.try_lock("other") is None
            assert lease.is_held
            await asyncio.sleep(0.2)
        keeping.cancel()


@needs_postgres
async def test_connection_that_is_cut_silently_ends_the_lease(postgres_server: Postgres) -> None:
    """Nobody tells this process; its clock does. The next one is active within the lease."""
    database = postgres_server.database()
    async with wire_to(postgres_server.port) as wire, lock_session(database, QUICK) as next_session:
        by_wire = postgres_server.database(database.schema, hosts=f"127.0.0.1:{wire.port}")
        with suppress(StateError):
            async with lock_session(by_wire, QUICK) as session:
                lease = await session.try_lock("cut off")
                assert lease is not None
                keeping = asyncio.create_task(session.keep(lease))
                wire.cut()
                await taken(next_session)
                assert not lease.is_held
                with pytest.raises(StateError):
                    await keeping


@needs_postgres
async def test_session_that_the_server_ends_ends_the_lease_at_once(postgres_server: Postgres) -> None:
    """Somebody else may have the lock at the next moment."""
    database = postgres_server.database()
    with suppress(StateError):
        async with lock_session(database, Timing(1000.0)) as session:
            lease = await session.try_lock("ended")
            assert lease is not None
            postgres_server.sql(END_ALL_HOLDERS)
            async with asyncio.timeout(PATIENT):
                while lease.is_held:
                    await asyncio.sleep(0.01)


class Mistaken(Lease):
    """The lease of a process whose clock stood still: it takes itself for the holder."""

    @property
    def seconds_left(self) -> float:
        return 0.0 if self._has_ended else 1000.0


async def late_store(database: Database) -> PostgresStore:
    """The store of a process that has lost the lock and does not know it."""
    async with lock_session(database) as session:
        lease = await session.try_lock("late")
        assert lease is not None
    return store_of(database, Mistaken(lease.grant, SystemClock(), Timing(10.0), 0.0))


@needs_postgres
@pytest.mark.parametrize("has_session", [False, True])
async def test_late_save_writes_nothing(postgres_server: Postgres, has_session: bool) -> None:
    """It waits for its cancellation; the new holder's state is untouched."""
    database = postgres_server.database()
    late = await late_store(database)
    if has_session:
        await late.save("a", changes(), PROGRESS)
    async with leading(database) as store:
        await store.save("a", changes(rows=ROWS[:1]), Progress(SATURDAY + 60, ()))
        before = await store.load("a", whole)
        saving = asyncio.create_task(late.save("a", changes(rows=[], forgotten=[ROWS[0].id]), PROGRESS))
        done, _ = await asyncio.wait({saving}, timeout=1)
        assert not done
        saving.cancel()
        assert not late.lease.is_held
        assert await store.load("a", whole) == before
    await late.aclose()


@needs_postgres
async def test_save_of_a_suspended_process_is_undone(postgres_server: Postgres) -> None:
    """In the middle of its transaction; the next holder waits for the server to end it, and no longer."""
    database = postgres_server.database()
    async with lock_session(database, QUICK) as next_session:
        with suppress(StateError):
            async with leading(database, timing=QUICK) as store:
                await store.save("a", changes(), PROGRESS)
                connection = await connect_to(database, QUICK)()
                await connection.execute("BEGIN")
                assert await store._is_holder(connection)
                await connection.execute("DELETE FROM operations")
                lease = await taken(next_session)
                connection.terminate()
        next_store = store_of(database, lease)
        loaded: Any = await next_store.load("a", whole)
        assert loaded[3] == ROWS
        await next_store.aclose()


@needs_postgres
async def test_save_under_way_is_finished_before_the_next_holder_loads(postgres_server: Postgres) -> None:
    """What was committed is not lost, however late the commit is."""
    database = postgres_server.database()
    late = await late_store(database)
    await late.save("a", changes(rows=ROWS[:1]), PROGRESS)
    connection = await connect_to(database)()
    await connection.execute("BEGIN")
    assert await late._is_holder(connection)
    await late._write(connection, "a", changes(rows=ROWS[1:]), PROGRESS)
    async with lock_session(database) as session:
        taking = asyncio.create_task(session.try_lock("the next"))
        done, _ = await asyncio.wait({taking}, timeout=0.5)
        assert not done
        await connection.execute("COMMIT")
        lease = await taking
        assert lease is not None
        store = store_of(database, lease)
        loaded: Any = await store.load("a", whole)
        assert loaded[3] == ROWS
        await store.aclose()
    connection.terminate()
    await late.aclose()
