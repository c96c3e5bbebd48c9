"""What is known of an account, and sums that move by differences."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.ledger.counters import ZERO
from exporter.ledger.ledger import Ledger
from exporter.ledger.packing import pack, unpack
from exporter.ledger.snapshot import RECENT_AGES, summarise
from exporter.ledger.totals import Totals
from exporter.operation import STATS, STATUSES, Operation, Stats
from tests.support.clock import SATURDAY
from tests.support.operations import IDS, drawn_stats, operation, statuses
from tests.support.truth import hours

WEEK = 7 * 86400.0


def ledger_of(*operations: Operation, lookback: float = WEEK) -> Ledger:
    ledger = Ledger(SATURDAY, lookback, RECENT_AGES, coverage=SATURDAY)
    for each in operations:
        ledger.absorb(each, SATURDAY)
    return ledger


def test_absorbing_twice_is_absorbing_once() -> None:
    """A duplicated row changes nothing."""
    once, twice = ledger_of(operation(failed=3)), ledger_of(operation(failed=3), operation(failed=3))
    assert once.window_totals() == twice.window_totals()


@given(st.permutations(range(5)))
def test_newest_update_wins_in_any_order(order: list[int]) -> None:
    """An older reply never undoes a newer one."""
    replies = [operation(updated_after=10.0 * n, delivered=n, failed=5 - n) for n in range(5)]
    ledger = ledger_of(*(replies[n] for n in order))
    assert list(ledger) == [replies[4]]


def test_later_reply_wins_at_the_same_update() -> None:
    """Twilio does not say whether `updatedAt` moves with bounces and opens."""
    assert list(ledger_of(operation(delivered=9), operation(delivered=8, opened=1))) == [
        operation(delivered=8, opened=1)
    ]


def test_missing_stat_keeps_what_is_known_of_it() -> None:
    """A reply without `recipients` does not say that there are none."""
    ledger = ledger_of(operation(recipients=7, sent=1), operation(updated_after=1, sent=2))
    assert next(iter(ledger)).stats == Stats(recipients=7, sent=2)


@pytest.mark.parametrize(
    "later",
    [
        operation(status="processing", sent=1),
        operation(status="canceled", sent=1),
        operation(updated_after=1, sent=1),
        operation(sent=2),
        operation(sent=1, opened=0),
    ],
)
def test_one_difference_is_enough(later: Operation) -> None:
    """Whatever a reply has that is new is taken in, and is to be saved."""
    ledger = ledger_of(operation(sent=1))
    ledger.take_changes()
    ledger.absorb(later, SATURDAY)
    assert list(ledger) == [later]
    assert len(ledger.take_changes().rows) == 1


def test_creation_does_not_move() -> None:
    """A reply that gives another `createdAt` cannot move an operation out of the sums' reach."""
    ledger = ledger_of(operation(age=600), operation(age=500))
    assert next(iter(ledger)).created_at == SATURDAY - 600


def test_operation_that_answered_404_leaves_the_sums_and_may_come_back() -> None:
    """Even a stale reply shows that it is there; what was known of it counts again."""
    ledger = ledger_of(operation(updated_after=60, status="processing", queued=4))
    ledger.mark_not_found(IDS[0])
    assert len(ledger) == 0
    assert not ledger.unfinished()
    assert ledger.window_totals()["processing"] == Totals(0, (0,) * len(STATS))
    ledger.absorb(operation(updated_after=0, status="scheduled"), SATURDAY)
    assert list(ledger) == [operation(updated_after=60, status="processing", queued=4)]


def test_losing_what_is_not_known_changes_nothing() -> None:
    """Nor does losing twice."""
    ledger = ledger_of(operation())
    for each in (IDS[0], IDS[0], IDS[1]):
        ledger.mark_not_found(each)
    assert len(ledger) == 0


def test_operations_leaving_the_window_leave_the_sums() -> None:
    """To the instant: what was created a week ago is in, what was created before it is out."""
    ledger = ledger_of(operation(0, age=WEEK - 10, failed=1), operation(1, age=WEEK - 9.5, failed=2))
    ledger.advance(SATURDAY + 10)
    assert ledger.window_totals()["completed"].stats == tuple(int(stat == "failed") for stat in STATS)
    ledger.advance(SATURDAY + 11)
    assert len(ledger) == 0
    assert ledger.count_created_before(SATURDAY) == 0


def test_older_operations_are_counted_to_the_minute() -> None:
    """Those that answered 404, too: a listing may hold them again."""
    ledger = ledger_of(operation(0, age=6000), operation(1, age=600), operation(2, age=30))
    ledger.mark_not_found(IDS[0])
    assert [ledger.count_created_before(SATURDAY - ago) for ago in (6000, 600, 540, -60)] == [0, 1, 2, 3]


