"""Pages of a listing, and their tokens.

The set of operations in a listing is fixed at its first page, so that pages neither repeat nor lose
operations while the clock moves; the state of an operation is read with its page. By default a page is
filtered by status after it was cut to its size, as Twilio's cursor seems to do.

It must not know HTTP, JSON or clocks.
"""

import base64
import secrets
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, TypeAlias

from exporter.operation import Operation
from exporter.simulator.readings import Order, Readings
from exporter.simulator.traffic import HOUR_SECONDS
from exporter.simulator.world import RETENTION_SECONDS, Row, World

Call: TypeAlias = Literal["operations", "emails", "errors"]
Key: TypeAlias = tuple[float, str]

KEYS: Final[dict[Order, Callable[[Row], Key]]] = {
    "newest": lambda row: (-row.created_at, row.id),
    "oldest": lambda row: (row.created_at, row.id),
    "shuffled": lambda row: (zlib.crc32(row.id.encode()), row.id),
}
HOUR_KEYS: Final[dict[Order, Callable[[int], tuple[int, int]]]] = {
    "newest": lambda hour: (-hour, 0),
    "oldest": lambda hour: (hour, 0),
    "shuffled": lambda hour: (zlib.crc32(b"%d" % hour), hour),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """The requested filters. `status` is in lower case."""

    start: float | None = None
    end: float | None = None
    status: str | None = None
    call: Call = "operations"
    operation_id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """The position of the last row read."""

    hour: int
    key: Key
    number: int = -1
    """Of an email in its operation."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The start of a page, which a token refers to."""

    filters: Filters
    listed_at: float
    page: int = 1
    after: Position | None = None


def read_page(world: World, cursor: Cursor, size: int, now: float) -> tuple[list[Operation], Position | None]:
    """At most `size` operations, and the position of the last row read if there are more."""
    reading, wanted = world.readings.status_filter, cursor.filters.status
    if reading == "ignored":
        wanted = None
    filters_first = wanted is not None and reading == "before_cutting"
    rows: list[tuple[Row, Position]] = []
    for hour in hours_of(world.readings, cursor):
        rows += (
            (row, place)
            for row, place in rows_of(world, cursor, hour)
            if not cursor.after or place.hour != cursor.after.hour or place.key > cursor.after.key
            if not filters_first or world.state(row, now).status == wanted
        )
        if len(rows) > size:
            break
    states = (world.state(row, now) for row, _ in rows[:size])
    operations = [operation for operation in states if wanted is None or operation.status == wanted]
    return operations, rows[size - 1][1] if len(rows) > size else None


def hours_of(readings: Readings, cursor: Cursor) -> list[int]:
    """The remaining hours, in the order of the listing."""
    first, last = _bounds(readings, cursor)
    key = HOUR_KEYS[readings.order]
    hours = sorted(range(int(first // HOUR_SECONDS), int(last // HOUR_SECONDS) + 1), key=key)
    after = cursor.after
    return hours if after is None else [hour for hour in hours if key(hour) >= key(after.hour)]


def _bounds(readings: Readings, cursor: Cursor) -> tuple[float, float]:
    start, end = cursor.filters.start, cursor.filters.end
    oldest, newest = cursor.listed_at - RETENTION_SECONDS, cursor.listed_at - readings.listed_after_seconds
    return oldest if start is None else max(start, oldest), newest if end is None else min(end, newest)


def rows_of(world: World, cursor: Cursor, hour: int) -> list[tuple[Row, Position]]:
    """All rows of an hour within the bounds, in the order of the listing."""
    first, last = _bounds(world.readings, cursor)
    outside = () if world.readings.inclusive else (cursor.filters.start, cursor.filters.end)
    key = KEYS[world.readings.order]
    rows = sorted(
        (key(row), row)
        for row in world.rows(hour)
        if first <= row.created_at <= last and row.created_at not in outside
    )
    return [(row, Position(hour, place)) for place, row in rows]


class Tokens:
    """Issues opaque tokens and resolves them until they expire.

    Like Twilio's, a token contains the account SID in base64, so that tests can search logs for it. It always
    contains `+`, `/` and `=`, which a client must URL-encode.
    """

    def __init__(self, account_sid: str, lifetime_seconds: float, held: int = 10_000) -> None:
        self._account_sid = account_sid
        self._lifetime_seconds = lifetime_seconds
        self._held = held
        self._cursors: OrderedDict[str, tuple[float, Cursor]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cursors)

    def issue(self, cursor: Cursor, now: float) -> str:
        token = ""
        while not {"+", "/", "="} <= set(token):
            noise = secrets.token_bytes(
                48 - len(self._account_sid) % 3
            )  # one byte more than a multiple of 3: adds `=`
            token = base64.b64encode(f"{self._account_sid}|".encode() + noise).decode()
        self._cursors[token] = (now + self._lifetime_seconds, cursor)
        while len(self._cursors) > self._held or self._oldest_expires_at() <= now:
            self._cursors.popitem(last=False)
        return token

    def _oldest_expires_at(self) -> float:
        return next(iter(self._cursors.values()), (inf, None))[0]

    def redeem(self, token: str, now: float) -> Cursor | None:
        """`None`: unknown, forgotten or expired."""
        expires_at, cursor = self._cursors.get(token, (now, None))
        return cursor if now < expires_at else None
