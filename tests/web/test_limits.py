"""How many connections there may be, and which one is closed: decisions over values."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.limits import (
    FEWEST_CONNECTIONS,
    MOST_CONNECTIONS,
    Limits,
    allowed_files,
    files_besides,
    least_worthy,
    limits_for,
)


@dataclass(frozen=True)
class Held:
    name: str
    address: str = "192.0.2.1"
    is_busy: bool = False
    since: float = 0.0


@pytest.mark.parametrize(
    ("files", "poll_connections", "limits"),
    [
        (None, 2, Limits(80, scrapers=50)),
        (20_000, 200, Limits(80, scrapers=50)),
        (256, 2, Limits(80, scrapers=50)),
        (96, 2, Limits(60, scrapers=37)),
        (40, 2, Limits(10, scrapers=6)),
        (1024, 1000, Limits(10, scrapers=6)),
    ],
)
def test_limits(files: int | None, poll_connections: int, limits: Limits) -> None:
    """Eighty connections where there are files enough, and always a few."""
    assert limits_for(files, poll_connections) == limits


@given(st.integers(0, 1 << 20), st.integers(0, 10_000))
def test_files_for_polls_and_state_stay_free(files: int, poll_connections: int) -> None:
    """All connections together leave the files that the rest of the program needs."""
    limits = limits_for(files, poll_connections)
    assert 0 < limits.scrapers < limits.connections
    assert FEWEST_CONNECTIONS <= limits.connections <= MOST_CONNECTIONS
    assert limits.connections <= max(FEWEST_CONNECTIONS, files - files_besides(poll_connections))


def test_limit_of_this_process() -> None:
    """The soft limit, as a positive number, or none."""
    files = allowed_files()
    assert files is None or files > 0


@pytest.mark.parametrize(
    ("connections", "closed"),
    [
        ([Held("old", since=1), Held("new", since=2)], "old"),
        ([Held("busy", is_busy=True, since=1), Held("idle", since=2)], "idle"),
        ([Held("busy", is_busy=True, since=1), Held("as busy", is_busy=True, since=2)], "busy"),
        ([Held("alone", "192.0.2.9", since=1), Held("one", since=2), Held("of two", since=3)], "one"),
        ([Held("alone", "192.0.2.9"), Held("x", is_busy=True), Held("y", is_busy=True)], "x"),
    ],
    ids=["longest unchanged", "idle before busy", "busy if need be", "of many", "of many, busy"],
)
def test_least_worthy(connections: list[Held], closed: str) -> None:
    """An address with many connections loses one before an address with few does."""
    assert least_worthy(connections).name == closed
