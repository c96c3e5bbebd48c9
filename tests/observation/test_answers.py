"""From listings to answers, without an account."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.observation.answers import Answer, answers
from exporter.observation.evidence import KEPT_CHANGES, KEPT_VALUES, Evidence, Listing
from exporter.operation import Operation, Stats
from exporter.simulator.ids import new_id
from tests.support.clock import SATURDAY


def row(number: int, *, updated: float = 0.0, status: str = "completed", **stats: int) -> Operation:
    """Created `number` minutes before the start, updated `updated` seconds after that."""
    at = SATURDAY - 60.0 * number
    return Operation(new_id(number, at), status, at, at + updated, Stats(**stats))


def listing(at: float, rows: Sequence[Operation], *, complete: bool = True) -> Listing:
    return Listing(SATURDAY + at, SATURDAY + at + 0.2, rows, complete)


def answered(evidence: Evidence, key: str) -> Answer:
    (found,) = [each for each in answers(evidence) if each.question.key == key]
    return found


def seen(*listings: Sequence[Operation]) -> Evidence:
    """Listings that are half a minute apart."""
    evidence = Evidence()
    for number, rows in enumerate(listings):
        evidence.saw_listing(listing(30.0 * number, rows))
    return evidence


def test_nothing_was_seen() -> None:
    """Without evidence no question is answered, and each has a reason."""
    for answer in answers(Evidence()):
        assert answer.answer is None
        assert answer.observations == 0
        assert answer.note


@given(st.permutations(range(12)))
def test_an_order_holds_in_every_listing_or_not_at_all(numbers: list[int]) -> None:
    """A listing out of order disproves the order of all others."""
    newest_first = [row(number) for number in range(12)]
    evidence = seen(newest_first, newest_first, [row(number) for number in numbers], newest_first)
    is_sorted = numbers == sorted(numbers)
    assert answered(evidence, "order").answer == ("newest first" if is_sorted else "arbitrary, changing")


@pytest.mark.parametrize(("sign", "order"), [(-1, "last updated first"), (1, "first updated first")])
def test_the_order_of_updates(sign: int, order: str) -> None:
    """Listings may be in the order of updatedAt; then their order changes with it."""
    updated = [7, 3, 9, 1, 8, 2, 6, 4, 0, 5]
    rows = [row(number, updated=1000.0 * each) for number, each in enumerate(updated)]
    rows.sort(key=lambda each: sign * each.updated_at)
    assert answered(seen(rows, rows, rows), "order").answer == order


def test_few_rows_show_no_order() -> None:
    """A short listing may be sorted by chance."""
    rows = [row(number) for number in range(9)]
    assert answered(seen(rows, rows, rows), "order").answer is None


@pytest.mark.parametrize(
    ("moved", "answer"), [([1, 1, 1], "yes"), ([0, 0, 0], "no"), ([1, 0, 1], "sometimes")]
)
@pytest.mark.parametrize("status", ["completed", "canceled", "processing"])
def test_updated_at(moved: list[int], answer: str, status: str) -> None:
    """Changes before and after the final status are counted separately; three agree, or it is sometimes."""
    before = [row(number, status=status, sent=3) for number in range(4)]
    after = [row(number, status=status, sent=2, updated=each) for number, each in enumerate(moved)]
    evidence = seen([*before], [*after, before[3]])
    suffix, other = ("before", "after") if status == "processing" else ("after", "before")
    assert answered(evidence, f"updated_at_{suffix}_completed").answer == answer
    assert answered(evidence, f"updated_at_{other}_completed").answer is None
    changes = answered(evidence, "stats_after_completed")
    assert (changes.answer, changes.observations) == (("yes", 3) if suffix == "after" else (None, 0))


def test_a_change_of_status_says_nothing_of_deliveries() -> None:
    """Where status and stats change together, updatedAt may move with either."""
    evidence = seen(
        [row(1, status="processing", sent=1)], [row(1, status="completed", delivered=1, updated=9)]
    )
    assert answered(evidence, "updated_at_before_completed").observations == 0
    assert answered(evidence, "updated_at_after_completed").observations == 0


def test_contradictory_states() -> None:
    """Evidence on both sides is shown as a contradiction."""
    rows = [row(number, total=1, sent=1, delivered=1) for number in range(6)]
    rows += [row(6 + number, total=1, opened=1, delivered=0, sent=0) for number in range(6)]
    assert answered(seen(rows), "states").answer == "contradictory"


@given(st.floats(0, 300), st.lists(st.floats(0.0, 599.0), min_size=3, max_size=8, unique=True))
def test_the_delay_of_a_listing_lies_between_the_ages(delay: float, created: list[float]) -> None:
    """The delay is between the highest age of a missing operation and that of a listed one."""
    evidence = Evidence()
    rows = [row(number)._replace(created_at=SATURDAY + at) for number, at in enumerate(created)]
    for at in range(0, 1200, 30):
        shown = [each for each in rows if each.created_at + delay <= SATURDAY + at]
        evidence.saw_listing(listing(float(at), shown))
    assert evidence.new_operations == sum(each.created_at + delay > SATURDAY for each in rows)
    if evidence.new_operations:
        assert max(0.0, evidence.missing_seconds) <= delay + 1e-6
        assert delay - 1e-6 <= evidence.listed_seconds


def test_an_incomplete_listing_proves_no_absence() -> None:
    """An operation that was not on the pages that were read may have been listed on another one."""
    evidence = Evidence()
    evidence.saw_listing(listing(0, [row(1)], complete=False))
    evidence.saw_listing(listing(30, [row(1), row(2)]))
    assert evidence.new_operations == 0


def test_contradictory_pages() -> None:
    """Two trials with different outcomes are no answer in either direction."""
    evidence = Evidence()
    evidence.page_filters.update(["carried", "forgotten"])
    assert answered(evidence, "page_filters").answer == "contradictory"


@pytest.mark.parametrize(
    ("statuses", "answer"), [([200], "yes"), ([404, 404], "no"), ([400], None), ([200, 404], "yes")]
)
def test_errors(statuses: list[int], answer: str | None) -> None:
    """A 200 shows that the call exists, only 404 that it does not."""
    evidence = Evidence()
    evidence.errors_call.statuses.update(statuses)
    evidence.errors_call.keys |= {"errors"}
    found = answered(evidence, "errors")
    assert found.answer == answer
    assert ("keys: errors" in found.note) == (answer == "yes")


def test_what_is_kept_is_bounded() -> None:
    """A long watch keeps a bounded number of changes and values."""
    evidence = seen(*([row(1, status="processing", sent=number)] for number in range(200)))
    assert len(evidence.changes) == KEPT_CHANGES
    for number in range(200):
        evidence.saw_headers({"X-RateLimit-Limit": str(number)})
    assert len(evidence.header_values["x-ratelimit-limit"]) == KEPT_VALUES
