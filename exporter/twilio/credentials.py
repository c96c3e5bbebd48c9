"""The credential that an account's requests carry: read when told to, kept when it cannot be.

Reading is a callable. Must not know of files, settings or HTTP.

Rule 1: no request waits for a disk; the secret is read at the start, when Twilio refuses it, and on demand.
Rule 2: a secret that was read stays in use until another one is read.
"""

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

    def renewed(self) -> bool:
        """Read again; whether there is now a pair that Twilio has not refused."""
        with suppress(CredentialError):  # reported
            self.reload()
        return self._pair not in {None, self._refused}

    def reload(self) -> None:
        """Read the secret again. Raises `CredentialError`, and then what was in use stays in use."""
        try:
            pair = self._read()
        except CredentialError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._emit(CredentialUnreadable(self.account, self._problem, self._pair is not None))
            raise
        self._problem = ""
        if self._pair not in {None, pair}:
            self._emit(CredentialChanged(self.account))
        self._pair = pair
