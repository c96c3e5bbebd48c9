"""Random operations of an account, and a server of their pages in its own process.

The server is not a simulator: operations are created once and never change, and a page is a slice of them, so
that it uses little CPU. Its time is the latest `endDate` requested.
"""

import asyncio
import json
import multiprocessing
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cached_property
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from aiohttp import web

from exporter.clock import SystemClock
from exporter.operation import STATS, Operation, Stats
from exporter.simulator.ids import operation_id
from exporter.twilio.protocol import PAGE_SIZE
from exporter.web.connections import Connections
from exporter.web.limits import allowed_files, limits_for
from exporter.web.listener import serving
from tests.support.clock import SATURDAY

WEEK: Final = 7 * 86400.0
LOOKS: Final = 20_000
"""Number of different stats to choose from."""

UNFINISHED_SHARE: Final = 0.005
"""Share of the operations in a state file."""

YOUNG_SECONDS: Final = 60.0
"""A listing shows younger operations as unfinished; a fetch shows them as completed."""


class Span(NamedTuple):
    """A number of operations, created at regular intervals between two Unix times."""

    operations: int
    start: float
    end: float
    unfinished_share: float = 0.0


def drawn(span: Span, seed: int = 1) -> Iterator[Operation]:
    """Oldest first; the same for the same seed. Most have one to three emails, some have hundreds."""
    dice = random.Random(seed)
    looks = [_stats(dice) for _ in range(min(LOOKS, span.operations))]
    for number in range(span.operations):
        created_at = round(span.start + (span.end - span.start) * number / span.operations, 3)
        name = operation_id(round(created_at * 1000), dice.getrandbits(80))
        status = "processing" if dice.random() < span.unfinished_share else "completed"
        updated_at = round(created_at + dice.expovariate(1 / 20), 3)
        yield Operation(name, status, created_at, updated_at, looks[int(dice.random() * len(looks))])


def _stats(dice: random.Random) -> Stats:
    mails = dice.randint(100, 900) if dice.random() < 0.02 else dice.choice((1, 1, 1, 1, 2, 2, 3))
    failed = sum(dice.random() < 0.02 for _ in range(min(mails, 10)))
    opened = (mails - failed) // 2
    return Stats(
        total=mails,
        recipients=mails,
        attempts=mails,
        scheduled=0,
        queued=0,
        sent=0,
        delivered=mails - failed - opened,
        opened=opened,
        undelivered=failed // 2,
        failed=failed - failed // 2,
        canceled=0,
    )


@contextmanager
def served(*spans: Span) -> Iterator[str]:
    """Base URL of a server with these operations; spans are in order of time."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(spans, theirs), daemon=True)
    server.start()
    try:
        yield ours.recv()
    finally:
        server.kill()
        server.join()


def _serve(spans: Sequence[Span], parent: Connection) -> None:
    asyncio.run(_serve_for_ever(Pages(spans), parent))


async def _serve_for_ever(pages: "Pages", parent: Connection) -> None:
    application = web.Application()
    operations = "/v1/Emails/Operations"
    application.add_routes([web.get(operations, pages.list_), web.get(f"{operations}/{{id}}", pages.fetch)])
    clock = SystemClock()
    connections = Connections(limits_for(allowed_files(), poll_connections=0), clock)
    async with serving(application, [("127.0.0.1", 0)], connections, clock) as bound:
        parent.send(f"http://127.0.0.1:{bound[0][1]}/v1")
        await asyncio.Event().wait()


class Pages:
    """Rows of JSON in order of time."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._created: list[float] = []
        self._rows: list[bytes] = []
        self._now = SATURDAY
        self._young: dict[str, bytes] = {}
        stats: dict[Stats, str] = {}
        for seed, span in enumerate(spans, start=1):
            for each in drawn(span, seed):
                if each.stats not in stats:
                    stats[each.stats] = json.dumps(dict(zip(STATS, each.stats, strict=True)))
                self._created.append(each.created_at)
                self._rows.append(_row(each, stats[each.stats]))

    async def list_(self, request: web.Request) -> web.Response:
        start, end = (
            datetime.fromisoformat(request.query[name]).timestamp() for name in ("startDate", "endDate")
        )
        self._now = max(self._now, end)
        last = bisect_right(self._created, end)
        token = request.query.get("pageToken")
        first = int(token) if token else bisect_left(self._created, start)
        after = min(first + PAGE_SIZE, last)
        following = f'"{after}"' if after < last else "null"
        rows = self._rows[first:after]
        young = bisect_left(self._created, self._now - YOUNG_SECONDS, first, after)
        for index in range(young - first, len(rows)):
            self._young[json.loads(rows[index])["id"]] = rows[index]
            rows[index] = rows[index].replace(b'"COMPLETED"', b'"PROCESSING"')
        content = b'{"operations":[%b],"pagination":{"next":%b}}' % (b",".join(rows), following.encode())
        return self._reply(content)

    async def fetch(self, request: web.Request) -> web.Response:
        return self._reply(self._young.get(request.match_info["id"]) or self._by_id[request.match_info["id"]])

    @cached_property
    def _by_id(self) -> dict[str, bytes]:
        """For the peer that fetches what is final, too."""
        return {json.loads(row)["id"]: row for row in self._rows}

    def _reply(self, body: bytes) -> web.Response:
        """A reply with the requested time as `Date`: the exporter rejects a reply with another date."""
        date = formatdate(self._now, usegmt=True)
        return web.Response(body=body, headers={"Content-Type": "application/json", "Date": date})


def _row(operation: Operation, stats: str) -> bytes:
    created, updated = (
        datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for at in (operation.created_at, operation.updated_at)
    )
    return (
        f'{{"id":"{operation.id}","status":"{operation.status.upper()}","stats":{stats},'
        f'"createdAt":"{created}","updatedAt":"{updated}"}}'
    ).encode()
