"""What `observe` finds against the simulator is what the simulator does, in all readings together."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import get_args

import pytest

from exporter.simulator.readings import Order, PageFilters, Readings, States, StatusFilter, UpdatedAt
from tests.observation.watched import Watched, a_busy_world, watched

ALL = [
    Readings(*values)
    for values in product(
        get_args(States),
        get_args(UpdatedAt),
        get_args(Order),
        (True, False),
        get_args(PageFilters),
        get_args(StatusFilter)[:1],
        (0.0, 40.0),
        (None, 2),
        (True, False),
    )
]
ANSWERS = [each for each in ALL if each.empty_page_every is None and each.errors]


def pairs(readings: Readings) -> Iterator[tuple[int, object, int, object]]:
    """Each two of its values."""
    values = [getattr(readings, name) for name in Readings.__slots__]
    for (first, one), (second, other) in combinations(enumerate(values), 2):
        yield first, one, second, other


def covering() -> list[Readings]:
    """Few readings in which each two values of two fields occur together."""
    left = {pair for readings in ALL for pair in pairs(readings)}
    chosen = []
    while left:
        best = max(ALL, key=lambda each: len(left.intersection(pairs(each))))
        chosen.append(best)
        left.difference_update(pairs(best))
    return chosen


ORDERS = {
    "newest": "newest first",
    "oldest": "oldest first",
    "shuffled": "arbitrary, the same each time",
}
PAGE_FILTERS = {
    "carried": "yes",
    "required": "no, without them it is refused",
    "forgotten": "no, without them the page is not filtered",
}


def expected(readings: Readings) -> dict[str, str]:
    bounds = "inclusive" if readings.inclusive else "exclusive"
    return {
        "states": readings.states,
        "stats_after_completed": "yes",
        "updated_at_after_completed": "yes" if readings.updated_at == "always" else "no",
        "updated_at_before_completed": "no" if readings.updated_at == "with_status" else "yes",
        "order": ORDERS[readings.order],
        "start_date": bounds,
        "end_date": bounds,
        "page_filters": PAGE_FILTERS[readings.page_filters],
        "errors": "yes" if readings.errors else "no",
        "headers": "content-length, content-type, date, server, twilio-request-id",
    }


def check(found: Watched, readings: Readings) -> None:
    assert found.code == 0, found.err
    answers = {key: answer["answer"] for key, answer in found.report["answers"].items()}
    listed_after = answers.pop("listed_after")
    assert answers == expected(readings)
    numbers = [float(number) for number in re.findall(r"\d+\.\d", listed_after)]
    shortest, longest = numbers if len(numbers) == 2 else [0.0, *numbers]
    assert shortest <= readings.listed_after_seconds < longest
    assert ("more than" in listed_after) == (readings.listed_after_seconds > 0)
    assert all(answer["observations"] > 0 for answer in found.report["answers"].values())


@pytest.mark.parametrize("readings", covering(), ids=str)
async def test_every_answer_is_right(readings: Readings, tmp_path: Path) -> None:
    """Each two readings occur together in one of these."""
    check(await watched(a_busy_world(readings), tmp_path), readings)


@pytest.mark.long
@pytest.mark.parametrize("updated_at", get_args(UpdatedAt))
@pytest.mark.parametrize("states", get_args(States))
async def test_every_answer_is_right_in_all_combinations(
    states: States, updated_at: UpdatedAt, tmp_path: Path
) -> None:
    """All combinations; empty pages and the call for errors alternate, which no other answer depends on."""
    chosen = [each for each in ANSWERS if (each.states, each.updated_at) == (states, updated_at)]
    for number, readings in enumerate(chosen):
        shown = replace(readings, empty_page_every=None if number % 3 else 2, errors=bool(number % 2))
        check(await watched(a_busy_world(shown), tmp_path, seconds=240), shown)
