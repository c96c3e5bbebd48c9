"""The state in PostgreSQL: its tables and versions, and the troubles of a database."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from exporter.errors import DamagedError, RefusedError, StateError
from exporter.ledger.counters import ZERO
from exporter.ledger.packing import LAYOUT, Layout, repacker
from exporter.ledger.saved import Row
from exporter.storage.codec import layout_text
from exporter.storage.postgresql import schema
from exporter.storage.postgresql.lease import Timing
from tests.storage.backends import PostgresBackend, leading, lock_session, store_of
from tests.storage.samples import PROGRESS, ROWS, changes, many_rows, whole
from tests.support.clock import SATURDAY
from tests.support.postgres import Postgres

pytestmark = pytest.mark.needs("initdb")


@pytest.fixture
def backend(postgres_server: Postgres) -> PostgresBackend:
    return PostgresBackend(postgres_server)


async def refused(backend: PostgresBackend) -> str:
    with pytest.raises(RefusedError) as caught:
        await backend.open()
    await backend.close()
    return str(caught.value)


async def test_newer_schema_is_refused(backend: PostgresBackend) -> None:
    """Told with both versions; nothing is written, and the lock is free again."""
    await (await backend.open()).save("a", changes(), PROGRESS)
    await backend.close()
    backend.execute("UPDATE contents SET version = version + 1")
    text = await refused(backend)
    assert f"schema {schema.VERSION + 1}, this version knows {schema.VERSION}" in text
    backend.execute("UPDATE contents SET version = version - 1")
    assert await (await backend.open()).load("a", whole) is not None
    await backend.close()


async def test_older_schema_is_migrated(backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, together with what follows from it, or not at all."""
    await (await backend.open()).save("a", changes(), PROGRESS)
    await backend.close()
    steps = {1: ["ALTER TABLE accounts ADD note text"], 2: ["UPDATE accounts SET note = 'migrated'"]}
    monkeypatch.setattr(schema, "VERSION", 3)
    monkeypatch.setattr(schema, "_STEPS", {**steps, 2: [*steps[2], "SELECT 1 / 0"]})
    with pytest.raises(StateError, match="division by zero"):
        await backend.open()
    await backend.close()
    monkeypatch.setattr(schema, "_STEPS", steps)
    await backend.open()
    await backend.close()
    name = backend.database.schema
    assert backend.server.sql(f"SELECT note, version FROM {name}.accounts, {name}.contents") == "migrated|3"


async def test_schema_of_another_program_is_refused(backend: PostgresBackend) -> None:
    """Nothing is added to it."""
    name = backend.database.schema
    backend.server.sql(f"CREATE SCHEMA {name} AUTHORIZATION exporter; CREATE TABLE {name}.bookmarks (x int)")
    assert "tables of another program" in await refused(backend)


async def test_schema_that_somebody_created_is_used(backend: PostgresBackend) -> None:
    """The exporter's user need not be allowed to create one."""
    name = backend.database.schema
    backend.server.sql(f"CREATE SCHEMA {name} AUTHORIZATION exporter")
    backend.server.sql("ALTER DATABASE state OWNER TO owner")
    try:
        await (await backend.open()).save("a", changes(), PROGRESS)
        await backend.close()
        other = PostgresBackend(backend.server)
        assert "permission denied for database state" in await refused(other)
    finally:
        backend.server.sql("ALTER DATABASE state OWNER TO exporter")


async def test_damaged_state_that_cannot_be_renamed_is_told(backend: PostgresBackend) -> None:
    """With what to do."""
    store = await backend.open()
    backend.server.sql("ALTER DATABASE state OWNER TO owner")
    try:
        with pytest.raises(RefusedError, match=r"permission denied.*move it away"):
            await store.set_aside(SATURDAY)
    finally:
        backend.server.sql("ALTER DATABASE state OWNER TO exporter")
    await backend.close()


OTHER_LAYOUT = Layout(LAYOUT.statuses[::-1], LAYOUT.stats[::-1], LAYOUT.counted[::-1])


def packed_otherwise(rows: list[Row]) -> list[Row]:
    convert = repacker(LAYOUT, OTHER_LAYOUT)
    converted = [(row, *convert(row.packed, row.marks)) for row in rows]
    return [row._replace(packed=packed, marks=marks) for row, packed, marks in converted]


async def test_rows_of_another_layout_are_repacked(backend: PostgresBackend) -> None:
    """As a version with another stat or status leaves them."""
    rows = [*ROWS, *many_rows(7000)]
    await (await backend.open()).save("a", changes(packed_otherwise(rows)), PROGRESS)
    await backend.close()
    backend.execute(f"UPDATE contents SET layout = '{layout_text(OTHER_LAYOUT)}'")
    for _ in range(2):
        assert await (await backend.open()).load("a", whole) == (
            *(PROGRESS, SATURDAY - 100, changes().counts),
            sorted(rows),
        )
    await backend.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operations SET crc = crc + 1",
        "DELETE FROM operations WHERE marks IS NULL",
        "UPDATE accounts SET counts = '[]'",
        "UPDATE contents SET layout = '{{}}'",
    ],
)
async def test_repacking_does_not_hide_damage(backend: PostgresBackend, statement: str) -> None:
    """New checksums would."""
    await (await backend.open()).save("a", changes(packed_otherwise(ROWS)), PROGRESS)
    await backend.close()
    backend.execute(f"UPDATE contents SET layout = '{layout_text(OTHER_LAYOUT)}'; {statement}")
    with pytest.raises(DamagedError):
        await backend.open()
    await backend.close()


async def test_full_disk_of_the_database_is_told_and_changes_nothing(backend: PostgresBackend) -> None:
    """What was saved before is still whole; afterwards saving works again."""
    store = await backend.open()
    await store.save("a", changes(), PROGRESS)
    backend.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;"
        "CREATE TRIGGER full_disk BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    with pytest.raises(StateError, match="No space left on device"):
        await store.save("a", changes(many_rows(6000)), PROGRESS)
    assert await store.load("a", whole) == (PROGRESS, SATURDAY - 100, changes().counts, ROWS)
    backend.execute("DROP TRIGGER full_disk ON accounts")
    await store.save("a", changes(many_rows(6000)), PROGRESS)
    await backend.close()


async def test_slow_commit_is_waited_for(backend: PostgresBackend) -> None:
    """For longer than a lease: the lock has a session of its own, which is asked meanwhile."""
    timing = Timing(1.0)
    async with lock_session(backend.database, timing) as session:
        lease = await session.try_lock("slow")
        assert lease is not None
        keeping = asyncio.create_task(session.keep(lease))
        backend.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        store = store_of(backend.database, lease, timing=timing)
        await store.save("a", changes(), PROGRESS)
        assert lease.is_held
        loaded: Any = await store.load("a", whole)
        assert loaded[3] == ROWS
        await store.aclose()
        keeping.cancel()


async def test_lost_connection_is_made_again(backend: PostgresBackend) -> None:
    """The save that met it is told; the next one writes all that it did not."""
    store = await backend.open()
    await store.save("a", changes(ROWS[:1]), PROGRESS)
    backend.server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity a WHERE usename = 'exporter' AND NOT EXISTS"
        " (SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory')"
    )
    for _ in range(2):
        try:
            await store.save("a", changes(), PROGRESS)
        except StateError:
            continue
    loaded: Any = await store.load("a", whole)
    assert loaded[3] == ROWS
    await backend.close()


async def test_save_whose_commit_is_unknown_can_be_repeated(backend: PostgresBackend) -> None:
    """It may have been committed: repeating it changes nothing, and the checksums are right."""
    store = await backend.open()
    await store.save("a", changes(), PROGRESS)
    again = store_of(backend.database, store.lease)  # knows nothing of the first save
    await again.save("a", changes(forgotten=[ROWS[0].id], rows=ROWS[1:]), PROGRESS)
    await store.save("a", changes(forgotten=[ROWS[0].id], rows=ROWS[1:]), PROGRESS)
    loaded: Any = await store.load("a", whole)
    assert loaded[3] == ROWS[1:]
    await again.aclose()
    await backend.close()


async def test_what_scrapes_have_seen_is_kept_for_the_next_holder(backend: PostgresBackend) -> None:
    """Of an account whose first poll no scrape has seen, that is nothing."""
    store = await backend.open()
    assert await store.shown("a") is None
    await store.save("a", changes(), PROGRESS)
    assert await store.shown("a") == ZERO
    seen = {**ZERO, ("stat", "failed"): 2, ("delay_sum", ""): 0.5}
    await store.note_shown({"a": seen, "b": ZERO})
    await store.save("a", changes(), PROGRESS)
    assert await (await backend.open()).shown("a") == {key: seen[key] for key in ZERO}
    await backend.close()


async def test_failover_to_another_address(postgres_server: Postgres) -> None:
    """The second host of the URL takes over: the state is loaded from there."""
    database = postgres_server.database()
    async with leading(database) as store:
        await store.save("a", changes(), PROGRESS)
    moved = replace(
        database, hosts=(("127.0.0.3", postgres_server.port), ("127.0.0.2", postgres_server.port))
    )
    async with leading(moved) as store:
        assert await store.load("a", whole) is not None
