"""The way to Twilio, on a real socket: the error table row by row, retries, holds, limits."""

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from exporter import __version__
from exporter.config.settings import Api
from exporter.errors import (
    OUTCOMES,
    RETRY_REASONS,
    Malformed,
    Refused,
    Throttled,
    TwilioError,
    Unauthorized,
    Unavailable,
    Unreachable,
    Unreadable,
)
from exporter.events import (
    RequestFinished,
    RequestRetried,
    RequestsPaused,
    RequestsResumed,
    RowsUnreadable,
)
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.world import World
from exporter.twilio.client import MAX_ATTEMPTS, Client
from exporter.twilio.credentials import Credential
from exporter.twilio.protocol import MAX_REPLY_BYTES, Page, Reply, Request, Secret
from exporter.twilio.rate_limiter import RateLimiter
from exporter.twilio.transport import open_session
from tests.simulator.ask import a_world, an_operation
from tests.support.certificates import make_certificates
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import Rig, rigged

OPERATION = an_operation()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    world = World.empty()
    world.put(OPERATION)
    async with rigged(world, ManualClock()) as rig:
        yield rig


async def list_page(rig: Rig, patience: float = 60.0) -> Page:
    now = rig.clock.now()
    return await rig.client.list_page(now - 86400, now, None, give_up_at=rig.clock.monotonic() + patience)


async def test_both_calls_are_made_with_the_credential_and_our_name(rig: Rig) -> None:
    """And what comes is typed."""
    assert await list_page(rig) == Page([OPERATION], None, clock_skew_seconds=0.0)
    assert await rig.client.fetch_operation(OPERATION.id, give_up_at=60) == OPERATION
    for request in rig.simulator.requests:
        assert request.user_agent == f"twilio-email-exporter/{__version__}"
        assert request.authorized
    codes = [(each.call, each.code) for each in rig.emitted(RequestFinished)]
    assert codes == [("list", "200"), ("fetch", "200")]


async def test_listing_of_one_status(rig: Rig) -> None:
    """Every page repeats the filter, and the call is still `list`."""
    rig.simulator.world.put(*(an_operation(number)._replace(status="scheduled") for number in range(1, 1500)))
    now = rig.clock.now()
    first = await rig.client.list_page(now - 86400, now, None, give_up_at=60, status="scheduled")
    second = await rig.client.list_page(now - 86400, now, first.next_token, give_up_at=60, status="scheduled")
    shown = [*first.operations, *second.operations]
    assert {each.status for each in shown} == {"scheduled"}
    assert len(shown) == 1499
    assert [each.query["status"] for each in rig.simulator.requests] == ["SCHEDULED"] * 2
    assert {each.call for each in rig.emitted(RequestFinished)} == {"list"}


async def test_page_token_survives_the_url(rig: Rig) -> None:
    """Tokens hold `+`, `/` and `=`; the simulator takes no other than its own."""
    rig.simulator.world.put(*(an_operation(number) for number in range(1500)))
    first = await list_page(rig)
    assert first.next_token
    assert set("+/=") <= set(first.next_token)
    now = rig.clock.now()
    second = await rig.client.list_page(now - 86400, now, first.next_token, give_up_at=60)
    assert len(first.operations) + len(second.operations) == 1501


# The error table of docs/architecture.md: fault, what it ends as, requests made, seconds waited at least.
NO_RETRY = [
    (faults.status(400), Refused, "400"),
    (faults.status(401, body="flat"), Unauthorized, "401"),
    (faults.status(403, body="flat"), Unauthorized, "403"),
    (faults.status(404), Refused, "404"),
    (faults.status(500), Unavailable, "500"),
    (faults.status(500, body="html"), Unavailable, "500"),
    (faults.redirect("http://127.0.0.1:1/"), Malformed, "302"),
    (faults.cut_json(), Unreadable, "200"),
    (faults.misspelt_json(), Unreadable, "200"),
    (faults.without_operations(), Unreadable, "200"),
    (faults.status(200, body="html"), Unreadable, "200"),
    (faults.status(200, body="empty"), Unreadable, "200"),
    (faults.oversized(MAX_REPLY_BYTES + 1), Unreadable, "200"),
]

RETRIED = [
    (faults.status(429), Throttled, "429", "throttled"),
    (faults.status(502, body="html"), Unavailable, "502", "unavailable"),
    (faults.status(503), Unavailable, "503", "unavailable"),
    (faults.status(504, body="empty"), Unavailable, "504", "unavailable"),
    (faults.reset(), Unreachable, "connection", "connection"),
    (faults.cut(), Unreachable, "connection", "connection"),
]


