"""The tables of every version of the state file, and the migrations between versions.

A new version adds its tables to `TABLES` and a step to `_STEPS`; `tests/storage/files` keeps a small file of
each. The layout of packed rows is separate: the file contains it by name, and rows of another layout are
repacked, so that a new stat or status needs no new version.
"""

import json
import sqlite3  # noqa: TID251 - home of sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Final
from zlib import crc32

from exporter.ledger.counters import DELAY_LABELS
from exporter.ledger.packing import LAYOUT, Layout, repacker, unpack
from exporter.ledger.saved import Row
from exporter.ledger.waiting import waiting_emails
from exporter.storage.codec import (
    AccountRow,
    Digest,
    SealedRow,
    StoredRow,
    checksum_of,
    encode_account,
    layout_text,
    read_layout,
    sealed,
    unsealed,
)

APPLICATION_ID: Final = 0x54454531
"""Distinguishes our files from those of other programs (PRAGMA application_id)."""

SCHEMA_VERSION: Final = 3

_OPERATIONS: Final = """CREATE TABLE operations (
        account TEXT NOT NULL,
        id TEXT NOT NULL,
        packed BLOB NOT NULL,
        marks BLOB,
        crc INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) WITHOUT ROWID"""

_ACCOUNTS: Final = """CREATE TABLE accounts (
        name TEXT NOT NULL PRIMARY KEY,
        coverage REAL NOT NULL,
        counts TEXT NOT NULL,
        progress TEXT NOT NULL,
        operations INTEGER NOT NULL,
        digest INTEGER NOT NULL,
        crc INTEGER NOT NULL
    ) WITHOUT ROWID"""

_CONTENTS: Final = """CREATE TABLE contents (
        layout TEXT NOT NULL,
        accounts INTEGER NOT NULL,
        digest INTEGER NOT NULL,
        crc INTEGER NOT NULL
    )"""

TABLES: Final[Mapping[int, tuple[str, ...]]] = {
    1: (
        """CREATE TABLE accounts (
        name TEXT PRIMARY KEY,
        saved_at REAL NOT NULL,
        coverage REAL NOT NULL,
        counts TEXT NOT NULL,
        progress TEXT NOT NULL,
        crc INTEGER NOT NULL
    )""",
        _OPERATIONS,
    ),
    2: (_ACCOUNTS, _CONTENTS, _OPERATIONS),
    3: (
        _ACCOUNTS,
        _CONTENTS,
        """CREATE TABLE operations (
        account TEXT NOT NULL,
        id TEXT NOT NULL,
        packed BLOB NOT NULL,
        marks BLOB,
        began REAL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) WITHOUT ROWID""",
    ),
}

_CHUNK_ROWS: Final = 5000

_V1_LAYOUT: Final = Layout(
    statuses=("scheduled", "processing", "completed", "canceled", "unknown"),
    stats=(
        *("total", "recipients", "attempts"),
        *("scheduled", "queued", "sent", "delivered", "opened", "undelivered", "failed", "canceled"),
    ),
    counted=("total", "recipients", "attempts", "delivered", "opened", "undelivered", "failed", "canceled"),
)
"""The layout of files of version 1, which do not contain their layout."""


def version_of(connection: sqlite3.Connection) -> int | None:
    """The version by the tables, not by the header; 0: no tables, `None`: unknown tables."""
    found = connection.execute("SELECT CAST(sql AS BLOB) FROM sqlite_schema WHERE type != 'index'").fetchall()
    words = sorted((sql or b"").split() for (sql,) in found)
    if not words:
        return 0
    of_versions = {
        version: sorted(each.encode().split() for each in tables) for version, tables in TABLES.items()
    }
    return next((version for version, tables in of_versions.items() if tables == words), None)


def create(connection: sqlite3.Connection) -> None:
    """Create the tables of this version, without accounts."""
    for table in TABLES[SCHEMA_VERSION]:
        connection.execute(table)
    write_contents(connection, LAYOUT, Digest(), first=True)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrate to this version, within the caller's transaction. Raises `ValueError` for damage."""
    for step in range(version, SCHEMA_VERSION):
        _STEPS[step](connection)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def read_contents(connection: sqlite3.Connection, version: int = SCHEMA_VERSION) -> tuple[Layout, Digest]:
    """The layout of the rows, and the digest of the accounts. Raises `ValueError`."""
    rows = connection.execute("SELECT CAST(layout AS BLOB), accounts, digest, crc FROM contents").fetchall()
    if len(rows) != 1:
        raise ValueError(f"there are {len(rows)} tables of contents")
    ((layout, accounts, digest, checksum),) = rows
    text = layout.decode()
    if checksum_of(version, text, accounts, digest) != checksum:
        raise ValueError("the checksum of the table of contents is wrong")
    return read_layout(text), Digest(accounts, digest)


