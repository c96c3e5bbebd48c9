"""The web service on a real socket, without polls, and a client that returns every detail of a reply."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exporter.metrics.exposition import Exposition
from exporter.web.auth import Authenticator
from exporter.web.connections import Connections
from exporter.web.limits import Limits, limits_for
from exporter.web.listener import serving
from exporter.web.reloads import Reloaded, SpacedReloads
from exporter.web.routes import Health, Page, Scrapes, build
from exporter.web.service import exposition_of
from exporter.web.status_page import status_page, style_sheet
from tests.support.clock import SATURDAY, ManualClock
from tests.support.states import WEEK, State, one_account

LIMITS = limits_for(None, poll_connections=0)


@dataclass
class WebService:
    """The parts that tests use."""

    clock: ManualClock
    authenticator: Authenticator
    connections: Connections
    health: Health
    exposition: Exposition
    port: int = 0
    problems: list[str] = field(default_factory=list)
    need_restart: list[str] = field(default_factory=list)
    """What the next reload reports."""
    reloads: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reload(self) -> Reloaded:
        self.reloads += 1
        return Reloaded(self.problems, self.need_restart)


@asynccontextmanager
async def opened(
    *,
    config_file: Path | None = None,
    state: State | None = None,
    health: Health | None = None,
    exposition: Exposition | None = None,
    limits: Limits = LIMITS,
) -> AsyncIterator[WebService]:
    state = state or one_account()
    clock = ManualClock()
    web_service = WebService(
        clock,
        Authenticator(config_file, clock),
        Connections(limits, clock),
        health or Health(dead=lambda: None, ready=True, loaded=True),
        exposition or exposition_of(state.metrics, ManualClock()),
    )
    application = build(
        web_service.exposition,
        web_service.health,
        pages_of(state),
        Scrapes(state.metrics.scrape, state.metrics.note_seen),
        "/metrics",
        web_service.authenticator,
        web_service.connections,
        SpacedReloads(web_service.reload, clock),
    )
    async with serving(
        application, [("127.0.0.1", 0)], web_service.connections, clock, web_service.authenticator.tls
    ) as bound:
        web_service.port = bound[0][1]
        yield web_service


def pages_of(state: State) -> dict[str, Callable[[Mapping[str, str]], Page]]:
    def status(query: Mapping[str, str]) -> Page:
        accounts = state.statuses.accounts.values()
        return Page(
            status_page(
                accounts,
                state.verdicts.current(SATURDAY + 100),
                version="1.2.3",
                telemetry_path="/metrics",
                now=SATURDAY + 100,
                lookback=WEEK,
                rate_limits=state.rate_limiters,
                query=query,
            )
        )

    return {"/": status, "/status.css": lambda _: Page(style_sheet(), "text/css")}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    tls: tuple[str, str] | None
    """Version and cipher suite."""
    certificate: str | None
    """Common name of the server's."""


async def ask(
    port: int,
    path: str = "/metrics",
    *,
    tls: ssl.SSLContext | None = None,
    method: str = "GET",
    headers: Sequence[str] = (),
) -> Reply:
    """One request on a new connection. Raises `OSError` if the server closes it without a reply."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
    )
    try:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        if not head:  # with TLS 1.3 the server's refusal comes after the client's handshake
            raise ConnectionResetError("closed without a word")
        status, *fields = head.decode().split("\r\n")
        secured = writer.get_extra_info("ssl_object")
        return Reply(
            int(status.split()[1]),
            dict(line.split(": ", 1) for line in fields),
            body,
            (secured.version(), secured.cipher()[0]) if secured else None,
            common_name(secured.getpeercert()) if secured else None,
        )
    finally:
        writer.close()


def common_name(certificate: dict[str, object] | None) -> str | None:
    subject = (certificate or {}).get("subject", ())
    return next((value for rdn in subject for name, value in rdn if name == "commonName"), None)  # type: ignore[attr-defined]
