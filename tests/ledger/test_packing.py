"""Operations in few bytes."""

import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.ledger.counters import COUNTED
from exporter.ledger.packing import Entry, created_at, pack, pack_marks, unpack, unpack_marks
from exporter.operation import STATS, STATUSES, Operation, stats_of

counts = st.none() | st.integers(0, 300) | st.integers(0, 2**53)
entries = st.builds(
    Entry,
    operation=st.builds(
        Operation,
        id=st.just("comms_operation_01kabcdefghjkmnpqrstvwxyz0"),
        status=st.sampled_from(STATUSES),
        created_at=st.floats(0, 4e9),
        updated_at=st.floats(0, 4e9),
        stats=st.tuples(*[counts for _ in STATS]),
    ),
    finished=st.booleans(),
    not_found=st.booleans(),
)


def entry(**stats: int) -> Entry:
    return Entry(Operation("x", "completed", 1.0, 2.0, stats_of(**stats)))


@given(entries)
@example(entry(total=254))
@example(entry(total=255))
@example(entry(total=256))
def test_unpacking_gives_back_what_was_packed(kept: Entry) -> None:
    """To the last bit, absent stats and what else is remembered included."""
    packed = pack(*kept)
    assert unpack(kept.operation.id, packed) == kept
    assert created_at(packed) == kept.operation.created_at


@given(st.tuples(*[counts for _ in COUNTED]))
def test_unpacking_gives_back_the_marks(marks: tuple[int | None, ...]) -> None:
    """Those that are absent included."""
    assert unpack_marks(pack_marks(marks)) == marks


@given(st.binary(max_size=120))
def test_other_bytes_are_refused_or_read(packed: bytes) -> None:
    """A damaged state file is told by `ValueError`, and by nothing else."""
    for read in (lambda: unpack("x", packed), lambda: unpack_marks(packed), lambda: created_at(packed)):
        try:
            read()
        except ValueError as error:
            assert str(error)


def test_statuses_and_flags_out_of_range_are_refused() -> None:
    """Bytes of the right length may still be nonsense."""
    packed = bytearray(pack(*entry(total=1)))
    packed[16] = len(STATUSES)
    with pytest.raises(ValueError, match="not the bytes"):
        unpack("x", bytes(packed))


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("offset", [0, 8])
def test_times_that_are_none_are_refused(at: float, offset: int) -> None:
    """No window holds them, and nothing would ever forget them."""
    packed = bytearray(pack(*entry(total=1)))
    packed[offset : offset + 8] = struct.pack("<d", at)
    for read in (lambda: unpack("x", bytes(packed)), lambda: created_at(bytes(packed))):
        with pytest.raises(ValueError, match="not the times"):
            read()


def test_negative_counts_are_refused() -> None:
    """But for the one that says that a stat is absent."""
    packed = bytearray(pack(*entry(total=900)))
    packed[18:26] = struct.pack("<q", -2)
    with pytest.raises(ValueError, match="negative"):
        unpack("x", bytes(packed))
    with pytest.raises(ValueError, match="negative"):
        unpack_marks(struct.pack("<8q", *range(7), -2))


@pytest.mark.parametrize("number", [0, 2, 7, 9])
def test_marks_of_another_number_are_refused(number: int) -> None:
    """One for each counted stat."""
    with pytest.raises(ValueError, match="no marks"):
        unpack_marks(bytes(8 * number))


def test_operation_of_few_mails_takes_29_bytes() -> None:
    """A million of them are what the memory limit is about."""
    assert len(pack(*entry(total=1, delivered=1))) == 29
