"""The bench at a small size: what it draws and what it prints, not how long that takes."""

from itertools import islice

from bench.state import Loading, Measured, Writing, drawn, measure, table
from exporter.operation import STAT_INDEX
from exporter.packing import unpack

GOOD = Measured(
    operations=1_000_000,
    changed=5_000,
    newest=Writing([0.03, 0.02, 0.9], [0.01, 0.01, 0.01]),
    anywhere=Writing([0.1], [0.01]),
    loading=Loading(seconds=3.0, stall_seconds=0.02, memory_bytes=200_000_000, operations=1_000_000),
    fetching_seconds=0.5,
    disk_bytes=98_000_000,
)


def test_drawn_operations_are_those_of_an_account() -> None:
    """Mostly of few mails, some of hundreds; some not final, some below their marks; the same each time."""
    rows = list(drawn(4000))
    operations = [unpack(row.id, row.packed).operation for row in rows]
    mails = [each.stats[STAT_INDEX["total"]] or 0 for each in operations]
    assert rows[:50] == list(islice(drawn(4000), 50))
    assert len({each.id for each in operations}) == 4000
    assert 3800 < sum(number <= 3 for number in mails) < 4000
    assert 0 < sum(not each.is_final for each in operations) < 100
    assert 0 < sum(row.marks is not None for row in rows) < 100


def test_bench_measures_every_line() -> None:
    """From a state file of its own to the table; each step in a process that finds what the last one left."""
    measured = measure(2000, 100)
    assert measured.loading.operations == 2000
    assert measured.disk_bytes > 2000 * 29
    assert table(measured).count("\n") == 6


def test_table_says_what_met_its_goal() -> None:
    """The median of the commits counts; a line without a goal only tells."""
    lines = table(GOOD).splitlines()
    assert "30 ms" in lines[1]
    assert "3.0 times" in lines[1]
    assert [line.split()[-1] for line in lines if line.split()[-1] in {"yes", "NO"}] == ["yes"] * 3
    slow = GOOD._replace(loading=GOOD.loading._replace(seconds=5.5, stall_seconds=0.2))
    assert table(slow).count("NO") == 2
