"""The limits on connections, on real sockets: attackers are closed, scrapers are served."""

import asyncio
import gc
import logging
import os
import re
import resource
import socket
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import bcrypt
import pytest

from exporter.web import acceptor
from exporter.web.acceptor import FAILURE_LOG_SECONDS, HANDSHAKES_PER_COLLECTION
from exporter.web.connections import REQUEST_SECONDS, Connection
from exporter.web.limits import Limits
from tests.support.certificates import make_certificates
from tests.support.web_service import WebService, ask, opened
from tests.web.test_tls import configured, trusting

FEW = Limits(connections=7, scrapers=3)

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
GOOD = "Authorization: Basic YWxpY2U6c2VjcmV0"  # alice:secret


class Client:
    """One connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def status(self, path: str = "/metrics", *headers: str) -> int:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"Content-Length: (\d+)", head)
        assert length
        await self.reader.readexactly(int(length[1]))
        return int(head.split()[1])

    async def is_closed(self) -> bool:
        """Whether the server has closed it; some turns of the loop are time enough."""
        for _ in range(100):
            if self.reader.at_eof():
                return True
            await asyncio.sleep(0)
        return False


def open_connections(web_service: WebService) -> list[Connection]:
    len(web_service.connections)
    return list(web_service.connections._open.values())


@asynccontextmanager
async def connected(web_service: WebService) -> AsyncIterator[Client]:
    """Accepted when it is given."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
    address = writer.get_extra_info("sockname")
    while not any(each.socket.getpeername() == address for each in open_connections(web_service)):
        await asyncio.sleep(0)
    yield Client(reader, writer)
    writer.close()


@pytest.mark.parametrize("path", [None, "/nothing", "/"])
async def test_many_connections_do_not_lock_a_scraper_out(path: str | None) -> None:
    """Neither one that keeps its connection nor one that comes now; there are never more than allowed."""
    async with opened(limits=FEW) as web_service, AsyncExitStack() as stack:
        scraper = await stack.enter_async_context(connected(web_service))
        assert await scraper.status() == 200
        for _ in range(5 * FEW.connections):
            attacker = await stack.enter_async_context(connected(web_service))
            if path:
                await attacker.status(path)
            assert len(web_service.connections) <= FEW.connections
            assert (await ask(web_service.port)).status == 200
            assert await scraper.status() == 200


async def test_scrapers_have_a_limit_as_well() -> None:
    """The one whose last scrape is longest ago loses its connection, and may open another one."""
    async with opened(limits=FEW) as web_service, AsyncExitStack() as stack:
        scrapers = []
        for _ in range(FEW.scrapers + 1):
            web_service.clock.advance(1)
            scrapers.append(await stack.enter_async_context(connected(web_service)))
            assert await scrapers[-1].status() == 200
        assert [await each.is_closed() for each in scrapers] == [True, False, False, False]
        assert (await ask(web_service.port)).status == 200


@pytest.mark.parametrize(
    ("path", "header", "stays"),
    [
        ("/metrics", GOOD, True),
        ("/nothing", GOOD, True),
        ("/metrics", "X: x", False),
        ("/-/healthy", "X: x", False),
    ],
    ids=["200", "404 to a user", "401", "a probe"],
)
async def test_connections_of_others_are_closed_soon(
    tmp_path: Path, path: str, header: str, stays: bool
) -> None:
    """Only authenticated clients and scrapers may wait for minutes with their next request."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: {HASH}}}", encoding="utf-8")
    async with opened(config_file=file) as web_service, connected(web_service) as client:
        await client.status(path, header)
        web_service.clock.advance(REQUEST_SECONDS - 1)
        web_service.connections.sweep()
        assert not await client.is_closed()
        web_service.clock.advance(1)
        web_service.connections.sweep()
        assert await client.is_closed() is not stays


async def test_without_users_scrapers_stay_and_others_do_not() -> None:
    """A page that exists makes no scraper, only the metrics do."""
    async with opened() as web_service, connected(web_service) as scraper, connected(web_service) as other:
        assert (await scraper.status(), await other.status("/")) == (200, 200)
        web_service.clock.advance(REQUEST_SECONDS)
        web_service.connections.sweep()
        assert not await scraper.is_closed()
        assert await other.is_closed()


async def test_reply_names_no_versions() -> None:
    """Neither of Python nor of libraries, whatever the status."""
    async with opened() as web_service:
        for path, header in (("/metrics", "X: x"), ("/nothing", "X: x"), ("/metrics", f"X: {'x' * 9000}")):
            reply = await ask(web_service.port, path, headers=[header])
            assert reply.headers["Server"] == "twilio-email-exporter", reply.status


# -- accepting ----------------------------------------------------------------------------------------------


@contextmanager
def no_more_files() -> Iterator[None]:
    """Every further file descriptor is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_failures_to_accept_are_logged_once_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is tried; when there are files again, the connections that wait are accepted."""
    async with opened() as web_service:
        clock = web_service.clock
        clients = [socket.create_connection(("127.0.0.1", web_service.port)) for _ in range(3)]
        with no_more_files():
            while clock.monotonic() < 2.5 * FAILURE_LOG_SECONDS:
                await asyncio.sleep(0)
        while len(web_service.connections) < len(clients):
            await asyncio.sleep(0)
        assert (await ask(web_service.port)).status == 200
        for client in clients:
            client.close()
    lines = [each for each in caplog.records if each.getMessage() == "cannot accept connections"]
    assert len(lines) == len(caplog.records) == 3
    assert lines[1].__dict__["fields"] == {"error": "Too many open files", "failures": FAILURE_LOG_SECONDS}


# -- TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    configured(folder)
    return folder


HALF_A_HELLO = bytes.fromhex("1603010200010001fc0303")


def handshakes(count: int, port: int) -> list[socket.socket]:
    """That never end; every second one has begun."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for client in clients[::2]:
        client.sendall(HALF_A_HELLO)
    return clients


@pytest.mark.needs("openssl")
async def test_hanging_handshakes_have_a_limit_and_leave_no_memory(certificates: Path) -> None:
    """A scraper is served meanwhile; asyncio keeps 0.3 MB for each handshake until it is collected."""
    gc.collect()
    gc.disable()
    try:
        async with opened(config_file=certificates / "web.yml", limits=FEW) as web_service:
            context = trusting(certificates)
            for _ in range(10):
                clients = handshakes(20, web_service.port)
                assert (await ask(web_service.port, tls=context)).status == 200
                kept = sum(isinstance(each, SSLProtocol) for each in gc.get_objects())
                assert kept <= FEW.connections + 2 * HANDSHAKES_PER_COLLECTION
                assert len(web_service.connections) <= FEW.connections
                for client in clients:
                    client.close()
    finally:
        gc.enable()


@pytest.mark.needs("openssl")
async def test_handshake_must_end_in_time(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own limit is a minute."""
    monkeypatch.setattr(acceptor, "REQUEST_SECONDS", 0.01)
    async with opened(config_file=certificates / "web.yml") as web_service:
        reader, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
        writer.write(HALF_A_HELLO)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        assert not len(web_service.connections)
        writer.close()


@pytest.mark.needs("openssl")
async def test_failed_handshakes_are_logged_once_an_interval(
    certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by asyncio, with a line for each."""
    async with opened(config_file=certificates / "web.yml") as web_service:
        for client in handshakes(10, web_service.port):
            client.close()
        with suppress(ConnectionError):
            await ask(web_service.port)
        while len(web_service.connections):
            await asyncio.sleep(0)
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1
