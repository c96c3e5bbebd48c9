"""Single emails: they agree with their operation's stats at every instant, and keep their addresses."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.operation import EMAIL_STATUSES, Operation, Stats
from exporter.simulator.emails import Email, emails_between, emails_of, find_email
from exporter.simulator.ids import EMAIL_PATTERN, email_id, email_place, new_id
from exporter.simulator.life import Life, operation_at
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.world import Row, World
from tests.simulator.test_life import LONGEST_SECONDS, lives, stat, unhurried
from tests.support.clock import SATURDAY
from tests.support.truth import true_counts

EMPTY = World.empty()


def by_status(row: Row, now: float) -> dict[str, int]:
    """Each status asked for on its own, as a client does."""
    return {status: sum(1 for _ in emails_of(EMPTY, row, now, status)) for status in EMAIL_STATUSES}


@unhurried
@given(lives(), st.lists(st.floats(0, LONGEST_SECONDS), max_size=5))
def test_emails_agree_with_the_stats(life: Life, ages: list[float]) -> None:
    """At every instant there are as many emails in each status as the operation's stats say."""
    for now in [event.at for event in life.events[:20]] + [life.created_at + age for age in ages]:
        operation = operation_at(life, now)
        assert by_status(life, now) == {status: stat(operation, status) for status in EMAIL_STATUSES}


@unhurried
@given(lives(), st.lists(st.floats(0, LONGEST_SECONDS), max_size=8))
def test_an_email_keeps_its_identity(life: Life, ages: list[float]) -> None:
    """Only status and updatedAt of an email change, and updatedAt moves with every change."""
    seen = [list(emails_of(EMPTY, life, life.created_at + age)) for age in sorted(ages)]
    for before, after in pairwise(seen):
        for one, other in zip(before, after, strict=True):
            assert one._replace(status="", updated_at=0) == other._replace(status="", updated_at=0)
            assert one.updated_at <= other.updated_at
            assert (one.status == other.status) or one.updated_at < other.updated_at
    for emails in seen:
        assert [email.number for email in emails] == list(range(life.emails))


@given(st.builds(Stats, *[st.none() | st.integers(0, 9) for _ in Stats._fields]))
def test_a_scripted_operation_has_the_emails_of_its_stats(stats: Stats) -> None:
    """Emails follow the eight states; a missing stat is no email."""
    operation = Operation(new_id(1), "completed", SATURDAY - 60, SATURDAY, stats)
    found = by_status(operation, SATURDAY)
    assert found == {status: getattr(stats, status) or 0 for status in EMAIL_STATUSES}


@given(st.integers(0, 2**35 - 1))
def test_ids(number: int) -> None:
    """An email's id matches Twilio's pattern and tells its operation and number."""
    found = email_id(new_id(7), number)
    assert EMAIL_PATTERN.fullmatch(found)
    assert email_place(found) == (new_id(7), number)


def a_world(name: str = "steady") -> World:
    return World(SCENARIOS[name], started=SATURDAY)


def test_each_email_is_found_by_its_id() -> None:
    """What a listing shows is what a fetch finds; ids of others find nothing."""
    world = a_world()
    emails = list(emails_between(world, SATURDAY - 1800, SATURDAY, SATURDAY))
    assert len(emails) > 100
    assert len({email.id for email in emails}) == len(emails)
    assert all(find_email(world, email.id, SATURDAY) == email for email in emails)
    assert find_email(world, email_id(emails[0].operation_id, 10_000), SATURDAY) is None
    assert find_email(world, email_id(new_id("nobody"), 0), SATURDAY) is None
    assert find_email(world, "comms_email_nonsense", SATURDAY) is None


def test_recipients_are_plausible() -> None:
    """A few large providers and a long tail of companies; some emails have no tags."""
    emails = list(emails_between(a_world(), SATURDAY - 86_400, SATURDAY, SATURDAY))
    domains = Counter(email.recipient.rpartition("@")[2] for email in emails)
    assert [domain for domain, _ in domains.most_common(3)] == ["gmail.com", "outlook.com", "yahoo.com"]
    assert len(domains) > 300
    assert 0.3 < domains["gmail.com"] / len(emails) < 0.42
    assert 0.02 < sum(email.tags is None for email in emails) / len(emails) < 0.25
    assert len({email.sender for email in emails}) == 4


@pytest.mark.parametrize(
    ("name", "status", "dimension", "culprit"),
    [
        ("recipient-domain-bounces", "undelivered", "recipient_domain", "yahoo.com"),
        ("sender-refused", "failed", "sender_domain", "offers.shop.example"),
        ("campaign-bad-addresses", "undelivered", "tag:campaign", "win-back"),
    ],
)
def test_a_scenario_has_its_culprit(name: str, status: str, dimension: str, culprit: str) -> None:
    """After the spike the culprit leads in the last hour and in the last day, by far."""
    world, now = a_world(name), SATURDAY + 780
    for age in (3600, 86_400):
        counts = true_counts(world, dimension, now - age, now, now)
        (value, worst), (_, second) = Counter(
            {value: count for (value, each), count in counts.items() if each == status}
        ).most_common(2)
        assert value == culprit
        assert worst > 2 * second


def test_the_culprit_is_one_of_the_usual_ones_before() -> None:
    """Before the spike nobody stands out: the culprit domain has a tenth of the bad emails or so."""
    counts = true_counts(a_world("recipient-domain-bounces"), "recipient_domain", 0, SATURDAY, SATURDAY)
    assert 0.05 < counts["yahoo.com", "undelivered"] / sum(counts.values()) < 0.2


def test_emails_of_a_large_operation_cost_only_what_is_asked_for() -> None:
    """A million emails are not created for one page of them."""
    operation = Operation(new_id(1), "completed", SATURDAY, SATURDAY, Stats(delivered=10**12, failed=3))
    found = emails_of(EMPTY, operation, SATURDAY, "delivered", after=10**11)
    assert isinstance(next(found), Email)
