"""An Email Operation, its status and its stats as plain values, in Twilio's words.

Must not know of JSON, HTTP or Prometheus. Names are Twilio's, in lower case and snake case.
Source: https://www.twilio.com/docs/email (Email Operations).
"""

import re
from typing import Final, NamedTuple

ID_PATTERN: Final = re.compile(r"comms_operation_[0-7][a-hjkmnpqrstv-z0-9]{25}[A-Za-z0-9_-]{0,22}")
"""At most 64 characters that are safe in a URL and in a label.

Twilio's own pattern, `^comms_operation_[0-7][a-hjkmnpqrstv-z0-9]{25,34}`, has no end anchor, so that longer
ids are valid by it.
"""

STATUSES: Final = ("scheduled", "processing", "completed", "canceled", "unknown")
"""Statuses of an operation; `unknown` replaces every word that this version does not know."""

FINAL_STATUSES: Final = frozenset({"completed", "canceled"})
"""Operations in one of these are not fetched. Their stats still change: bounces and opens arrive later."""


class Stats(NamedTuple):
    """The stats of an operation. `None`: the reply did not contain the stat, which is not zero."""

    total: int | None = None
    recipients: int | None = None
    attempts: int | None = None
    scheduled: int | None = None
    queued: int | None = None
    sent: int | None = None
    delivered: int | None = None
    opened: int | None = None
    undelivered: int | None = None
    failed: int | None = None
    canceled: int | None = None


STATS: Final = Stats._fields
"""The names of the stats, in the order of `Stats`."""

EMAIL_STATUSES: Final = STATS[STATS.index("scheduled") :]
"""The states of a single email; an operation counts its emails by these."""


class Operation(NamedTuple):
    """One Email Operation as a reply described it. Times are Unix seconds."""

    id: str
    status: str
    created_at: float
    updated_at: float
    stats: Stats
    unknown_stats: tuple[str, ...] = ()
    """Names of stats that this version does not know; their values were dropped."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES
