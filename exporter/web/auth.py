"""The web config in use: users, headers, rate limit and TLS, read again when a file changes.

Must not know HTTP, except the `Authorization` header.

Rule 1: an invalid file is an error, and the previous configuration stays in use.
Rule 2: TLS cannot be switched on or off while running: a port keeps its protocol.
"""

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from exporter.clock import Clock
from exporter.config.problems import Problem, SettingsError
from exporter.web.passwords import Client, Passwords
from exporter.web.tls import ReloadableContext, reloadable_context, server_context
from exporter.web.web_config import RateLimit, WebConfig, read_web_config

_Stamp: TypeAlias = tuple[int, int, int] | None


class Authenticator:
    """Raises `SettingsError` if the web config is invalid."""

    def __init__(self, file: Path | None, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._passwords = Passwords(clock)
        self._bucket: _Bucket | None = None
        self._seen: dict[Path, _Stamp] = {}
        self.config = WebConfig()
        self.tls: ReloadableContext | None = None
        """For listeners. A reload replaces its `current`, not the object."""
        if file is not None:
            self._take(file, first=True)

    def reload(self) -> None:
        """Read all files again. If they are invalid: raises `SettingsError`, and nothing changes."""
        if self._file is not None:
            self._take(self._file, first=False)

    def changed(self) -> bool:
        """Whether a file has changed since it was last read, successfully or not."""
        return any(_stamp(file) != stamp for file, stamp in self._seen.items())

    def within_rate(self) -> bool:
        """Whether the rate limit allows one more request now; if so, the request is counted."""
        return self._bucket is None or self._bucket.take(self._clock.monotonic())

    async def authenticates(self, authorization: str | None, client: Client) -> bool:
        """Whether the header of that name holds a known user; without users everyone is accepted.

        Raises `TooManyChecksError`.
        """
        if not self.config.users:
            return True
        credential = basic_credential(authorization)
        return credential is not None and await self._passwords.accept(*credential, client)

    def _take(self, file: Path, *, first: bool) -> None:
        self._look_at(
            [file, *self.config.files()]
        )  # before reading, so that a change during the reading is noticed
        config = read_web_config(file, _content(file))
        self._look_at([file, *config.files()])
        context = server_context(config.tls, file) if config.tls else None
        if not first and (context is None) != (self.tls is None):
            raise SettingsError(
                [Problem("tls_server_config", f"{file}:", "switching TLS on or off needs a restart")]
            )
        if context is not None and self.tls is not None:
            self.tls.current = context
        elif context is not None:
            self.tls = reloadable_context(context)
        if config.rate_limit != self.config.rate_limit:
            self._bucket = _Bucket(config.rate_limit) if config.rate_limit else None
        if config.users != self.config.users:
            self._passwords.replace(config.users)
        self.config = config

    def _look_at(self, files: Iterable[Path]) -> None:
        self._seen = {file: _stamp(file) for file in files}


class _Bucket:
    """A token bucket: one token per interval, at most `burst` tokens."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        earned = 0.0 if self._at is None else (now - self._at) / self._limit.interval
        self._tokens, self._at = min(self._limit.burst, self._tokens + earned), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


_SCHEME: Final = "basic"


def basic_credential(authorization: str | None) -> tuple[str, str] | None:
    """User and password of an `Authorization` header (RFC 7617), or `None`."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon and scheme.lower() == _SCHEME else None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(
            [Problem("web.config_file", f"{file}:", f"cannot be read: {error.strerror}")]
        ) from None


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except (OSError, ValueError):  # it does not exist, or the name is invalid
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
