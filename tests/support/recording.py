"""Records scrapes on a simulated clock and evaluates the alerts on them.

The recorded series become the input of a promtool rule test: the real rules, evaluated by Prometheus' own
engine, hours in seconds.
"""

import re
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import yaml

from exporter.metrics.negotiation import TEXT
from grafana.rules import text
from grafana.thresholds import duration
from tests.support.whole import Whole

WANTED: Final = frozenset(re.findall(r"\btwilio_email_\w+", text()))
TARGET: Final = 'job="mail",instance="exporter:10587"'


class Recording:
    """One column for each scrape, `step` seconds apart; a scrape that failed leaves a gap in all series.

    promtool's clock starts in 1970 and cannot be set, so timestamps are stored less `first`: the time of the
    first scrape.
    """

    def __init__(self, step: float, first: float) -> None:
        self.step = step
        self._first = first
        self._series: dict[str, list[float | None]] = {}
        self._scrapes = 0

    @property
    def elapsed(self) -> float:
        """Seconds from the first scrape to the last."""
        return (self._scrapes - 1) * self.step

    def add(self, page: str | None) -> None:
        """Add a scraped page; `None`: the scrape failed."""
        found: dict[str, float] = {f"up{{{TARGET}}}": 0.0}
        if page is not None:
            found[f"up{{{TARGET}}}"] = 1.0
            for line in page.splitlines():
                name, _, rest = line.partition("{")
                if name in WANTED:
                    labels, _, written = rest.rpartition("} ")
                    found[f"{name}{{{TARGET},{labels}}}"] = float(written)
        for series, value in found.items():
            column = self._series.setdefault(series, [None] * self._scrapes)
            is_time = "_timestamp_seconds{" in series
            column.append(value - self._first if is_time and value else value)
        self._scrapes += 1
        for column in self._series.values():
            column.extend([None] * (self._scrapes - len(column)))

    def firing(
        self, folder: Path, evaluation_interval: float = 60.0, promtool: str = "promtool"
    ) -> dict[tuple[str, str], float]:
        """Alerts that fired, with their account, and when each did so first."""
        (folder / "alerts.yaml").write_text(text(EVALUATION_INTERVAL=int(evaluation_interval)))
        whole = f"[{duration(self.elapsed)}:{duration(evaluation_interval)}]"
        first = f'min_over_time(timestamp(ALERTS{{alertstate="firing"}}){whole})'
        test = {
            "rule_files": ["alerts.yaml"],
            "evaluation_interval": duration(evaluation_interval),
            "tests": [
                {
                    "interval": duration(self.step),
                    "input_series": [
                        {"series": series, "values": " ".join(notation(values))}
                        for series, values in self._series.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": f"min by (alertname, account) ({first})",
                            "eval_time": duration(self.elapsed),
                            "exp_samples": [{"labels": "nothing", "value": -1}],
                        }
                    ],
                }
            ],
        }
        (folder / "test.yaml").write_text(yaml.safe_dump(test, width=10_000))
        done = subprocess.run(
            [promtool, "test", "rules", "test.yaml"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        # promtool prints the result only if it differs from the expected one.
        got = re.search(r"^\s+got: (.*)$", done.stdout + done.stderr, re.MULTILINE)
        assert got, done.stdout + done.stderr
        return {
            (dict(re.findall(r'(\w+)="([^"]*)"', labels))["alertname"], _account(labels)): self._first
            + float(value)
            for labels, value in re.findall(r"\{([^}]*)\} (\S+?)(?:,|$)", got.group(1))
        }


def _account(labels: str) -> str:
    found = re.search(r'account="([^"]*)"', labels)
    return found.group(1) if found else ""


def notation(values: list[float | None]) -> Iterator[str]:
    for value, run in groupby(values):
        count = len(list(run))
        if value is None:
            yield f"_x{count}" if count > 1 else "_"
        else:
            yield f"{value:.17g}x{count - 1}" if count > 1 else f"{value:.17g}"


async def scrape_for(seconds: float, exporter: Whole, recording: Recording) -> None:
    """The first scrape is half a step from now, and the end half a step after the last."""
    for _ in range(round(seconds / recording.step)):
        await exporter.clock.sleep(recording.step / 2)
        recording.add((await exporter.web_service.exposition.page(TEXT)).decode())
        exporter.hub.metrics.release_counters()
        await exporter.clock.sleep(recording.step / 2)
