"""Polls before the breakdown's requests, on a clock that the test moves."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from exporter.errors import Unavailable, Unreachable
from exporter.ledger.snapshot import Snapshot
from exporter.polling.precedence import MAX_INTERRUPTIONS, PollPrecedence
from exporter.twilio.rate_limiter import RateLimiter
from tests.support.clock import ManualClock
from tests.support.states import SHOP, snapshot_of

INTERVAL = 60.0
SNAPSHOT = snapshot_of(SHOP)


@dataclass
class Account:
    """Polls that take `poll_seconds`, and requests that take `request_seconds` and need the rate limiter."""

    rate: float = 10.0
    poll_seconds: float = 5.0
    request_seconds: float = 1.0
    clock: ManualClock = field(default_factory=lambda: ManualClock(settle_turns=10))
    sent_at: list[float] = field(default_factory=list)
    give_up_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rate_limiter = RateLimiter(self.rate)
        self.precedence = PollPrecedence(self.clock, self.rate_limiter, interval=INTERVAL)

    async def poll(self) -> Snapshot:
        await self.clock.sleep(self.poll_seconds)
        return SNAPSHOT

    async def fail(self) -> Snapshot:
        await self.clock.sleep(self.poll_seconds)
        raise Unavailable("x")

    async def request(self, give_up_at: float) -> str:
        self.sent_at.append(self.clock.monotonic())
        self.give_up_at.append(give_up_at)
        self.rate_limiter.acquire(self.clock.monotonic())
        await self.clock.sleep(self.request_seconds)
        return "reply"

    async def poll_on(self, times: int) -> None:
        """Polls at the interval."""
        for number in range(times):
            await self.clock.sleep(number * INTERVAL - self.clock.monotonic())
            await self.precedence.run_poll(self.poll)

    def ask(self) -> "asyncio.Future[str]":
        return asyncio.ensure_future(self.precedence.between_polls(self.request))

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0)


async def test_request_waits_for_the_end_of_the_first_successful_poll() -> None:
    """Nothing is sent before it, nor after a poll that failed."""
    account = Account()
    asked = account.ask()
    with pytest.raises(Unavailable):
        await account.precedence.run_poll(account.fail)
    assert not account.sent_at
    await account.precedence.run_poll(account.poll)
    assert await asked == "reply"
    assert account.sent_at == [10.0]


async def test_request_gives_up_before_the_next_poll_needs_the_rate_limiter() -> None:
    """Its retries end one spacing before the next poll is due."""
    account = Account(rate=0.5)
    await account.precedence.run_poll(account.poll)
    await account.ask()
    assert account.give_up_at == [60.0 - 2.0]


@pytest.mark.parametrize(
    ("at", "is_sent"), [(5.0, True), (57.9, True), (58.1, False), (60.0, False), (61.0, False)]
)
async def test_request_is_not_sent_just_before_a_poll(at: float, is_sent: bool) -> None:
    """Where the rate limiter would hold back the poll's first request, it waits for the end of that poll."""
    account = Account(rate=0.5)
    await account.precedence.run_poll(account.poll)
    account.clock.advance(at - account.clock.monotonic())
    asked = account.ask()
    for _ in range(5):
        await asyncio.sleep(0)
    assert bool(account.sent_at) == is_sent
    if not is_sent:
        await account.precedence.run_poll(account.poll)
    await asked
    assert account.sent_at == [at if is_sent else at + 5.0]


async def test_a_pause_beyond_the_next_poll_is_waited_out() -> None:
    """No request is even begun while a `Retry-After` holds the account."""
    account = Account()
    polls = asyncio.ensure_future(account.poll_on(3))
    account.rate_limiter.pause(100.0)
    assert await account.ask() == "reply"
    assert account.sent_at == [65.0], "the pause ends before the poll after that is due"
    await polls


async def test_poll_cancels_a_request_in_flight() -> None:
    """The poll does not wait for it; the request is sent again after the poll."""
    account = Account(request_seconds=58.0)
    polls = asyncio.ensure_future(account.poll_on(2))
    asked = account.ask()
    await account.until(lambda: len(account.sent_at) == 2)
    assert account.sent_at == [5.0, 65.0]
    account.request_seconds = 0.0
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await polls


async def test_request_that_never_fits_is_given_up() -> None:
    """After as many polls have cancelled it."""
    account = Account(request_seconds=58.0)
    polls = asyncio.ensure_future(account.poll_on(MAX_INTERRUPTIONS + 1))
    with pytest.raises(Unreachable) as caught:
        await account.ask()
    assert caught.value.reason == "timeout"
    assert len(account.sent_at) == MAX_INTERRUPTIONS
    await polls


async def test_a_long_poll_moves_the_next_one() -> None:
    """Polls that overrun skip grid points; the time until the next one is free."""
    account = Account(poll_seconds=70.0)
    await account.precedence.run_poll(account.poll)
    await account.ask()
    assert account.give_up_at == [pytest.approx(119.9)]


async def test_cancellation_of_the_refresher_passes_through() -> None:
    """At any await, in flight or while it waits; the request is cancelled, too."""
    account = Account(request_seconds=1000.0)
    waiting = account.ask()
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await account.precedence.run_poll(account.poll)
    asked = account.ask()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await account.precedence.run_poll(account.poll)
    account.request_seconds = 0.0
    assert await account.ask() == "reply"


async def test_time_between_polls_is_waited_for() -> None:
    """A refresh begins when its first request can be sent: its timestamp is not older than its numbers."""
    account = Account(rate=0.5)
    waiting = asyncio.ensure_future(account.precedence.time_between_polls())
    await account.precedence.run_poll(account.poll)
    assert await waiting == 60.0 - 5.0 - 2.0


async def test_last_snapshot() -> None:
    """The result of the last successful poll; the first one is waited for."""
    account = Account()
    waiting = asyncio.ensure_future(account.precedence.last_snapshot())
    with pytest.raises(Unavailable):
        await account.precedence.run_poll(account.fail)
    assert not waiting.done()
    await account.precedence.run_poll(account.poll)
    assert await waiting is SNAPSHOT
