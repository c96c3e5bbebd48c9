"""Moves a state between a state file and the database.

Rule: sums of increases stay right. A file shows its counters as they are, but the processes that share a
database begin at zero; so a file from a database has only what no scrape has seen yet.
"""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from exporter.clock import Clock
from exporter.config.database import Database
from exporter.errors import RefusedError
from exporter.ledger.saved import Changes, Progress, Saved
from exporter.storage.backup import back_up
from exporter.storage.codec import AccountRow
from exporter.storage.postgresql.connection import closing, connector
from exporter.storage.postgresql.lease import LockSession, Timing
from exporter.storage.postgresql.store import PostgresState, PostgresStore
from exporter.storage.sqlite import Storage

_HOLDER: Final = "restore"
_TIMING: Final = Timing(600.0)
"""Nothing renews this lease."""


async def to_file(
    database: Database, password: Callable[[], str], output: Path, clock: Clock
) -> list[AccountRow]:
    """Write the state to a new file, also while an exporter is active; returns the accounts in the file.

    Raises `DamagedError`, `RefusedError`, `StateError`.
    """
    source = PostgresState(database, connector(database, password, _TIMING.server))
    try:
        with TemporaryDirectory(prefix=f".{output.name}.", dir=_folder(output)) as folder:
            made = Path(folder) / "state"
            accounts = await source.accounts()
            if not accounts:
                raise RefusedError(f"{database}: nothing has been saved to it yet")
            async with _opened(made) as target:
                for account in accounts:
                    changes, progress = await _loaded(source, account.name)
                    seen = await source.shown(account.name) or {}
                    # A scrape may have seen more since the rows were read.
                    unseen = {key: max(0, value - seen.get(key, 0)) for key, value in changes.counts.items()}
                    await target.save(account.name, changes._replace(counts=unseen), progress)
            return await back_up(made, output, clock)
    finally:
        await source.aclose()


async def from_file(
    path: Path, database: Database, password: Callable[[], str], clock: Clock
) -> list[AccountRow]:
    """Write the state of a file to a database that has none; returns the accounts.

    Raises `DamagedError`, `RefusedError`, `StateError`.
    """
    connect = connector(database, password, _TIMING.server)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "state"
        await back_up(path, copy, clock)
        async with closing(await connect()) as connection, _opened(copy) as source:
            session = LockSession(connection, database, clock, _TIMING)
            lease = await session.try_lock(_HOLDER)
            if lease is None:
                raise RefusedError(f"{database}: an exporter is active; stop all exporters that use it")
            target = PostgresStore(database, connect, lease, keep=(), window=math.inf)
            try:
                if await target.accounts():
                    raise RefusedError(
                        f"{database} has a state already; name another schema, or drop this one"
                    )
                for account in await source.accounts():
                    changes, progress = await _loaded(source, account.name)
                    await target.save(account.name, changes, progress)
                    await target.note_shown({account.name: changes.counts})
                return await target.accounts()
            finally:
                await target.aclose()


def _folder(output: Path) -> Path:
    if not output.parent.is_dir():
        raise RefusedError(f"{output}: the directory {output.parent} does not exist")
    return output.parent


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Storage]:
    storage = Storage(path, keep=(), window=math.inf)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


async def _loaded(source: PostgresState | Storage, account: str) -> tuple[Changes, Progress]:
    loaded = await source.load(account, _everything)
    if loaded is None:
        raise RefusedError(f"account {account} was deleted meanwhile")
    return loaded


def _everything(saved: Saved) -> tuple[Changes, Progress]:
    return Changes(list(saved.rows), (), saved.coverage, saved.counts), saved.progress
