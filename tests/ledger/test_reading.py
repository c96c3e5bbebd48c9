"""Which reading of the stats the operations of an account support."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.reading import Evidence, EvidenceTally, arrived_emails, speaks_against
from exporter.operation import Stats


@pytest.mark.parametrize(
    ("stats", "against_cumulative", "against_exclusive"),
    [
        (Stats(total=4, delivered=1, opened=3), True, False),
        (Stats(total=4, sent=0, delivered=4), True, False),
        (Stats(total=4, sent=4, delivered=4, opened=1), False, True),
        (Stats(total=4, sent=4, delivered=0, opened=0), False, False),
        (Stats(total=4, delivered=4, opened=0), False, False),
        (Stats(total=4, sent=5, delivered=1, opened=3), True, True),
        (Stats(delivered=4, opened=3), False, False),
        (Stats(total=4, opened=3), False, False),
        (Stats(), False, False),
    ],
    ids=[
        *(
            "opened above delivered",
            "delivered above sent",
            "more states than emails",
            "nothing happened yet",
        ),
        *("without sent", "both", "without total", "without delivered", "nothing"),
    ],
)
def test_evidence_of_one_operation(stats: Stats, against_cumulative: bool, against_exclusive: bool) -> None:
    """A reading is contradicted by what is impossible under it; an absent stat proves nothing."""
    assert speaks_against(stats) == (against_cumulative, against_exclusive)


@pytest.mark.parametrize(
    ("evidence", "reading"),
    [
        (Evidence(), "undetermined"),
        (Evidence(9, 0), "undetermined"),
        (Evidence(10, 0), "exclusive"),
        (Evidence(0, 10), "cumulative"),
        (Evidence(5, 5), "contradictory"),
        (Evidence(98, 1), "contradictory"),
        (Evidence(99, 1), "exclusive"),
        (Evidence(2, 198), "cumulative"),
        (Evidence(3, 198), "contradictory"),
    ],
)
def test_ten_operations_decide_and_one_in_a_hundred_is_tolerated(evidence: Evidence, reading: str) -> None:
    """More than that on the other side, and neither reading is believed."""
    assert evidence.reading == reading


@given(st.lists(st.tuples(st.builds(Stats, *[st.none() | st.integers(0, 9)] * 11), st.integers(1, 3))))
def test_evidence_leaves_with_its_operations(drawn: list[tuple[Stats, int]]) -> None:
    """A tally from which everything was taken away again is empty."""
    tally = EvidenceTally()
    for stats, times in drawn:
        tally.add(stats, times)
    for stats, times in drawn:
        tally.add(stats, -times)
    assert tally.total() == Evidence()


@pytest.mark.parametrize(
    ("reading", "any_opened", "arrived"),
    [
        ("exclusive", True, 10),
        ("cumulative", True, 7),
        ("undetermined", True, None),
        ("contradictory", True, None),
        ("undetermined", False, 7),
        ("contradictory", False, 7),
    ],
)
def test_arrived_emails_depend_on_the_reading(reading: str, any_opened: bool, arrived: int | None) -> None:
    """They are known without a reading only where no email of the window was opened."""
    assert arrived_emails(reading, delivered=7, opened=3, any_opened=any_opened) == arrived
