"""Families in, exposition text out: chooses the format that a scraper asks for and renders it.

Must not know of accounts, polls or the HTTP server.

prometheus_client's own chooser is not used: it ignores weights, echoes any version and labels a 1.0 body
as 2.0.0.
"""

import asyncio
import gzip
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

_EOF: Final = b"# EOF\n"


@dataclass(frozen=True, slots=True)
class Format:
    """A text format and the media type that names it."""

    content_type: str
    openmetrics: bool


TEXT: Final = Format("text/plain; version=0.0.4; charset=utf-8", openmetrics=False)
OPENMETRICS: Final = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics=True)


def choose_format(accept: str | None) -> Format:
    """The format of the highest weight in an `Accept` header (RFC 9110, 12.5.1); text 0.0.4 otherwise.

    Of equal weights the earlier wins: Prometheus puts what it likes best first.
    """
    best, best_weight = TEXT, 0.0
    for entry in (accept or "").split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        weight = _weight(values.get("q"))
        chosen = _format(media_type, values.get("version"))
        if chosen is not None and weight > best_weight:
            best, best_weight = chosen, weight
    return best


def accepts_gzip(accept_encoding: str | None) -> bool:
    for entry in (accept_encoding or "").split(","):
        coding, _, weight = entry.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return _weight(weight.partition("=")[2].strip() or None) > 0
    return False


def compress(page: bytes) -> bytes:
    """Level 1: twelve times cheaper than 9, and 10 % larger."""
    return gzip.compress(page, compresslevel=1, mtime=0)


class Exposition:
    """The page: polled data rendered once per publish and format, the exporter's own metrics live."""

    def __init__(self, polled: CollectorRegistry, own: CollectorRegistry) -> None:
        self._polled = polled
        self._own = own
        self._publishes = 0
        self._rendered: dict[Format, tuple[int, bytes]] = {}

    def published(self) -> None:
        """The polled data has changed."""
        self._publishes += 1

    async def page(self, format_: Format) -> bytes:
        """The whole page; polled data is rendered off the event loop."""
        publishes, polled = self._rendered.get(format_, (-1, b""))
        if publishes != self._publishes:
            publishes = self._publishes
            polled = await asyncio.to_thread(_render, self._polled, format_)
            self._rendered[format_] = (publishes, polled)
        return polled + _render(self._own, format_) + (_EOF if format_.openmetrics else b"")


def _render(registry: CollectorRegistry, format_: Format) -> bytes:
    """The families without an end mark, so that two pages can be joined."""
    if not format_.openmetrics:
        return generate_latest(registry)
    page: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    return page.removesuffix(_EOF)


def _format(media_type: str, version: str | None) -> Format | None:
    if media_type == "application/openmetrics-text":
        return OPENMETRICS if version in {None, "1.0.0", "0.0.1"} else None
    if media_type == "text/plain":
        return TEXT if version in {None, "0.0.4"} else None
    return TEXT if media_type in {"*/*", "text/*"} else None


def _weight(value: str | None) -> float:
    if value is None:
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
