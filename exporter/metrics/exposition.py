"""The exposition page as a table of text: a row for each family, a cell for each part that has lines of it.

A publish changes the cells of one account, and the others are kept. It must not know accounts, polls or the
HTTP server.

Rule 1: a part is written once per change, for both formats. Concurrent scrapes wait for the same text.
Rule 2: the lines of a part are of one instant.
Rule 3: the event loop is blocked for a few milliseconds at most.
Rule 4: what changes with each request, or at any time, may be a second old on the page.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from prometheus_client import Metric  # noqa: TID251 - home of prometheus_client

from exporter.metrics.compression import deflated, gzip_stream
from exporter.metrics.negotiation import Format
from exporter.metrics.text_format import EOF, head, slices

AHEAD_SECONDS: Final = 0.5
"""Age at which text with minor changes is written again ahead of scrapes."""

SCRAPE_SECONDS: Final = 1.0
"""Age at which a scrape writes it again: more, so that a scrape need not if rendering ahead does."""

LATELY_SECONDS: Final = 300.0
"""The longest scrape interval that makes sense."""

CELLS_PER_BLOCK: Final = 10
"""Cells that are compressed together. With 10 the page is a tenth larger than with all, with 1 3 times."""

SMALL_PAGE_BYTES: Final = 256_000
"""A smaller page is compressed whole, which takes less than a millisecond."""

TURN_LINES: Final = 500
"""Lines that are written without a pause: about 4 ms of work."""

TURN_BLOCKS: Final = 100
"""Blocks that are compressed without a pause: about 1 ms of work."""


@dataclass(slots=True, eq=False)
class Part:
    """What changes together on the page, such as the metrics of one account."""

    collect: Callable[[], Iterable[Metric]]
    changes: int = 0
    """Its owner raises it with each change that the next scrape must show."""
    minor_changes: int = 0
    """Its owner raises it with every other change."""
    is_live: bool = False
    """Changes at any time."""


class _Encoding(NamedTuple):
    openmetrics: bool
    gzipped: bool


class Exposition:
    """The page in every format, as text or gzipped.

    `order` names the families that come first, in this order; others follow as they are met.
    """

    def __init__(
        self, parts: Sequence[Part], order: Iterable[str] = (), monotonic: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._columns = [_Column(number, part) for number, part in enumerate(parts)]
        self._rows = {name: _Row(len(parts)) for name in order}
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._pages: dict[_Encoding, list[bytes]] = {}
        self._asked_at: dict[_Encoding, float] = {}

    async def page(self, format_: Format) -> bytes:
        return b"".join(await self.pieces(format_))

    async def pieces(self, format_: Format) -> list[bytes]:
        """The page in pieces: joining a large page takes as long as sending it."""
        return await self._scraped(_Encoding(format_.openmetrics, gzipped=False))

    async def gzipped_page(self, format_: Format) -> bytes:
        """The page as one gzip stream."""
        (page,) = await self._scraped(_Encoding(format_.openmetrics, gzipped=True))
        return page

    async def render_ahead(self) -> None:
        """Render what has changed as it was asked for lately, so that the next scrape finds it."""
        for encoding, asked_at in list(self._asked_at.items()):
            if self._monotonic() - asked_at < LATELY_SECONDS:
                await self._page(encoding, AHEAD_SECONDS)

    async def _scraped(self, encoding: _Encoding) -> list[bytes]:
        self._asked_at[encoding] = self._monotonic()
        return await self._page(encoding, SCRAPE_SECONDS)

    async def _page(self, encoding: _Encoding, max_age: float) -> list[bytes]:
        async with self._lock:
            await self._render(max_age)
            if encoding not in self._pages:
                self._pages[encoding] = await self._joined(encoding)
            return self._pages[encoding]

    async def _render(self, max_age: float) -> None:
        now, turn = self._monotonic(), _Turn(TURN_LINES)
        for column in self._columns:
            if column.is_stale(now, max_age):
                # Taken before the text: a change while it is written must make it stale.
                rendered = column.rendered_now(now)
                await self._write(column, turn)
                column.rendered = rendered

    async def _write(self, column: "_Column", turn: "_Turn") -> None:
        cells: dict[str, bytes] = {}
        for family in column.part.collect():
            if family.name not in self._rows:
                self._rows[family.name] = _Row(len(self._columns))
            self._rows[family.name].meet(family)
            cells.setdefault(family.name, b"")
            for text in slices(family):
                cells[family.name] += text
                await turn.spent(text.count(b"\n"))
        for name, row in self._rows.items():
            if row.put(column.number, cells.get(name)):
                self._pages.clear()

    async def _joined(self, encoding: _Encoding) -> list[bytes]:
        rows = [row for row in self._rows.values() if row.is_shown]
        texts = [row.text(openmetrics=encoding.openmetrics) for row in rows]
        if encoding.openmetrics:
            texts.append(EOF)
        if not encoding.gzipped:
            return texts
        if sum(map(len, texts)) < SMALL_PAGE_BYTES:
            return [gzip_stream([deflated(b"".join(texts))], texts)]
        return [gzip_stream(await self._blocks(rows, openmetrics=encoding.openmetrics), texts)]

    async def _blocks(self, rows: Iterable["_Row"], *, openmetrics: bool) -> list[bytes]:
        turn, blocks = _Turn(TURN_BLOCKS), list[bytes]()
        for row in rows:
            await turn.spent(row.compress())
            blocks += row.blocks(openmetrics=openmetrics)
        return [*blocks, _EOF_BLOCK] if openmetrics else blocks


_EOF_BLOCK: Final = deflated(EOF)


class _Turn:
    """Pauses after a certain amount of work, so that other tasks run in between."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._spent = 0

    async def spent(self, amount: int) -> None:
        self._spent += amount
        if self._spent >= self._most:
            self._spent = 0
            await asyncio.sleep(0)  # noqa: TID251 - yields to the event loop, no wait