@pytest.mark.parametrize(("fault", "kind", "code"), NO_RETRY, ids=lambda each: getattr(each, "name", None))
async def test_what_a_retry_would_not_mend_is_asked_once(
    rig: Rig, fault: Fault, kind: type[TwilioError], code: str
) -> None:
    """One request, one typed error, no wait."""
    rig.simulator.faults.add(fault, call="list", times=None)
    with pytest.raises(kind) as caught:
        await list_page(rig)
    assert type(caught.value) is kind
    assert [each.code for each in rig.emitted(RequestFinished)] == [code]
    assert len(rig.simulator.requests) == 1
    assert rig.clock.monotonic() == 0


@pytest.mark.parametrize(
    ("fault", "kind", "code", "reason"), RETRIED, ids=lambda each: getattr(each, "name", None)
)
async def test_what_may_pass_is_retried_with_back_off(
    rig: Rig, fault: Fault, kind: type[TwilioError], code: str, reason: str
) -> None:
    """Up to a number of attempts, ever further apart; then the last error is told."""
    rig.simulator.faults.add(fault, call="list", times=None)
    with pytest.raises(kind):
        await list_page(rig)
    requests = rig.simulator.requests
    assert len(requests) == MAX_ATTEMPTS
    gaps = [later.at - earlier.at for earlier, later in pairwise(requests)]
    assert all(0.5 * 2**n <= gap <= 0.5 * 2**n + 0.6 for n, gap in enumerate(gaps))
    assert {each.code for each in rig.emitted(RequestFinished)} == {code}
    assert [each.reason for each in rig.emitted(RequestRetried)] == [reason] * (MAX_ATTEMPTS - 1)
    assert reason in RETRY_REASONS


async def test_one_broken_connection_is_one_retry(rig: Rig) -> None:
    """aiohttp would repeat a GET by itself, unseen; it is kept from it."""
    rig.simulator.faults.add(faults.reset())
    assert (await list_page(rig)).operations == [OPERATION]
    assert len(rig.simulator.requests) == 2
    assert len(rig.emitted(RequestRetried)) == 1


async def test_time_out_covers_the_whole_request() -> None:
    """A server that takes the request and says nothing is left after `api.timeout`."""
    async with rigged(World.empty(), ManualClock(), timeout=0.05) as rig:
        rig.simulator.faults.add(faults.hang(), times=None)
        with pytest.raises(Unreachable) as caught:
            await list_page(rig)
        assert caught.value.reason == "timeout"
        # On a slow machine an attempt may be over before it has reached the server.
        assert [each.code for each in rig.emitted(RequestFinished)] == ["timeout"] * MAX_ATTEMPTS


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_obeyed(rig: Rig, code: int, as_date: bool) -> None:
    """Seconds or date: the same request leaves again when it is over, and not before."""
    rig.simulator.faults.add(faults.status(code, retry_after=7, as_date=as_date))
    await list_page(rig)
    first, second = rig.simulator.requests
    assert 7 <= second.at - first.at < 8


async def test_retry_after_holds_every_request_of_the_account(rig: Rig) -> None:
    """Not just the one that met it."""
    rig.simulator.faults.add(faults.status(429, retry_after=9))
    start = rig.clock.now()
    await asyncio.gather(*(list_page(rig) for _ in range(6)))
    early = [request for request in rig.simulator.requests if request.at - start < 9]
    assert len(early) <= 2, "at most what was in flight when the hold came"
    assert len(rig.simulator.requests) == 7


@pytest.mark.parametrize(("code", "kind"), [(429, Throttled), (502, Unavailable), (503, Unavailable)])
async def test_retry_after_beyond_the_poll_ends_it(rig: Rig, code: int, kind: type[TwilioError]) -> None:
    """Until the pause is over no request is sent, and each call fails for the reason of the pause."""
    rig.simulator.faults.add(faults.status(code, retry_after=300))
    with pytest.raises(kind, match="300 s"):
        await list_page(rig)
    with pytest.raises(kind, match="outlasts this poll"):
        await list_page(rig)
    assert len(rig.simulator.requests) == 1
    assert rig.clock.monotonic() == 0
    rig.clock.advance(300)
    assert (await list_page(rig)).operations == [OPERATION]


