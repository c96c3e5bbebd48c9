"""How many requests a poll makes, beside the fewest that would tell the same: `python -m bench.requests`.

The real poller polls accounts of even traffic on a clock that is moved, with the default settings; a
stand-in answers in place of client and network, so that a million operations take half a minute. That the
same poller makes the same requests over HTTP is shown in tests/test_requests.py. For the `steady` scenario
everything is real, and the fetches are told apart: those whose row the same poll had just listed.
"""

import argparse
import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from exporter.operation import Operation, stats_of
from exporter.poller import Poller
from exporter.simulator import SCENARIOS, RequestRecord, World
from exporter.simulator.ids import created_ms
from exporter.wire import PAGE_SIZE, Page
from tests.clock import SATURDAY, ManualClock
from tests.rig import SETTINGS, rigged

SIZES: Final = (100, 10_000, 1_000_000)
"""Operations a week."""

GOAL: Final = 1.25
"""Times the floor: slices are whole pages, and two polls of a sweep are kept in reserve."""

PROCESSING_SECONDS: Final = 30.0
SCHEDULED_EVERY: Final = 1000
"""One operation in so many is sent a day after it was created."""

SCHEDULED_SECONDS: Final = 86400.0
SWEEP_POLLS: Final = int(SETTINGS.sweep_interval / SETTINGS.interval)


@dataclass
class EvenTwilio:
    """A Twilio without a network: operations at even distances; what they are follows from the time."""

    per_week: int
    clock: ManualClock
    lists: int = 0
    fetches: int = 0

    @property
    def spacing(self) -> float:
        return SETTINGS.lookback / self.per_week

    async def list_page(self, start: float, end: float, page_token: str | None, **_: float) -> Page:
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
        """Of the operations created between two instants."""
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
    "scheduled": stats_of(total=1, recipients=1, attempts=0, scheduled=1),
    "processing": stats_of(total=1, recipients=1, attempts=1, scheduled=0, sent=1),
    "completed": stats_of(total=1, recipients=1, attempts=1, scheduled=0, sent=0, delivered=1),
}


class Row(NamedTuple):
    """Requests in a poll, on the average of a sweep."""

    name: str
    lists: float
    fetches: float
    fewest_lists: float
    unfinished: float
    """Operations that are not final: the fewest fetches."""
    list_all: float
    """Listing the whole window on every poll, and fetching what is not final."""
    fetch_all: float
    """Fetching every operation of the window on every poll."""
    goal: float = GOAL

    @property
    def figure(self) -> float:
        return self.lists + self.fetches

    @property
    def floor(self) -> float:
        return self.fewest_lists + self.unfinished

    @property
    def met(self) -> bool:
        """Lists are held against the goal by themselves: fetches would hide them."""
        return self.lists <= self.goal * self.fewest_lists and self.fetches <= self.unfinished


def fewest_lists(per_week: float) -> float:
    """In a poll: the recent part, and of the rest as much as a sweep leaves to each; whole pages."""
    recent = per_week * SETTINGS.recent / SETTINGS.lookback
    by_parts = _pages(recent) + _pages(per_week - recent) / SWEEP_POLLS
    return min(by_parts, _pages(per_week))


def _pages(operations: float) -> int:
    return max(1, math.ceil(operations / PAGE_SIZE))


async def measure(per_week: int, polls: int = SWEEP_POLLS) -> Row:
    """After the first poll and two more, so many polls."""
    clock = ManualClock()
    twilio = EvenTwilio(per_week, clock)
    poller = Poller("bench", twilio, clock, SETTINGS, lambda _: None, lambda _, __: None)
    for _ in range(3):
        await poller.poll()
        clock.advance(SETTINGS.interval)
    twilio.lists = twilio.fetches = unfinished = 0
    for _ in range(polls):
        unfinished += twilio.unfinished()
        await poller.poll()
        clock.advance(SETTINGS.interval)
    each = unfinished / polls
    return Row(
        f"{per_week:,} operations a week",
        twilio.lists / polls,
        twilio.fetches / polls,
        fewest_lists(per_week),
        each,
        _pages(per_week) + each,
        1 + per_week,
    )


def rows(sizes: Sequence[int] = SIZES) -> list[Row]:
    """One for each size of account."""
    return [asyncio.run(measure(size)) for size in sizes]


class Fetches(NamedTuple):
    """Of one account, in a poll on the average."""

    lists: float
    fetches: float
    just_listed: float
    """Fetches of operations whose row the same poll's listing had brought."""


async def steady(polls: int = 2 * SWEEP_POLLS) -> Fetches:
    """The `steady` scenario over HTTP, after its first poll."""
    clock = ManualClock()
    asked: list[Fetches] = []
    async with rigged(World(SCENARIOS["steady"], started=SATURDAY), clock, requests_per_second=1e9) as rig:
        await rig.poll()
        for _ in range(polls):
            clock.advance(SETTINGS.interval)
            rig.simulator.journal.clear()
            await rig.poll()
            asked.append(_told_apart(rig.simulator.requests))
    return Fetches(*(sum(column) / polls for column in zip(*asked, strict=True)))


def _told_apart(requests: Sequence[RequestRecord]) -> Fetches:
    lists = [each for each in requests if each.endpoint == "list"]
    fetched = [created_ms(each.operation_id or "") or 0 for each in requests if each.endpoint == "fetch"]
    ranges = {(_unix(each.query["startDate"]), _unix(each.query["endDate"])) for each in lists}
    just_listed = [at for at in fetched if any(start <= at / 1000 <= end for start, end in ranges)]
    return Fetches(len(lists), len(fetched), len(just_listed))


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def table(measured: Sequence[Row]) -> str:
    head = ("lists", "at least", "fetches", "at least", "sum", "list all", "fetch all", "met")
    lines = [f"{'requests a poll':<30}" + "".join(f"{each:>11}" for each in head)]
    for row in measured:
        exact = (row.lists, row.fewest_lists, row.fetches, row.unfinished, row.figure)
        cells = [f"{number:,.2f}" for number in exact] + [f"{row.list_all:,.0f}", f"{row.fetch_all:,.0f}"]
        lines.append(
            f"{row.name:<30}" + "".join(f"{each:>11}" for each in (*cells, "yes" if row.met else "NO"))
        )
    return "\n".join([*lines, f"goal: no more fetches than at least, and {GOAL} times as many lists"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="operations a week")
    arguments = parser.parse_args()
    print(table(rows(arguments.sizes)))
    fetches = asyncio.run(steady())
    print(
        f"scenario steady, over HTTP: {fetches.lists:.2f} lists and {fetches.fetches:.2f} fetches a poll; "
        f"{fetches.just_listed:.2f} of the fetches are of operations that the same poll had just listed"
    )


if __name__ == "__main__":
    main()
