"""A page that is absorbed at once gives the same ledger as its rows one by one."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.counters import ZERO
from exporter.ledger.ledger import Ledger
from exporter.ledger.snapshot import RECENT_AGES, summarise
from exporter.operation import STATS, Operation, Stats
from tests.support.clock import SATURDAY
from tests.support.operations import IDS, statuses

WINDOW = 2 * 86400.0
COVERAGE = SATURDAY - 7200.0

ages = st.sampled_from([0.0, 59.9, 900.0, 3600.0, 7200.0, 7200.1, 86400.0, WINDOW, WINDOW + 1]) | st.floats(
    0, WINDOW + 3600
)
replies = st.builds(
    lambda number, status, age, updated_after, stats, unknown_stats: Operation(
        IDS[number], status, SATURDAY - age, SATURDAY - age + updated_after, stats, unknown_stats
    ),
    st.integers(0, len(IDS) - 1),
    statuses,
    ages,
    st.sampled_from([0.0, 0.1, 7.3, 5000.0]),
    st.builds(Stats, *[st.none() | st.sampled_from([0, 1, 2, 300]) for _ in STATS]),
    st.sampled_from([(), ("complained",)]),
)
pages = st.lists(st.lists(replies, max_size=12), max_size=4)


def ledger() -> Ledger:
    return Ledger(SATURDAY, WINDOW, RECENT_AGES, coverage=COVERAGE, late_after=900.0)


def contents(of: Ledger) -> Mapping[str, Any]:
    """Everything that a poll publishes or saves, and what decides what the next one does."""
    changes = of.take_changes()
    return {
        "snapshot": summarise(
            of, SATURDAY, top_failing=len(IDS), waiting_after=3600.0, counts=dict(of.counts())
        ),
        "unfinished": of.unfinished(),
        "operations": {each.id: each for each in of},
        "rows": {row.id: row for row in changes.rows},
        "forgotten": set(changes.forgotten),
        "older": [of.count_created_before(SATURDAY - age) for age in (60.0, 3600.0, 86400.0)],
        "counts": changes.counts,
    }


@given(pages, st.sets(st.sampled_from(IDS)), st.floats(0, WINDOW))
def test_page_is_absorbed_as_its_rows_are(
    listed: Sequence[Sequence[Operation]], not_found: set[str], later: float
) -> None:
    """New and known ones, repeats, every status, baselines and counted ones, in any order."""
    by_page, by_row = ledger(), ledger()
    for number, page in enumerate(listed):
        at = SATURDAY + 60.0 * number
        by_page.absorb_all(page, at)
        for each in page:
            by_row.absorb(each, at)
        if number == 1:
            for both in (by_page, by_row):
                for operation_id in sorted(not_found):
                    both.mark_not_found(operation_id)
    assert contents(by_page) == contents(by_row)
    for both in (by_page, by_row):
        both.advance(SATURDAY + later)
    assert contents(by_page) == contents(by_row)


@given(pages, st.sets(st.sampled_from(IDS)), st.floats(0, WINDOW))
def test_rows_are_restored_together_as_one_by_one(
    listed: Sequence[Sequence[Operation]], not_found: set[str], later: float
) -> None:
    """With high-water marks, instants of sending and operations that answered 404; and as they were saved."""
    before = ledger()
    for page in listed:
        before.absorb_all(page, SATURDAY)
    for operation_id in sorted(not_found):
        before.mark_not_found(operation_id)
    rows = list(before.take_changes().rows)
    together, one_by_one = ledger(), ledger()
    together.restore(rows, SATURDAY)
    for row in rows:
        one_by_one.restore([row], SATURDAY)
    restored = contents(together)
    assert restored == contents(one_by_one)
    assert not restored["rows"]
    assert restored["operations"] == {each.id: each for each in before}
    assert summarise(
        together, SATURDAY, top_failing=len(IDS), waiting_after=3600.0, counts=ZERO
    ) == summarise(before, SATURDAY, top_failing=len(IDS), waiting_after=3600.0, counts=ZERO)
    for both in (together, one_by_one):
        both.advance(SATURDAY + later)
    assert contents(together) == contents(one_by_one)
