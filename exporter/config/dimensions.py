"""The values of `breakdown.by`: which properties of emails are counted.

Every error is a `ValueError` with what to write instead in its message. Must not know the settings.
"""

import difflib
from typing import Final

from exporter.breakdown import DOMAIN_DIMENSIONS, TAG_PREFIX
from exporter.config.parsers import check_expanded
from exporter.config.problems import shown

MAX_KEY: Final = 128
"""Characters of a tag's key, by Twilio's reference."""

_RIGHT: Final = f"write {', '.join(DOMAIN_DIMENSIONS)} or {TAG_PREFIX}KEY"


def split_dimensions(value: object) -> object:
    """The items of a text with commas between them, none of an empty one; anything else as it is."""
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",")) if value.strip() else ()


def parse_dimension(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"contains an item that is not text; {_RIGHT}, without a space after the colon")  # noqa: TRY004 - pydantic reports only ValueError
    check_expanded(value)
    if value in DOMAIN_DIMENSIONS:
        return value
    if not value.startswith(TAG_PREFIX):
        raise ValueError(f"contains {_named(value)}; {_suggestion(value)}")
    key = value.removeprefix(TAG_PREFIX)
    if not key or key != key.strip():
        raise ValueError(
            f"contains {_named(value)}; write the tag's key after the colon, such as {TAG_PREFIX}campaign"
        )
    if len(key) > MAX_KEY or not key.isprintable() or "@" in key:
        raise ValueError(
            f"contains {_named(value)}; write a key of at most {MAX_KEY} printable characters without @"
        )
    return value


def check_distinct(dimensions: tuple[str, ...]) -> tuple[str, ...]:
    for index, dimension in enumerate(dimensions):
        if dimension in dimensions[:index]:
            raise ValueError(f"contains {_named(dimension)} twice; write it once")
    return dimensions


def _named(value: str) -> str:
    return f'"{shown(value)}"' if value else "an empty item"


def _suggestion(value: str) -> str:
    near = difflib.get_close_matches(value.lower().replace("-", "_"), DOMAIN_DIMENSIONS, n=1)
    return f"write {near[0]}" if near else _RIGHT