class AnsweringTogether:
    """A transport that answers each request once as many are in flight as there are replies."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self._all_sent = asyncio.Barrier(len(replies))

    async def exchange(self, request: Request, username: str, secret: Secret) -> Reply:
        reply = self._replies.pop()
        await self._all_sent.wait()
        return reply


@pytest.mark.parametrize(
    ("seconds_by_status", "kind"), [({429: 300, 503: 200}, Throttled), ({429: 200, 503: 300}, Unavailable)]
)
@pytest.mark.parametrize("order", [1, -1])
async def test_error_during_a_pause_is_that_of_the_longest(
    seconds_by_status: dict[int, int], kind: type[TwilioError], order: int
) -> None:
    """Of two pauses that overlap, whichever came first."""
    replies = [Reply(code, {"Retry-After": str(pause)}, b"") for code, pause in seconds_by_status.items()]
    pair = ("user", SecretStr("secret"))
    client = Client(
        "a",
        AnsweringTogether(*replies[::order]),
        Credential("a", lambda: pair, lambda _: None),
        RateLimiter(100),
        ManualClock(),
        lambda _: None,
        concurrency=2,
    )

    async def fetch() -> None:
        await client.fetch_operation(OPERATION.id, give_up_at=60)

    await asyncio.gather(*(fetch() for _ in replies), return_exceptions=True)
    with pytest.raises(kind, match="outlasts this poll") as caught:
        await fetch()
    assert type(caught.value) is kind


async def test_event_of_a_pause_has_its_reason(rig: Rig) -> None:
    """Throttled for 429, unavailable for 503."""
    for code, reason in ((429, "throttled"), (503, "unavailable")):
        rig.simulator.faults.add(faults.status(code, retry_after=2))
        await list_page(rig)
        assert rig.emitted(RequestsPaused)[-1].reason == reason
    assert len(rig.emitted(RequestsPaused)) == len(rig.emitted(RequestsResumed)) == 2


async def test_no_retry_begins_after_the_caller_gives_up(rig: Rig) -> None:
    """The back-off that would reach beyond is not begun."""
    rig.simulator.faults.add(faults.status(503), times=None)
    with pytest.raises(Unavailable):
        await list_page(rig, patience=1.4)
    assert len(rig.simulator.requests) == 2
    assert rig.clock.monotonic() <= 1.4


class CountingClock(ManualClock):
    """Notes how long each wait is."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await super().sleep(seconds)


@pytest.mark.parametrize(("retry_after", "least"), [(7, 7.0), (None, 0.5)])
async def test_a_retry_waits_once(retry_after: int | None, least: float) -> None:
    """For the longer of its back-off and the pause of the account, not for one after the other."""
    clock = CountingClock()
    async with rigged(a_world(), clock) as rig:
        rig.simulator.faults.add(faults.status(503, retry_after=retry_after))
        await list_page(rig)
    (wait,) = clock.waits
    assert least <= wait <= least + 0.6


async def test_request_that_backs_off_lets_others_pass() -> None:
    """It holds no slot meanwhile."""
    async with rigged(a_world(), ManualClock(settle_turns=40), concurrency=1) as rig:
        rig.simulator.faults.add(faults.status(503))
        await asyncio.gather(list_page(rig), list_page(rig))
        statuses = [(request.status, request.at < SATURDAY + 0.5) for request in rig.simulator.requests]
        assert statuses == [(503, True), (200, True), (200, False)]


async def test_404_on_a_fetch_is_no_error(rig: Rig) -> None:
    """The operation is gone."""
    rig.simulator.world.remove(OPERATION.id)
    assert await rig.client.fetch_operation(OPERATION.id, give_up_at=60) is None


