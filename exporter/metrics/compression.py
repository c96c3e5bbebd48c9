"""One gzip stream, joined from blocks that are compressed by themselves and kept. Pure.

Several streams one after another would need no common checksum, but some clients read only the first.
"""

import struct
import zlib
from collections.abc import Iterable
from typing import Final

# RFC 1952: deflate, no flags, no time, the fastest algorithm, an unknown system.
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_LAST_BLOCK: Final = b"\x03\x00"


def deflated(text: bytes) -> bytes:
    """A block of a stream. Level 1 takes a twelfth of the CPU of level 9; the result is 10 % larger."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    # A full flush ends on a byte boundary without a final block, so that blocks can be joined.
    return deflate.compress(text) + deflate.flush(zlib.Z_FULL_FLUSH)


def gzip_stream(blocks: Iterable[bytes], texts: Iterable[bytes]) -> bytes:
    """`texts` are what the blocks hold, in pieces of any size."""
    checksum = size = 0
    for text in texts:
        checksum = zlib.crc32(text, checksum)
        size += len(text)
    return b"".join([_HEADER, *blocks, _LAST_BLOCK, struct.pack("<LL", checksum, size % 2**32)])