def test_what_is_older_than_the_window_is_not_taken_in() -> None:
    """A listing asks for a little more than the window."""
    assert len(ledger_of(operation(age=WEEK + 1))) == 0


def test_ages_longer_than_the_window_have_no_sums() -> None:
    """Sums labelled 24h over a window of 6h would claim too much."""
    assert list(ledger_of(lookback=6 * 3600.0).recent_totals()) == ["15m", "1h", "6h"]


def test_clock_set_back_brings_back_recent_sums() -> None:
    """What had left the last hour is in it again."""
    ledger = ledger_of(operation(age=3500, failed=1))
    ledger.advance(SATURDAY + 200)
    assert ledger.recent_totals()["1h"].operations == 0
    ledger.advance(SATURDAY)
    assert ledger.recent_totals()["1h"].operations == 1


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    """But its id, until the file has forgotten it, too."""
    ledger = ledger_of(
        operation(0, failed=9), operation(0, failed=3), operation(1, status="processing"), operation(2)
    )
    ledger.mark_not_found(IDS[2])
    ledger.advance(SATURDAY + 2 * WEEK)
    ledger.top_failing(1)
    ledger.top_failing_of_day(1)
    assert ledger.hours() == ()
    store = ledger._store
    kept = [store.packed, store.marks, store.changed, store._minutes, ledger._not_found, ledger._refreshed]
    assert not any([*kept, ledger._failing._window._heap, ledger._failing._day._heap, ledger._hourly._sums])
    assert sorted(ledger.take_changes().forgotten) == IDS[:3]


def test_what_was_forgotten_and_comes_back_before_it_is_saved_stays() -> None:
    """A clock that leaps there and back takes nothing out of the file that is in the ledger."""
    ledger = ledger_of(operation())
    ledger.advance(SATURDAY + 2 * WEEK)
    ledger.advance(SATURDAY)
    ledger.absorb(operation(), SATURDAY)
    changes = ledger.take_changes()
    assert not changes.forgotten
    assert [row.id for row in changes.rows] == [IDS[0]]


def test_marks_are_forgotten_with_their_operation() -> None:
    """Should it come back as a baseline, what it gains from there on counts."""
    ledger = ledger_of(operation(failed=9))
    ledger.absorb(operation(failed=3), SATURDAY)
    ledger.advance(SATURDAY + 2 * WEEK)
    ledger.advance(SATURDAY)
    ledger.absorb(operation(failed=3), SATURDAY)
    before = ledger.counts()["stat", "failed"]
    ledger.absorb(operation(failed=5), SATURDAY)
    assert ledger.counts()["stat", "failed"] - before == 2


@pytest.mark.timeout(20)
def test_clock_that_leaps_takes_no_time() -> None:
    """A machine that boots in 1970 and is then told the date has no minutes to walk through."""
    ledger = Ledger(0.0, WEEK, RECENT_AGES, coverage=0.0)
    for now in (SATURDAY, 0.0, 1e12, SATURDAY):
        ledger.advance(now)
        assert len(ledger) == 0


def test_worst_are_by_failed_and_undelivered_then_the_newer() -> None:
    """None without either, and no more than asked for."""
    mild, bad, newer = operation(0, failed=1), operation(1, undelivered=5, age=900), operation(2, failed=5)
    ledger = ledger_of(mild, bad, newer, operation(3, delivered=100))
    assert ledger.top_failing(10) == [newer, bad, mild]
    assert ledger.top_failing(2) == [newer, bad]
    assert ledger.top_failing(0) == []


def test_unknown_status_is_counted_once() -> None:
    """On first sight, not on every poll."""
    ledger = ledger_of(*[operation(status="unknown")] * 3, operation(1, status="unknown"))
    assert ledger.counts()["unknown", "status"] == 2


def test_unfinished_are_known_by_their_last_reply() -> None:
    """Fetches go to what waited longest."""
    ledger = ledger_of(operation(0, status="processing"), operation(1, status="completed"))
    ledger.absorb(operation(0, status="processing"), SATURDAY + 30)
    assert ledger.unfinished() == {IDS[0]: SATURDAY + 30}


def test_oldest_unfinished_is_by_status() -> None:
    """A status without one is missing."""
    ledger = ledger_of(operation(0, status="scheduled", age=50), operation(1, status="scheduled", age=70))
    assert ledger.oldest_unfinished().created == {"scheduled": SATURDAY - 70}


def test_finished_operation_counts_once() -> None:
    """However often its status goes back and forth; a baseline that came final does not count."""
    ledger = Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=SATURDAY - 3600)
    for n, status in enumerate(("processing", "completed", "processing", "canceled")):
        ledger.absorb(operation(0, status=status, updated_after=n), SATURDAY)
    ledger.absorb(operation(1, status="completed", age=4000), SATURDAY)
    counts = ledger.counts()
    assert (counts["finished", "completed"], counts["finished", "canceled"]) == (1, 0)
    assert counts["operations", ""] == 1


