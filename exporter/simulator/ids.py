"""Operation ids in Twilio's form: 48 bits of creation time in milliseconds, then 80 random bits, in base 32.

The embedded time is a guess based on published ids (a ULID after the prefix). With it the simulator finds
the hour of an id without storing it. The exporter must not rely on it.
"""

import random
from typing import Final

from exporter.operation import ID_PATTERN

PREFIX: Final = "comms_operation_"
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)


def operation_id(created_ms: int, noise: int) -> str:
    """`noise` is 80 bits."""
    bits = (created_ms << 80) | noise
    return PREFIX + "".join([PAIRS[(bits >> shift) & 1023] for shift in range(120, -1, -10)])


def created_ms(wanted: str) -> int | None:
    """The milliseconds in an id; `None` if the simulator did not create it."""
    if len(wanted) != len(PREFIX) + 26 or not ID_PATTERN.fullmatch(wanted):
        return None
    milliseconds = 0
    for letter in wanted[len(PREFIX) : len(PREFIX) + 10]:
        milliseconds = milliseconds * 32 + ALPHABET.index(letter)
    return milliseconds


def new_id(seed: object, created_at: float = 0.0) -> str:
    """An id for a scripted operation: the same seed and time give the same id."""
    return operation_id(round(created_at * 1000), random.Random(str(seed)).getrandbits(80))
