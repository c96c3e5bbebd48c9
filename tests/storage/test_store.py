"""What every storage of a state promises: saved whole or not at all, and never guessed at."""

import struct
from typing import Any

import pytest

from exporter.errors import DamagedError, StateError
from exporter.ledger.saved import Progress, Row, Saved
from exporter.storage.store import StateStore
from tests.storage.backends import Backend
from tests.storage.samples import PROGRESS, ROWS, WEEK, changes, many_rows, rebuild, whole
from tests.support.clock import SATURDAY
from tests.support.operations import IDS


async def saved_in(backend: Backend, rows: list[Row] = ROWS) -> None:
    await (await backend.open()).save("a", changes(rows), PROGRESS)
    await backend.close()


async def load_damaged(backend: Backend, match: str = "account a") -> None:
    with pytest.raises(DamagedError, match=match):
        await (await backend.open()).load("a", rebuild)


async def test_what_was_saved_is_loaded_by_the_next_process(backend: Backend) -> None:
    """Rows, marks, counters, coverage and progress, to the last bit."""
    first = await backend.open()
    await first.save("a", changes(), PROGRESS)
    await first.save("a", changes(rows=[], forgotten=[IDS[0]]), PROGRESS)
    second = await backend.open()
    assert await second.load("a", whole) == (PROGRESS, SATURDAY - 100, changes().counts, ROWS[1:])
    assert await second.load("b", whole) is None


async def test_operation_that_changed_is_replaced(backend: Backend) -> None:
    """And one that is forgotten and not there is none."""
    store = await backend.open()
    await store.save("a", changes(), PROGRESS)
    changed = ROWS[0]._replace(packed=ROWS[1].packed, began=7.25)
    await store.save("a", changes(rows=[changed], forgotten=[IDS[2]]), PROGRESS)
    loaded = await store.load("a", whole)
    assert loaded is not None
    assert loaded[3] == [changed, ROWS[1]]


async def test_many_operations_are_saved_and_loaded(backend: Backend) -> None:
    """In several pieces."""
    rows = many_rows(12_000)
    store = await backend.open()
    await store.save("a", changes(rows), PROGRESS)
    await store.save("a", changes(rows[:7000], [row.id for row in rows[6000:]]), PROGRESS)
    loaded = await (await backend.open()).load("a", whole)
    assert loaded is not None
    assert loaded[3] == sorted(rows[:7000])


async def test_account_that_left_the_settings_is_kept_for_a_window(backend: Backend) -> None:
    """Then its rows go; one in the settings stays, however long it has been failing."""
    store = await backend.open("a", "failing")
    for name in ("left", "failing"):
        await store.save(name, changes(), PROGRESS)
    await store.save("a", changes(), Progress(SATURDAY + WEEK, ()))
    assert await store.load("left", whole) is not None
    await store.save("a", changes(), Progress(SATURDAY + WEEK + 1, ()))
    assert await store.load("left", whole) is None
    assert await store.load("failing", whole) is not None
    assert await accounts_of(store) == ["a", "failing"]
    await store.save("left", changes([ROWS[1]]), Progress(SATURDAY + WEEK + 1, ()))
    loaded = await store.load("left", whole)
    assert loaded is not None
    assert loaded[3] == [ROWS[1]], "none of its rows were left"


async def accounts_of(store: StateStore) -> list[str]:
    return sorted(each.name for each in await store.accounts())


async def test_what_cannot_be_written_down_is_told_and_changes_nothing(backend: Backend) -> None:
    """And the next save finds no transaction open."""
    store = await backend.open()
    await store.save("a", changes(), PROGRESS)
    with pytest.raises(StateError, match="JSON"):
        await store.save("a", changes(rows=[]), Progress(float("nan"), ()))
    with pytest.raises(TypeError):
        await store.save("a", changes(rows=[Row(IDS[0], None, None)]), PROGRESS)  # type: ignore[arg-type]
    await store.save("a", changes(rows=[]), PROGRESS)
    assert await store.load("a", whole) == (PROGRESS, SATURDAY - 100, changes().counts, ROWS)


