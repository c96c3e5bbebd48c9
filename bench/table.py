"""The rows of results, their table, and the two files that hold the last run.

`docs/performance.md` has the table between two marks; a test checks that it agrees with `bench/results.json`.
"""

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "bench" / "results.json"
PAGE: Final = ROOT / "docs" / "performance.md"
TIMES: Final = "×"  # noqa: RUF001 - the sign is meant
"""The unit of a ratio."""

TOLERANCE: Final = 1.25
"""Times a goal: two runs on the same machine differ by that much."""

MARKED: Final = re.compile(r"(?<=<!-- table: begin -->\n).*?(?=<!-- table: end -->)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One figure."""

    section: str
    name: str
    value: float
    unit: str
    floor: str = ""
    """The baseline of a ratio, or details of the figure."""
    goal: float | None = None
    """Upper limit; `None`: no goal."""

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal

    def cells(self) -> tuple[str, ...]:
        goal = "" if self.goal is None else f"≤ {_number(self.goal)} {self.unit}"
        met = {True: "yes", False: "no", None: ""}[self.met]
        return self.name, f"{_number(self.value)} {self.unit}".rstrip(), self.floor, goal, met


HEAD: Final = ("", "figure", "against", "goal", "met")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """The content of `bench/results.json`."""
    return {
        "date": date.today().isoformat(),  # noqa: DTZ011 - the day where it was measured
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "rows": [{**asdict(row), "met": row.met} for row in rows],
    }


def rows_of(results: dict[str, Any]) -> list[Row]:
    return [Row(**{name: value for name, value in row.items() if name != "met"}) for row in results["rows"]]


def last() -> list[Row]:
    """The rows of the last complete run."""
    return rows_of(json.loads(RESULTS.read_text(encoding="utf-8")))


def worse(rows: Sequence[Row], before: Sequence[Row]) -> list[Row]:
    """Those that miss by more than `TOLERANCE` a goal that they met before."""
    met = {(row.section, row.name, row.unit) for row in before if row.met}
    return [
        row
        for row in rows
        if (row.section, row.name, row.unit) in met
        and row.goal is not None
        and row.value > row.goal * TOLERANCE
    ]


def text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [("", *HEAD[1:]), *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(results: dict[str, Any]) -> str:
    """The tables for the page, one per section."""
    lines = [f"Measured on {results['date']} with Python {results['python']} on {results['cpus']} CPUs."]
    rows = rows_of(results)
    for section in dict.fromkeys(row.section for row in rows):
        lines += ["", f"**{section}**", "", _line(("", *HEAD[1:])), "|---|---|---|---|---|"]
        lines += [_line(row.cells()) for row in rows if row.section == section]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def publish(rows: Sequence[Row]) -> None:
    """Updates both files."""
    results = document(rows)
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKED.sub(lambda _: markdown(results), page), encoding="utf-8")
