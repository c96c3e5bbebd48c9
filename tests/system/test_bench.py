"""The bench at a small size: what it draws, measures and prints, not how long that takes."""

import json
import math
from itertools import islice
from pathlib import Path

import pytest

from bench import table
from bench.__main__ import QUICK, WHOLE
from bench.account import WEEK, Span, drawn
from bench.state import saved_rows
from bench.table import TIMES, Row
from tests.support.clock import SATURDAY


def test_drawn_operations_are_those_of_an_account() -> None:
    """Mostly of few mails, some of hundreds; some not final; the same each time."""
    span = Span(4000, SATURDAY - WEEK, SATURDAY, 0.005)
    operations = list(drawn(span))
    mails = [each.stats.total or 0 for each in operations]
    assert operations[:50] == list(islice(drawn(span), 50))
    assert len({each.id for each in operations}) == 4000
    assert 3800 < sum(number <= 3 for number in mails) < 4000
    assert 0 < sum(not each.is_final for each in operations) < 100
    assert 0 < sum(row.marks is not None for row in saved_rows(4000)) < 100


@pytest.mark.parametrize("part", QUICK)
def test_part_of_the_bench_measures(part: str) -> None:
    """From what it sets up for itself to its rows, in processes of their own."""
    rows = QUICK[part]()
    assert rows
    assert all(row.value >= 0 and math.isfinite(row.value) for row in rows)


def test_quick_bench_has_the_parts_of_the_whole_one() -> None:
    """So that none of them rots unseen."""
    assert QUICK.keys() == WHOLE.keys()


@pytest.mark.parametrize(
    ("row", "figure", "goal", "met"),
    [
        (Row("s", "n", 1.234, TIMES, "f", 1.5), f"1.23 {TIMES}", f"≤ 1.5 {TIMES}", "yes"),
        (Row("s", "n", 1.51, TIMES, "f", 1.5), f"1.51 {TIMES}", f"≤ 1.5 {TIMES}", "no"),
        (Row("s", "n", 327.4, "MB"), "327 MB", "", ""),
        (Row("s", "n", 25000, ""), "25,000", "", ""),
    ],
)
def test_row_tells_whether_it_met_its_goal(row: Row, figure: str, goal: str, met: str) -> None:
    """A goal is the most that a figure may be; a row without one only tells."""
    assert row.cells() == ("n", figure, row.floor, goal, met)


def test_bench_fails_for_what_was_good_and_is_bad() -> None:
    """Not for what missed its goal before, is new, has no goal, or misses by a quarter at most."""
    before = [Row("s", name, 1.0, TIMES, "", 2.0) for name in ("worse", "a little worse", "good")]
    before += [Row("s", "bad", 3.0, TIMES, "", 2.0), Row("s", "free", 3.0, TIMES)]
    now = [
        Row("s", name, value, TIMES, "", 2.0)
        for name, value in {"worse": 2.6, "a little worse": 2.4, "good": 1.9, "bad": 9.0, "new": 9.0}.items()
    ]
    assert table.worse([*now, Row("s", "free", 9.0, TIMES)], before) == now[:1]


def test_last_run_is_kept_in_file_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run replaces the tables of the page, and nothing else of it."""
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("before\n<!-- table: begin -->\nold\n<!-- table: end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(table, "PAGE", page)
    monkeypatch.setattr(table, "RESULTS", results)
    table.publish([Row("Things", "a thing", 2.0, TIMES, "another", 1.5)])
    written = page.read_text(encoding="utf-8")
    kept = json.loads(results.read_text(encoding="utf-8"))
    assert f"| a thing | 2 {TIMES} | another | ≤ 1.5 {TIMES} | no |\n<!-- table: end -->\nafter\n" in written
    assert written.startswith("before\n<!-- table: begin -->\nMeasured on ")
    assert "old" not in written
    assert kept["rows"][0]["met"] is False
    assert table.markdown(kept) in written


def test_page_shows_the_last_run() -> None:
    """docs/performance.md and bench/results.json agree to the last digit."""
    results = json.loads(table.RESULTS.read_text(encoding="utf-8"))
    (shown,) = table.MARKED.findall(table.PAGE.read_text(encoding="utf-8"))
    assert shown == table.markdown(results)
    assert table.last()
