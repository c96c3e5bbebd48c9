"""The simulated Twilio Email API on a real socket.

This module records each request and applies authentication, the concurrency limit and faults; `Api` creates
the content of the reply. Time comes only from the clock.
"""

import asyncio
import base64
import hmac
from functools import partial
from types import TracebackType
from typing import Final, Self

from aiohttp import hdrs, web  # noqa: TID251 - home of aiohttp

from exporter import __version__
from exporter.clock import Clock
from exporter.simulator.api import Api
from exporter.simulator.delivery import deliver
from exporter.simulator.faults import Fault
from exporter.simulator.journal import Endpoint, Journal, RequestRecord
from exporter.simulator.listener import Listener
from exporter.simulator.listing import Tokens
from exporter.simulator.plan import Faults, trouble
from exporter.simulator.reply import Reply, error_reply, flat_error_json
from exporter.simulator.world import World

ACCOUNT_SID: Final = "AC" + "0123456789abcdef" * 2
CREDENTIAL: Final = (ACCOUNT_SID, "simulated-auth-token")
OPERATIONS_PATH: Final = "/v1/Emails/Operations"
PATHS: Final[dict[Endpoint, str]] = {
    "list": OPERATIONS_PATH,
    "fetch": f"{OPERATIONS_PATH}/{{id}}",
    "errors": f"{OPERATIONS_PATH}/{{id}}/Errors",
    "emails": "/v1/Emails",
    "email": "/v1/Emails/{id}",
}


class Simulator:
    """Listens while the context is entered. Public attributes may be changed at any time.

    `credential`: SID and secret for HTTP Basic. `max_concurrency`: requests in flight beyond it get 429.
    Each request takes `latency_seconds` by the clock. `overlap_turns` is the number of event loop iterations
    that each request stays in flight, so that requests sent together overlap although no time passes.
    `port` 0: any free one.
    """

    def __init__(
        self,
        world: World,
        clock: Clock,
        *,
        credential: tuple[str, str] = CREDENTIAL,
        max_concurrency: int | None = None,
        latency_seconds: float = 0.0,
        overlap_turns: int = 0,
        date_skew_seconds: float = 0.0,
        token_lifetime_seconds: float = 3600.0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.world = world
        self.faults = Faults()
        self.journal = Journal()
        self.credential = credential
        self.max_concurrency = max_concurrency
        self.latency_seconds = latency_seconds
        self.overlap_turns = overlap_turns
        self.date_skew_seconds = date_skew_seconds
        self._clock = clock
        self._api = Api(world, Tokens(credential[0], token_lifetime_seconds))
        self._listener = Listener(host, port)
        self._closing = asyncio.Event()

    @property
    def base_url(self) -> str:
        """Corresponds to Twilio's `https://comms.twilio.com/v1`."""
        return f"{self._listener.origin}/v1"

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """The newest 20,000 API requests, in order of arrival."""
        return self.journal.records

    @property
    def requests_by_call(self) -> dict[str, int]:
        return {"list": 0, "fetch": 0, **self.journal.by_call}

    @property
    def max_in_flight(self) -> int:
        return self.journal.max_in_flight

    def rotate_credential(self, secret: str) -> None:
        """Changes the secret; the old one gets 401 from now on."""
        self.credential = (self.credential[0], secret)

    async def __aenter__(self) -> Self:
        self._closing = asyncio.Event()  # belongs to the loop of this start
        await self._listener.open(
            (
                web.get("/", self._introduce, allow_head=False),
                *(
                    web.get(path, partial(self.serve, call=call), allow_head=False)
                    for call, path in PATHS.items()
                ),
            )
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        await self._listener.close()

    async def _introduce(self, request: web.Request) -> web.Response:
        return web.Response(
            text=f"Simulated Twilio Email Operations API ({self.world.scenario.name}), "
            f"twilio-email-exporter {__version__}: {request.url.origin()}{OPERATIONS_PATH}\n"
        )

    async def serve(self, request: web.Request, call: Endpoint) -> web.StreamResponse:
        operation_id = request.query.get("operationId") if call == "emails" else request.match_info.get("id")
        fault = self.faults.take(call, operation_id) or self._trouble()
        number = self.journal.arrive(_record(request, self._clock.now(), call, operation_id, fault))
        crowded = self.max_concurrency is not None and self.journal.in_flight > self.max_concurrency
        status: int | None = None
        try:
            await self._linger()
            reply = self._crowded() if crowded else self._reply(request, call, fault)
            if fault:
                reply = fault.change(reply)
            response = await deliver(request, reply, number, clock=self._clock, closing=self._closing)
            status = reply.status if reply.is_sent else None
            return response
        finally:
            self.journal.leave(number, status)

    def _trouble(self) -> Fault | None:
        elapsed = self._clock.now() - self.world.started
        return trouble(self.world.scenario, elapsed, self.journal.arrived + 1)

    async def _linger(self) -> None:
        for _ in range(self.overlap_turns):
            await asyncio.sleep(0)  # noqa: TID251 - yields to the event loop, no wait
        if self.latency_seconds:
            await self._clock.sleep(self.latency_seconds)

    def _crowded(self) -> Reply:
        reply = error_reply(self._at(), 429, "Too many concurrent requests.")
        return reply.with_header("Retry-After", "1")

    def _reply(self, request: web.Request, call: Endpoint, fault: Fault | None) -> Reply:
        at = self._at()
        if not self._is_authorized(request):
            reply = Reply(at, 401).with_json(flat_error_json(401))
            return reply.with_header(hdrs.WWW_AUTHENTICATE, 'Basic realm="Twilio API"')
        now = self._clock.now()
        pairs, wanted = request.query.items(), request.match_info.get("id", "")
        empty_page = fault is not None and fault.empty_page
        match call:
            case "list":
                return self._api.list_operations(pairs, now, at, empty_page=empty_page)
            case "fetch":
                return self._api.fetch_operation(wanted, now, at)
            case "errors":
                return self._api.list_errors(wanted, pairs, now, at, empty_page=empty_page)
            case "emails":
                return self._api.list_emails(pairs, now, at, empty_page=empty_page)
            case "email":
                return self._api.fetch_email(wanted, now, at)

    def _at(self) -> float:
        return self._clock.now() + self.date_skew_seconds

    def _is_authorized(self, request: web.Request) -> bool:
        right = b"Basic " + base64.b64encode(":".join(self.credential).encode())
        given = request.headers.get(hdrs.AUTHORIZATION, "").encode(errors="surrogateescape")
        return hmac.compare_digest(right, given)


def _record(
    request: web.Request, at: float, call: Endpoint, operation_id: str | None, fault: Fault | None
) -> RequestRecord:
    return RequestRecord(
        at,
        call,
        request.path,
        dict(request.query),
        operation_id,
        user_agent=request.headers.get(hdrs.USER_AGENT),
        authorized=hdrs.AUTHORIZATION in request.headers,
        fault=fault.name if fault else None,
    )
