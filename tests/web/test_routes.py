"""The pages over HTTP: what clients ask for and get."""

import asyncio
import gzip
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import pytest
from aiohttp import ClientSession, web

from exporter.errors import ListenError
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import Format
from exporter.web.connections import READ_SECONDS, REQUEST_SECONDS, Connections
from exporter.web.listener import HEADER_BYTES, HEADERS, serving
from exporter.web.routes import CONCURRENT_SCRAPES, Health
from tests.metrics.test_exposition import Source
from tests.metrics.test_negotiation import CHROMIUM, CURL, PROMETHEUS_2_42, PROMETHEUS_3
from tests.support.clock import ManualClock
from tests.support.web_service import LIMITS, WebService, ask, opened

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "encoding", "content_type"),
    [
        pytest.param(PROMETHEUS_2_42, "gzip", OPENMETRICS, id="Prometheus 2.42"),
        pytest.param(PROMETHEUS_3, "gzip", OPENMETRICS, id="Prometheus 3"),
        pytest.param(CHROMIUM, "gzip, deflate, br, zstd", TEXT, id="a browser"),
        pytest.param(CURL, None, TEXT, id="curl"),
    ],
)
async def test_scrape(accept: str, encoding: str | None, content_type: str) -> None:
    """Each client gets what it reads best, and caches are told what it depended on."""
    headers = [f"Accept: {accept}", *([f"Accept-Encoding: {encoding}"] if encoding else [])]
    async with opened() as web_service:
        reply = await ask(web_service.port, headers=headers)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == content_type
    assert reply.headers["Vary"] == "Accept, Accept-Encoding"
    assert reply.headers.get("Content-Encoding") == ("gzip" if encoding else None)
    body = gzip.decompress(reply.body) if encoding else reply.body
    assert body.count(b"\ntwilio_email_up{") == 1
    assert body.endswith(b"# EOF\n") is (content_type == OPENMETRICS)
    assert b"python_info" in body
    assert b"process_" in body


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_head_has_the_headers_and_no_body(encoding: str) -> None:
    """A probe that asks for less gets less."""
    async with opened(exposition=Exposition([Source("g").part])) as web_service:
        head = await ask(web_service.port, method="HEAD", headers=[f"Accept-Encoding: {encoding}"])
        whole = await ask(web_service.port, headers=[f"Accept-Encoding: {encoding}"])
    assert head.status == 200
    assert head.body == b""
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.body))
    assert head.headers["Content-Type"] == TEXT


async def test_probes() -> None:
    """Healthy speaks of the process, ready of whether it can be asked."""
    health = Health(dead=lambda: None, loaded=True)
    async with opened(health=health) as web_service:
        assert (await ask(web_service.port, "/-/healthy")).status == 200
        assert (await ask(web_service.port, "/-/ready")).status == 503
        health.ready = True
        assert (await ask(web_service.port, "/-/ready")).body == b"OK\n"
        health.dead = lambda: "the scheduler has stopped"
        reply = await ask(web_service.port, "/-/healthy")
        assert (reply.status, reply.body) == (503, b"the scheduler has stopped\n")


async def test_loading_is_no_death() -> None:
    """Until the schedulers run, none of them can hang, however long loading takes."""
    health = Health(dead=lambda: "no sign of life")
    async with opened(health=health) as web_service:
        assert (await ask(web_service.port, "/-/healthy")).status == 200
        health.loaded = True
        assert (await ask(web_service.port, "/-/healthy")).status == 503


async def test_reload_says_what_is_wrong() -> None:
    """A line for each problem, or a line with what needs a restart; only POST reloads."""
    async with opened() as web_service:
        assert (await ask(web_service.port, "/-/reload", method="POST")).status == 200
        web_service.need_restart = ["poll.interval", "accounts.shop"]
        reply = await ask(web_service.port, "/-/reload", method="POST")
        assert (reply.status, reply.body) == (200, b"OK\nrestart to apply: poll.interval, accounts.shop\n")
        web_service.problems = ["one", "two"]
        reply = await ask(web_service.port, "/-/reload", method="POST")
        assert (reply.status, reply.body) == (500, b"one\ntwo\n")
        assert (await ask(web_service.port, "/-/reload")).status == 405


async def test_status_page_takes_nothing_from_elsewhere() -> None:
    """No script, no inline style, no other host, and no frame around it."""
    async with opened() as web_service:
        page, style = await ask(web_service.port, "/"), await ask(web_service.port, "/status.css")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert b"<style" not in page.body
    assert b"<script" not in page.body
    assert b"style=" not in page.body
    assert b"://" not in page.body


async def test_unknown_path_is_not_found() -> None:
    """And says no more."""
    async with opened() as web_service:
        assert (await ask(web_service.port, "/nothing")).status == 404


class Canned(Exposition):
    """The same page for everyone, who all wait until it is let go."""

    def __init__(self, content: bytes = b"page", *, awaited: int = 0) -> None:
        super().__init__([])
        self.content = content
        self.full = asyncio.Event()
        self.let_go = asyncio.Event()
        self._awaited = awaited

    async def pieces(self, format_: Format) -> list[bytes]:
        self._awaited -= 1
        if self._awaited == 0:
            self.full.set()
        await self.let_go.wait()
        return [self.content]


