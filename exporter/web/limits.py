"""Decides how many connections may be open, and which one is closed when there are too many.

Must not know of sockets, HTTP or the event loop.

Rule 1: a new connection is always accepted; another one is closed for it. An attacker who fills every place
and stays would otherwise lock everyone else out.
Rule 2: other connections are closed for a new one, never those of scrapers; and scrapers cannot take every
place, so that there is always another one to close.
Rule 3: file descriptors for polls and for the state file are left free.
"""

import contextlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

MOST_CONNECTIONS: Final = 80
"""asyncio allocates 0.3 MB for each TLS connection, so this bounds the memory as well: 24 MB."""

FEWEST_CONNECTIONS: Final = 10
"""Open even if polls then run out of file descriptors: the failure must be visible."""

SPARE_FILES: Final = 32
"""Standard streams, event loop, listening sockets, state file and journal, configuration files, resolver."""

FILES_PER_POLL_CONNECTION: Final = 2
"""While a connection to Twilio is being opened, IPv4 and IPv6 may be tried at the same time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Open connections, at most."""

    connections: int
    scrapers: int
    """Of these, connections of clients that were authenticated, or received the metrics."""


def limits_for(files: int | None, poll_connections: int) -> Limits:
    """`files`: file descriptors that the process may open, `None` for any number of them."""
    room = MOST_CONNECTIONS if files is None else files - files_besides(poll_connections)
    connections = max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, room))
    return Limits(connections, scrapers=connections * 5 // 8)


def files_besides(poll_connections: int) -> int:
    """File descriptors for everything but the connections of clients."""
    return SPARE_FILES + FILES_PER_POLL_CONNECTION * poll_connections


def allowed_files() -> int | None:
    """The soft RLIMIT_NOFILE of this process; `None` where there is none."""
    with contextlib.suppress(ImportError):  # Windows has no such limit
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if files == resource.RLIM_INFINITY else files
    return None


class Held(Protocol):
    """The properties of a connection that the choice depends on."""

    @property
    def address(self) -> str: ...
    @property
    def is_busy(self) -> bool: ...
    @property
    def since(self) -> float: ...


H = TypeVar("H", bound=Held)


def least_worthy(connections: Collection[H]) -> H:
    """The connection to close: from the address with the most, idle before busy, longest unchanged first."""
    by_address = Counter(each.address for each in connections)
    return min(connections, key=lambda each: (-by_address[each.address], each.is_busy, each.since))