async def test_size_grows_with_what_is_saved(backend: Backend) -> None:
    """As of the last save."""
    store = await backend.open()
    await store.save("a", changes(), PROGRESS)
    before = store.bytes_on_disk()
    await store.save("a", changes(many_rows(2000)), PROGRESS)
    assert store.bytes_on_disk() > before + 2000 * len(ROWS[0].packed) > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operations SET packed = {zero}",
        "UPDATE operations SET marks = NULL",
        "UPDATE operations SET began = 6",
        "UPDATE operations SET crc = crc + 1",
        "DELETE FROM operations WHERE marks IS NULL",
        "UPDATE accounts SET counts = '[]'",
        "UPDATE accounts SET coverage = coverage + 1",
    ],
)
async def test_content_without_its_checksum_is_damage(backend: Backend, statement: str) -> None:
    """Nothing is believed then, not even what can be read."""
    await saved_in(backend)
    backend.execute(statement.format(zero=backend.zero))
    await load_damaged(backend, "checksum|not those that were saved")


@pytest.mark.parametrize(
    "counts",
    [
        "{",
        "[]" * 2,
        '[["stat", "failed", -1]]',
        '[["stat", "failed", "1"]]',
        '[["stat", "failed", true]]',
        '[["stat", "failed", NaN]]',
        '[["stat", "failed", Infinity]]',
        f'[["stat", "failed", {10**400}]]',
        '[[["stat"], "failed", 1]]',
        "[" * 100_000,
    ],
)
async def test_impossible_counters_are_damage(backend: Backend, counts: str) -> None:
    """Even with the right checksum."""
    await saved_in(backend)
    backend.reseal(counts=counts)
    await load_damaged(backend)


@pytest.mark.parametrize(
    "progress",
    [
        "{}",
        "[]",
        '{"last_success_at": null, "listed_intervals": []}',
        '{"last_success_at": NaN, "listed_intervals": []}',
        '{"last_success_at": Infinity, "listed_intervals": []}',
        '{"last_success_at": 1e300, "listed_intervals": []}',
        '{"last_success_at": -1, "listed_intervals": []}',
        '{"last_success_at": true, "listed_intervals": []}',
        '{"last_success_at": 1, "listed_intervals": [[1, 2]]}',
        '{"last_success_at": 1, "listed_intervals": [[2, 1, 1]]}',
        '{"last_success_at": 1, "listed_intervals": [[1, Infinity, 1]]}',
        '{"last_success_at": 1, "listed_intervals": [[1, 2, NaN]]}',
        "[" * 100_000,
    ],
)
async def test_progress_that_no_poll_made_is_damage(backend: Backend, progress: str) -> None:
    """Even with the right checksum."""
    await saved_in(backend)
    backend.reseal(progress=progress)
    await load_damaged(backend)


async def test_coverage_that_is_no_instant_is_damage(backend: Backend) -> None:
    """Even with the right checksum."""
    await saved_in(backend)
    backend.reseal(coverage=float("inf"))
    await load_damaged(backend)


@pytest.mark.parametrize(
    "row",
    [
        Row(IDS[0], b"\0", None),
        Row(IDS[0], struct.pack("<d", float("inf")) + ROWS[0].packed[8:], None),
        Row(IDS[0], ROWS[0].packed, bytes(16)),
        Row(IDS[0], ROWS[0].packed, b""),
    ],
)
async def test_impossible_operation_is_damage(backend: Backend, row: Row) -> None:
    """Even with the right checksum."""
    await saved_in(backend, [row])
    await load_damaged(backend)


async def test_damaged_state_is_set_aside(backend: Backend) -> None:
    """Under a name that says when; the new one is empty, and can be saved to at once."""
    await saved_in(backend)
    backend.execute(f"UPDATE operations SET packed = {backend.zero}")
    store = await backend.open()
    with pytest.raises(DamagedError):
        await store.load("a", rebuild)
    aside = await store.set_aside(SATURDAY)
    assert aside is not None
    assert "_damaged_20260307t000000z" in aside.lower().replace(".", "_").replace("-", "_")
    assert await store.load("a", whole) is None
    await store.save("a", changes(), PROGRESS)
    assert await (await backend.open()).load("a", whole) is not None


async def test_only_what_is_wrong_with_the_content_is_damage(backend: Backend) -> None:
    """An internal error does not change the state."""

    def mistaken(_: Saved) -> Any:
        raise KeyError("mistake")

    await saved_in(backend)
    store = await backend.open()
    with pytest.raises(KeyError, match="mistake"):
        await store.load("a", mistaken)
    assert await store.load("a", whole) == (PROGRESS, SATURDAY - 100, changes().counts, ROWS)
