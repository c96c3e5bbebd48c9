"""Names of hosts become addresses, in threads that nobody waits for. Must not know who is called.

The event loop's own threads are few, and joined at the end: with a resolver that answers after 20 seconds
scrapes would wait for them, and so would a stop. A lookup cannot be cancelled, so it is left behind.
"""

import asyncio
import socket
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any


class Lookups:
    """What aiohttp's resolver asks of an event loop; all who ask the same meanwhile wait for one answer."""

    def __init__(self) -> None:
        self._under_way: dict[object, asyncio.Future[Any]] = {}  # only the loop touches it

    async def getaddrinfo(self, host: str, port: int, **hints: int) -> Any:
        """As `socket.getaddrinfo`. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        key = (loop, host, port, *hints.items())
        answer = self._under_way.get(key)
        if answer is None:
            answer = self._under_way[key] = loop.create_future()
            answer.add_done_callback(partial(self._forget, key))
            try:
                Thread(target=_look_up, args=(answer, host, port, hints), daemon=True).start()
            except RuntimeError as error:  # there may be no more threads
                answer.set_exception(OSError(str(error)))
        return await asyncio.shield(answer)

    async def getnameinfo(self, address: Any, flags: int) -> tuple[str, str]:
        """Of an address with a scope, as a number: nothing is looked up."""
        return socket.getnameinfo(address, flags)

    def _forget(self, key: object, answer: asyncio.Future[Any]) -> None:
        del self._under_way[key]
        answer.exception()  # has been seen: perhaps nobody waits any more


def _look_up(answer: asyncio.Future[Any], host: str, port: int, hints: dict[str, int]) -> None:
    try:
        settle = partial(answer.set_result, socket.getaddrinfo(host, port, **hints))
    except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
        settle = partial(answer.set_exception, error)
    with suppress(RuntimeError):  # the loop has ended meanwhile
        answer.get_loop().call_soon_threadsafe(settle)
