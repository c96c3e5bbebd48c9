"""Listing failed and undelivered emails within a budget of requests."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import pytest

from exporter.email import Email, EmailPage
from exporter.errors import Truncated, Unavailable
from exporter.polling.bad_mail import Wanted, list_bad_mail
from exporter.polling.endless import STALE_PAGES
from exporter.twilio.client import RequestBudget
from tests.support.clock import SATURDAY
from tests.support.mail import ScriptedMail, an_email
from tests.support.operations import IDS

T = TypeVar("T")

WANTED = Wanted(SATURDAY - 86400, SATURDAY, tag_keys=frozenset({"campaign"}))


async def at_once(request: Callable[[float], Awaitable[T]]) -> T:
    return await request(0.0)


async def listed(
    api: ScriptedMail, requests: int = 20, wanted: Wanted = WANTED
) -> tuple[list[Email], bool, int]:
    """The emails, whether all were listed, and the requests that are left."""
    emails: list[Email] = []
    budget = RequestBudget(requests)
    is_complete = await list_bad_mail(api, wanted, emails.append, budget, at_once)
    return emails, is_complete, budget.left


def pages(first: int, number: int, **changes: object) -> list[EmailPage]:
    """Pages of one email each, with tokens between them."""
    return [
        EmailPage((an_email(first + n, **changes),), f"{first}-{n}" if n < number - 1 else None)
        for n in range(number)
    ]


async def test_both_statuses_are_listed_to_their_end() -> None:
    """One request for each page, with every parameter, until there is no next token."""
    api = ScriptedMail({"failed": [*pages(0, 2)], "undelivered": [*pages(10, 1)]})
    emails, is_complete, left = await listed(api)
    assert sorted(emails) == sorted([an_email(0), an_email(10), an_email(1)])
    assert (is_complete, left) == (True, 17)
    assert api.ranges == {(SATURDAY - 86410, SATURDAY + 10)}
    assert api.tag_keys == {frozenset({"campaign"})}


@pytest.mark.parametrize(
    ("requests", "asked"),
    [
        (1, ["failed"]),
        (4, ["failed", "undelivered", "failed", "undelivered"]),
        (6, ["failed", "undelivered", "failed", "undelivered", "failed", "failed"]),
    ],
)
async def test_budget_cuts_both_statuses(requests: int, asked: list[str]) -> None:
    """Their pages alternate; when one has ended, the other one takes the rest."""
    api = ScriptedMail({"failed": [*pages(0, 9)], "undelivered": [*pages(10, 2)]})
    emails, is_complete, left = await listed(api, requests)
    assert [name for name, _ in api.asked] == asked
    assert (len(emails), is_complete, left) == (requests, False, 0)


async def test_budget_that_is_just_enough_is_enough() -> None:
    """The listing is complete where the last request brings the last page."""
    api = ScriptedMail({"failed": [*pages(0, 3)], "undelivered": [*pages(10, 1)]})
    assert (await listed(api, 4))[1:] == (True, 0)


async def test_empty_page_is_not_the_last() -> None:
    """A page may be empty although there is a next one."""
    empty = EmailPage((), "more")
    api = ScriptedMail({"failed": [empty, *pages(0, 1)], "undelivered": [EmailPage((), None)]})
    assert (await listed(api))[:2] == ([an_email(0)], True)


async def test_repeated_token_ends_the_listing() -> None:
    """The listing would not end."""
    again = [EmailPage((an_email(n),), "again") for n in range(3)]
    api = ScriptedMail({"failed": [*again], "undelivered": [EmailPage((), None)]})
    with pytest.raises(Truncated, match="token was repeated"):
        await listed(api)
    assert len(api.asked) == 3


async def test_pages_without_anything_new_end_the_listing() -> None:
    """New tokens and repeated rows: the listing would not end."""
    endless = [EmailPage((an_email(0),), f"t{n}") for n in range(50)]
    api = ScriptedMail({"failed": [*endless], "undelivered": [EmailPage((), None)]})
    with pytest.raises(Truncated, match="without a new row"):
        await listed(api, 50)
    assert len(api.asked) == 2 + STALE_PAGES


async def test_error_passes_through() -> None:
    """The first failure ends the listing."""
    api = ScriptedMail({"failed": [Unavailable("x")], "undelivered": []})
    with pytest.raises(Unavailable):
        await listed(api)


async def test_rows_that_were_not_asked_for_are_dropped() -> None:
    """Older ones, newer ones, and those of another operation where one was asked for."""
    start = WANTED.start
    rows = (
        an_email(1, created_at=start - 0.1),
        an_email(2, created_at=start),
        an_email(3, created_at=SATURDAY + 10),
        an_email(4, created_at=SATURDAY + 11),
        an_email(5, operation_id=IDS[1]),
        an_email(6, operation_id=None),
    )

    def api() -> ScriptedMail:
        return ScriptedMail({"failed": [EmailPage(rows, None)], "undelivered": [EmailPage((), None)]})

    assert (await listed(api()))[0] == [rows[1], rows[2], rows[4], rows[5]]
    wanted = Wanted(start, SATURDAY, operation_id=IDS[0])
    assert (await listed(api(), wanted=wanted))[0] == [rows[1], rows[2], rows[5]]


async def test_each_status_keeps_its_own_tokens() -> None:
    """The same token in both listings is no repetition."""
    number = count()

    def two() -> list[EmailPage]:
        return [EmailPage((an_email(next(number)),), "t"), EmailPage((an_email(next(number)),), None)]

    api = ScriptedMail({"failed": [*two()], "undelivered": [*two()]})
    assert (await listed(api))[1]
    assert api.asked == [("failed", None), ("undelivered", None), ("failed", "t"), ("undelivered", "t")]