def write_contents(
    connection: sqlite3.Connection,
    layout: Layout,
    accounts: Digest,
    *,
    version: int = SCHEMA_VERSION,
    first: bool = False,
) -> None:
    text = layout_text(layout)
    checksum = checksum_of(version, text, *accounts)
    statement = (
        "INSERT INTO contents (layout, accounts, digest, crc) VALUES (?, ?, ?, ?)"
        if first
        else "UPDATE contents SET layout = ?, accounts = ?, digest = ?, crc = ?"
    )
    connection.execute(statement, (text, *accounts, checksum))


def read_accounts(connection: sqlite3.Connection, expected: Digest) -> dict[str, AccountRow]:
    """Every account, checked. Raises `ValueError`."""
    accounts = {}
    found = Digest()
    # As bytes: text that is not UTF-8 is damage, and the error of sqlite3 would not say so.
    for name, coverage, counts, progress, operations, digest, checksum in connection.execute(
        "SELECT CAST(name AS BLOB), coverage, CAST(counts AS BLOB), CAST(progress AS BLOB), operations,"
        " digest, crc FROM accounts"
    ).fetchall():
        row = AccountRow(
            name.decode(), coverage, counts.decode(), progress.decode(), Digest(operations, digest)
        )
        if row.checksum != checksum:
            raise ValueError(f"account {row.name}: the checksum of the account is wrong")
        accounts[row.name] = row
        found = found.plus(Digest(1, checksum))
    if found != expected:
        raise ValueError(f"{found.rows} accounts are not those that were saved ({expected.rows})")
    return accounts


def write_account(connection: sqlite3.Connection, row: AccountRow) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO accounts (name, coverage, counts, progress, operations, digest, crc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (row.name, row.coverage, row.counts, row.progress, *row.operations, row.checksum),
    )


