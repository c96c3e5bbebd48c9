"""Reloads over HTTP: which requests may cause one, and how often.

Must not know what is reloaded.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from exporter.clock import Clock

RELOAD_INTERVAL_SECONDS: Final = 2.0

T = TypeVar("T")


class Reloaded(NamedTuple):
    """The result of a reload."""

    problems: Sequence[str] = ()
    """One line each; not empty: the previous configuration stays in use."""
    need_restart: Sequence[str] = ()
    """Names of settings whose values differ from those in use, and are not reloaded."""


class SpacedReloads(Generic[T]):
    """Calls `reload` every two seconds at most; earlier requests share the next call and its result."""

    def __init__(self, reload: Callable[[], T], clock: Clock) -> None:
        self._reload = reload
        self._clock = clock
        self._not_before = float("-inf")
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """The result. Files written before the call have been read when it returns."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        return await asyncio.shield(self._next)  # a client that leaves must not cancel it for the others

    async def _run(self) -> T:
        await self._clock.sleep(self._not_before - self._clock.monotonic())
        self._next = None
        self._not_before = self._clock.monotonic() + RELOAD_INTERVAL_SECONDS
        return self._reload()


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent the request on behalf of a page of another origin.

    Browsers send `Sec-Fetch-Site`, older ones `Origin` only; other clients send neither.
    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("Origin")
    return origin is not None and _host(origin) != headers.get("Host", "").lower()


def _host(origin: str) -> str | None:
    """Host and port; `None` for `null` and for an invalid origin."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
