"""Scenarios as data: their names, their episodes, and the table in the documentation."""

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import faults
from exporter.simulator.plan import trouble
from exporter.simulator.readings import Readings
from exporter.simulator.reply import Reply
from exporter.simulator.scenarios import SCENARIOS, Episode

unhurried = settings(deadline=None)  # the machine may be busy with other tests
DOCUMENT = Path(__file__).parents[2] / "docs" / "simulator.md"


def section(title: str) -> str:
    return DOCUMENT.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_documentation_lists_every_reading() -> None:
    """The table in docs/simulator.md has each field of Readings and each of its words, in order."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+?) \|$", section("Readings"), re.MULTILINE)
    assert [name for name, _ in rows] == [field.name for field in fields(Readings)]
    hints = get_type_hints(Readings)
    for name, text in rows:
        words = [word for word in get_args(hints[name]) if isinstance(word, str)]
        assert [word for word in re.findall(r"`(\w+)`", text) if word in words] == words


def test_the_documentation_lists_every_scenario() -> None:
    """The table in docs/simulator.md is the registry, line by line."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \|$", section("Scenarios"), re.MULTILINE)
    assert rows == [(name, scenario.summary) for name, scenario in SCENARIOS.items()]


def test_the_documentation_lists_every_fault() -> None:
    """The table of faults in docs/simulator.md names each constructor, in the order of the source."""
    rows = re.findall(r"^\| `(\w+)\(.*?\)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert rows == re.findall(r"^def ([a-z]\w*)\(", inspect.getsource(faults), re.MULTILINE)


@pytest.mark.parametrize(
    ("elapsed", "remaining"), [(-5, 0), (0, 0), (119, 0), (120, 600), (419.5, 300.5), (720, 0), (2520, 600)]
)
def test_an_episode(elapsed: float, remaining: float) -> None:
    """An episode begins after its delay, lasts, and comes back."""
    assert Episode(120, 600, 2400).remaining_seconds(elapsed) == remaining


@unhurried
@given(st.floats(-4000, 20_000), st.floats(1, 9000), st.floats(0, 1))
def test_spans_agree_with_instants(first: float, length: float, part: float) -> None:
    """An instant lies in a span exactly when the episode is on."""
    episode = Episode(120, 600, 2400)
    instant = first + length * part
    inside = [begin <= instant < end for begin, end in episode.spans(first, first + length)]
    assert sum(inside) == (instant < first + length and episode.remaining_seconds(instant) > 0)


def statuses(name: str, elapsed: float) -> set[str | None]:
    met = [trouble(SCENARIOS[name], elapsed, number) for number in range(100)]
    return {fault.name if fault else None for fault in met}


def test_an_outage_mixes_its_failures() -> None:
    """During an outage every request fails, in several ways; outside of it none does."""
    assert statuses("outage", 119) == {None}
    assert statuses("outage", 120) == {"status 500", "status 502", "status 503", "reset"}
    assert statuses("outage", 421) == {None}
    assert statuses("steady", 121) == {None}


def test_a_rate_limit_says_when_it_ends() -> None:
    """Retry-After names the whole seconds until the end of the burst."""
    fault = trouble(SCENARIOS["rate-limited"], 67.5, 1)
    assert fault
    reply = fault.change(Reply(0.0))
    assert (reply.status, reply.headers) == (429, (("Retry-After", "13"),))
