"""`make alert-tables` writes the measured tables of docs/alerts.md: delays, months, and what guards prevent.

It takes half an hour on two cores. The rows of the delays are also checked by `make test`.
"""

import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from grafana import thresholds
from tests.support import months
from tests.support.incidents import INCIDENTS, Incident, delays, recorded
from tests.support.months import KINDS
from tests.support.program import ROOT
from tests.support.promtool import promtool
from tests.support.verdicts import Month, judged, without

PAGE: Final = ROOT / "docs" / "alerts.md"
SEEDS: Final = (range(1, 7), range(7, 13))
"""Twelve months, half of them for each process."""
SPIKE_ALERTS: Final = tuple(each.alert for each in thresholds.SPIKES)


def _spikes(**changes: object) -> Mapping[str, object]:
    return {"SPIKES": tuple(replace(each, **changes) for each in thresholds.SPIKES)}  # type: ignore[arg-type]


GUARDS: Final[Mapping[str, tuple[Sequence[str], Mapping[str, object]]]] = {
    "none left out": (months.MAIL_ALERTS, {}),
    "at least 10 failed, 20 undelivered, 50 late emails": (SPIKE_ALERTS, _spikes(emails=1)),
    "at least 50 or 100 attempts in the long window": (SPIKE_ALERTS, _spikes(attempts=1)),
    "the long window": (
        SPIKE_ALERTS,
        {"SPIKES": tuple(replace(each, long=each.short) for each in thresholds.SPIKES)},
    ),
    "the account's normal share": (SPIKE_ALERTS, _spikes(times_normal=0)),
    "30 % of the recent operations' attempts": (SPIKE_ALERTS, {"RECENT_TIMES": 1, "RECENT_FLOOR": 0.0}),
    "the share among the operations of the last 6 hours": (SPIKE_ALERTS, _spikes(settled="")),
    "late emails per delivery of 12 hours": (SPIKE_ALERTS, _spikes(lag=0)),
    "at least 50 undelivered or overdue emails in a day": (
        ("TwilioEmailBounceRateHigh", "TwilioEmailBacklog"),
        {"DAY_EMAILS": 1},
    ),
    "50 of the overdue emails are new": (
        ("TwilioEmailBacklog",),
        {"BACKLOG_NEW": 8 * thresholds.WEEK},
    ),
    "ten operations a week ago": (("TwilioEmailTrafficStopped",), {"STOPPED_OPERATIONS": 1}),
}
"""What is left out, the alerts that may change, and the changes of the thresholds."""


def _table(head: Sequence[str], rows: Iterable[str]) -> str:
    return "\n".join((f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows))


def _minutes(seconds: float) -> str:
    return f"{round(seconds / 60)} min"


def _delays(incident: Incident) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        recording, world = asyncio.run(recorded(incident, Path(folder)))
        found = delays(incident, recording, world, Path(folder), promtool("2"))
    return [each.row() for each in sorted(found, key=lambda each: each.minutes)]


def _months(seeds: Iterable[int]) -> list[Month]:
    with tempfile.TemporaryDirectory() as folder:
        return judged(seeds, Path(folder))


def _ablated(guard: str) -> str:
    alerts, changes = GUARDS[guard]
    with tempfile.TemporaryDirectory() as folder:
        found = judged([1], Path(folder), without(KINDS), alerts, months.DAYS, **changes)
    false: dict[tuple[str, str], int] = defaultdict(int)
    for each in found:
        for episode in each.false:
            false[episode.alert, each.kind.name] += 1
    told = ", ".join(f"`{alert}` {count} ({kind})" for (alert, kind), count in false.items())
    return f"| {guard} | {told or 'nothing'} |"


def _by_kind(found: Sequence[Month]) -> Iterator[str]:
    for kind in KINDS:
        own = [each for each in found if each.kind.name == kind.name]
        scripted = sum(len(each.delays) for each in own)
        paged = sum(delay is not None for each in own for delay in each.delays.values())
        yield f"| {kind.name} | {len(own)} | {scripted} | {paged} | {sum(len(each.false) for each in own)} |"


def _by_harm(found: Sequence[Month]) -> Iterator[str]:
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for each in found:
        for incident in each.kind.incidents:
            delay = each.delays.get(incident.harm.what)
            if delay is not None:
                seconds[incident.harm.what, incident.harm.alerts[0]].append(delay)
    for (what, alert), some in seconds.items():
        told = " | ".join(_minutes(each) for each in (min(some), median(some), max(some)))
        yield f"| {what} | `{alert}` | {told} |"


def _write(name: str, table: str) -> None:
    page = PAGE.read_text()
    before, begin, rest = page.partition(f"<!-- {name}: written by make alert-tables -->\n")
    _, end, after = rest.partition("<!-- end -->")
    assert begin, name
    assert end, name
    PAGE.write_text(f"{before}{begin}\n{table}\n\n{end}{after}")
    sys.stdout.write(f"{table}\n\n")
    sys.stdout.flush()


def write_delays(pool: ProcessPoolExecutor) -> None:
    rows = [row for some in pool.map(_delays, INCIDENTS) for row in some]
    _write("delays", _table(("incident", "alert", "after it began", "after the evidence"), rows))


def write_months(pool: ProcessPoolExecutor) -> None:
    found = [each for some in pool.map(_months, SEEDS) for each in some]
    head = ("kind of account", "months", "incidents", "paged", "alerts without an incident")
    _write("months", _table(head, _by_kind(found)))
    _write("month-delays", _table(("incident", "alert", "shortest", "median", "longest"), _by_harm(found)))
    for each in found:
        missed = [what for what, delay in each.delays.items() if delay is None]
        if missed or each.false:
            sys.stdout.write(f"{each.kind.name}, seed {each.seed}: missed {missed}, false {each.false}\n")


def write_guards(pool: ProcessPoolExecutor) -> None:
    _write("guards", _table(("left out", "fires without an incident"), pool.map(_ablated, GUARDS)))


PARTS: Final[Mapping[str, Callable[[ProcessPoolExecutor], None]]] = {
    "delays": write_delays,
    "months": write_months,
    "guards": write_guards,
}

if __name__ == "__main__":
    with ProcessPoolExecutor(2) as workers:
        for part in sys.argv[1:] or PARTS:
            PARTS[part](workers)
