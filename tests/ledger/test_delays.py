"""When sending began, and how long deliveries took."""

from collections.abc import Mapping

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.ledger.counters import DELAY_BUCKETS, Counts
from exporter.ledger.ledger import Ledger
from exporter.ledger.snapshot import RECENT_AGES
from exporter.operation import Operation, Stats
from tests.support.clock import SATURDAY
from tests.support.operations import IDS, drawn_stats, operation, statuses

WEEK = 7 * 86400.0
LATE = 900.0


def new_ledger(coverage: float = SATURDAY - WEEK) -> Ledger:
    return Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=coverage, late_after=LATE)


def delays(counts: Counts) -> dict[str, float]:
    """The filled buckets."""
    return {label: value for (name, label), value in counts.items() if name == "delay" and value}


def delayed(counts: Counts) -> float:
    return sum(delays(counts).values())


def test_delay_of_first_sight_is_from_creation_to_the_update() -> None:
    """The first reply that shows an operation counts as moved."""
    ledger = new_ledger()
    ledger.absorb(operation(age=600, updated_after=100, delivered=3), SATURDAY)
    assert delays(ledger.counts()) == {"120.0": 3}
    assert ledger.counts()["delay_sum", ""] == 300


def test_delay_is_by_the_update_where_it_has_moved() -> None:
    """Also after an outage of the exporter, when the reply itself comes much later."""
    ledger = new_ledger()
    ledger.absorb(operation(age=6000, updated_after=5, status="processing", sent=3), SATURDAY - 5900)
    ledger.absorb(operation(age=6000, updated_after=250, delivered=3), SATURDAY)
    assert delays(ledger.counts()) == {"300.0": 3}


def test_delay_is_by_the_reply_where_the_update_stands_still() -> None:
    """Which is an upper bound: one interval of polls at most."""
    ledger = new_ledger()
    ledger.absorb(operation(age=6000, updated_after=5, sent=3), SATURDAY - 5900)
    ledger.absorb(operation(age=6000, updated_after=5, sent=1, delivered=2), SATURDAY - 4000)
    assert delays(ledger.counts()) == {"3600.0": 2}
    assert ledger.counts()["delay_sum", ""] == 4000


def test_deliveries_after_the_limit_are_late() -> None:
    """At the limit they are not."""
    ledger = new_ledger()
    ledger.absorb(operation(0, age=6000, updated_after=LATE, delivered=2), SATURDAY)
    ledger.absorb(operation(1, age=6000, updated_after=LATE + 1, delivered=5), SATURDAY)
    assert ledger.counts()["late", ""] == 5


@pytest.mark.parametrize(
    ("updated_after", "expected"),
    [(-500.0, 0.0), (0.0, 0.0), (50.0, 50.0), (1e9, 600.0)],
    ids=["before its creation", "at its creation", "between", "in the future"],
)
def test_delay_is_neither_negative_nor_in_the_future(updated_after: float, expected: float) -> None:
    """`updatedAt` may be anything; what a reply shows has happened by the time of the reply."""
    ledger = new_ledger()
    ledger.absorb(operation(age=600, updated_after=updated_after, delivered=1), SATURDAY)
    assert ledger.counts()["delay_sum", ""] == expected
    assert delayed(ledger.counts()) == 1


SCHEDULED = operation(age=90_000, status="scheduled", total=4, scheduled=4)


@pytest.mark.parametrize(
    ("update_ago", "began_ago"),
    [(40.0, 40.0), (60.0, 0.0), (89_000.0, 0.0), (90_000.0, 0.0), (-30.0, 0.0)],
    ids=["since the last reply", "at the last reply", "long before", "never", "in the future"],
)
def test_sending_of_a_scheduled_operation_begins_when_it_is_first_seen_begun(
    update_ago: float, began_ago: float
) -> None:
    """At its `updatedAt` if that is later than the last reply that showed it scheduled, else at the poll."""
    ledger = new_ledger()
    ledger.absorb(SCHEDULED, SATURDAY - 60)
    begun = SCHEDULED._replace(status="processing", updated_at=SATURDAY - update_ago)
    ledger.absorb(begun._replace(stats=Stats(total=4, scheduled=0, queued=4)), SATURDAY)
    assert ledger.oldest_unfinished().processing_since == SATURDAY - began_ago
    assert ledger.waiting_since([SATURDAY - began_ago]) == [4]
    assert ledger.waiting_since([SATURDAY - began_ago - 1]) == [0]


def test_scheduled_operation_delays_count_from_when_it_was_sent() -> None:
    """Not from when it was created, days before."""
    ledger = new_ledger()
    ledger.absorb(SCHEDULED, SATURDAY - 60)
    begun = SCHEDULED._replace(status="processing", updated_at=SATURDAY - 30)
    ledger.absorb(begun._replace(stats=Stats(total=4, scheduled=0, queued=4)), SATURDAY)
    done = begun._replace(status="completed", updated_at=SATURDAY + 70)
    ledger.absorb(done._replace(stats=Stats(total=4, queued=0, delivered=4)), SATURDAY + 90)
    assert delays(ledger.counts()) == {"120.0": 4}


