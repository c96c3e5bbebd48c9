"""The lock that makes one of several exporters the active one, and the lease of its holder.

A session of the database holds an advisory lock for its schema. The server ends the session, and frees the
lock, when its process has died or has been silent for too long. The holder trusts its lock for a shorter
time, its lease, counted from the instant at which it last asked: so it gives up before anybody else can
begin.

Must not know polls or metrics.

Rule 1: a lease that has ended does not begin again: to be active again, a process takes the lock again.
Rule 2: each holder has a generation, which a save compares (`store`): what is late writes nothing.
"""

import asyncio
import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import asyncpg  # noqa: TID251 - home of asyncpg

from exporter.clock import Clock
from exporter.config.database import Database
from exporter.errors import StateError
from exporter.storage.postgresql import schema
from exporter.storage.postgresql.connection import Connection, transaction, translated


@dataclass(frozen=True, slots=True)
class Timing:
    """All times of a lease follow from one; seconds."""

    lease: float
    """Within this time after the holder has fallen silent another process has the lock."""

    @property
    def server(self) -> float:
        """The server ends a session after this silence; the rest of the lease is for taking over."""
        return 0.85 * self.lease

    @property
    def holder(self) -> float:
        """The holder trusts its lock for this long."""
        return 0.75 * self.lease

    @property
    def renewal(self) -> float:
        """Between two questions of the holder."""
        return 0.2 * self.lease

    @property
    def attempt(self) -> float:
        """Between two attempts to take the lock."""
        return 0.1 * self.lease


class Grant(NamedTuple):
    """Who holds the lock, and since when. `generation` counts the holders."""

    generation: int
    holder: str
    since: float
    """Unix time, by the clock of the database."""


class Lease:
    """The right to be active. `asked_at`: monotonic, before the lock was asked for."""

    def __init__(self, grant: Grant, clock: Clock, timing: Timing, asked_at: float) -> None:
        self.grant = grant
        self._clock = clock
        self._timing = timing
        self._ends_at = -math.inf
        self._has_ended = False
        self.renew(asked_at)

    @property
    def seconds_left(self) -> float:
        """Zero or less: it has ended."""
        if self._clock.monotonic() >= self._ends_at:
            self.end()
        return 0.0 if self._has_ended else self._ends_at - self._clock.monotonic()

    @property
    def since(self) -> float:
        return self.grant.since

    @property
    def is_held(self) -> bool:
        return self.seconds_left > 0

    def renew(self, asked_at: float) -> None:
        """The lock was still held when it was asked for at this monotonic instant."""
        self._ends_at = asked_at + self._timing.holder

    def end(self) -> None:
        self._has_ended = True

    async def confirm(self) -> None:
        """Return at once while the lease is held; otherwise wait until the task is cancelled.

        What asks for it must not go on, and has nothing to report: it ends together with the lease.
        """
        if not self.is_held:
            await asyncio.get_running_loop().create_future()


class LockSession:
    """The session that holds the lock, or tries to take it. Errors are `StateError` and `RefusedError`."""

    def __init__(self, connection: Connection, database: Database, clock: Clock, timing: Timing) -> None:
        self._connection = connection
        self._database = database
        self._clock = clock
        self._timing = timing

    async def try_lock(self, holder: str) -> Lease | None:
        """Take the lock, unless another process has it. The tables are then those of this version."""
        with translated(str(self._database)):
            await schema.check_version(self._connection, self._database)
            if not await self._ask("SELECT pg_try_advisory_lock($1)", _key(self._database)):
                return None
            async with transaction(self._connection):
                await schema.make_current(self._connection, self._database)
                asked_at = self._clock.monotonic()
                grant = Grant(*await self._next_generation(holder))
        lease = Lease(grant, self._clock, self._timing, asked_at)
        self._connection.add_termination_listener(lambda _: lease.end())
        return lease

    async def last_grant(self) -> Grant | None:
        """The last holder of the lock; `None` if there was none."""
        with translated(str(self._database)):
            if await self._ask("SELECT to_regclass('leadership')") is None:
                return None
            row = await self._connection.fetchrow("SELECT generation, holder, since FROM leadership")
            return Grant(*row) if row and row["generation"] else None

    async def keep(self, lease: Lease) -> None:
        """Renew the lease until it ends. Raises `StateError` then."""
        while True:
            await self._clock.sleep(self._timing.renewal)
            asked_at = self._clock.monotonic()
            if not lease.is_held:
                raise StateError(f"{self._database}: the connection was lost, or this process was suspended")
            try:
                with translated(str(self._database)):
                    await self._ask("SELECT 1", timeout=lease.seconds_left)
            except StateError:
                lease.end()
                raise
            lease.renew(asked_at)

    async def _ask(self, query: str, *arguments: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - the driver's
        return await self._connection.fetchval(query, *arguments, timeout=timeout or self._timing.lease)

    async def _next_generation(self, holder: str) -> asyncpg.Record:
        """Waits for a save of the former holder that is being committed."""
        row = await self._connection.fetchrow(
            "UPDATE leadership SET generation = generation + 1, holder = $1,"
            " since = extract(epoch FROM clock_timestamp()) RETURNING generation, holder, since",
            holder,
            timeout=self._timing.lease,
        )
        if row is None:
            raise StateError(f"{self._database}: the table leadership is empty")
        return row


def _key(database: Database) -> int:
    """Advisory locks have numbers, one set for each database: this one is of the schema."""
    name = f"twilio-email-exporter {database.schema}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