def test_falls_and_late_changes_are_counted() -> None:
    """Each is a sign of how Twilio's stats are to be read."""
    ledger = ledger_of(operation(delivered=9))
    ledger.absorb(operation(delivered=7, opened=2), SATURDAY)
    ledger.absorb(operation(delivered=7, opened=2), SATURDAY)
    counts = ledger.counts()
    assert counts["regressions", "delivered"] == 1
    assert counts["regressions", "opened"] == 0
    assert counts["changed_after_final", ""] == 1


def test_what_leaves_the_window_unfinished_is_counted() -> None:
    """Mail may be scheduled for later than Twilio remembers; what answers 404 by then has expired, too."""
    ledger = ledger_of(
        operation(0, status="scheduled", age=WEEK - 5),
        operation(1, status="processing", age=WEEK - 5),
        operation(2, status="completed", age=WEEK - 5),
    )
    ledger.mark_not_found(IDS[1])
    ledger.advance(SATURDAY + 10)
    assert ledger.counts()["expired_unfinished", ""] == 2


def test_clock_that_leaps_and_returns_counts_on() -> None:
    """What was forgotten is a baseline, and what comes afterwards counts."""
    ledger = ledger_of(operation(0, failed=5))
    ledger.advance(SATURDAY + 365 * 86400)
    ledger.advance(SATURDAY + 60)
    ledger.absorb(operation(0, failed=5), SATURDAY + 60)
    before = ledger.counts()["stat", "failed"]
    ledger.absorb(operation(1, age=-120, failed=2), SATURDAY + 180)
    assert ledger.counts()["stat", "failed"] - before == 2


def test_restored_operations_that_look_the_same_keep_their_own_times() -> None:
    """What is decoded once for many of them sorts none by the time of another."""
    alike = [operation(number, age=age, failed=2) for number, age in enumerate((500.0, 100.0, 300.0))]
    after = Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=SATURDAY)
    after.restore(ledger_of(*alike).take_changes().rows, SATURDAY)
    assert after.top_failing(3) == [alike[1], alike[2], alike[0]]


def test_restored_ledger_is_the_one_that_was_saved() -> None:
    """Sums, marks, what is gone and what is unfinished; and nothing of it is unsaved."""
    before = ledger_of(
        operation(0, delivered=9), operation(1, status="processing", failed=900), operation(2, age=WEEK - 60)
    )
    before.absorb(operation(0, delivered=7, opened=2), SATURDAY)
    before.mark_not_found(IDS[2])
    saved = before.take_changes()
    after = Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=saved.coverage, counts=saved.counts)
    after.restore(saved.rows, SATURDAY)
    assert summarise(after, SATURDAY, top_failing=9, waiting_after=3600.0, counts=ZERO) == summarise(
        before, SATURDAY, top_failing=9, waiting_after=3600.0, counts=ZERO
    )
    assert after.unfinished().keys() == {IDS[1]}
    assert not after.take_changes().rows
    after.absorb(operation(0, delivered=9), SATURDAY)
    assert after.counts()["stat", "delivered"] == before.counts()["stat", "delivered"], "the mark is kept"


def test_taken_changes_stay_as_they_were() -> None:
    """What is absorbed while they are written is part of the next ones."""
    ledger = ledger_of(operation(0, failed=1))
    changes = ledger.take_changes()
    ledger.absorb(operation(0, failed=3, updated_after=1), SATURDAY)
    ledger.absorb(operation(1), SATURDAY)
    (row,) = changes.rows
    assert unpack(row.id, row.packed).operation == operation(0, failed=1)
    assert changes.counts["stat", "failed"] == 0
    assert {row.id for row in ledger.take_changes().rows} == {IDS[0], IDS[1]}


def test_changes_that_could_not_be_saved_are_part_of_the_next_ones() -> None:
    """Rows with their newest values, and deletions of what has not come back."""
    ledger = ledger_of(operation(0), operation(1, age=WEEK - 60), operation(2, age=WEEK - 30))
    ledger.take_changes()
    ledger.absorb(operation(0, failed=1, updated_after=1), SATURDAY)
    ledger.absorb(operation(1, age=WEEK - 60, failed=1, updated_after=1), SATURDAY)
    ledger.advance(SATURDAY + 90)
    failed = ledger.take_changes()
    assert [row.id for row in failed.rows] == [IDS[0]]
    assert set(failed.forgotten) == {IDS[1], IDS[2]}
    ledger.absorb(operation(0, failed=2, updated_after=2), SATURDAY)
    ledger.advance(SATURDAY)
    ledger.absorb(operation(1, age=WEEK - 60), SATURDAY)
    ledger.restore_changes(failed)
    again = ledger.take_changes()
    assert {row.id: row.packed for row in again.rows} == {
        IDS[0]: pack(operation(0, failed=2, updated_after=2), finished=True),
        IDS[1]: pack(operation(1, age=WEEK - 60), finished=True),
    }
    assert set(again.forgotten) == {IDS[2]}


