"""Checks passwords of users against their bcrypt hashes. The home of bcrypt.

Must not know HTTP, or where the users come from.

Rule 1: of a password only a keyed digest is kept, and only while an accepted one is remembered.
Rule 2: a check of an unknown user takes as long as one of a known user with a wrong password, so that
response times do not reveal user names.
Rule 3: one check at a time, in a thread: bcrypt is slow by design, and polls must go on.
Rule 4: few checks wait, and none is made for clients that have left: an attacker cannot keep users waiting.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import bcrypt  # noqa: TID251 - home of bcrypt

from exporter.clock import Clock

REMEMBERED_SECONDS: Final = 300.0
"""After its last use. A scraper causes one check as long as it scrapes more often than this."""

WAITING_CHECKS: Final = 10
"""With bcrypt cost 10 these take half a second. Further ones are refused."""

WAITING_CHECKS_OF_AN_ADDRESS: Final = 5
"""So that one address cannot occupy all places."""

_BCRYPT_BYTES: Final = 72
"""bcrypt ignores the rest. Go truncates, and so did Python's bcrypt until version 5, which raises."""


class TooManyChecksError(Exception):
    """The password was not checked; the client may try again after a second."""


@dataclass(frozen=True, slots=True)
class Client:
    """The client that sent the password."""

    address: str
    has_left: Callable[[], bool]


class Passwords:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._users: dict[str, bytes] = {}
        self._accepted: dict[bytes, float] = {}  # digests of accepted passwords, and when each is forgotten
        self._checks: dict[bytes, tuple[asyncio.Task[bool], list[Client]]] = {}
        self._lock = asyncio.Lock()

    def replace(self, users: Mapping[str, str]) -> None:
        """Accept these users only, from now on; the values are bcrypt hashes.

        Remembered digests stay: each covers the hash, so it is valid only while the user keeps that hash.
        """
        self._users = {name: hash_.encode() for name, hash_ in users.items()}

    async def accept(self, user: str, password: str, client: Client) -> bool:
        """Whether the user exists and the password is right. Raises `TooManyChecksError`."""
        checked = self._users.get(user) or self._stand_in(user)
        digest = self._digest(user, checked, password)
        if user in self._users and self._remembers(digest):
            self._remember(digest)
            return True
        if digest not in self._checks:
            self._refuse_too_many(client)
            clients: list[Client] = []
            check = asyncio.create_task(self._check(user, password, checked, digest, clients))
            self._checks[digest] = check, clients
        check, clients = self._checks[digest]
        clients.append(client)
        return await asyncio.shield(check)  # a handler that is cancelled must not cancel it for the others

    def _refuse_too_many(self, client: Client) -> None:
        of_address = sum(clients[0].address == client.address for _, clients in self._checks.values())
        # One of them runs, the others wait.
        if len(self._checks) > WAITING_CHECKS or of_address > WAITING_CHECKS_OF_AN_ADDRESS:
            raise TooManyChecksError

    async def _check(
        self, user: str, password: str, checked: bytes, digest: bytes, clients: list[Client]
    ) -> bool:
        try:
            async with self._lock:
                if all(client.has_left() for client in clients):
                    return False
                matches = await asyncio.to_thread(_matches, password, checked)
        finally:
            del self._checks[digest]
        if matches and self._users.get(user) == checked:
            self._remember(digest)
            return True
        return False

    def _stand_in(self, user: str) -> bytes:
        """One of the known hashes, always the same for a name: its check takes as long as that of a user."""
        hashes = sorted(self._users.values())
        return hashes[int.from_bytes(self._digest(user)) % len(hashes)]

    def _digest(self, *parts: str | bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key)
        for part in parts:
            content = part.encode() if isinstance(part, str) else part
            digest.update(len(content).to_bytes(8))  # otherwise ("ab", "c") and ("a", "bc") would be equal
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