async def test_scrapes_beyond_the_limit_are_sent_away() -> None:
    """Further scrapes get 503 with `Retry-After` until an earlier one ends."""
    canned = Canned(awaited=CONCURRENT_SCRAPES)
    async with opened(exposition=canned) as web_service:
        waiting = [asyncio.create_task(ask(web_service.port)) for _ in range(CONCURRENT_SCRAPES)]
        await canned.full.wait()
        reply = await ask(web_service.port)
        assert reply.status == 503
        assert reply.headers["Retry-After"] == "1"
        assert (await ask(web_service.port, "/-/healthy")).status == 200
        canned.let_go.set()
        assert {reply.status for reply in await asyncio.gather(*waiting)} == {200}
        assert (await ask(web_service.port)).status == 200


@pytest.mark.parametrize("size", [4, 64 * 1024 * 1024], ids=["before the page", "within the page"])
async def test_who_leaves_is_not_in_the_log(size: int, caplog: pytest.LogCaptureFixture) -> None:
    """A scrape that timed out is the scraper's to tell."""
    canned = Canned(bytes(size), awaited=1)
    async with opened(exposition=canned) as web_service:
        _, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await canned.full.wait()
        (visitor,) = web_service.connections._open
        assert visitor.transport is not None
        if size > 4:
            canned.let_go.set()
            while not visitor.transport.get_write_buffer_size():
                await asyncio.sleep(0)
        writer.transport.abort()
        while visitor.transport is not None:
            await asyncio.sleep(0)
        canned.let_go.set()
        while len(web_service.connections):
            await asyncio.sleep(0)
    assert not caplog.records


async def sweep_until(web_service: WebService, done: Callable[[], bool]) -> int:
    """Look after the visitors second by second; gives the second in which it was done."""
    second = 0
    while not done():
        web_service.connections.sweep()
        web_service.clock.advance(1)
        second += 1
        for _ in range(20):  # turns of the loop, in which a socket may be accepted or closed
            await asyncio.sleep(0)
    return second


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.1\r\nHost:"], ids=["silent", "slow"])
async def test_who_does_not_ask_is_cut_off(said: bytes) -> None:
    """A connection costs memory; headers that never end are a known way to have many."""
    async with opened() as web_service:
        reader, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
        writer.write(said)
        end = asyncio.create_task(reader.read())
        assert REQUEST_SECONDS <= await sweep_until(web_service, end.done) <= REQUEST_SECONDS + 5
        with suppress(ConnectionResetError):
            assert await end == b""
        writer.close()


async def test_who_does_not_read_is_cut_off() -> None:
    """A scrape that is never taken would keep its place and its page for ever."""
    canned = Canned(bytes(64 * 1024 * 1024))
    canned.let_go.set()
    async with opened(exposition=canned) as web_service:
        with socket.create_connection(("127.0.0.1", web_service.port)) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connections = web_service.connections
            while not any(each.is_unread for each in connections._open.values()):
                await asyncio.sleep(0)
            assert await sweep_until(web_service, lambda: not len(connections)) >= READ_SECONDS


async def test_who_asks_and_reads_may_stay() -> None:
    """A scraper keeps its connection between scrapes."""
    async with opened() as web_service, ClientSession() as session:
        for minute in range(5):
            web_service.clock.advance(60.0 * minute)
            web_service.connections.sweep()
            async with session.get(f"{web_service.url}/metrics") as reply:
                assert reply.status == 200
                await reply.read()
        assert len(web_service.connections) == 1


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/metrics", f"X-Long: {'x' * (HEADER_BYTES + 1)}"),
        (f"/{'x' * (HEADER_BYTES + 1)}", "X-Short: x"),
        ("/metrics", "\r\n".join(f"X-{number}: x" for number in range(HEADERS + 1))),
    ],
    ids=["header", "path", "headers"],
)
async def test_too_much_head_is_refused(path: str, header: str) -> None:
    """Nobody fills the memory before a handler has looked."""
    async with opened() as web_service:
        assert (await ask(web_service.port, path, headers=[header])).status == 400


# -- listening ----------------------------------------------------------------------------------------------


def served(
    addresses: Sequence[tuple[str | None, int]],
) -> AbstractAsyncContextManager[list[tuple[str, int]]]:
    clock = ManualClock()
    return serving(web.Application(), addresses, Connections(LIMITS, clock), clock)


async def test_several_addresses_and_ipv6() -> None:
    """All of them are served, each with the port it got."""
    async with served([("127.0.0.1", 0), ("::1", 0)]) as bound:
        assert [host for host, _ in bound] == ["127.0.0.1", "::1"]
        for host, port in bound:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()


async def test_no_host_means_every_interface() -> None:
    """As `:10587` says."""
    async with served([(None, 0)]) as bound:
        assert "0.0.0.0" in {host for host, _ in bound}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_taken_address_is_told(host: str) -> None:
    """With the address as it is written, and why."""
    async with served([(host, 0)]) as bound:
        port = bound[0][1]
        shown = f"[{host}]" if ":" in host else host
        with pytest.raises(
            ListenError, match=f"^cannot listen on {re.escape(shown)}:{port}: Address already in use$"
        ):
            async with served([(host, port)]):
                pass


async def test_unknown_host_is_told() -> None:
    """A host name that cannot be resolved is an error."""
    with pytest.raises(ListenError, match=r"^cannot listen on nowhere\.invalid:1: \w+"):
        async with served([("nowhere.invalid", 1)]):
            pass
