"""The credential that an account's requests carry: read when told to, kept when it cannot be.

Reading is a callable. Must not know of files, settings or HTTP.

Rule 1: no request waits for a disk; the secret is read at the start, when Twilio refuses it, and on demand.
Rule 2: while the event loop serves others the secret is read in a thread; only `reload`, whose caller is
owed what is wrong, reads at once.
Rule 3: a secret that was read stays in use until another one is read.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from exporter.errors import CredentialError, Unauthorized
from exporter.events import CredentialChanged, CredentialUnreadable, Observer
from exporter.twilio.protocol import Secret

Pair: TypeAlias = tuple[str, Secret]
"""User name and secret."""


class Credential:
    """Of one account; `read` gives the pair or raises `CredentialError`."""

    def __init__(self, account: str, read: Callable[[], Pair], emit: Observer) -> None:
        self.account = account
        self._read = read
        self._emit = emit
        self._pair: Pair | None = None
        self._refused: Pair | None = None
        self._problem = ""
        self._begun = self._taken = 0  # reads, by number
        with suppress(CredentialError):  # reported
            self.reload()

    def pair(self) -> Pair:
        """Raises `Unauthorized` when no secret could be read so far."""
        if self._pair is None:
            raise Unauthorized(self._problem)
        return self._pair

    def refuse(self, pair: Pair) -> None:
        """Twilio does not take this one."""
        self._refused = pair

    async def renewed(self) -> bool:
        """Read again, in a thread; whether there is now a pair that Twilio has not refused."""
        self._begun = read = self._begun + 1
        try:
            pair: Pair | CredentialError = await asyncio.to_thread(self._read)
        except CredentialError as error:
            pair = error
        if read > self._taken:  # what began later knows better
            self._take(read, pair)
        return self._pair not in {None, self._refused}

    def reload(self) -> None:
        """Read the secret again, at once. Raises `CredentialError`; then the old secret stays in use."""
        self._begun = read = self._begun + 1
        try:
            self._take(read, self._read())
        except CredentialError as error:
            self._take(read, error)
            raise

    def _take(self, read: int, found: Pair | CredentialError) -> None:
        self._taken = read
        if isinstance(found, CredentialError):
            if str(found) != self._problem:
                self._problem = str(found)
                self._emit(CredentialUnreadable(self.account, self._problem, self._pair is not None))
            return
        self._problem = ""
        if self._pair not in {None, found}:
            self._emit(CredentialChanged(self.account))
        self._pair = found
