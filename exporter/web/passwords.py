"""Who may come in: users and their bcrypt hashes. The home of bcrypt.

Must not know of HTTP or of where the users come from.

Rule 1: no password and no hash of one is kept but in a keyed digest, for as long as an answer is remembered.
Rule 2: an unknown user costs what a known one with a wrong password costs: nobody learns names by the clock.
Rule 3: one check at a time, in a thread: bcrypt is slow on purpose, and polls must go on.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

import bcrypt  # noqa: TID251 - home of bcrypt

from exporter.clock import Clock

REMEMBERED_SECONDS: Final = 300.0
"""A scraper that comes every minute pays for one check in five."""

_BCRYPT_BYTES: Final = 72
"""bcrypt looks at no more; Go's cuts off the rest, and so did Python's until version 5."""


class Passwords:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._users: dict[str, bytes] = {}
        self._accepted: dict[bytes, float] = {}  # digests of what was right, and until when it counts
        self._lock = asyncio.Lock()

    def replace(self, users: Mapping[str, str]) -> None:
        """From now on these and no others come in; the values are bcrypt hashes."""
        self._users = {name: hash_.encode() for name, hash_ in users.items()}
        self._accepted.clear()

    async def accept(self, user: str, password: str) -> bool:
        hash_ = self._users.get(user)
        checked = self._stand_in(user) if hash_ is None else hash_
        digest = self._digest(user, checked, password)
        if self._remembers(digest):
            return True
        async with self._lock:
            if self._remembers(digest):  # someone else's check of the same has ended meanwhile
                return True
            matches = await asyncio.to_thread(_matches, password, checked)
        if matches and hash_ is not None and self._users.get(user) == hash_:
            self._remember(digest)
            return True
        return False

    def _stand_in(self, user: str) -> bytes:
        """One of the known hashes, the same each time: checking it costs what checking a user costs."""
        hashes = sorted(self._users.values())
        return hashes[int.from_bytes(self._digest(user)) % len(hashes)]

    def _digest(self, *parts: str | bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key)
        for part in parts:
            content = part.encode() if isinstance(part, str) else part
            digest.update(len(content).to_bytes(8))  # or ("ab", "c") would be ("a", "bc")
            digest.update(content)
        return digest.digest()

    def _remembers(self, digest: bytes) -> bool:
        return self._accepted.get(digest, float("-inf")) > self._clock.monotonic()

    def _remember(self, digest: bytes) -> None:
        now = self._clock.monotonic()
        self._accepted = {each: until for each, until in self._accepted.items() if until > now}
        self._accepted[digest] = now + REMEMBERED_SECONDS


def _matches(password: str, hash_: bytes) -> bool:
    return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], hash_)
