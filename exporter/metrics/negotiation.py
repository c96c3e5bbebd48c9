"""Content negotiation: chooses the format and the encoding from `Accept` and `Accept-Encoding`. Pure.

It must not know how a format is written.

prometheus_client's own function is not used: it ignores weights, echoes any version and labels a 1.0 body
as 2.0.0.

Rule 1: a client that accepts no format we have, or sends an invalid header, gets text 0.0.4, which every
scraper reads.
Rule 2: the first of two equal weights wins, because Prometheus lists its preferred format first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Format:
    """An exposition format and its media type."""

    content_type: str
    openmetrics: bool


TEXT: Final = Format("text/plain; version=0.0.4; charset=utf-8", openmetrics=False)
OPENMETRICS: Final = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics=True)
OPENMETRICS_0: Final = Format("application/openmetrics-text; version=0.0.1; charset=utf-8", openmetrics=True)
"""Prometheus before 2.37 accepts this draft version; the text is the same."""

FORMATS: Final = (TEXT, OPENMETRICS, OPENMETRICS_0)

_BY_NAME: Final = {
    ("text/plain", None): TEXT,
    ("text/plain", "0.0.4"): TEXT,
    ("application/openmetrics-text", None): OPENMETRICS,
    ("application/openmetrics-text", "1.0.0"): OPENMETRICS,
    ("application/openmetrics-text", "0.0.1"): OPENMETRICS_0,
    ("text/*", None): TEXT,
    ("*/*", None): TEXT,
}

_HEADERS: Final = 32
"""Size of the caches: a scraper sends the same header each time."""

# RFC 9110, 12.4.2: up to three decimal digits
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


class _Entry(NamedTuple):
    name: str
    version: str | None
    weight: float


@lru_cache(maxsize=_HEADERS)
def choose_format(accept: str | None) -> Format:
    """Returns the format with the highest weight (RFC 9110, 12.5.1)."""
    best, best_weight = TEXT, 0.0
    for entry in _entries(accept):
        format_ = _BY_NAME.get((entry.name, entry.version))
        if format_ is not None and entry.weight > best_weight:
            best, best_weight = format_, entry.weight
    return best


@lru_cache(maxsize=_HEADERS)
def accepts_gzip(accept_encoding: str | None) -> bool:
    """An entry for gzip takes precedence over `*` (RFC 9110, 12.5.3)."""
    weights = {entry.name: entry.weight for entry in _entries(accept_encoding)}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _entries(header: str | None) -> Iterator[_Entry]:
    for text in (header or "").split(","):
        name, *rest = (part.strip().lower() for part in text.split(";"))
        parameters = dict(_parameter(part) for part in rest)
        yield _Entry(name, parameters.get("version"), _weight(parameters.get("q", "1")))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _weight(text: str) -> float:
    # An entry with an invalid weight is not acceptable.
    return float(text) if _WEIGHT.fullmatch(text) else 0.0
