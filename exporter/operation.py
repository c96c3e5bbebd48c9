"""Twilio's words: an Email Operation, its status and its stats, as plain values.

Knows nothing of JSON, HTTP or Prometheus. Names are Twilio's, in lower case and snake case.
Source: https://www.twilio.com/docs/email (Email Operations).
"""

import re
from typing import Final, NamedTuple, TypeAlias

ID_PATTERN: Final = re.compile(r"comms_operation_[0-7][a-hjkmnpqrstv-z0-9]{25}[A-Za-z0-9_-]{0,22}")
"""At most 64 characters that are safe in a URL and in a label.

Twilio's own pattern, `^comms_operation_[0-7][a-hjkmnpqrstv-z0-9]{25,34}`, has no end anchor, so that longer
ids are valid by it.
"""

STATUSES: Final = ("scheduled", "processing", "completed", "canceled", "unknown")
"""Statuses of an operation; `unknown` stands for every word that Twilio may add one day."""

FINAL_STATUSES: Final = frozenset({"completed", "canceled"})
"""No more fetches after one of these. Final is not frozen: bounces and opens still arrive."""

EMAIL_STATUSES: Final = (
    "scheduled",
    "queued",
    "sent",
    "delivered",
    "opened",
    "undelivered",
    "failed",
    "canceled",
)
"""The states of a single mail that an operation counts."""

STATS: Final = ("total", "recipients", "attempts", *EMAIL_STATUSES)
"""The eleven stats, in the order in which `Stats` holds them."""

STAT_INDEX: Final = {stat: index for index, stat in enumerate(STATS)}

Stats: TypeAlias = tuple[int | None, ...]
"""Eleven values in the order of `STATS`. `None`: the reply did not name the stat, which is not zero."""


class Operation(NamedTuple):
    """One Email Operation as a reply described it. Times are Unix seconds."""

    id: str
    status: str
    created_at: float
    updated_at: float
    stats: Stats

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES


def stats_of(**values: int) -> Stats:
    """Stats by name; what is not named is absent."""
    unknown = values.keys() - STAT_INDEX.keys()
    if unknown:
        raise ValueError(f"no such stat: {', '.join(sorted(unknown))}")
    return tuple(values.get(stat) for stat in STATS)
