"""What stands between us and Twilio, named: each broken reply, and each exception that aiohttp has."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import client_exceptions
from pydantic import SecretStr

from exporter.config.settings import Api
from exporter.errors import TwilioError, Unreachable
from exporter.twilio.failures import describe
from exporter.twilio.protocol import Page, Reply, Request, read_page
from exporter.twilio.transport import open_transport

SECRET = "S3CRET"
REQUEST = Request("list", "/Emails/Operations", (("pageToken", SECRET),))
PAGE = b'{"operations":[],"pagination":{}}'
LENGTH = b"Content-Length: %d\r\n" % len(PAGE)


def http(*headers: bytes, body: bytes = PAGE, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *headers, b"Content-Length: %d" % len(body), b"", body])


def chunked(chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


@asynccontextmanager
async def answering(reply: bytes, after: bytes = b"\r\n\r\n") -> AsyncIterator[int]:
    """A server that reads a request, sends these bytes and closes; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(after)
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def exchange(base_url: str) -> Reply:
    async with open_transport(Api(base_url=base_url, timeout=5.0)) as transport:
        return await transport.exchange(REQUEST, "user", SecretStr(SECRET))


GOOD = {
    "until closed": b"HTTP/1.0 200 OK\r\n\r\n" + PAGE,
    "chunked": chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE), PAGE)),
    "100 before it": b"HTTP/1.1 100 Continue\r\n\r\n" + http(),
    "103 before it": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http(),
    "long header": http(b"X-Policy: " + b"x" * 60_000),
    "many headers": http(*(b"X-%d: x" % number for number in range(500))),
    "no reason phrase": http(start=b"HTTP/1.1 200"),
    "long reason phrase": http(start=b"HTTP/1.1 200 " + b"x" * 20_000),
    "folded header": http(b"X: a\r\n b"),
    "bytes in a header": http(b"X: \xff\xfe"),
    "broken cookie": http(b"Set-Cookie: a[]=\x01;;;="),
    "unknown charset": http(b"Content-Type: text/html; charset=nope"),
    "gzip": http(b"Content-Encoding: GZIP", body=gzip.compress(PAGE)),
    "encoding that is none": http(b"Content-Encoding: identity"),
}


@pytest.mark.parametrize("reply", GOOD.values(), ids=GOOD.keys())
async def test_good_reply_is_no_error_whatever_is_around_it(reply: bytes) -> None:
    """Proxies and gateways add and change much that does not matter."""
    async with answering(reply) as port:
        read = await exchange(f"http://127.0.0.1:{port}/v1")
    assert read.body is not None
    assert read_page(read.body) == Page([], None)


BROKEN = {
    "nothing": (b"", "closed before the reply"),
    "100 and nothing": (b"HTTP/1.1 100 Continue\r\n\r\n", "closed before the reply"),
    "cut": (http()[:-5], "before the end of the reply"),
    "chunk cut": (chunked(b"ff\r\n" + PAGE), "before the end of the reply"),
    "no last chunk": (chunked(b"%x\r\n%s\r\n" % (len(PAGE), PAGE)), "before the end of the reply"),
    "no chunk": (chunked(b"S3CRET\r\n"), "not valid HTTP"),
    "two lengths": (http(LENGTH.strip()), "not valid HTTP"),
    "no HTTP": (b"S3CRET\r\n\r\n", "not valid HTTP"),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x0a", "not valid HTTP"),
    "no header": (http(b"S3CRET"), "not valid HTTP"),
    "header too long": (http(b"X: " + b"S3CRET" * 20_000), "headers of the reply are too large"),
    "too many headers": (http(*[b"X: S3CRET"] * 2000), "headers of the reply are too large"),
    "gzip that is none": (http(b"Content-Encoding: gzip"), "cannot be decompressed"),
    "broken gzip": (
        http(b"Content-Encoding: gzip", body=gzip.compress(PAGE)[:20] + b"S3CRET" * 9),
        "cannot be decompressed",
    ),
    "HTML": (http(body=b"\n<!doctype html>S3CRET"), "HTML or XML"),
    "empty": (http(body=b""), "is empty"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "is empty"),
    "gzip without a name": (http(body=gzip.compress(PAGE)), "without a header for it"),
    "gzip cut": (http(b"Content-Encoding: gzip", body=gzip.compress(PAGE)[:-12]), "truncated"),
}


@pytest.mark.parametrize(("reply", "said"), BROKEN.values(), ids=BROKEN.keys())
async def test_broken_reply_is_named(reply: bytes, said: str) -> None:
    """By what is wrong with it, and without any of it."""
    async with answering(reply) as port:
        with pytest.raises(TwilioError) as caught:
            read_page((await exchange(f"http://127.0.0.1:{port}/v1")).body or b"")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("start", [b"HTTP/1.1 429 Slow", b"HTTP/1.1 503 Down", b"HTTP/1.1 401 No"])
