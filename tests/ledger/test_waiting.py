"""Emails without an outcome, by the age of their operation's sending."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.ledger.waiting import WaitingEmails, waiting_emails
from exporter.operation import Operation, Stats
from exporter.simulator.life import operation_at
from exporter.simulator.readings import Readings, States
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.traffic import draw_life
from tests.support.clock import SATURDAY
from tests.support.lives import waiting
from tests.support.operations import IDS, operation


@pytest.mark.parametrize(
    ("found", "waiting"),
    [
        (operation(status="processing", total=9, queued=4, sent=5), 9),
        (operation(total=9, sent=9, delivered=7, opened=2), 0),
        (operation(total=9, sent=9, delivered=7), 2),
        (operation(total=9, sent=3, delivered=4, undelivered=2), 3),
        (operation(status="scheduled", total=9, queued=9), 0),
        (operation(status="canceled", total=9, sent=2, canceled=7), 2),
        (operation(status="unknown", total=9, sent=2), 2),
        (operation(sent=3), 0),
        (operation(total=3, sent=9, failed=5), 0),
        (operation(total=3), 0),
    ],
    ids=[
        *("on the way", "accumulated and settled", "accumulated", "exclusive", "scheduled", "canceled"),
        *("unknown status", "without total", "more outcomes than emails", "nothing is known"),
    ],
)
def test_waiting_emails_of_an_operation(found: Operation, waiting: int) -> None:
    """What is handed over and not settled, and never more than `total` leaves."""
    assert waiting_emails(found) == waiting


@pytest.mark.parametrize("states", ["exclusive", "cumulative"])
@given(seed=st.integers(0, 10_000), passed=st.floats(0, 2e5))
def test_waiting_is_never_too_high(states: States, seed: int, passed: float) -> None:
    """Under both readings it is at most the number of emails that are on their way in truth."""
    rng = random.Random(seed)
    life = draw_life(rng, SATURDAY, SCENARIOS["slow-providers"], SCENARIOS["slow-providers"].mix)
    found = operation_at(life, SATURDAY + passed, Readings(states=states))
    on_the_way = waiting(life, SATURDAY + passed)
    assert waiting_emails(found) <= on_the_way
    if states == "exclusive" and found.status != "scheduled":
        assert waiting_emails(found) == on_the_way


class WaitingAgainstPlainSums(RuleBasedStateMachine):
    """Sums by minute are the sums over all operations, to the instant."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = WaitingEmails()
        self.known: dict[str, tuple[float, int]] = {}

    @rule(name=st.sampled_from(IDS), began=st.floats(0, 400), emails=st.integers(0, 5))
    def put(self, name: str, began: float, emails: int) -> None:
        self.waiting.put(name, began, emails)
        self.known[name] = began, emails

    @rule(name=st.sampled_from(IDS))
    def drop(self, name: str) -> None:
        self.waiting.drop(name)
        self.known.pop(name, None)

    @invariant()
    def sums_are_right(self) -> None:
        instants = [0.0, 60.0, 119.9, 401.0, *(began for began, _ in self.known.values())]
        plain = [
            sum(emails for began, emails in self.known.values() if began <= instant) for instant in instants
        ]
        assert self.waiting.begun_by(instants) == plain


TestWaitingAgainstPlainSums = WaitingAgainstPlainSums.TestCase


def test_nothing_is_kept_of_what_does_not_wait() -> None:
    """A million settled operations cost nothing."""
    kept = WaitingEmails()
    kept.put("a", 30.0, 2)
    kept.put("a", 30.0, 0)
    assert not kept._began
    assert not kept._minutes
    assert not kept._totals
    assert waiting_emails(Operation("a", "completed", 0.0, 1.0, Stats(total=1, delivered=1))) == 0
