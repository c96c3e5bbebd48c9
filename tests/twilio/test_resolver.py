"""A slow DNS server delays only the requests that need it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp.abc import ResolveResult
from pydantic import SecretStr

from exporter.config.settings import Api
from exporter.errors import Unreachable
from exporter.twilio.protocol import Request
from exporter.twilio.resolver import Resolver
from exporter.twilio.transport import open_transport

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]


def resolved(host: str) -> list[ResolveResult]:
    """What aiohttp is given for `ANSWER`."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return [
        ResolveResult(hostname=host, host="127.0.0.1", port=443, family=socket.AF_INET, proto=6, flags=flags)
    ]


class SlowSystem:
    """One that answers when told to."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.may_answer = threading.Event()
        self.asked: list[threading.Thread] = []
        self._answer = answer
        self._asked = threading.Semaphore(0)

    def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        self.asked.append(threading.current_thread())
        self._asked.release()
        self.may_answer.wait()
        return self._answer()

    def wait_for(self, questions: int) -> None:
        for _ in range(questions):
            self._asked.acquire()


@contextmanager
def resolver(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any]) -> Iterator[SlowSystem]:
    slow = SlowSystem(answer)
    monkeypatch.setattr(socket, "getaddrinfo", slow.getaddrinfo)
    try:
        yield slow
    finally:
        slow.may_answer.set()
        for thread in slow.asked:
            thread.join()


def refuse() -> Any:
    raise socket.gaierror("no such host")


async def test_all_who_ask_for_one_name_wait_for_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled caller does not end the lookup of the others; a later call starts a new lookup."""
    names = Resolver()
    with resolver(monkeypatch, lambda: ANSWER) as slow:
        waiting = [asyncio.create_task(names.resolve("a.example", 443)) for _ in range(60)]
        other = asyncio.create_task(names.resolve("b.example", 443))
        await asyncio.sleep(0)
        waiting.pop().cancel()
        await asyncio.sleep(0)
        slow.wait_for(2)
        assert len(slow.asked) == 2
    assert await asyncio.gather(*waiting) == [resolved("a.example")] * 59
    assert await other == resolved("b.example")
    with resolver(monkeypatch, lambda: ANSWER) as slow:
        again = asyncio.create_task(names.resolve("a.example", 443))
        await asyncio.sleep(0)
        slow.wait_for(1)
    assert await again == resolved("a.example")
    assert len(slow.asked) == 1


async def test_address_keeps_its_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link-local address is of no use without it."""
    number, name = socket.if_nameindex()[0]
    address = ("fe80::1", 443, 0, number)
    answer = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    (found,) = await Resolver().resolve("a.example", 443, socket.AF_UNSPEC)
    assert found["host"] == f"fe80::1%{name}"
    assert found["family"] is socket.AF_INET6


async def test_answer_that_comes_at_once_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before whoever asked has come back from starting the thread."""

    def start(thread: threading.Thread) -> None:
        thread.run()

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ANSWER)
    assert await Resolver().resolve("a.example", 443) == resolved("a.example")


async def test_thread_that_cannot_be_started_is_a_lookup_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one tries again."""
    names = Resolver()

    def refuse_to_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_to_start)
        with pytest.raises(OSError, match="can't start new thread"):
            await names.resolve("a.example", 443)
    await asyncio.sleep(0)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ANSWER)
    assert await names.resolve("a.example", 443) == resolved("a.example")


async def test_failure_reaches_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error that it is."""
    names = Resolver()
    with resolver(monkeypatch, refuse) as slow:
        waiting = [asyncio.create_task(names.resolve("a.example", 443)) for _ in range(2)]
        await asyncio.sleep(0)
        slow.wait_for(1)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [socket.gaierror] * 2


def test_abandoned_lookup_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It delays neither a request beyond its timeout, nor the exit, nor the event loop's own threads."""

    async def exchange() -> None:
        async with open_transport(Api(base_url="https://comms.example", timeout=0.05)) as transport:
            with pytest.raises(Unreachable):
                await transport.exchange(Request("list", "/"), "user", SecretStr("x"))
        slow.wait_for(1)
        assert await asyncio.to_thread(threading.current_thread) not in slow.asked

    with resolver(monkeypatch, lambda: ANSWER) as slow:
        asyncio.run(exchange())
        assert [thread.is_alive() and thread.daemon for thread in slow.asked] == [True]