@pytest.mark.parametrize("is_cut", [True, False])
async def test_status_counts_where_the_body_of_an_error_is_broken(start: bytes, is_cut: bool) -> None:
    """And so do its headers: `Retry-After` is obeyed."""
    reply = http(b"Retry-After: 7", *([] if is_cut else [b"Content-Encoding: gzip"]), start=start)
    async with answering(reply[:-5] if is_cut else reply) as port:
        read = await exchange(f"http://127.0.0.1:{port}/v1")
    assert str(read.status) in start.decode()
    assert read.headers["Retry-After"] == "7"
    assert read.body == b""


PROXIES = {
    "407": (
        b"HTTP/1.1 407 S3CRET\r\nContent-Length: 0\r\n\r\n",
        "requires a user and a password (407): check HTTPS_PROXY",
    ),
    "403": (b"HTTP/1.1 403 S3CRET\r\nContent-Length: 0\r\n\r\n", "answered 403 to CONNECT"),
    "502": (b"HTTP/1.1 502 S3CRET\r\nContent-Length: 0\r\n\r\n", "answered 502 to CONNECT"),
    "nothing": (b"", "closed before the reply"),
    "no HTTP": (b"S3CRET\r\n\r\n", "not valid HTTP"),
    "no TLS behind it": (b"HTTP/1.1 200 OK\r\n\r\n", "comms.example:443"),
}


@pytest.mark.parametrize(("reply", "said"), PROXIES.values(), ids=PROXIES.keys())
async def test_reply_of_a_proxy_is_named(reply: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own password stays out of sight."""
    async with answering(reply) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{port}")
        with pytest.raises(Unreachable) as caught:
            await exchange("https://comms.example/v1")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_proxy_that_does_not_listen_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its address: it is not Twilio that is away."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:1")
    with pytest.raises(Unreachable) as caught:
        await exchange("https://comms.example/v1")
    assert str(caught.value).startswith("no connection to the proxy 127.0.0.1:1: ")
    assert SECRET not in str(caught.value)


async def test_plain_http_where_tls_is_expected_is_named() -> None:
    """As is a certificate that nobody signed, in test_client.py."""
    hello = b"\x00"  # somewhere in the first message of TLS
    async with answering(http(), hello) as port:
        with pytest.raises(Unreachable, match=f"TLS: no handshake with 127.0.0.1:{port}"):
            await exchange(f"https://127.0.0.1:{port}/v1")


def subclasses(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


def instance(kind: Any) -> BaseException:
    """As aiohttp makes it, with a secret wherever it takes text."""
    key = SimpleNamespace(host="comms.example", port=443, is_ssl=True, ssl=True)
    error: BaseException
    if issubclass(kind, client_exceptions.UnixClientConnectorError):
        error = kind(SECRET, key, OSError(2, "refused"))
    elif issubclass(kind, aiohttp.ClientConnectorCertificateError):
        error = kind(key, ssl.SSLCertVerificationError(1, SECRET))
    elif issubclass(kind, aiohttp.ClientConnectorError):
        error = kind(key, OSError(111, "refused"))
    elif issubclass(kind, aiohttp.ClientResponseError):
        error = kind(SimpleNamespace(real_url=SECRET), (), status=400, message=SECRET)
    elif issubclass(kind, aiohttp.ServerFingerprintMismatch):
        error = kind(b"", b"", SECRET, 443)
    else:
        error = kind(SECRET)
    return error


EXCEPTIONS = sorted(
    {
        *subclasses(aiohttp.ClientError),
        *subclasses(TimeoutError),
        OSError,
        ssl.SSLError,
        ValueError,
        UnicodeError,
    },
    key=lambda kind: kind.__name__,
)


def test_tree_of_exceptions_is_whole() -> None:
    """All that aiohttp's client has are walked; the one left out is of WebSockets."""
    every = {each for each in vars(client_exceptions).values() if isinstance(each, type)}
    errors = {
        each
        for each in every
        if issubclass(each, Exception) and each.__module__ == client_exceptions.__name__
    }
    assert errors - set(EXCEPTIONS) == {aiohttp.WSMessageTypeError}


@pytest.mark.parametrize("kind", EXCEPTIONS)
async def test_every_exception_is_translated(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names what to check; it shows no class name and nothing of a URL."""

    def raise_it(*_: object, **__: object) -> None:
        raise instance(kind)

    monkeypatch.setattr(aiohttp.ClientSession, "get", raise_it)
    with pytest.raises(Unreachable) as caught:
        await exchange("https://comms.example/v1")
    told = str(caught.value)
    assert told == describe(instance(kind))
    assert kind.__name__ not in told
    assert SECRET not in told
    named = ("api.", "proxy", "comms.example", "TLS")
    assert any(each in told for each in named)
    assert caught.value.reason == ("timeout" if issubclass(kind, TimeoutError) else "connection")