def test_canceled_and_first_seen_done_have_no_delay_of_their_own() -> None:
    """A canceled one delivers nothing; one that is first seen done began when it was created."""
    ledger = new_ledger()
    ledger.absorb(SCHEDULED, SATURDAY - 60)
    ledger.absorb(SCHEDULED._replace(status="canceled", stats=Stats(total=4, canceled=4)), SATURDAY)
    assert delayed(ledger.counts()) == 0
    assert ledger.waiting_since([SATURDAY]) == [0]
    ledger.absorb(operation(1, age=100_000, updated_after=99_000, delivered=1), SATURDAY)
    assert delays(ledger.counts()) == {"+Inf": 1}


def test_sending_began_is_kept_over_a_restart() -> None:
    """A restored ledger counts the delays that the former one would have counted."""
    former = new_ledger()
    former.absorb(SCHEDULED, SATURDAY - 60)
    begun = SCHEDULED._replace(
        status="processing", updated_at=SATURDAY - 30, stats=Stats(total=4, scheduled=0, queued=4)
    )
    former.absorb(begun, SATURDAY)
    saved = former.take_changes()
    later = Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=saved.coverage, counts=saved.counts)
    later.restore(saved.rows, SATURDAY)
    assert later.oldest_unfinished().processing_since == SATURDAY - 30
    done = begun._replace(updated_at=SATURDAY + 20, stats=Stats(total=4, queued=0, delivered=4))
    later.absorb(done, SATURDAY + 60)
    assert delays(later.counts()) == {"60.0": 4}


def test_nothing_of_it_remains_when_an_operation_expires() -> None:
    """Neither what waited nor when it began."""
    ledger = new_ledger()
    ledger.absorb(SCHEDULED, SATURDAY - 60)
    ledger.absorb(SCHEDULED._replace(status="processing", stats=Stats(total=4, sent=4)), SATURDAY)
    ledger.advance(SATURDAY + WEEK)
    assert ledger.waiting_since([SATURDAY + WEEK]) == [0]
    assert ledger.oldest_unfinished().processing_since is None
    assert not ledger._store.began


def test_operation_that_is_not_found_does_not_wait() -> None:
    """Until it comes back."""
    ledger = new_ledger()
    found = operation(status="processing", total=4, sent=4)
    ledger.absorb(found, SATURDAY)
    ledger.mark_not_found(found.id)
    assert ledger.waiting_since([SATURDAY]) == [0]
    ledger.absorb(found, SATURDAY)
    assert ledger.waiting_since([SATURDAY]) == [4]


@pytest.mark.parametrize("later", [False, True], ids=["at first", "later"])
def test_unknown_stats_are_counted_once_for_an_operation(later: bool) -> None:
    """However many there are, however often they come, and over a restart."""
    ledger = new_ledger()
    if later:
        ledger.absorb(operation(sent=1), SATURDAY)
    for names in (("complained",), ("complained", "unaddressable"), (), ("complained",)):
        ledger.absorb(operation(sent=1)._replace(unknown_stats=names), SATURDAY)
    saved = ledger.take_changes()
    restored = Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=saved.coverage, counts=saved.counts)
    restored.restore(saved.rows, SATURDAY)
    restored.absorb(operation(sent=2)._replace(unknown_stats=("complained",)), SATURDAY)
    assert restored.counts()["unknown", "stats"] == 1


class DelaysAlwaysAddUp(RuleBasedStateMachine):
    """After any interleaving of replies, restarts and ageing the histogram counts what is delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.now = SATURDAY
        self.ledger = new_ledger(SATURDAY)
        self.created: dict[str, float] = {}
        self.counts: Mapping[tuple[str, str], float] = self.ledger.counts()

    @rule(
        number=st.integers(0, 5),
        status=statuses,
        created=st.floats(-2000, 2000),
        update=st.floats(-1e5, 1e5),
        stats=drawn_stats(9),
        skew=st.floats(-100, 100),
    )
    def reply(
        self, number: int, status: str, created: float, update: float, stats: Stats, skew: float
    ) -> None:
        created_at = self.created.setdefault(IDS[number], self.now + created)
        reply = Operation(IDS[number], status, created_at, self.now + update, stats)
        self.ledger.absorb(reply, self.now + skew)

    @rule(seconds=st.floats(-1000, 1e5))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.advance(self.now)

    @rule()
    def restart(self) -> None:
        saved = self.ledger.take_changes()
        rows = {each.id: each for each in saved.rows}
        for operation_id in self.ledger._store.packed:  # what an earlier save has written
            self.ledger._store.changed[operation_id] = None
        rows |= {each.id: each for each in self.ledger.take_changes().rows}
        self.ledger = Ledger(
            self.now, WEEK, RECENT_AGES, coverage=saved.coverage, counts=saved.counts, late_after=LATE
        )
        self.ledger.restore(rows.values(), self.now)

    @invariant()
    def every_delivery_has_a_delay(self) -> None:
        counts = self.ledger.counts()
        assert delayed(counts) == counts["stat", "delivered"]
        in_time = sum(counts["delay", str(bound)] for bound in DELAY_BUCKETS if bound <= LATE)
        assert counts["late", ""] == delayed(counts) - in_time

    @invariant()
    def nothing_falls(self) -> None:
        before, self.counts = self.counts, self.ledger.counts()
        assert all(self.counts[key] >= value for key, value in before.items())


TestDelaysAlwaysAddUp = DelaysAlwaysAddUp.TestCase
