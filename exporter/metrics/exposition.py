"""The exposition page, joined from parts that change at different times.

It must not know accounts, polls or the HTTP server.

Rule 1: a part is written at most once per version and format. Concurrent scrapes wait for the same text.
Rule 2: the event loop is blocked for one slice of text at most. Compression runs in a thread.
"""

import asyncio
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry  # noqa: TID251 - home of prometheus_client

from exporter.metrics.negotiation import FORMATS, Format
from exporter.metrics.text_format import EOF, slices

_THREAD_FROM_BYTES: Final = 65_536
"""Compressing less than this takes less time than starting a thread."""


class Part(NamedTuple):
    registry: CollectorRegistry
    version: Callable[[], object]
    """Returns equal values as long as the text is the same."""


class Exposition:
    """The page in every format, as text or gzipped."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = {format_: [_Rendering(part, format_) for part in parts] for format_ in FORMATS}

    async def page(self, format_: Format) -> bytes:
        return b"".join(await self.pieces(format_))

    async def pieces(self, format_: Format) -> list[bytes]:
        """The page in pieces: joining a large page takes as long as sending it."""
        blocks = [await part.block() for part in self._parts[format_]]
        return [*(block.text for block in blocks), EOF if format_.openmetrics else b""]

    async def gzipped_page(self, format_: Format) -> bytes:
        """The page as one gzip stream. An unchanged part is not compressed again."""
        blocks = [await part.block(deflated=True) for part in self._parts[format_]]
        return _gzip_stream([*blocks, _EOF_BLOCK] if format_.openmetrics else blocks)


class _Block:
    """A part's text, and its compressed form once needed."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.deflated: bytes | None = None
        self._checksum: tuple[int, int] | None = None

    def checksum(self, before: int) -> int:
        """CRC-32 of the page up to the end of this block, given the CRC-32 of the page before it."""
        if self._checksum is None or self._checksum[0] != before:
            self._checksum = before, zlib.crc32(self.text, before)
        return self._checksum[1]


class _Rendering:
    """One part in one format."""

    def __init__(self, part: Part, format_: Format) -> None:
        self._part = part
        self._format = format_
        self._lock = asyncio.Lock()
        self._version: object = None
        self._block: _Block | None = None

    async def block(self, *, deflated: bool = False) -> _Block:
        async with self._lock:
            version = (
                self._part.version()
            )  # read before the text: a change while it is written must make it stale
            if self._block is None or version != self._version:
                self._block, self._version = _Block(await self._text()), version
            if deflated and self._block.deflated is None:
                self._block.deflated = await _deflate(self._block.text)
            return self._block

    async def _text(self) -> bytes:
        texts = []
        for text in slices(self._part.registry.collect(), openmetrics=self._format.openmetrics):
            texts.append(text)
            await asyncio.sleep(0)  # noqa: TID251 - yields to the event loop, no wait
        return b"".join(texts)


async def _deflate(text: bytes) -> bytes:
    if len(text) < _THREAD_FROM_BYTES:
        return _deflated(text)
    return await asyncio.to_thread(_deflated, text)  # zlib releases the GIL


def _deflated(text: bytes) -> bytes:
    """Level 1 takes a twelfth of the CPU of level 9; the result is 10 % larger."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    # A full flush ends on a byte boundary without a final block, so that blocks can be joined.
    return deflate.compress(text) + deflate.flush(zlib.Z_FULL_FLUSH)


_EOF_BLOCK: Final = _Block(EOF)
_EOF_BLOCK.deflated = _deflated(EOF)


# RFC 1952: deflate, no flags, no time, the fastest algorithm, an unknown system.
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_LAST_BLOCK: Final = b"\x03\x00"


def _gzip_stream(blocks: Sequence[_Block]) -> bytes:
    checksum = 0
    for block in blocks:
        checksum = block.checksum(checksum)
    size = sum(len(block.text) for block in blocks)
    trailer = struct.pack("<LL", checksum, size % 2**32)
    return b"".join([_GZIP_HEADER, *(block.deflated or b"" for block in blocks), _LAST_BLOCK, trailer])
