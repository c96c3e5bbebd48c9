"""Nothing lost, nothing invented: over polls, failures, restarts, crashes and ageing out.

A machine drives a poller and a real state file through random days, and holds every counter against a naive
model that keeps all it was ever told.
"""

import asyncio
import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.errors import Malformed, StateError, Throttled, TwilioError, Unavailable
from exporter.ledger.counters import COUNTED, ZERO, Counts
from exporter.ledger.saved import Changes, Progress
from exporter.ledger.snapshot import Snapshot
from exporter.operation import FINAL_STATUSES, Operation, Stats
from exporter.storage.sqlite import Storage
from tests.support.clock import ManualClock
from tests.support.operations import drawn_stats, statuses
from tests.support.rig import poller_of
from tests.support.twilio import PlainTwilio

HOUR = 3600.0
LOOKBACKS = (1.5 * HOUR, 24 * HOUR)
SETTINGS: dict[str, Any] = {"recent": HOUR, "sweep_interval": 300.0, "top_failing": 3, "page_size": 2}


class CrashError(Exception):
    """The process ends here."""


class CrashingStore:
    """The real state file, with a process that may end before or after the commit, or a disk that is full."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.next: str | None = None

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        now, self.next = self.next, None
        if now == "crash before":
            raise CrashError
        if now == "full disk":
            raise StateError("database or disk is full")
        await self.storage.save(account, changes, progress)
        if now == "crash after":
            raise CrashError


class Model:
    """Keeps every reply, forgets by the calendar, and sums at the end: no marks, no differences."""

    def __init__(self, coverage: float) -> None:
        self.coverage = coverage
        self.highest: dict[str, dict[str, int]] = {}
        self.lowest: dict[str, dict[str, int]] = {}  # what a stat counts from
        self.settled: dict[str, int] = dict.fromkeys(COUNTED, 0)  # of what was forgotten
        self.operations = 0
        self.finished: dict[str, str] = {}  # how each became final; "" for a baseline that came so
        self.settled_finished = {"completed": 0, "canceled": 0}
        self.born: dict[str, float] = {}
        self.newest: dict[str, float] = {}

    def request_received(self, reply: Operation, window_start: float) -> None:
        if reply.created_at < window_start:
            return
        baseline = reply.created_at < self.coverage
        is_new = reply.id not in self.born
        if is_new:
            self.born[reply.id] = reply.created_at
            self.operations += not baseline
        highest, lowest = self.highest.setdefault(reply.id, {}), self.lowest.setdefault(reply.id, {})
        for stat in COUNTED:
            value = getattr(reply.stats, stat)
            if value is not None:
                lowest.setdefault(stat, value if baseline else 0)
                highest[stat] = max(value, highest.get(stat, 0))
        newest = self.newest.get(reply.id, reply.updated_at)
        if reply.updated_at >= newest:
            self.newest[reply.id] = reply.updated_at
            if reply.status in FINAL_STATUSES and reply.id not in self.finished:
                self.finished[reply.id] = "" if is_new and baseline else reply.status

    def forget(self, window_start: float) -> None:
        for each in [each for each, born in self.born.items() if born < window_start]:
            for stat, value in self.highest.pop(each).items():
                self.settled[stat] += max(0, value - self.lowest[each][stat])
            how = self.finished.pop(each, "")
            if how:
                self.settled_finished[how] += 1
            del self.lowest[each], self.born[each], self.newest[each]
        self.coverage = max(self.coverage, window_start)

    def counts(self) -> dict[tuple[str, str], float]:
        counted: dict[tuple[str, str], float] = {}
        for stat in COUNTED:
            live = sum(
                max(0, self.highest[each][stat] - self.lowest[each][stat])
                for each in self.born
                if stat in self.highest[each]
            )
            counted["stat", stat] = self.settled[stat] + live
        counted["operations", ""] = self.operations
        for how, settled in self.settled_finished.items():
            counted["finished", how] = settled + sum(each == how for each in self.finished.values())
        return counted


def copied(model: Model) -> Model:
    return copy.deepcopy(model)


class CountersThatSurvive(RuleBasedStateMachine):
    """Any order of polls, changes, failures, stale replies, restarts, crashes and lookbacks."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.twilio = PlainTwilio()
        self.created = 0
        self.lookback = LOOKBACKS[0]
        self.published: list[Snapshot] = []
        self.shown: Counts = ZERO
        self.model = Model(self.clock.now())
        self.safe: Model | None = None  # as of the last commit
        self.start()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.runner.run(self.storage.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def start(self) -> None:
        """A process begins: it takes up what is saved, or begins to count."""
        self.storage = Storage(self.folder / "state", keep=["a"], window=self.lookback)
        self.run(self.storage.open())
        self.store = CrashingStore(self.storage)
        self.poller = poller_of(
            "a",
            self.twilio,
            self.clock,
            publish=self.publish,
            store=self.store,
            lookback=self.lookback,
            **SETTINGS,
        )
        self.is_settled = False
        restored = self.run(self.storage.load("a", self.poller.rebuild))
        if restored is None:
            self.model = Model(self.clock.now())
            self.window_start = self.clock.now() - self.lookback
        else:
            assert self.safe is not None
            self.model = copied(self.safe)
            snapshot = self.poller.resume(restored)
            self.window_start = snapshot.as_of - self.lookback
            self.model.forget(self.window_start)
            self.see(snapshot)
        self.crash_at_publish = False
        self.twilio.replies.clear()

    def publish(self, _: str, snapshot: Snapshot) -> None:
        if self.crash_at_publish:
            raise CrashError
        self.published.append(snapshot)

    def see(self, snapshot: Snapshot) -> None:
        """What a scrape would show never falls, except of a counter of things that may be revised."""
        assert all(snapshot.counts[key] >= self.shown[key] for key in ZERO)
        self.shown = snapshot.counts

    def request_received(self) -> None:
        for reply in self.twilio.replies:
            self.model.request_received(reply, self.window_start)
        self.twilio.replies.clear()

    def poll(self) -> bool:
        """Whether it was published; afterwards the model has heard what the poller has."""
        crashed = False
        if not self.model.born and not self.poller._progress.listed_intervals:
            self.model = Model(self.clock.now())  # coverage begins with the first poll that lists anything
            self.window_start = self.clock.now() - self.lookback
        try:
            snapshot = self.run(self.poller.poll())
        except TwilioError:
            self.request_received()
            self.is_settled = False
            self.window_start = self.poller._ledger._window.start  # it moves when the listing is whole
            self.model.forget(self.window_start)
            return False
        except CrashError:
            snapshot, crashed = None, True
        self.request_received()
        self.is_settled = True
        self.window_start = self.clock.now() - self.lookback
        self.model.forget(self.window_start)
        if self.committed:
            self.safe = copied(self.model)
        if crashed:
            self.restart(self.lookback)
            return False
        self.see(snapshot)
        return True

    # What may happen.

    @rule(status=statuses, age=st.sampled_from([0.0, 60.0, HOUR, 3 * HOUR]), stats=drawn_stats(5))
    def create(self, status: str, age: float, stats: Stats) -> None:
        name = f"comms_operation_0{self.created:025d}"
        self.created += 1
        at = self.clock.now() - age
        self.twilio.operations[name] = Operation(name, status, at, at, stats)

    @precondition(lambda self: self.twilio.operations)
    @rule(data=st.data(), moves=st.booleans(), hole=st.booleans())
    def change(self, data: st.DataObject, moves: bool, hole: bool) -> None:
        names = st.sampled_from(sorted(self.twilio.operations))
        for name in data.draw(st.lists(names, min_size=1, max_size=4, unique=True)):
            before = self.twilio.operations[name]
            stats: Stats = data.draw(drawn_stats(9))
            self.twilio.operations[name] = before._replace(
                status=data.draw(statuses),
                stats=stats._replace(total=None) if hole else stats,
                updated_at=self.clock.now() if moves else before.updated_at,
            )

    @precondition(lambda self: self.twilio.operations)
    @rule(data=st.data(), stats=drawn_stats(9), age=st.floats(0, HOUR))
    def reply_stale(self, data: st.DataObject, stats: Stats, age: float) -> None:
        name = data.draw(st.sampled_from(sorted(self.twilio.operations)))
        truth = self.twilio.operations[name]
        self.twilio.stale[name] = truth._replace(stats=stats, updated_at=truth.updated_at - age)

    @precondition(lambda self: self.twilio.operations)
    @rule(data=st.data())
    def hide_or_show(self, data: st.DataObject) -> None:
        """It answers 404 from now on, or comes back."""
        self.twilio.hidden ^= {data.draw(st.sampled_from(sorted(self.twilio.operations)))}

    @rule(seconds=st.sampled_from([60.0, HOUR, 2 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def poll_well(self) -> None:
        self.committed = True
        self.poll()

    @rule(error=st.sampled_from([Unavailable("x"), Malformed("x"), Throttled("x")]))
    def poll_with_a_failure(self, error: TwilioError) -> None:
        self.twilio.failures.append(error)
        self.committed = True
        self.poll()
        self.twilio.failures.clear()

    @rule(trouble=st.sampled_from(["crash before", "crash after", "full disk"]))
    def poll_with_trouble_at_the_commit(self, trouble: str) -> None:
        self.store.next = trouble
        self.committed = trouble == "crash after"
        self.poll()
        self.store.next = None

    @rule()
    def poll_with_a_crash_between_commit_and_publish(self) -> None:
        self.crash_at_publish = True
        self.committed = True
        self.poll()
        self.crash_at_publish = False

    @rule(lookback=st.sampled_from(LOOKBACKS), saves=st.booleans())
    def restart_cleanly(self, lookback: float, saves: bool) -> None:
        if saves:
            self.run(self.poller.close())
            if self.is_settled:
                self.safe = copied(self.model)
        self.restart(lookback)

    def restart(self, lookback: float) -> None:
        self.run(self.storage.close())
        self.lookback = lookback
        self.start()

    @invariant()
    def counters_are_those_of_the_model(self) -> None:
        if hasattr(self, "poller"):
            counts = self.poller._ledger.counts()
            expected = self.model.counts()
            assert {key: counts[key] for key in expected} == expected


TestCountersThatSurvive = pytest.mark.long(CountersThatSurvive.TestCase)
TestCountersThatSurvive.settings = settings(max_examples=300, stateful_step_count=40)
