"""When the mail alerts fire in simulated months, and what that says: paged in time, missed, or false."""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from grafana import rules
from grafana.thresholds import duration
from tests.support.months import DAY, DAYS, HOUR, KINDS, MAIL_ALERTS, STEP, Incident, Kind, lives, series
from tests.support.promtool import promtool
from tests.support.recording import notation

AFTERMATH: Final = 26 * HOUR
"""Alerts may begin this long after an incident: bounces and late deliveries follow, for a share of a day."""
_FIRST: Final = (
    f'min_over_time(timestamp(ALERTS{{alertstate="firing", alertname=~"{"|".join(MAIL_ALERTS)}"}})[1h:5m])'
)


class Episode(NamedTuple):
    """An alert of an account that fired without a break; seconds since the start of the month."""

    alert: str
    account: str
    begins: float


@dataclass(frozen=True)
class Month:
    """The verdict on one kind of account in one month."""

    kind: Kind
    seed: int
    delays: Mapping[str, float | None]
    """Seconds from the beginning of each incident to its alert, by what the incident was; `None`: missed."""
    false: Sequence[Episode]


def account_of(kind: Kind, seed: int) -> str:
    return f"{kind.name.replace(' ', '-')}-{seed}"


def shifted(kind: Kind, seed: int) -> tuple[Incident, ...]:
    """The incidents of a month: each seed moves them by some minutes."""
    return tuple(each._replace(begins=each.begins + 7 * 60 * (seed % 5)) for each in kind.incidents)


def judged(
    seeds: Iterable[int],
    folder: Path,
    kinds: Sequence[Kind] = KINDS,
    alerts: Sequence[str] = MAIL_ALERTS,
    days: int = DAYS,
    **changes: object,
) -> list[Month]:
    """Judge a month of each kind for each seed by some of the alerts, all of them in one run of promtool.

    `changes` of the thresholds leave out guards.
    """
    cases = [(kind, seed) for seed in seeds for kind in kinds]
    samples: dict[str, list[float]] = {}
    for kind, seed in cases:
        operations = lives(kind, seed, shifted(kind, seed), days)
        samples |= series(operations, account_of(kind, seed), kind.alerts, days)
    episodes = list(_episodes(_fired(samples, folder, alerts, days, changes)))
    return [
        _judged(kind, seed, days, [each for each in episodes if each.account == account_of(kind, seed)])
        for kind, seed in cases
    ]


def _judged(kind: Kind, seed: int, days: int, episodes: Sequence[Episode]) -> Month:
    delays: dict[str, float | None] = {}
    explained: set[Episode] = set()
    for incident in (each for each in shifted(kind, seed) if each.begins < days * DAY):
        end = incident.begins + incident.lasts + AFTERMATH
        own = [
            each
            for each in episodes
            if each.alert in incident.harm.alerts and incident.begins <= each.begins <= end
        ]
        explained |= set(own)
        paged = [each.begins - incident.begins for each in own if each.alert == incident.harm.alerts[0]]
        delays[incident.harm.what] = min(paged, default=None)
    return Month(kind, seed, delays, [each for each in episodes if each not in explained])


def _episodes(fired: Sequence[Mapping[tuple[str, str], float]]) -> Iterator[Episode]:
    """`fired`: for each hour, the alerts that fired in it and when first."""
    before: Mapping[tuple[str, str], float] = {}
    for hour in fired:
        for (alert, account), at in hour.items():
            if (alert, account) not in before:
                yield Episode(alert, account, at)
        before = hour


def _fired(
    samples: Mapping[str, Sequence[float]],
    folder: Path,
    alerts: Sequence[str],
    days: int,
    changes: Mapping[str, object],
) -> list[dict[tuple[str, str], float]]:
    group = yaml.safe_load(rules.text(1.0, EVALUATION_INTERVAL=STEP, **changes))["groups"][0]
    group["rules"] = _needed(group["rules"], alerts)
    (folder / "alerts.yaml").write_text(yaml.safe_dump({"groups": [group]}, width=10_000))
    hours = range(1, days * 24 + 1)
    test = {
        "rule_files": ["alerts.yaml"],
        "evaluation_interval": duration(STEP),
        "tests": [
            {
                "interval": duration(STEP),
                "input_series": [
                    {"series": name, "values": " ".join(notation(list(values)))}
                    for name, values in samples.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": f"min by (alertname, account) ({_FIRST}) or vector(0)",
                        "eval_time": f"{hour}h",
                        "exp_samples": [{"labels": "nothing", "value": -1}],
                    }
                    for hour in hours
                ],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test, width=1_000_000))
    done = subprocess.run(
        [promtool("2"), "test", "rules", "test.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    # promtool prints a result because it differs from the expected one.
    got = re.findall(r"^\s+got: (.*)$", done.stdout + done.stderr, re.MULTILINE)
    assert len(got) == len(hours), (done.stdout + done.stderr)[:2000]
    return [
        {
            (alert, account): float(value)
            for account, alert, value in re.findall(
                r'\{account="([^"]*)", alertname="([^"]*)"\} (\S+?)(?:,|$)', line
            )
        }
        for line in got
    ]


def _needed(rules_: list[dict[str, str]], alerts: Sequence[str]) -> list[dict[str, str]]:
    """The alerts and the recording rules that they read: all rules take much longer."""
    needed: list[dict[str, str]] = []
    for rule in reversed(rules_):  # a rule reads only those before it
        read = " ".join(each["expr"] for each in needed)
        if rule.get("alert") in alerts or ("record" in rule and rule["record"] in read):
            needed.insert(0, rule)
    return needed


def without(kinds: Sequence[Kind]) -> list[Kind]:
    """The same accounts without incidents."""
    return [replace(each, incidents=()) for each in kinds]