async def test_ceilings_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests a second and requests in flight, whatever is asked for at once."""
    left: list[float] = []  # departures: when it arrives is up to a clock that jumps meanwhile
    take = RateLimiter.acquire

    def noting(rate_limiter: RateLimiter, now: float) -> None:
        left.append(now)
        take(rate_limiter, now)

    monkeypatch.setattr(RateLimiter, "acquire", noting)
    async with rigged(World.empty(), ManualClock(), requests_per_second=5, concurrency=2) as rig:
        rig.simulator.overlap_turns = 20
        await asyncio.gather(*(list_page(rig, patience=1e6) for _ in range(20)))
        assert rig.simulator.max_in_flight <= 2
        assert len(left) == 20
        assert all(later - earlier >= 0.2 - 1e-6 for earlier, later in pairwise(left))


async def test_rows_that_were_left_out_are_reported(rig: Rig) -> None:
    """Unreadable rows are reported by JSON path, once for each page that has any."""
    rig.simulator.faults.add(faults.wrong_type(("operations", 0, "stats", "failed"), "5"))
    assert await list_page(rig) == Page([], None, ("$.operations[0].stats.failed",), 0.0)
    assert rig.emitted(RowsUnreadable) == [
        RowsUnreadable(rig.client.account, ("$.operations[0].stats.failed",))
    ]
    await list_page(rig)
    assert len(rig.emitted(RowsUnreadable)) == 1


@pytest.mark.parametrize("fault", [faults.status(200, body="html"), faults.wrong_type(("stats",), None)])
async def test_unreadable_reply_to_a_fetch_is_an_error_of_its_own(rig: Rig, fault: Fault) -> None:
    """Neither a refused credential nor wrong clocks: the next fetch may well be answered."""
    rig.simulator.faults.add(fault, call="fetch")
    with pytest.raises(Unreadable):
        await rig.client.fetch_operation(OPERATION.id, give_up_at=60)


async def test_clock_skew_is_ours_less_theirs(rig: Rig) -> None:
    """From the `Date` of a reply, which has whole seconds."""
    rig.simulator.date_skew_seconds = -90
    await list_page(rig)
    assert rig.emitted(RequestFinished)[0].clock_skew_seconds == pytest.approx(90, abs=1)


async def test_request_id_of_twilio_is_kept(rig: Rig) -> None:
    """A support ticket wants it."""
    rig.simulator.faults.add(faults.status(500))
    with pytest.raises(Unavailable) as caught:
        await list_page(rig)
    assert caught.value.request_id


async def test_no_error_tells_a_secret_a_token_or_a_body(rig: Rig) -> None:
    """Neither as text nor in its repr or its causes."""
    secret = rig.simulator.credential[1]
    spoilers = [*(row[0] for row in NO_RETRY), *(row[0] for row in RETRIED)]
    for fault in spoilers:
        rig.simulator.faults.add(fault, call="list", times=MAX_ATTEMPTS)
        with pytest.raises(TwilioError) as caught:
            await rig.client.list_page(0, 1, "dG9rZW4+/w==", give_up_at=1e9)
        rig.simulator.faults.clear()
        told = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
        assert secret not in told
        assert "dG9rZW4" not in told
        assert "<html" not in told


async def test_unreachable_host_and_refused_connection_are_told_apart_from_time_outs() -> None:
    """The message names what a firewall may block."""
    async with rigged(World.empty(), ManualClock(), base_url="http://127.0.0.1:1/v1") as rig:
        with pytest.raises(Unreachable, match="no connection") as caught:
            await list_page(rig)
        assert caught.value.reason == "connection"


@asynccontextmanager
async def served(
    handle: Callable[[web.Request], Awaitable[web.Response]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server of one page; gives its base URL."""
    application = web.Application()
    application.router.add_get("/v1/Emails/Operations", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def test_compressed_bomb_is_not_swallowed() -> None:
    """The bound is on what comes out, not on what is sent."""
    bomb = gzip.compress(b" " * (MAX_REPLY_BYTES + 1))

    async def explode(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with served(explode) as url, rigged(World.empty(), ManualClock(time.time()), base_url=url) as rig:
        with pytest.raises(Malformed, match="longer than"):
            await list_page(rig)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("kind", ["", "lax-"])
async def test_private_ca_is_trusted_when_named(tmp_path: Path, kind: str) -> None:
    """And not without `api.ca_file`. A lax one does not state what it may be used for."""
    make_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / f"{kind}server.pem", tmp_path / f"{kind}server.key")

    async def empty(_: web.Request) -> web.Response:
        return web.json_response({"operations": [], "pagination": {"next": None, "self": ""}})

    async with served(empty, tls) as url:
        authority = tmp_path / f"{kind}ca.pem"
        async with rigged(World.empty(), ManualClock(time.time()), base_url=url, ca_file=authority) as rig:
            assert (await list_page(rig)).operations == []
        async with rigged(World.empty(), ManualClock(time.time()), base_url=url) as rig:
            with pytest.raises(Unreachable, match="TLS"):
                await list_page(rig)


async def test_password_in_netrc_is_not_looked_for() -> None:
    """aiohttp would refuse to send ours beside one that it found in a home directory."""
    async with open_session(Api()) as session:
        assert not session.trust_env


def test_every_way_a_poll_ends_has_a_name() -> None:
    """The label values of the contract."""
    assert set(OUTCOMES) == {
        "success", "unauthorized", "throttled", "unavailable", "unreachable", "malformed", "truncated",
    }  # fmt: skip
