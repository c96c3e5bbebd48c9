"""The tables of the state in PostgreSQL, and their versions.

Each exporter, or shard, has a schema of its own, so that several can share a database. As in the state file,
the layout of packed rows is kept by name, and rows of another layout are repacked.

Rule: only the holder of the lock creates or changes tables, in one transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from exporter.config.database import Database
from exporter.errors import DamagedError, RefusedError
from exporter.ledger.packing import LAYOUT, Layout, repacker
from exporter.ledger.saved import Row
from exporter.storage.codec import AccountRow, Digest, StoredRow, layout_text, read_layout, sealed, unsealed
from exporter.storage.postgresql.connection import Connection

VERSION: Final = 1

CHUNK_ROWS: Final = 5000
"""Rows that are read or written by one statement."""

_TABLES: Final = (
    "CREATE TABLE contents (version integer NOT NULL, layout text NOT NULL)",
    """CREATE TABLE leadership (
        generation bigint NOT NULL,
        holder text NOT NULL,
        since double precision NOT NULL
    )""",
    """CREATE TABLE accounts (
        name text PRIMARY KEY,
        coverage double precision NOT NULL,
        counts text NOT NULL,
        progress text NOT NULL,
        operations bigint NOT NULL,
        digest bigint NOT NULL,
        crc bigint NOT NULL
    )""",
    """CREATE TABLE operations (
        account text NOT NULL,
        id text COLLATE "C" NOT NULL,
        packed bytea NOT NULL,
        marks bytea,
        began double precision,
        crc bigint NOT NULL,
        PRIMARY KEY (account, id)
    )""",
    "CREATE TABLE shown (account text PRIMARY KEY, counts text NOT NULL)",
)

_STEPS: Final[Mapping[int, Sequence[str]]] = {}
"""The statements that lead from a version to the next one."""

OPERATIONS: Final = (
    "SELECT convert_to(id, 'UTF8'), packed, marks, began, crc FROM operations WHERE account = $1"
)


async def check_version(connection: Connection, database: Database) -> int:
    """The version of the tables; 0: there are none. Raises `RefusedError` for those of something else."""
    if await connection.fetchval("SELECT to_regclass('contents')") is None:
        if await connection.fetchval("SELECT true FROM pg_tables WHERE schemaname = $1", database.schema):
            raise RefusedError(f"{database} has tables of another program; name another schema")
        return 0
    version: int = await connection.fetchval("SELECT version FROM contents")
    if version > VERSION:
        raise RefusedError(
            f"{database} was written by a newer version (schema {version}, this version knows {VERSION});"
            " run that version, or name another schema"
        )
    return version


async def make_current(connection: Connection, database: Database) -> None:
    """Create, migrate or repack the tables as needed. Raises `RefusedError`, `DamagedError`."""
    version = await check_version(connection, database)
    if version == 0:
        await create(connection, database)
        return
    for step in range(version, VERSION):
        for statement in _STEPS[step]:
            await connection.execute(statement)
    await connection.execute("UPDATE contents SET version = $1", VERSION)
    layout = _layout(await connection.fetchval("SELECT layout FROM contents"))
    if layout != LAYOUT:
        await _repack(connection, layout)


async def create(connection: Connection, database: Database) -> None:
    """The schema, unless somebody has created it for this user, and its tables."""
    if not await connection.fetchval("SELECT true FROM pg_namespace WHERE nspname = $1", database.schema):
        await connection.execute(f'CREATE SCHEMA "{database.schema}"')
    for table in _TABLES:
        await connection.execute(table)
    await connection.execute("INSERT INTO contents VALUES ($1, $2)", VERSION, layout_text(LAYOUT))
    await connection.execute("INSERT INTO leadership VALUES (0, '', 0)")


def _layout(text: str) -> Layout:
    try:
        return read_layout(text)
    except ValueError as error:
        raise DamagedError(str(error)) from error


async def read_accounts(connection: Connection) -> dict[str, AccountRow]:
    """Every account. Raises `DamagedError` for a row that was changed by somebody else."""
    accounts = {}
    for name, coverage, counts, progress, operations, digest, checksum in await connection.fetch(
        "SELECT name, coverage, counts, progress, operations, digest, crc FROM accounts ORDER BY name"
    ):
        row = AccountRow(name, coverage, counts, progress, Digest(operations, digest))
        if row.checksum != checksum:
            raise DamagedError(f"account {row.name}: the checksum of the account is wrong")
        accounts[row.name] = row
    return accounts


async def write_account(connection: Connection, row: AccountRow) -> None:
    await connection.execute(
        "INSERT INTO accounts VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO UPDATE SET"
        " coverage = excluded.coverage, counts = excluded.counts, progress = excluded.progress,"
        " operations = excluded.operations, digest = excluded.digest, crc = excluded.crc",
        *(row.name, row.coverage, row.counts, row.progress, *row.operations, row.checksum),
    )


async def write_operations(connection: Connection, account: str, rows: Iterable[Row]) -> Digest:
    """Insert or replace them; returns their digest."""
    new = sealed(account, rows)
    _, *columns = zip(*new, strict=True)
    await connection.execute(
        "INSERT INTO operations (account, id, packed, marks, began, crc)"
        " SELECT $1, * FROM unnest($2::text[], $3::bytea[], $4::bytea[], $5::float8[], $6::bigint[])"
        " ON CONFLICT (account, id) DO UPDATE SET"
        " packed = excluded.packed, marks = excluded.marks, began = excluded.began, crc = excluded.crc",
        account,
        *columns,
    )
    return Digest(len(new), sum(each[-1] for each in new))


async def _repack(connection: Connection, layout: Layout) -> None:
    """Convert every row from `layout`. Raises `DamagedError`: a new checksum must not hide damage."""
    convert = repacker(layout)
    for row in (await read_accounts(connection)).values():
        found, written, last = Digest(), Digest(), ""
        while chunk := await connection.fetch(
            f"{OPERATIONS} AND id > $2 ORDER BY id LIMIT {CHUNK_ROWS}", row.name, last
        ):
            try:
                rows = [
                    each._replace(packed=packed, marks=marks)
                    for each in unsealed(row.name, cast(Iterable[StoredRow], chunk), None)
                    for packed, marks in [convert(each.packed, each.marks)]
                ]
            except ValueError as error:
                raise DamagedError(f"account {row.name}: {error}") from error
            found = found.plus(Digest(len(chunk), sum(each["crc"] for each in chunk)))
            written = written.plus(await write_operations(connection, row.name, rows))
            last = rows[-1].id
        if found != row.operations:
            raise DamagedError(f"account {row.name}: {found.rows} operations are not those that were saved")
        await write_account(connection, AccountRow(row.name, row.coverage, row.counts, row.progress, written))
    await connection.execute("UPDATE contents SET layout = $1", layout_text(LAYOUT))
