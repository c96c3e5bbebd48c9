"""The parts of a reply that identify nothing: names and values of headers, and keys of JSON. Pure.

Rule: whatever is not on a list here, or does not have a form that no id, address or secret has, is left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

OTHER: Final = "other"
"""Replaces the name of a header that may contain an id or an address."""

_NAME: Final = re.compile(r"(?=.{1,40}$)(?!(?:.*\d){3})[a-z0-9]{1,20}(?:-[a-z0-9]{1,20})*")
_LIMIT: Final = re.compile(r"rate-?limit|concurren|retry-after")
_NUMBER: Final = re.compile(r"\d{1,6}")
_VALUES: Final = {
    "content-type": re.compile(r"application/(?:problem\+)?json(?:; ?charset=utf-8)?"),
    "content-encoding": re.compile(r"gzip|deflate|br|identity"),
    "transfer-encoding": re.compile(r"chunked"),
    "connection": re.compile(r"keep-alive|close"),
}
_KEYS: Final = frozenset(
    {"errors", "pagination", "next", "self", "meta", "data", "operations", "code", "message"}
    | {"infoUrl", "context", "status", "count", "id", "createdAt", "updatedAt"}
)


def harmless_headers(headers: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Each name once, in lower case, with its value where that is a known word or a limit."""
    for name, value in {name.lower(): value for name, value in headers.items()}.items():
        yield (name, _value(name, value)) if _NAME.fullmatch(name) else (OTHER, None)


def _value(name: str, value: str) -> str | None:
    pattern = _NUMBER if _LIMIT.search(name) else _VALUES.get(name)
    return value.lower() if pattern and pattern.fullmatch(value.lower()) else None


def harmless_keys(body: bytes) -> set[str]:
    """The known keys of a JSON object, and of the objects in its lists; empty for anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return set()
    return {key for each in _objects(value) for key in each} & _KEYS


def _objects(value: object) -> Iterator[dict[str, object]]:
    """A JSON object, and the objects in it and in its lists, one level deep."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            for each in inner if isinstance(inner, list) else [inner]:
                if isinstance(each, dict):
                    yield each
