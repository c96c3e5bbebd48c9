"""A poller on a real socket against the simulator, with a clock that tests move."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from exporter.config.settings import Api
from exporter.errors import TwilioError
from exporter.events import Event, PollFinished
from exporter.ledger.snapshot import Snapshot
from exporter.polling.poller import Poller, PollSettings
from exporter.polling.scheduler import Scheduler
from exporter.simulator.listing import Rules
from exporter.simulator.server import Simulator
from exporter.simulator.world import World
from exporter.twilio.client import Client
from exporter.twilio.credentials import Credential
from exporter.twilio.rate_limiter import RateLimiter
from exporter.twilio.transport import open_transport
from tests.support.clock import ManualClock

ACCOUNT = "tests"

SETTINGS = PollSettings(
    interval=60.0,
    lookback=7 * 86400.0,
    recent=7200.0,
    sweep_interval=900.0,
    concurrency=2,
    top_failing=20,
)

R = TypeVar("R", bound=Event)


@dataclass
class Rig:
    simulator: Simulator
    clock: ManualClock
    client: Client
    rate_limiter: RateLimiter
    credential: Credential
    settings: PollSettings
    reports: list[Event] = field(default_factory=list)
    published: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.poller = Poller(
            ACCOUNT,
            self.client,
            self.clock,
            self.settings,
            self.reports.append,
            lambda _, snapshot: self.published.append(snapshot),
        )
        self.loop = Scheduler(
            ACCOUNT,
            self.poller.poll,
            self.credential.renewed,
            self.clock,
            self.reports.append,
            interval=self.settings.interval,
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

    def reported(self, kind: type[R]) -> list[R]:
        return [report for report in self.reports if isinstance(report, kind)]

    @property
    def last_poll(self) -> PollFinished:
        return self.reported(PollFinished)[-1]

    def requests(self) -> dict[str, int]:
        """Since the last call."""
        counted = self.simulator.requests_by_call
        self.simulator.journal.by_call.clear()
        return counted


@asynccontextmanager
async def rigged(
    world: World,
    clock: ManualClock,
    *,
    rules: Rules | None = None,
    timeout: float = 10.0,
    requests_per_second: float = 50.0,
    secret: str | None = None,
    base_url: str | None = None,
    ca_file: Path | None = None,
    **changes: Any,
) -> AsyncIterator[Rig]:
    settings = replace(SETTINGS, **changes)
    async with Simulator(world, clock, rules=rules) as simulator:
        api = Api(
            base_url=base_url or simulator.base_url,
            timeout=timeout,
            concurrency=settings.concurrency,
            ca_file=ca_file,
        )
        async with open_transport(api) as transport:
            rate_limiter = RateLimiter(requests_per_second)
            reports: list[Event] = []
            pair = (simulator.credential[0], SecretStr(secret or simulator.credential[1]))
            credential = Credential(ACCOUNT, lambda: pair, reports.append)
            client = Client(
                ACCOUNT,
                transport,
                credential,
                rate_limiter,
                clock,
                reports.append,
                concurrency=settings.concurrency,
            )
            yield Rig(simulator, clock, client, rate_limiter, credential, settings, reports)
