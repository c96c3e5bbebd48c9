"""Operations in few bytes."""

import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.ledger.counters import COUNTED
from exporter.ledger.packing import (
    LAYOUT,
    Entry,
    Layout,
    created_at,
    pack,
    pack_marks,
    repacker,
    unpack,
    unpack_marks,
)
from exporter.operation import STATS, STATUSES, Operation, Stats

counts = st.none() | st.integers(0, 300) | st.integers(0, 2**53)
entries = st.builds(
    Entry,
    operation=st.builds(
        Operation,
        id=st.just("comms_operation_01kabcdefghjkmnpqrstvwxyz0"),
        status=st.sampled_from(STATUSES),
        created_at=st.floats(0, 4e9),
        updated_at=st.floats(0, 4e9),
        stats=st.builds(Stats, *[counts for _ in STATS]),
        unknown_stats=st.just(()),
    ),
    finished=st.booleans(),
    not_found=st.booleans(),
    had_unknown_stats=st.booleans(),
)


def entry(**stats: int) -> Entry:
    return Entry(Operation("x", "completed", 1.0, 2.0, Stats(**stats)))


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
    with pytest.raises(ValueError, match="not an operation"):
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
    with pytest.raises(ValueError, match="not high-water marks"):
        unpack_marks(bytes(8 * number))


def test_operation_of_few_mails_takes_29_bytes() -> None:
    """A million of them are what the memory limit is about."""
    assert len(pack(*entry(total=1, delivered=1))) == 29


OLDER = Layout(("completed", "processing", "unknown"), ("total", "failed", "sent"), ("total", "sent"))
"""Another order, fewer names, other counted stats."""


@given(
    status=st.sampled_from(STATUSES),
    values=st.tuples(*[st.none() | st.integers(0, 300) for _ in range(3)]),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_repacked_operation_keeps_what_both_layouts_know(
    status: str, values: tuple[int | None, ...], flags: tuple[bool, bool]
) -> None:
    """By name: there and back again only what the older layout lacks is lost."""
    stats = Stats(total=values[0], failed=values[1], sent=values[2], opened=7)
    packed = pack(Operation("x", status, 1.0, 2.0, stats), *flags)
    older, _ = repacker(LAYOUT, OLDER)(packed, None)
    back, marks = repacker(OLDER)(older, None)
    known = status if status in OLDER.statuses else "unknown"
    assert unpack("x", back) == Entry(Operation("x", known, 1.0, 2.0, stats._replace(opened=None)), *flags)
    assert marks is None


def test_repacked_marks_keep_what_was_counted_and_begin_at_the_value_for_what_was_not() -> None:
    """`failed` is counted from now on; a stat that the older layout lacks has no mark."""
    older, marks = repacker(LAYOUT, OLDER)(
        pack(*entry(total=5, failed=3, sent=2)), pack_marks((9,) * len(COUNTED))
    )
    assert marks == struct.pack("<2q", 9, 2)
    _, back = repacker(OLDER)(older, marks)
    assert back is not None
    assert dict(zip(COUNTED, unpack_marks(back), strict=True)) == {
        **dict.fromkeys(COUNTED), "total": 9, "failed": 3,
    }  # fmt: skip


@pytest.mark.parametrize("packed", [b"", b"x" * 18, pack(*entry(total=1)) + b"x"])
def test_bytes_that_the_older_layout_has_not_packed_are_refused(packed: bytes) -> None:
    """A damaged row is not made readable by repacking it."""
    with pytest.raises(ValueError, match="bytes"):
        repacker(OLDER)(packed, None)
