"""Operations in few bytes."""

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.operation import STATS, STATUSES, Operation, stats_of
from exporter.packing import pack, unpack

counts = st.none() | st.integers(0, 300) | st.integers(0, 2**53)
operations = st.builds(
    Operation,
    id=st.just("comms_operation_01kabcdefghjkmnpqrstvwxyz0"),
    status=st.sampled_from(STATUSES),
    created_at=st.floats(0, 4e9),
    updated_at=st.floats(0, 4e9),
    stats=st.tuples(*[counts for _ in STATS]),
)


@given(operations)
@example(Operation("x", "completed", 0.0, 0.0, stats_of(total=254)))
@example(Operation("x", "completed", 0.0, 0.0, stats_of(total=255)))
@example(Operation("x", "completed", 0.0, 0.0, stats_of(total=256)))
def test_unpacking_gives_back_what_was_packed(operation: Operation) -> None:
    """To the last bit, absent stats included."""
    assert unpack(operation.id, pack(operation)) == operation


def test_operation_of_few_mails_takes_28_bytes() -> None:
    """A million of them are what the memory limit is about."""
    assert len(pack(Operation("x", "completed", 0.0, 0.0, stats_of(total=1, delivered=1)))) == 28