class LedgerAgainstPlainSums(RuleBasedStateMachine):
    """Whatever happens, sums moved by differences equal sums made from scratch."""

    def __init__(self) -> None:
        super().__init__()
        self.now = SATURDAY
        self.lookback = 2 * 86400.0
        self.ledger = Ledger(self.now, self.lookback, RECENT_AGES, coverage=self.now)
        self.known: dict[str, Operation] = {}
        self.not_found: set[str] = set()

    @rule(number=st.integers(0, 7), status=statuses, age=st.floats(0, 200_000), update=st.integers(0, 5),
          stats=drawn_stats())  # fmt: skip
    def reply(self, number: int, status: str, age: float, update: int, stats: Stats) -> None:
        known = self.known.get(IDS[number])
        created_at = known.created_at if known else self.now - age
        reply = Operation(IDS[number], status, created_at, SATURDAY + update, stats)
        self.ledger.absorb(reply, self.now)
        if created_at >= self.now - self.lookback:
            self.not_found.discard(reply.id)
            if known is None or reply.updated_at >= known.updated_at:
                self.known[reply.id] = reply

    @rule(number=st.integers(0, 7))
    def mark_not_found(self, number: int) -> None:
        self.ledger.mark_not_found(IDS[number])
        if IDS[number] in self.known:
            self.not_found.add(IDS[number])

    @rule(seconds=st.floats(0, 100_000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.advance(self.now)
        start = self.now - self.lookback
        self.known = {each: known for each, known in self.known.items() if known.created_at >= start}
        self.not_found &= self.known.keys()

    @rule(seconds=st.floats(0, 100_000))
    def clock_is_set_back(self, seconds: float) -> None:
        self.now -= seconds
        self.ledger.advance(self.now)

    def present(self) -> list[Operation]:
        return [known for each, known in self.known.items() if each not in self.not_found]

    @invariant()
    def sums_are_right(self) -> None:
        snapshot = summarise(self.ledger, self.now, top_failing=3, waiting_after=3600.0, counts=ZERO)
        assert snapshot.window == plain_sums(self.present())
        for name, age in RECENT_AGES.items():
            young = [each for each in self.present() if each.created_at >= self.now - age]
            assert snapshot.recent[name].operations == len(young)
            assert snapshot.recent[name].stats == plain_total(young)

    @invariant()
    def views_are_right(self) -> None:
        snapshot = summarise(self.ledger, self.now, top_failing=3, waiting_after=3600.0, counts=ZERO)
        assert snapshot.tracked_operations == len(self.present())
        unfinished = [each for each in self.present() if not each.is_final]
        assert self.ledger.unfinished().keys() == {each.id for each in unfinished}
        for status in ("scheduled", "processing"):
            ages = [each.created_at for each in unfinished if each.status == status]
            assert snapshot.oldest_created_at.get(status) == min(ages, default=None)
        badness = sorted((trouble(each) for each in self.present() if trouble(each)), reverse=True)
        assert [trouble(each) for each in snapshot.top_failing] == badness[:3]

    @invariant()
    def day_and_hours_are_right(self) -> None:
        snapshot = summarise(self.ledger, self.now, top_failing=3, waiting_after=3600.0, counts=ZERO)
        today = [each for each in self.present() if each.created_at >= self.now - 86400]
        worst = sorted((trouble(each) for each in today if trouble(each)), reverse=True)
        assert [trouble(each) for each in snapshot.top_failing_of_day] == worst
        assert snapshot.hours == tuple(hours(self.present()))


def plain_total(operations: list[Operation]) -> tuple[int, ...]:
    return tuple(sum(each.stats[i] or 0 for each in operations) for i in range(len(STATS)))


def plain_sums(operations: list[Operation]) -> Mapping[str, Totals]:
    by_status = {status: [each for each in operations if each.status == status] for status in STATUSES}
    return {status: Totals(len(some), plain_total(some)) for status, some in by_status.items()}


def trouble(each: Operation) -> int:
    stats = dict(zip(STATS, each.stats, strict=True))
    return (stats["failed"] or 0) + (stats["undelivered"] or 0)


TestLedgerAgainstPlainSums = LedgerAgainstPlainSums.TestCase
TestLedgerAgainstPlainSums.settings = settings(max_examples=60, stateful_step_count=30)
