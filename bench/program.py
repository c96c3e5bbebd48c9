"""Accounts, wired as in the exporter, but with a manual clock, so that no waiting time is measured.

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
    schedulers: list[Scheduler]
    clock: ManualClock
    events: list[Event] = field(default_factory=list)

    @property
    def tracked(self) -> int:
        snapshot = self.hub.statuses.accounts[ACCOUNT].snapshot
        return snapshot.tracked_operations if snapshot else 0

    async def poll(self, interval: float) -> tuple[PollFinished, int]:
        """Runs the next poll of the only account; returns its outcome and its requests."""
        requests = await self.poll_all(interval)
        (finished,) = (each for each in self.events if isinstance(each, PollFinished))
        return finished, requests

    async def poll_all(self, interval: float) -> int:
        """Runs the next poll of each account; returns the requests of all."""
        self.clock.advance(-self.clock.monotonic() % interval)
        self.events.clear()
        for scheduler in self.schedulers:
            await scheduler.attempt()
        for each in self.events:
            if isinstance(each, PollFinished) and each.error:
                raise each.error
        return sum(isinstance(each, RequestFinished) for each in self.events)


@asynccontextmanager
async def program(
    base_url: str, poll: Mapping[str, float] | None = None, state: Path | None = None, accounts: int = 1
) -> AsyncIterator[Program]:
    names = [ACCOUNT, *(f"{ACCOUNT}-{number}" for number in range(1, accounts))]
    credential = {"account_sid": f"AC{0:032x}", "auth_token": "secret"}
    settings = Settings(
        api=Api(base_url=base_url, requests_per_second=100.0),
        poll=Poll.model_validate(poll or {}),
        state=State(path=state),
        accounts=tuple(Account.model_validate({"name": name, **credential}) for name in names),
    )
    clock = ManualClock()
    hub = Hub(settings, clock)
    polling = Polling(settings, clock, hub)
    async with (
        resume.open_storage(settings, names, clock) as storage,
        polling.schedulers(storage) as schedulers,
    ):
        gc.freeze()  # as the program does
        made = Program(hub, schedulers, clock)
        hub.observers.append(made.events.append)
        yield made
