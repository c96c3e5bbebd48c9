"""Failed and undelivered emails counted by domain and tag."""

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.breakdown import Bad, Row, Tally, tag_keys, top_errors
from exporter.email import Email
from tests.support.mail import an_email

BY = ("recipient_domain", "sender_domain", "tag:campaign")


def rows(*emails: Email, top: int = 10, by: tuple[str, ...] = BY) -> dict[str, tuple[Row, ...]]:
    tally = Tally(by)
    for email in emails:
        tally.absorb(email)
    return tally.rows(top)


def test_an_email_counts_once_in_each_dimension() -> None:
    """With several recipients it counts once for each distinct domain."""
    email = an_email(recipient_domains=("a.example", "b.example"), tags={"campaign": "spring"})
    assert rows(email, email) == {
        "recipient_domain": (
            Row("a.example", Bad(1, 0)),
            Row("b.example", Bad(1, 0)),
            Row("other", Bad()),
        ),
        "sender_domain": (Row("shop.example", Bad(1, 0)), Row("other", Bad())),
        "tag:campaign": (Row("spring", Bad(1, 0)), Row("other", Bad())),
    }


def test_without_bad_mail_there_is_only_other() -> None:
    """An account without bad mail differs from one whose breakdown is off."""
    assert rows() == dict.fromkeys(BY, (Row("other", Bad()),))
    assert rows(an_email(status="delivered")) == rows()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_newest_version_counts(order: tuple[int, ...]) -> None:
    """In any order of arrival an email has the status, domains and tags of its newest `updatedAt`."""
    versions = (
        an_email(status="undelivered", updated_at=1.0, tags={"campaign": "old"}),
        an_email(status="undelivered", updated_at=2.0, recipient_domains=("old.example",)),
        an_email(status="failed", updated_at=3.0),
    )
    tally = Tally(BY)
    for number in order:
        tally.absorb(versions[number])
    assert tally.emails == Bad(1, 0)
    assert tally.rows(10) == rows(versions[2])


def test_later_of_equal_versions_counts() -> None:
    """Both listings may show an email that changed in between."""
    undelivered, delivered = an_email(status="undelivered"), an_email(status="delivered")
    assert rows(undelivered, delivered)["sender_domain"] == (Row("other", Bad()),)
    assert rows(delivered, undelivered)["sender_domain"][0] == Row("shop.example", Bad(0, 1))


def test_the_rest_is_other() -> None:
    """The values with the most emails are shown, of equal ones the first by name; the sums are kept."""
    emails = [
        an_email(10 * number + each, tags={"campaign": name})
        for number, (name, count) in enumerate({"b": 3, "a": 3, "c": 4, "d": 1, "e": 1}.items())
        for each in range(count)
    ]
    by = ("tag:campaign",)
    assert rows(*emails, top=2, by=by)["tag:campaign"] == (
        Row("c", Bad(4, 0)),
        Row("a", Bad(3, 0)),
        Row("other", Bad(5, 0)),
    )


def test_real_names_add_to_ours() -> None:
    """A value that is called `other` or `none` adds to ours, and takes no place among the shown."""
    emails = (
        an_email(1, tags={"campaign": "other"}),
        an_email(2, tags={"campaign": "none"}),
        an_email(3, tags={"campaign": ""}),
        an_email(4, tags={}),
        an_email(5, tags={"campaign": "None"}),
    )
    assert rows(*emails, top=1, by=("tag:campaign",))["tag:campaign"] == (
        Row("none", Bad(3, 0)),
        Row("other", Bad(2, 0)),
    )


values = st.sampled_from(["a.example", "b.example", "c.example", "other", "unknown"])
drawn = st.builds(
    an_email,
    st.integers(0, 30),
    status=st.sampled_from(["failed", "undelivered", "delivered", "unknown"]),
    updated_at=st.integers(0, 3).map(float),
    sender_domain=values,
    recipient_domains=st.lists(values, min_size=1, max_size=3, unique=True).map(tuple),
    tags=st.dictionaries(st.just("campaign"), values),
)


@given(st.lists(drawn), st.integers(1, 6))
def test_counts_are_those_of_the_newest_versions(emails: list[Email], top: int) -> None:
    """Counting on the way gives what counting the newest versions gives, and no more than `top` values."""
    newest: dict[str, Email] = {}
    for email in emails:
        if email.id not in newest or newest[email.id].updated_at <= email.updated_at:
            newest[email.id] = email
    bad = [email for email in newest.values() if email.status in {"failed", "undelivered"}]
    counted = rows(*emails, top=top)
    assert counted == rows(*bad, top=top)
    true = Counter(email.sender_domain for email in bad)
    shown = {row.value: row.bad.total for row in counted["sender_domain"][:-1]}
    assert shown.items() <= true.items()
    assert len(shown) <= top
    assert sum(row.bad.total for row in counted["sender_domain"]) == len(bad)
    assert sum(row.bad.total for row in counted["recipient_domain"]) == sum(
        len(email.recipient_domains) for email in bad
    )


def test_errors_by_code() -> None:
    """The most frequent codes are shown, the others add up."""
    codes = {30007: 4, 30003: 4, 30008: 9, 1: 1}
    assert top_errors(codes, 2) == (("30008", 9), ("30003", 4), ("other", 5))
    assert top_errors({}, 2) == (("other", 0),)


def test_keys_of_tags() -> None:
    """A key may itself have a colon."""
    assert list(tag_keys(("sender_domain", "tag:a", "tag:b:c"))) == ["a", "b:c"]
