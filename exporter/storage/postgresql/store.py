"""The state in PostgreSQL: what survives a restart, for the exporter that holds the lock.

Rule 1: a save is one transaction: changed operations, forgotten ones, counters, coverage and progress, or
nothing.
Rule 2: a save begins only while the lease is held, and writes nothing if there has been another holder since.
Rule 3: after a failed save nothing is assumed: it may have been committed. The connection is given up, and
the next save reads from the database what it has to replace.
Rule 4: only rows that were saved together are loaded, as from the state file (`codec`).
Rule 5: what scrapes have seen of the counters is saved, because the next holder continues from there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final, TypeVar

import asyncpg  # noqa: TID251 - home of asyncpg

from exporter.config.database import Database
from exporter.errors import DamagedError, RefusedError, StateError
from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.saved import Changes, Progress, Saved
from exporter.storage.chunks import chunked
from exporter.storage.codec import (
    AccountRow,
    Digest,
    StoredRow,
    counts_text,
    encode_account,
    read_counts,
    unsealed,
)
from exporter.storage.loading import built
from exporter.storage.postgresql import schema
from exporter.storage.postgresql.connection import (
    Connect,
    Connection,
    close,
    transaction,
    translated,
)
from exporter.storage.postgresql.lease import Lease

T = TypeVar("T")

_DELETE: Final = "DELETE FROM operations WHERE account = $1 AND id = ANY($2::text[]) RETURNING crc"
_SAVED: Final = "SELECT crc FROM operations WHERE account = $1 AND id = ANY($2::text[])"


class PostgresState:
    """Reads the state, whoever is active."""

    def __init__(self, database: Database, connect: Connect) -> None:
        self._database = database
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def accounts(self) -> list[AccountRow]:
        async with self._session() as connection:
            if not await schema.check_version(connection, self._database):
                return []
            return list((await schema.read_accounts(connection)).values())

    async def load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        async with self._session() as connection, transaction(connection):
            row = (await schema.read_accounts(connection)).get(account)
            if row is None:
                return None
            cursor = await connection.cursor(schema.OPERATIONS, account)
            loop = asyncio.get_running_loop()

            def fetch() -> "Future[list[asyncpg.Record]]":
                return asyncio.run_coroutine_threadsafe(cursor.fetch(schema.CHUNK_ROWS), loop)

            rows = unsealed(account, _all(fetch), row.operations)
            return await asyncio.to_thread(built, row, build, rows)

    async def shown(self, account: str) -> Counts | None:
        async with self._session() as connection:
            text = await connection.fetchval("SELECT counts FROM shown WHERE account = $1", account)
            row = (await schema.read_accounts(connection)).get(account)
        try:
            return read_counts(text) if text else row.decoded()[2] if row else None
        except ValueError as error:
            raise DamagedError(f"account {account}: {error}") from error

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        """The connection, for one user at a time; a new one after an error.

        Raises `StateError`, and what its user raises.
        """
        async with self._turn:
            with translated(str(self._database)):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                try:
                    yield self._connection
                except BaseException:  # a cancellation, too: a statement may be under way
                    self._connection.terminate()
                    self._connection = None
                    raise


class PostgresStore(PostgresState):
    """The state for the holder of the lock.

    `keep` are the accounts in the settings; others are deleted after a window (seconds).
    """

    def __init__(
        self, database: Database, connect: Connect, lease: Lease, *, keep: Iterable[str], window: float
    ) -> None:
        super().__init__(database, connect)
        self._lease = lease
        self._keep = frozenset(keep)
        self._window = window
        self._bytes = 0

    @property
    def lease(self) -> Lease:
        return self._lease

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        try:
            async with self._change() as connection:
                await self._write(connection, account, changes, progress)
                self._bytes = await _size(connection)
        except ValueError as error:
            raise StateError(f"{self._database}: {error}") from error

    async def note_shown(self, counts: Mapping[str, Counts]) -> None:
        """A scrape has seen these counters, by account. Raises `StateError`."""
        async with self._change() as connection:
            await connection.executemany(
                "INSERT INTO shown VALUES ($1, $2)"
                " ON CONFLICT (account) DO UPDATE SET counts = excluded.counts",
                [(account, counts_text(each)) for account, each in counts.items()],
            )

    async def set_aside(self, now: float) -> str:
        aside = f"{self._database.schema}_damaged_{datetime.fromtimestamp(now, UTC):%Y%m%dt%H%M%Sz}"
        await self._lease.confirm()
        async with self._session() as connection:
            try:
                async with transaction(connection):
                    await connection.execute(f'ALTER SCHEMA "{self._database.schema}" RENAME TO "{aside}"')
                    await schema.create(connection, self._database)
                    await connection.execute(
                        "UPDATE leadership SET generation = $1, holder = $2, since = $3", *self._lease.grant
                    )
            except asyncpg.PostgresError as error:
                raise RefusedError(
                    f"{self._database} is damaged, and cannot be renamed: {error.args[0]}; move it away"
                ) from error
        await self.aclose()  # what the session knows of the tables is about the old ones
        return aside

    def bytes_on_disk(self) -> int:
        return self._bytes

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[Connection]:
        """One transaction of the holder; if there is another one, it waits until its task is cancelled."""
        await self._lease.confirm()
        async with self._session() as connection, transaction(connection):
            if await self._is_holder(connection):
                yield connection
                return
        self._lease.end()
        await self._lease.confirm()

    async def _is_holder(self, connection: Connection) -> bool:
        """Whether nobody else has held the lock; nobody can take it before this transaction has ended."""
        found = await connection.fetchrow("SELECT generation, holder, since FROM leadership FOR SHARE")
        return found is not None and tuple(found) == self._lease.grant

    async def _write(
        self, connection: Connection, account: str, changes: Changes, progress: Progress
    ) -> None:
        accounts = await schema.read_accounts(connection)
        before = accounts[account].operations if account in accounts else Digest()
        operations = await _write_rows(connection, account, changes, before)
        row = encode_account(account, changes.coverage, changes.counts, progress, operations)
        await schema.write_account(connection, row)
        if account not in accounts:
            await connection.execute(
                "INSERT INTO shown VALUES ($1, $2) ON CONFLICT (account) DO NOTHING",
                account,
                counts_text(ZERO),
            )
        await self._prune(connection, accounts.values(), progress.last_success_at - self._window)

    async def _prune(self, connection: Connection, accounts: Collection[AccountRow], before: float) -> None:
        """Delete the accounts that left the settings longer than a window ago."""
        for row in accounts:
            if row.name not in self._keep and row.saved_at < before:
                await connection.execute("DELETE FROM operations WHERE account = $1", row.name)
                await connection.execute("DELETE FROM shown WHERE account = $1", row.name)
                await connection.execute("DELETE FROM accounts WHERE name = $1", row.name)


def _all(fetch: Callable[[], "Future[list[asyncpg.Record]]"]) -> Iterator[StoredRow]:
    """The rows of a cursor, for another thread; the next ones come while it works on these."""
    coming = fetch()
    while rows := coming.result():
        coming = fetch()
        yield from rows  # type: ignore[misc] # a record is a row


async def _write_rows(connection: Connection, account: str, changes: Changes, before: Digest) -> Digest:
    """Write the changes of an account; returns the digest of all its operations."""
    digest = before
    for forgotten in chunked(changes.forgotten, schema.CHUNK_ROWS):
        digest = digest.minus(await _digest_of(connection, _DELETE, account, forgotten))
    for rows in chunked(changes.rows, schema.CHUNK_ROWS):
        rows.sort(key=attrgetter("id"))
        if before.rows:
            ids = [row.id for row in rows]
            digest = digest.minus(await _digest_of(connection, _SAVED, account, ids))
        digest = digest.plus(await schema.write_operations(connection, account, rows))
    return digest


async def _digest_of(connection: Connection, rows: str, account: str, ids: list[str]) -> Digest:
    """The digest of the operations that the query `rows` returns the checksums of."""
    found = await connection.fetchrow(
        f"WITH rows AS ({rows}) SELECT count(*), coalesce(sum(crc), 0)::bigint FROM rows",  # noqa: S608 - of our own
        account,
        ids,
    )
    return Digest(*found) if found else Digest()


async def _size(connection: Connection) -> int:
    size: int = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c"
        " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
    )
    return size
