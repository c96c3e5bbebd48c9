"""The credential of an account: when it is read, and which one is in use.

Reading is a callable, so that this module knows no files, settings or HTTP.

Rule 1: the secret is read at the start, when Twilio refuses it, and on a reload; never for each request.
Rule 2: after a refusal the secret is read in a thread, not on the event loop. `reload` reads at once, because
its caller needs the error.
Rule 3: a secret stays in use until another one has been read.
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
    """The credential of one account. `read` returns the pair or raises `CredentialError`."""

    def __init__(self, account: str, read: Callable[[], Pair], emit: Observer) -> None:
        self.account = account
        self._read = read
        self._emit = emit
        self._pair: Pair | None = None
        self._refused: Pair | None = None
        self._problem = ""
        self._begun = self._taken = 0  # numbers of reads
        with suppress(CredentialError):  # an event reports it
            self.reload()

    def pair(self) -> Pair:
        """The pair in use. Raises `Unauthorized` when no secret could be read so far."""
        if self._pair is None:
            raise Unauthorized(self._problem)
        return self._pair

    def refuse(self, pair: Pair) -> None:
        """Twilio answered 401 or 403 to this pair."""
        self._refused = pair

    async def renewed(self) -> bool:
        """Read the secret again, in a thread; whether the pair in use is one that Twilio has not refused."""
        self._begun = read = self._begun + 1
        try:
            pair: Pair | CredentialError = await asyncio.to_thread(self._read)
        except CredentialError as error:
            pair = error
        if read > self._taken:  # a read that began later has the newer content
            self._take(read, pair)
        return self._pair not in {None, self._refused}

    def reload(self) -> None:
        """Read the secret again, at once. Raises `CredentialError`, and the old secret stays in use."""
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
