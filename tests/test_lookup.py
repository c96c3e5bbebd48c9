"""A resolver that takes its time holds up nobody but who asked."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from exporter.errors import Unreachable
from exporter.lookup import Lookups
from exporter.transport import TransportSettings, open_transport
from exporter.wire import Request

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))]


@contextmanager
def resolver(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any]) -> Iterator[list[threading.Thread]]:
    """One that answers when told to; gives the threads in which it was asked."""
    may_answer, asked = threading.Event(), list[threading.Thread]()

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        asked.append(threading.current_thread())
        may_answer.wait()
        return answer()

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        yield asked
    finally:
        may_answer.set()
        for thread in asked:
            thread.join()


def refuse() -> Any:
    raise socket.gaierror("no such host")


async def test_all_who_ask_for_one_name_wait_for_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives up leaves the others waiting; whoever comes later asks anew."""
    lookups = Lookups()
    with resolver(monkeypatch, lambda: ANSWER) as asked:
        waiting = [asyncio.create_task(lookups.getaddrinfo("a.example", 443, type=1)) for _ in range(60)]
        other = asyncio.create_task(lookups.getaddrinfo("b.example", 443, type=1))
        await asyncio.sleep(0)
        waiting.pop().cancel()
        await asyncio.sleep(0)
        assert len(asked) == 2
    assert await asyncio.gather(*waiting, other) == [ANSWER] * 60
    with resolver(monkeypatch, lambda: ANSWER) as asked:
        again = asyncio.create_task(lookups.getaddrinfo("a.example", 443, type=1))
        await asyncio.sleep(0)
    assert await again == ANSWER
    assert len(asked) == 1


async def test_failure_reaches_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error that it is."""
    lookups = Lookups()
    with resolver(monkeypatch, refuse):
        waiting = [asyncio.create_task(lookups.getaddrinfo("a.example", 443)) for _ in range(2)]
        await asyncio.sleep(0)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [socket.gaierror] * 2


def test_nobody_waits_for_a_lookup_that_is_not_wanted_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a request beyond its time, nor the end of the program, nor work for the loop's own threads."""

    async def exchange() -> None:
        settings = TransportSettings("https://comms.example", timeout=0.05, concurrency=1)
        async with open_transport(settings) as transport:
            with pytest.raises(Unreachable):
                await transport.exchange(Request("list", "/"), "user", SecretStr("x"))
        assert await asyncio.to_thread(threading.current_thread) not in asked

    with resolver(monkeypatch, lambda: ANSWER) as asked:
        asyncio.run(exchange())
        assert [thread.is_alive() and thread.daemon for thread in asked] == [True]
