"""One account, wired as in the exporter, but with a manual clock, so that no waiting time is measured.

It has no web service.
"""

import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exporter.config.accounts import Account
from exporter.config.settings import Api, Poll, Settings, State
from exporter.events import Event, PollFinished, RequestFinished
from exporter.observers.hub import Hub
from exporter.polling import resume
from exporter.polling.scheduler import Scheduler
from exporter.polling.service import Polling
from tests.support.clock import ManualClock

ACCOUNT = "bench"


@dataclass
class Program:
    hub: Hub
    scheduler: Scheduler
    clock: ManualClock
    events: list[Event] = field(default_factory=list)

    @property
    def tracked(self) -> int:
        snapshot = self.hub.statuses.accounts[ACCOUNT].snapshot
        return snapshot.tracked_operations if snapshot else 0

    async def poll(self, interval: float) -> tuple[PollFinished, int]:
        """Runs the next poll; returns its outcome and its requests."""
        self.clock.advance(-self.clock.monotonic() % interval)
        self.events.clear()
        await self.scheduler.attempt()
        (finished,) = (each for each in self.events if isinstance(each, PollFinished))
        if finished.error:
            raise finished.error
        return finished, sum(isinstance(each, RequestFinished) for each in self.events)


@asynccontextmanager
async def program(
    base_url: str, poll: Mapping[str, float] | None = None, state: Path | None = None
) -> AsyncIterator[Program]:
    account = Account.model_validate({"name": ACCOUNT, "account_sid": f"AC{0:032x}", "auth_token": "secret"})
    settings = Settings(
        api=Api(base_url=base_url, requests_per_second=100.0),
        poll=Poll.model_validate(poll or {}),
        state=State(path=state),
        accounts=(account,),
    )
    clock = ManualClock()
    hub = Hub(settings, clock)
    polling = Polling(settings, clock, hub)
    async with (
        resume.open_storage(settings, [ACCOUNT], clock) as storage,
        polling.schedulers(storage) as (scheduler,),
    ):
        gc.freeze()  # as the program does
        made = Program(hub, scheduler, clock)
        hub.observers.append(made.events.append)
        yield made
