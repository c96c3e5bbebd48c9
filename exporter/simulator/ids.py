"""Ids in Twilio's form, in base 32.

Those of operations: 48 bits of creation time in milliseconds, then 80 random bits. Those of emails: the bits
of their operation, then the number of the email.

The embedded time is a guess based on published ids (a ULID after the prefix). With it the simulator finds
the hour of an id without storing it. The exporter must not rely on it.
"""

import random
import re
from typing import Final

from exporter.operation import ID_PATTERN

PREFIX: Final = "comms_operation_"
EMAIL_PREFIX: Final = "comms_email_"
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
EMAIL_PATTERN: Final = re.compile(EMAIL_PREFIX + r"[0-7][a-hjkmnpqrstv-z0-9]{25,34}", re.ASCII)
NUMBER_LETTERS: Final = 7
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


def email_id(operation: str, number: int) -> str:
    """The id of the email with this number, from 0, of an operation."""
    letters = "".join(ALPHABET[(number >> shift) & 31] for shift in range(5 * (NUMBER_LETTERS - 1), -1, -5))
    return EMAIL_PREFIX + operation.removeprefix(PREFIX) + letters


def email_place(wanted: str) -> tuple[str, int] | None:
    """The operation's id and the number in an email's id; `None` if the simulator did not create it."""
    if not EMAIL_PATTERN.fullmatch(wanted):
        return None
    number = 0
    for letter in wanted[-NUMBER_LETTERS:]:
        number = number * 32 + ALPHABET.index(letter)
    return PREFIX + wanted.removeprefix(EMAIL_PREFIX)[:-NUMBER_LETTERS], number
