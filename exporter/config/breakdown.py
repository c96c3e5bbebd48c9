"""The settings of the breakdown, and the words that `breakdown.by` accepts.

Must not know how emails are counted. Every error of a dimension is a `ValueError` with what to write instead.
"""

import difflib
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field  # noqa: TID251 - home of pydantic

from exporter.breakdown import DOMAIN_DIMENSIONS, TAG_PREFIX
from exporter.config.parsers import check_expanded
from exporter.config.problems import shown
from exporter.config.values import MAX_LOOKBACK, Count, Duration, Kind, Section

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


Dimensions = Annotated[
    tuple[Annotated[str, BeforeValidator(parse_dimension)], ...],
    BeforeValidator(split_dimensions),
    AfterValidator(check_distinct),
    Kind("DIMENSION", "recipient_domain, sender_domain or tag:KEY, separated by commas"),
]
Switch = Annotated[bool, Kind("true|false", "true or false")]


class Breakdown(Section):
    """What failed and undelivered emails are counted by."""

    by: Dimensions = Field(
        default=(),
        description="count failed and undelivered emails by this; none: no breakdown and no request for it",
    )
    interval: Duration = Field(
        default=300.0, ge=60, description="time from the start of one refresh to the start of the next"
    )
    lookback: Duration = Field(
        default=86400.0, gt=0, le=MAX_LOOKBACK, description="emails created within it are counted"
    )
    top: Count = Field(
        default=10,
        ge=1,
        le=100,
        description="number of values with their own series; all others are added up in `other`",
    )
    max_requests: Count = Field(
        default=20, ge=1, le=500, description="maximum number of requests per refresh and account"
    )
    errors: Switch = Field(
        default=False,
        description="also count the errors of the top failing operations; Twilio does not document this call",
    )
