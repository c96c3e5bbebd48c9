"""Operations for tests: built by hand, or drawn by hypothesis."""

from hypothesis import strategies as st

from exporter.operation import STATS, STATUSES, Operation, Stats
from tests.support.clock import SATURDAY

IDS = [f"comms_operation_01k{letter * 23}" for letter in "abcdefgh"]


def operation(
    number: int = 0,
    *,
    status: str = "completed",
    age: float = 600.0,
    updated_after: float = 0.0,
    now: float = SATURDAY,
    **stats: int,
) -> Operation:
    """An operation created `age` seconds ago, and updated `updated_after` seconds after that."""
    created_at = now - age
    return Operation(IDS[number], status, created_at, created_at + updated_after, Stats(**stats))


def drawn_stats(largest: int = 400) -> st.SearchStrategy[Stats]:
    return st.builds(Stats, *[st.integers(0, largest) for _ in STATS])


statuses = st.sampled_from(STATUSES)
