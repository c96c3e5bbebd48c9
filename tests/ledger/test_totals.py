"""Rolling totals, checked against totals that are computed from scratch."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.totals import RollingTotals, Totals
from exporter.operation import STATUSES, Operation, Stats
from tests.support.clock import SATURDAY
from tests.support.operations import drawn_stats, operation, statuses

DAY = 86400.0


@given(st.lists(st.tuples(statuses, drawn_stats(5), st.integers(-2, 2))))
def test_sums_are_those_of_what_came_and_went(moves: list[tuple[str, Stats, int]]) -> None:
    """By status and over all, however often one is added or taken away."""
    rolling = RollingTotals(DAY, SATURDAY)
    for status, stats, times in moves:
        rolling.add(Operation("x", status, SATURDAY, SATURDAY, stats), times)
    expected = {
        status: Totals(
            sum(times for each, _, times in moves if each == status),
            tuple(
                sum(times * (stats[index] or 0) for each, stats, times in moves if each == status)
                for index in range(11)
            ),
        )
        for status in STATUSES
    }
    assert rolling.by_status() == expected
    assert rolling.total().operations == sum(each.operations for each in expected.values())


def test_operations_that_all_look_different_are_added_up_as_they_come() -> None:
    """What is held back until it is read stays small."""
    rolling = RollingTotals(DAY, SATURDAY)
    for number in range(5000):
        rolling.add(operation(delivered=number), 1)
    assert len(rolling._pending) < 1024
    assert rolling.total().stat("delivered") == sum(range(5000))
