"""How many requests a poll makes, compared with the minimum that would give the same data.

The real poller polls accounts of even traffic with the default settings on a manual clock. A stand-in
replaces client and network, so that a million operations take half a minute; tests/system/test_requests.py
checks that the requests are the same over HTTP. The `steady` scenario uses the real client, and counts the
fetches of operations that the same poll listed.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from bench.table import TIMES, Row
from exporter.operation import Operation, Stats
from exporter.simulator.ids import created_ms
from exporter.simulator.journal import RequestRecord
from exporter.simulator.readings import Readings, StatusFilter
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.world import World
from exporter.twilio.protocol import PAGE_SIZE, Page
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import POLL, poller_of, rigged

SIZES: Final = (100, 10_000, 1_000_000)
"""Operations a week."""

GOAL: Final = 1.25
"""Ratio to the minimum: slices are whole pages, and two polls of a sweep are kept in reserve."""

PROCESSING_SECONDS: Final = 30.0
SCHEDULED_EVERY: Final = 1000
"""One operation in this many is sent a day after its creation."""

SCHEDULED_SECONDS: Final = 86400.0
SWEEP_POLLS: Final = int(POLL.sweep_interval / POLL.interval)


@dataclass
class EvenTwilio:
    """A Twilio without a network: operations at regular intervals, whose status depends on the time."""

    per_week: int
    clock: ManualClock
    lists: int = 0
    fetches: int = 0

    @property
    def spacing(self) -> float:
        return POLL.lookback / self.per_week

    async def list_page(self, start: float, end: float, page_token: str | None, **_: Any) -> Page:
        self.lists += 1
        numbers = self.numbers(start, min(end, self.clock.now()))
        begin = int(page_token or numbers.start)
        page = range(begin, min(begin + PAGE_SIZE, numbers.stop))
        token = str(page.stop) if page.stop < numbers.stop else None
        return Page([self.operation(number) for number in page], token)

    async def fetch_operation(self, operation_id: str, **_: float) -> Operation | None:
        self.fetches += 1
        return self.operation(int(operation_id[-25:]))

    def numbers(self, start: float, end: float) -> range:
        """The numbers of the operations created between two instants."""
        return range(math.ceil(start / self.spacing), math.floor(end / self.spacing) + 1)

    def operation(self, number: int) -> Operation:
        created_at = number * self.spacing
        scheduled = number % SCHEDULED_EVERY == 0
        begins = created_at + (SCHEDULED_SECONDS if scheduled else 0.0)
        ends = begins + PROCESSING_SECONDS
        now = self.clock.now()
        status = "scheduled" if now < begins else "processing" if now < ends else "completed"
        updated_at = min(now, ends) if now >= begins else created_at
        return Operation(f"comms_operation_0{number:025d}", status, created_at, updated_at, ONE_MAIL[status])

    def unfinished(self) -> int:
        now = self.clock.now()
        late = self.numbers(now - PROCESSING_SECONDS, now)
        planned = self.numbers(now - SCHEDULED_SECONDS - PROCESSING_SECONDS, now)
        return sum(each % SCHEDULED_EVERY != 0 for each in late) + sum(
            each % SCHEDULED_EVERY == 0 for each in planned
        )


ONE_MAIL: Final = {
    "scheduled": Stats(total=1, recipients=1, attempts=0, scheduled=1),
    "processing": Stats(total=1, recipients=1, attempts=1, scheduled=0, sent=1),
    "completed": Stats(total=1, recipients=1, attempts=1, scheduled=0, sent=0, delivered=1),
}


class Asked(NamedTuple):
    """Average requests per poll over one sweep."""

    lists: float
    fetches: float
    fewest_lists: float
    unfinished: float
    """Operations that are not final: the fewest fetches."""


def fewest_lists(per_week: float) -> float:
    """Minimum per poll: the recent part, and the poll's share of a sweep of the rest, in whole pages."""
    recent = per_week * POLL.recent / POLL.lookback
    by_parts = _pages(recent) + _pages(per_week - recent) / SWEEP_POLLS
    return min(by_parts, _pages(per_week))


def _pages(operations: float) -> int:
    return max(1, math.ceil(operations / PAGE_SIZE))


async def measure(per_week: int, polls: int = SWEEP_POLLS) -> Asked:
    """Averages over `SWEEP_POLLS` polls, after the first three."""
    clock = ManualClock()
    twilio = EvenTwilio(per_week, clock)
    poller = poller_of("bench", twilio, clock)
    for _ in range(3):
        await poller.poll()
        clock.advance(POLL.interval)
    twilio.lists = twilio.fetches = unfinished = 0
    for _ in range(polls):
        unfinished += twilio.unfinished()
        await poller.poll()
        clock.advance(POLL.interval)
    return Asked(twilio.lists / polls, twilio.fetches / polls, fewest_lists(per_week), unfinished / polls)


