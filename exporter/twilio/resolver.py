"""Host name resolution in daemon threads. Must not know why a name is looked up.

The event loop's own threads are few, and are joined at exit. With a DNS server that answers after 20 seconds,
scrapes and the shutdown would wait for them. A lookup cannot be cancelled, so its thread is abandoned.
"""

import asyncio
import socket
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult  # noqa: TID251 - home of aiohttp's resolver

_Found: TypeAlias = list[tuple[Any, Any, int, str, tuple[Any, ...]]]
"""What `socket.getaddrinfo` gives."""

_NUMERIC_FLAGS: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """Concurrent lookups of the same name share one thread."""

    def __init__(self) -> None:
        self._under_way: dict[object, asyncio.Future[_Found]] = {}  # only the loop touches it

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Numeric addresses. Raises `OSError`."""
        return [
            ResolveResult(
                hostname=host,
                # `getnameinfo` keeps the scope, without which a link-local address cannot be used.
                host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
                port=port,
                family=kind,
                proto=protocol,
                flags=_NUMERIC_FLAGS,
            )
            for kind, _, protocol, _, address in await self._look_up(host, port, family)
        ]

    async def close(self) -> None:
        """Nothing to release: a lookup under way ends by itself."""

    async def _look_up(self, host: str, port: int, family: socket.AddressFamily) -> _Found:
        loop = asyncio.get_running_loop()
        key = (loop, host, port, family)
        found = self._under_way.get(key)
        if found is None:
            found = self._under_way[key] = loop.create_future()
            found.add_done_callback(partial(self._forget, key))
            try:
                Thread(target=_look_up, args=(found, host, port, family), daemon=True).start()
            except RuntimeError as error:  # the system may have no more threads
                found.set_exception(OSError(str(error)))
        return await asyncio.shield(found)

    def _forget(self, key: object, found: asyncio.Future[_Found]) -> None:
        del self._under_way[key]
        found.exception()  # marks the error as retrieved: all callers may have given up


def _look_up(found: asyncio.Future[_Found], host: str, port: int, family: socket.AddressFamily) -> None:
    try:
        addresses = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        settle = partial(found.set_result, addresses)
    except Exception as error:  # noqa: BLE001 - the callers get it
        settle = partial(found.set_exception, error)
    with suppress(RuntimeError):  # the loop has ended meanwhile
        found.get_loop().call_soon_threadsafe(settle)
