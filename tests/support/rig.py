"""A poller on a real socket against the simulator, with a clock that tests move."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from exporter.clock import Clock
from exporter.config.alerts import Alerts
from exporter.config.settings import Api as ApiSettings
from exporter.config.settings import Poll
from exporter.errors import TwilioError
from exporter.events import Event, Observer, PollFinished
from exporter.ledger.snapshot import Snapshot
from exporter.polling.poller import Api, Poller, Publish, Store
from exporter.polling.scheduler import Scheduler
from exporter.simulator.server import Simulator
from exporter.simulator.world import World
from exporter.twilio.client import Client
from exporter.twilio.credentials import Credential
from exporter.twilio.rate_limiter import RateLimiter
from exporter.twilio.transport import open_transport
from tests.support.clock import ManualClock, SkewedClock

ACCOUNT = "tests"

POLL = Poll()
CONCURRENCY = 2
TOP_FAILING = 20

R = TypeVar("R", bound=Event)


def poller_of(
    account: str,
    api: Api,
    clock: Clock,
    *,
    emit: Observer = lambda _: None,
    publish: Publish = lambda *_: None,
    store: Store | None = None,
    **changes: Any,
) -> Poller:
    """A poller with the default settings, and changes to them and to its other parameters."""
    poll = POLL.model_copy(update={name: changes.pop(name) for name in Poll.model_fields if name in changes})
    return Poller(
        account,
        api,
        clock,
        poll,
        emit,
        publish,
        store,
        **{"concurrency": CONCURRENCY, "top_failing": TOP_FAILING, "alerts": Alerts(), **changes},
    )


@dataclass
class Rig:
    simulator: Simulator
    clock: ManualClock
    """Twilio's clock; the exporter's may be set wrong."""
    own_clock: Clock
    client: Client
    rate_limiter: RateLimiter
    credential: Credential
    changes: dict[str, Any]
    events: list[Event] = field(default_factory=list)
    published: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.poller = poller_of(
            ACCOUNT,
            self.client,
            self.own_clock,
            emit=self.events.append,
            publish=lambda _, snapshot: self.published.append(snapshot),
            **self.changes,
        )
        self.scheduler = Scheduler(
            ACCOUNT,
            self.poller.poll,
            self.credential.renewed,
            self.own_clock,
            self.events.append,
            interval=self.changes.get("interval", POLL.interval),
        )

    async def poll(self) -> Snapshot:
        return await self.poller.poll()

    async def fail(self) -> TwilioError:
        """A poll that must not succeed, and must not publish."""
        before = len(self.published)
        try:
            await self.poller.poll()
        except TwilioError as error:
            assert len(self.published) == before
            return error
        raise AssertionError("the poll succeeded")

    def emitted(self, kind: type[R]) -> list[R]:
        return [each for each in self.events if isinstance(each, kind)]

    @property
    def last_poll(self) -> PollFinished:
        return self.emitted(PollFinished)[-1]

    def requests(self) -> dict[str, int]:
        """Requests since the last call, by API call."""
        counted = self.simulator.requests_by_call
        self.simulator.journal.by_call.clear()
        return counted


@asynccontextmanager
async def rigged(
    world: World,
    clock: ManualClock,
    *,
    timeout: float = 10.0,
    requests_per_second: float = 50.0,
    secret: str | None = None,
    base_url: str | None = None,
    ca_file: Path | None = None,
    seconds_ahead: float = 0.0,
    **changes: Any,
) -> AsyncIterator[Rig]:
    concurrency = changes.get("concurrency", CONCURRENCY)
    own_clock = SkewedClock(clock, seconds_ahead)
    async with Simulator(world, clock) as simulator:
        wanted = ApiSettings(
            base_url=base_url or simulator.base_url,
            timeout=timeout,
            concurrency=concurrency,
            ca_file=ca_file,
        )
        async with open_transport(wanted) as transport:
            rate_limiter = RateLimiter(requests_per_second)
            events: list[Event] = []
            pair = (simulator.credential[0], SecretStr(secret or simulator.credential[1]))
            credential = Credential(ACCOUNT, lambda: pair, events.append)
            client = Client(
                ACCOUNT,
                transport,
                credential,
                rate_limiter,
                own_clock,
                events.append,
                concurrency=concurrency,
            )
            yield Rig(simulator, clock, own_clock, client, rate_limiter, credential, changes, events)
