"""TLS handshakes that fail: what the client receives, and what is logged."""

# A table is easier to read with one line each.
# ruff: noqa: E501

import asyncio
import logging
import ssl
from pathlib import Path

import pytest

from exporter.web import handshake
from exporter.web.handshake import FAILURE_LOG_SECONDS
from tests.support.certificates import make_certificates
from tests.support.web_service import ask, opened
from tests.web.test_tls import configured, trusting

pytestmark = pytest.mark.needs("openssl")

REQUIRED = "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [
        vars(record)["fields"]
        for record in caplog.records
        if record.getMessage() == "TLS handshake failed" and record.levelno == logging.WARNING
    ]


async def refused(port: int, context: ssl.SSLContext) -> str | None:
    """The name of the alert that the client received."""
    with pytest.raises(OSError) as caught:
        await ask(port, tls=context)
    return getattr(caught.value, "reason", None)


@pytest.mark.parametrize(
    ("tls", "client", "version", "ciphers", "alert", "reason"),
    [
        (REQUIRED, None, V13, "", "TLSV13_ALERT_CERTIFICATE_REQUIRED", "peer did not return a certificate"),
        (REQUIRED, None, V12, "", "SSLV3_ALERT_HANDSHAKE_FAILURE", "peer did not return a certificate"),
        (REQUIRED, "strange-client", V13, "", "TLSV1_ALERT_UNKNOWN_CA", "client certificate: unable to get local issuer certificate"),
        (REQUIRED, "strange-client", V12, "", "TLSV1_ALERT_UNKNOWN_CA", "client certificate: unable to get local issuer certificate"),
        ("min_version: TLS13", None, V12, "", "TLSV1_ALERT_PROTOCOL_VERSION", "unsupported protocol"),
        ("max_version: TLS12", None, V13, "", "TLSV1_ALERT_PROTOCOL_VERSION", "unsupported protocol"),
        ("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]", None, V12, "ECDHE-ECDSA-AES256-GCM-SHA384", "SSLV3_ALERT_HANDSHAKE_FAILURE", "no shared cipher"),
    ],
)  # fmt: skip
async def test_client_receives_the_alert(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    tls: str,
    client: str | None,
    version: ssl.TLSVersion,
    ciphers: str,
    alert: str,
    reason: str,
) -> None:
    """Of TLS itself, as from exporter-toolkit; the log has the reason and the client's address."""
    monkeypatch.setattr(handshake, "is_local", lambda *_: False)
    async with opened(config_file=configured(folder, tls)) as web_service:
        context = trusting(folder, client=client, version=version, ciphers=ciphers)
        assert await refused(web_service.port, context) == alert
    assert logged(caplog) == [{"client": "127.0.0.1", "reason": reason}]


async def test_client_that_distrusts_the_server(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The alert that a client sends is the reason."""
    async with opened(config_file=configured(folder)) as web_service:
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-verify_return_error", "-connect", f"127.0.0.1:{web_service.port}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
        while not logged(caplog):
            await asyncio.sleep(0)
    assert logged(caplog) == [{"client": "127.0.0.1", "reason": "alert from the client: unknown ca"}]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_plain_http_request_is_answered(
    folder: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """With 400 and what is wrong, in the words of Go's server."""
    async with opened(config_file=configured(folder)) as web_service:
        reply = await ask(web_service.port, method=method)
    assert (reply.status, reply.body) == (400, b"Client sent an HTTP request to an HTTPS server.\n")
    assert logged(caplog) == [{"client": "127.0.0.1", "reason": "plain HTTP request on a TLS port"}]


async def test_client_without_an_allowed_name(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Python's TLS can send no alert once OpenSSL has ended the handshake: the client receives a 403."""
    tls = f"{REQUIRED}\nclient_allowed_sans: [scraper.example]"
    async with opened(config_file=configured(folder, tls)) as web_service:
        for version in (V12, V13):
            context = trusting(folder, client="other-client", version=version)
            reply = await ask(web_service.port, tls=context)
            assert (reply.status, reply.body) == (403, b"the client certificate has no allowed name\n")
        assert (await ask(web_service.port, tls=trusting(folder, client="client"))).status == 200
    assert logged(caplog) == [{"client": "127.0.0.1", "reason": "the client certificate has no allowed name"}]


async def test_failures_are_logged_once_an_interval(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first at once; the next line has the number of those between."""
    async with opened(config_file=configured(folder)) as web_service:
        for _ in range(4):
            assert (await ask(web_service.port)).status == 400
        web_service.clock.advance(FAILURE_LOG_SECONDS)
        for _ in range(2):
            assert (await ask(web_service.port)).status == 400
    first, second = logged(caplog)
    assert "unlogged" not in first
    assert second["unlogged"] == 3


async def test_noise_is_answered_by_closing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are neither TLS nor HTTP."""
    async with opened(config_file=configured(folder)) as web_service:
        reader, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
        writer.write(b"SSH-2.0-client\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()
    assert [each["reason"] for each in logged(caplog)] == ["wrong version number"]


async def test_client_that_sends_nothing_is_not_logged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Load balancers and probes check a port by connecting to it."""
    async with opened(config_file=configured(folder)) as web_service:
        _, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
        writer.close()
        await writer.wait_closed()
        assert (await ask(web_service.port, tls=trusting(folder))).status == 200
    assert not caplog.records


async def test_health_check_is_not_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It runs on the same machine every 30 seconds, and has no certificate to present."""
    async with opened(config_file=configured(folder, REQUIRED)) as web_service:
        assert (
            await refused(web_service.port, trusting(folder, version=V13))
            == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        )
    assert not caplog.records


async def test_client_that_leaves_during_the_handshake(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Some close without an alert when they distrust the server."""
    outgoing = ssl.MemoryBIO()
    hello = trusting(folder).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    async with opened(config_file=configured(folder)) as web_service:
        reader, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
        writer.write(outgoing.read())
        assert await reader.read(1)
        writer.close()
        while not logged(caplog):
            await asyncio.sleep(0)
    assert logged(caplog) == [{"client": "127.0.0.1", "reason": "the client closed the connection"}]


async def test_each_client_receives_its_own(folder: Path) -> None:
    """However many handshakes are under way at once."""
    async with opened(config_file=configured(folder, REQUIRED)) as web_service:

        async def good() -> int:
            return (await ask(web_service.port, tls=trusting(folder, client="client"))).status

        async def bad() -> str | None:
            return await refused(web_service.port, trusting(folder, client="strange-client"))

        async def plain() -> int:
            return (await ask(web_service.port)).status

        results = await asyncio.gather(*(each() for _ in range(10) for each in (good, bad, plain)))
    assert results == [200, "TLSV1_ALERT_UNKNOWN_CA", 400] * 10