def rows(sizes: Sequence[int] = SIZES, steady_polls: int = 2 * SWEEP_POLLS) -> list[Row]:
    """Accounts of different sizes, compared with listing or fetching everything on each poll."""
    found = [row for size in sizes for row in compared(size, asyncio.run(measure(size)))]
    steadily = asyncio.run(steady(steady_polls))
    share = 100 * steadily.just_listed / steadily.fetches
    what = f"of {steadily.fetches:.1f} fetches; {steadily.lists:.1f} lists"
    just_listed = "scenario `steady`: fetches of operations that the same poll listed"
    return [*found, Row("Requests", just_listed, share, "%", what), *refreshed(steady_polls)]


def refreshed(polls: int) -> list[Row]:
    """The `steady` scenario with each value of `poll.fetch`, and each way of Twilio to filter by status."""
    rows = []
    for fetch, status_filter in REFRESHED:
        asked = asyncio.run(steady(polls, fetch, status_filter))
        name = f"scenario `steady`, `poll.fetch={fetch}`, filter {status_filter.replace('_', ' ')}: requests"
        what = (
            f"{asked.lists:.1f} lists, {asked.fetches:.1f} fetches each poll; unfinished operations are"
            f" {asked.mean_age_seconds:.0f} s old on average, {asked.max_age_seconds:.0f} s at most"
        )
        rows.append(Row("Requests", name, asked.lists + asked.fetches, "a poll", what))
    return rows


REFRESHED: Final[tuple[tuple[str, StatusFilter], ...]] = (
    ("all", "after_cutting"),
    ("fewest", "before_cutting"),
    ("fewest", "after_cutting"),
    ("fewest", "ignored"),
    ("none", "after_cutting"),
)


def compared(per_week: int, asked: Asked) -> list[Row]:
    name = f"{per_week:,} operations a week, each poll"
    return [
        Row(
            "Requests",
            f"{name}: lists",
            asked.lists / asked.fewest_lists,
            TIMES,
            f"{asked.lists:.2f}; minimum {asked.fewest_lists:.2f}; all in {_pages(per_week):,}",
            GOAL,
        ),
        Row(
            "Requests",
            f"{name}: fetches",
            asked.fetches / asked.unfinished if asked.unfinished else 1.0 + asked.fetches,
            TIMES,
            f"{asked.fetches:.1f}, one for each that is not final; all in {per_week:,}",
            1.01,  # one may become final between the count and the poll
        ),
    ]


class Fetches(NamedTuple):
    """Averages per poll of one account."""

    lists: float
    fetches: float
    just_listed: float
    """Fetches of operations that the same poll's listing contained."""
    mean_age_seconds: float
    """Since the last reply about an unfinished operation, as of the end of a poll."""
    max_age_seconds: float


async def steady(polls: int, fetch: str = "all", status_filter: StatusFilter = "after_cutting") -> Fetches:
    """The `steady` scenario over HTTP, after its first poll."""
    clock = ManualClock()
    asked: list[Fetches] = []
    world = World(SCENARIOS["steady"], started=SATURDAY, readings=Readings(status_filter=status_filter))
    async with rigged(world, clock, fetch=fetch, requests_per_second=1e9) as rig:
        await rig.poll()
        for _ in range(polls):
            clock.advance(POLL.interval)
            rig.simulator.journal.clear()
            await rig.poll()
            replies = rig.poller._ledger.unfinished().values()  # noqa: SLF001 - no metric shows it
            asked.append(_fetches_of(rig.simulator.requests, [clock.now() - at for at in replies]))
    averages = Fetches(*(sum(column) / polls for column in zip(*asked, strict=True)))
    return averages._replace(max_age_seconds=max(each.max_age_seconds for each in asked))


def _fetches_of(requests: Sequence[RequestRecord], ages: Sequence[float]) -> Fetches:
    lists = [each for each in requests if each.call == "list"]
    fetched = [created_ms(each.operation_id or "") or 0 for each in requests if each.call == "fetch"]
    ranges = {(_unix(each.query["startDate"]), _unix(each.query["endDate"])) for each in lists}
    just_listed = [at for at in fetched if any(start <= at / 1000 <= end for start, end in ranges)]
    return Fetches(len(lists), len(fetched), len(just_listed), sum(ages) / max(1, len(ages)), max(ages))


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