def write_operations(connection: sqlite3.Connection, account: str, rows: Iterable[Row]) -> Digest:
    """Insert or replace them; returns their digest."""
    new = sealed(account, rows)
    plain = [row for row in new if row[3] is None and row[4] is None]
    rest = [row for row in new if row[3] is not None or row[4] is not None]
    together = range(0, len(plain) // _STATEMENT_ROWS * _STATEMENT_ROWS, _STATEMENT_ROWS)
    connection.executemany(
        _INSERT_PLAIN, (_parameters(plain[first : first + _STATEMENT_ROWS]) for first in together)
    )
    connection.executemany(_INSERT, plain[len(together) * _STATEMENT_ROWS :] + rest)
    return Digest(len(new), sum(map(itemgetter(-1), new)))


_INSERT: Final = (
    "INSERT OR REPLACE INTO operations (account, id, packed, marks, began, crc) VALUES (?, ?, ?, ?, ?, ?)"
)

_STATEMENT_ROWS: Final = 50
"""Rows that one statement inserts, of those without marks and began, as most are."""

_INSERT_PLAIN: Final = "INSERT OR REPLACE INTO operations (account, id, packed, crc) VALUES " + ", ".join(  # noqa: S608 - marks only
    ["(?, ?, ?, ?)"] * _STATEMENT_ROWS
)


def _parameters(rows: Iterable[SealedRow]) -> list[object]:
    # As `bytearray`: sqlite3 looks for an adapter for each `bytes` and each `None`, which takes longer than
    # the insertion.
    return [
        value
        for account, operation_id, packed, _, _, checksum in rows
        for value in (account, operation_id, bytearray(packed), checksum)
    ]


def digest_of(accounts: Mapping[str, AccountRow]) -> Digest:
    return Digest(len(accounts), sum(row.checksum for row in accounts.values()))


def repack(
    connection: sqlite3.Connection, layout: Layout, accounts: Mapping[str, AccountRow]
) -> dict[str, AccountRow]:
    """Convert every row from the layout of the file to this version's; returns the new rows of accounts.

    Raises `ValueError` for a row that is damaged: a new checksum must not hide that.
    """
    convert = repacker(layout)

    def converted(row: Row) -> Row:
        packed, marks = convert(row.packed, row.marks)
        return row._replace(packed=packed, marks=marks)

    repacked = {}
    for name, row in accounts.items():
        digest = _rewrite(connection, row, converted, _CURRENT)
        repacked[name] = AccountRow(name, row.coverage, row.counts, row.progress, digest)
        write_account(connection, repacked[name])
    write_contents(connection, LAYOUT, digest_of(repacked))
    return repacked


_CURRENT: Final = "SELECT CAST(id AS BLOB), packed, marks, began, crc FROM operations"
_UP_TO_VERSION_2: Final = "SELECT CAST(id AS BLOB), packed, marks, NULL, crc FROM operations"


def _rewrite(
    connection: sqlite3.Connection, account: AccountRow, convert: Callable[[Row], Row], select: str
) -> Digest:
    """Write the converted rows of an account; returns their digest.

    Raises `ValueError` for damage: a new checksum must not hide it.
    """
    found = written = Digest()
    for chunk in _chunks(connection, account.name, select):
        rows = list(unsealed(account.name, chunk, None))
        found = found.plus(Digest(len(rows), sum(each[-1] for each in chunk)))
        written = written.plus(write_operations(connection, account.name, map(convert, rows)))
    if found != account.operations:
        raise ValueError(f"account {account.name}: {found.rows} operations are not those that were saved")
    return written


def _chunks(connection: sqlite3.Connection, account: str, select: str) -> Iterator[list[StoredRow]]:
    """An account's rows by id; the caller may replace the rows of a chunk before it reads the next one."""
    last = ""
    while chunk := connection.execute(
        f"{select} WHERE account = ? AND id > ? ORDER BY id LIMIT ?", (account, last, _CHUNK_ROWS)
    ).fetchall():
        yield chunk
        last = chunk[-1][0].decode()


def _from_1_to_2(connection: sqlite3.Connection) -> None:
    """Add a digest of its operations to each account, and the layout to the file."""
    accounts = {}
    for name, coverage, counts, progress, checksum in connection.execute(
        "SELECT name, coverage, CAST(counts AS BLOB), CAST(progress AS BLOB), crc FROM accounts"
    ).fetchall():
        if crc32(repr((name, coverage, counts, progress)).encode()) != checksum:
            raise ValueError(f"account {name}: the checksum of the account is wrong")
        written = json.loads(progress)
        written["listed_intervals"] = written.pop("stretches")
        digest = Digest()
        for chunk in _chunks(connection, name, _UP_TO_VERSION_2):
            rows = list(unsealed(name, chunk, None))
            digest = digest.plus(Digest(len(rows), sum(each[-1] for each in chunk)))
        accounts[name] = AccountRow(name, coverage, counts.decode(), json.dumps(written), digest)
    connection.execute("DROP TABLE accounts")
    for table in TABLES[2]:
        if table != _OPERATIONS:
            connection.execute(table)
    for row in accounts.values():
        write_account(connection, row)
    write_contents(connection, _V1_LAYOUT, digest_of(accounts), version=2, first=True)


def _from_2_to_3(connection: sqlite3.Connection) -> None:
    """Add when sending began, and delays of the deliveries that were counted."""
    layout, digest = read_contents(connection, 2)
    accounts = {}
    former = _UP_TO_VERSION_2.replace("operations", "former")
    connection.execute("ALTER TABLE operations RENAME TO former")
    connection.execute(TABLES[3][-1])
    for name, row in read_accounts(connection, digest).items():
        progress, coverage, counts = row.decoded()
        # Their delays are not known; they count as the shortest, so that the histogram has every delivery.
        counts = {**counts, ("delay", DELAY_LABELS[0]): counts["stat", "delivered"]}
        written = _rewrite(connection, row, _begun(layout), former)
        accounts[name] = encode_account(name, coverage, counts, progress, written)
        write_account(connection, accounts[name])
    connection.execute("DROP TABLE former")
    write_contents(connection, LAYOUT, digest_of(accounts))


def _begun(layout: Layout) -> Callable[[Row], Row]:
    """A function that repacks a row and adds when sending began.

    An operation that is not settled may have been scheduled, which version 2 did not keep. Its last change is
    taken, because delays from `createdAt` would be days too long.
    """
    convert = repacker(layout)

    def begun(row: Row) -> Row:
        packed, marks = convert(row.packed, row.marks)
        operation = unpack(row.id, packed).operation
        is_settled = operation.is_final and not waiting_emails(operation)
        began = None if is_settled or operation.status == "scheduled" else operation.updated_at
        return Row(row.id, packed, marks, began)

    return begun


_STEPS: Final[Mapping[int, Callable[[sqlite3.Connection], None]]] = {1: _from_1_to_2, 2: _from_2_to_3}
"""The migration from each version to the next."""
