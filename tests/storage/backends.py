"""Every storage of a state, as a test opens it, and how it is damaged from outside."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from exporter.clock import Clock, SystemClock
from exporter.config.database import Database, read_password
from exporter.ledger.packing import LAYOUT
from exporter.storage import schema
from exporter.storage.codec import AccountRow, Digest
from exporter.storage.postgresql.connection import Connect, closing, connector
from exporter.storage.postgresql.lease import Lease, LockSession, Timing
from exporter.storage.postgresql.store import PostgresStore
from exporter.storage.sqlite import Storage
from exporter.storage.store import StateStore
from tests.storage.samples import WEEK
from tests.support.postgres import Postgres

TIMING = Timing(10.0)


class Backend(Protocol):
    zero: str
    """One zero byte, as SQL."""

    async def open(self, *keep: str) -> StateStore:
        """Close what was open, and open it as a new process does."""
        ...

    async def close(self) -> None: ...

    def execute(self, statement: str) -> None:
        """From outside."""
        ...

    def reseal(self, **columns: Any) -> None:
        """Change the row of the only account, and give it the checksums of what it says now."""
        ...


class FileBackend:
    zero = "x'00'"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._storage: Storage | None = None

    async def open(self, *keep: str) -> StateStore:
        await self.close()
        self._storage = Storage(self._path, keep=keep or ("a",), window=WEEK, lock_seconds=0.05)
        await self._storage.open()
        return self._storage

    async def close(self) -> None:
        storage, self._storage = self._storage, None
        if storage is not None:
            await storage.close()

    def execute(self, statement: str) -> None:
        database = sqlite3.connect(self._path)
        database.execute(statement)
        database.commit()
        database.close()

    def reseal(self, **columns: Any) -> None:
        database = sqlite3.connect(self._path, isolation_level=None)
        (row,) = schema.read_accounts(database, schema.read_contents(database)[1]).values()
        changed = replace(row, **columns)
        schema.write_account(database, changed)
        schema.write_contents(database, LAYOUT, schema.digest_of({changed.name: changed}))
        database.close()


class PostgresBackend:
    zero = r"'\x00'::bytea"

    def __init__(self, server: Postgres, schema_name: str = "") -> None:
        self.server = server
        self.database = server.database(schema_name)
        self._opened = AsyncExitStack()

    async def open(self, *keep: str) -> PostgresStore:
        await self.close()
        return await self._opened.enter_async_context(leading(self.database, *keep))

    async def close(self) -> None:
        await self._opened.aclose()

    def execute(self, statement: str) -> None:
        self.server.sql(f"SET search_path = {self.database.schema}; {statement}")

    def reseal(self, **columns: Any) -> None:
        columns_read = "name, coverage, counts, progress, operations, digest"
        found = self.server.sql(f"SELECT {columns_read} FROM {self.database.schema}.accounts")
        name, coverage, counts, progress, *digest = found.split("|")
        row = AccountRow(name, float(coverage), counts, progress, Digest(*map(int, digest)))
        row = replace(row, **columns)
        number = f"'{row.coverage}'::double precision"
        self.execute(
            f"UPDATE accounts SET coverage = {number}, counts = '{row.counts}',"
            f" progress = '{row.progress}', crc = {row.checksum}"
        )


def connect_to(database: Database, timing: Timing = TIMING) -> Connect:
    return connector(database, lambda: read_password(database, None), timing.server)


@asynccontextmanager
async def lock_session(
    database: Database, timing: Timing = TIMING, clock: Clock | None = None
) -> AsyncIterator[LockSession]:
    async with closing(await connect_to(database, timing)()) as connection:
        yield LockSession(connection, database, clock or SystemClock(), timing)


@asynccontextmanager
async def leading(database: Database, *keep: str, timing: Timing = TIMING) -> AsyncIterator[PostgresStore]:
    """The store of a process that has just taken the lock."""
    async with lock_session(database, timing) as session:
        lease = await session.try_lock("a test")
        assert lease is not None, "somebody else has the lock"
        store = store_of(database, lease, *keep, timing=timing)
        try:
            yield store
        finally:
            await store.aclose()


def store_of(database: Database, lease: Lease, *keep: str, timing: Timing = TIMING) -> PostgresStore:
    return PostgresStore(database, connect_to(database, timing), lease, keep=keep or ("a",), window=WEEK)