class _Rendered(NamedTuple):
    """What the cells of a part show."""

    changes: int = -1
    minor_changes: int = 0
    at: float = 0.0


class _Column:
    """The cells of one part."""

    def __init__(self, number: int, part: Part) -> None:
        self.number = number
        self.part = part
        self.rendered = _Rendered()

    def rendered_now(self, now: float) -> _Rendered:
        return _Rendered(self.part.changes, self.part.minor_changes, now)

    def is_stale(self, now: float, max_age: float) -> bool:
        """`max_age`: seconds for which minor changes may be missing."""
        part, rendered = self.part, self.rendered
        if part.changes != rendered.changes:
            return True
        return (part.is_live or part.minor_changes != rendered.minor_changes) and now - rendered.at >= max_age


class _Row:
    """One family: its head in both formats, and a cell for each part."""

    def __init__(self, parts: int) -> None:
        self._heads: dict[bool, _Head] = {}
        self._cells: list[bytes | None] = [None] * parts
        self._blocks: list[bytes | None] = [None] * ceil(parts / CELLS_PER_BLOCK)

    @property
    def is_shown(self) -> bool:
        """Whether a part has the family, if only without samples."""
        return self._cells.count(None) < len(self._cells)

    def meet(self, family: Metric) -> None:
        if not self._heads:
            for openmetrics in (False, True):
                text = head(family, openmetrics=openmetrics)
                self._heads[openmetrics] = _Head(text, deflated(text))

    def put(self, number: int, cell: bytes | None) -> bool:
        """Returns whether that changes the page."""
        if cell == self._cells[number]:
            return False
        self._cells[number] = cell
        self._blocks[number // CELLS_PER_BLOCK] = None
        return True

    def text(self, *, openmetrics: bool) -> bytes:
        return b"".join([self._heads[openmetrics].text, *filter(None, self._cells)])

    def compress(self) -> int:
        """Returns how many blocks had to be compressed."""
        stale = [number for number, block in enumerate(self._blocks) if block is None]
        for number in stale:
            first = number * CELLS_PER_BLOCK
            text = b"".join(filter(None, self._cells[first : first + CELLS_PER_BLOCK]))
            self._blocks[number] = deflated(text) if text else b""
        return len(stale)

    def blocks(self, *, openmetrics: bool) -> list[bytes]:
        """The text, compressed, once `compress` has been called."""
        return [self._heads[openmetrics].block, *filter(None, self._blocks)]


class _Head(NamedTuple):
    text: bytes
    block: bytes
