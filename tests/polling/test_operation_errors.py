"""The errors of the worst operations: counted, cut, and given up for good."""

from collections import Counter

import pytest

from exporter.email import EmailPage, ErrorPage
from exporter.errors import Malformed, Refused, Throttled, Truncated, TwilioError, Unavailable, Unreadable
from exporter.events import Event, OperationErrorsUnsupported
from exporter.polling.operation_errors import ErrorCounts, ErrorReader
from exporter.twilio.client import RequestBudget
from tests.polling.test_bad_mail import at_once
from tests.support.mail import ScriptedMail
from tests.support.operations import IDS, operation
from tests.support.states import snapshot_of

SNAPSHOT = snapshot_of(
    (
        operation(0, total=9, failed=5),
        operation(1, total=9, failed=3, undelivered=3),
        operation(2, total=9, undelivered=9),
        operation(3, total=9, delivered=9),
    )
)

Pages = dict[str, list[EmailPage | ErrorPage | TwilioError | None]]


async def read(pages: Pages, requests: int = 20) -> tuple[ErrorCounts | None, ScriptedMail]:
    api = ScriptedMail(pages)
    reader = ErrorReader("a", api, lambda _: None)
    return await reader.read(SNAPSHOT, RequestBudget(requests), at_once), api


async def test_errors_of_operations_with_failed_mail_are_counted() -> None:
    """Undelivered mail alone has no errors to ask for."""
    found, api = await read(
        {IDS[0]: [ErrorPage((1, 2), "t"), ErrorPage((2,), None)], IDS[1]: [ErrorPage((3,), None)]}
    )
    assert found == ErrorCounts(Counter({2: 2, 1: 1, 3: 1}), complete=True)
    assert api.asked == [(IDS[1], None), (IDS[0], None), (IDS[0], "t")]


async def test_budget_that_ends_cuts_them() -> None:
    """What was read is a lower bound."""
    found, _ = await read({IDS[1]: [ErrorPage((3,), None)]}, 1)
    assert found == ErrorCounts(Counter({3: 1}), complete=False)
    assert (await read({}, 0))[0] == ErrorCounts(Counter(), complete=False)


async def test_no_failed_mail_costs_no_request() -> None:
    """An account whose mail arrives is not asked about."""
    reader = ErrorReader("a", ScriptedMail({}), lambda _: None)
    snapshot = snapshot_of((operation(2, total=9, undelivered=9),))
    assert await reader.read(snapshot, RequestBudget(0), at_once) == ErrorCounts(Counter(), complete=True)


@pytest.mark.parametrize("answer", [None, Unreadable("x"), Refused("x"), Malformed("x")])
async def test_unsupported_call_is_never_made_again(answer: TwilioError | None) -> None:
    """A 404, another refusal or an unknown form: one event, and no further request."""
    api = ScriptedMail({IDS[1]: [answer]})
    events: list[Event] = []
    reader = ErrorReader("a", api, events.append)
    for _ in range(3):
        assert await reader.read(SNAPSHOT, RequestBudget(20), at_once) is None
    assert len(api.asked) == 1
    (event,) = events
    assert isinstance(event, OperationErrorsUnsupported)


@pytest.mark.parametrize("error", [Unavailable("x"), Throttled("x")])
async def test_other_failures_pass_through(error: TwilioError) -> None:
    """They may be over at the next refresh."""
    api = ScriptedMail({IDS[1]: [error, ErrorPage((3,), None)], IDS[0]: [ErrorPage((), None)]})
    reader = ErrorReader("a", api, lambda _: None)
    with pytest.raises(type(error)):
        await reader.read(SNAPSHOT, RequestBudget(20), at_once)
    found = await reader.read(SNAPSHOT, RequestBudget(20), at_once)
    assert found == ErrorCounts(Counter({3: 1}), complete=True)


async def test_repeated_token_ends_them() -> None:
    """Errors have no id, so that repeated pages would be counted again."""
    again = ErrorPage((1,), "t")
    with pytest.raises(Truncated):
        await read({IDS[1]: [ErrorPage((3,), None)], IDS[0]: [again, again, again]})
