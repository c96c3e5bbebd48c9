"""From a simulated Twilio to the pager: real exporter, real Prometheus, real Alertmanager, a real webhook.

Every time in the rules is a sixtieth of what it is in alerts.yaml, and so are those of the incidents.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
import yaml

from exporter.clock import SystemClock
from exporter.simulator import faults
from exporter.simulator.scenarios import SCENARIOS, Episode, Mix, Scenario
from exporter.simulator.server import Simulator
from exporter.simulator.world import World
from grafana.rules import text
from tests.support.monitoring import alertmanager, prometheus
from tests.support.program import ROOT, eventually, fetch, found_in, started
from tests.support.whole import sid, switchboard

SCALE: Final = 1 / 60
PATIENCE_SECONDS: Final = 240.0
BEGINS: Final = 10.0
"""Seconds after the simulated accounts, so that there is something before."""

ORDINARY: Final = replace(
    SCENARIOS["steady"],
    operations_per_hour=1800.0,
    diurnal_swing=0.0,
    most_emails=20,
    mix=Mix(scheduled_share=0.0, bounce_within_seconds=5.0),
)


def spiking(name: str) -> Scenario:
    """As the scenario has it, but soon, and in every operation."""
    mix = replace(SCENARIOS[name].spike_mix, bounce_within_seconds=1.0)
    return replace(
        ORDINARY, spike=Episode(BEGINS, 3600.0, 7200.0), spike_operations_per_hour=0.0, spike_mix=mix
    )


ACCOUNTS: Final = {
    "steady": ORDINARY,
    "failure-spike": spiking("failure-spike"),
    "undelivered-spike": spiking("undelivered-spike"),
    "rate-limited": replace(ORDINARY, trouble="rate-limited", trouble_episode=Episode(BEGINS, 1.0, 2.0)),
    # Not by the scenario's trouble: the 20 seconds of its `Retry-After` would be as many minutes here.
    "outage": ORDINARY,
    "long-outage": ORDINARY,
}
EXPECTED: Final = {
    ("TwilioEmailFailedSpike", "failure-spike"),
    ("TwilioEmailUndeliveredSpike", "undelivered-spike"),
    ("TwilioEmailThrottled", "rate-limited"),
    ("TwilioEmailPollFailing", "outage"),
    ("TwilioEmailDataStale", "long-outage"),
}
ALLOWED: Final = {("TwilioEmailPollFailing", "long-outage")}
"""Held back by the one above, unless it comes first."""


class Accounts:
    """A simulated Twilio for each, in a thread, behind one address."""

    def __init__(self) -> None:
        self.started = time.time()
        self._origin: Future[str] = Future()
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        simulators = {
            sid(number): Simulator(
                World(scenario, started=self.started), SystemClock(), credential=(sid(number), "secret")
            )
            for number, scenario in enumerate(ACCOUNTS.values())
        }
        by_name = dict(zip(ACCOUNTS, simulators.values(), strict=True))
        async with switchboard(simulators) as origin:
            self._origin.set_result(origin)
            await asyncio.sleep(BEGINS)
            by_name["long-outage"].faults.add(faults.reset(), times=None)
            while not self._over.is_set():
                await self._fail_three_of_four(by_name["outage"])

    async def _fail_three_of_four(self, simulator: Simulator) -> None:
        """Polls: counted, not timed, so that the numbers do not grow old however slow the machine is."""
        simulator.faults.add(faults.status(500), call="list", times=3)
        while len(simulator.faults) and not self._over.is_set():
            await asyncio.sleep(0.05)
        asked = simulator.journal.by_call["list"]
        while simulator.journal.by_call["list"] == asked and not self._over.is_set():
            await asyncio.sleep(0.05)

    @contextmanager
    def running(self) -> Iterator[str]:
        self._thread.start()
        try:
            yield self._origin.result(timeout=30)
        finally:
            self._over.set()
            self._thread.join(timeout=30)


class Pager:
    """Notes each alert that Alertmanager sends, and when it came first."""

    def __init__(self) -> None:
        self.rang: dict[tuple[str, str], float] = {}
        self.alerts: list[dict[str, dict[str, str]]] = []

    @contextmanager
    def listening(self) -> Iterator[str]:
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for alert in json.loads(body)["alerts"]:
                    labels = alert["labels"]
                    pager.alerts.append(alert)
                    pager.rang.setdefault((labels["alertname"], labels.get("account", "")), time.time())
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/"
            finally:
                server.shutdown()
                thread.join(timeout=30)


def alerting_to(webhook: str) -> str:
    """The configuration that compose.yaml brings, but for the receiver and the time it waits."""
    config = yaml.safe_load((ROOT / "compose" / "alertmanager.yml").read_text())
    config["receivers"] = [
        {"name": each["name"], "webhook_configs": [{"url": webhook, "send_resolved": False}]}
        for each in config["receivers"]
    ]
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    return yaml.safe_dump(config)


PROMETHEUS: Final = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{folder}/alerts.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs:
  - job_name: twilio-email
    static_configs: [{{targets: ["{exporter}"]}}]
"""


@pytest.mark.long
@pytest.mark.needs("prometheus")
@pytest.mark.needs("alertmanager")
def test_right_alerts_reach_the_pager_and_no_other(tmp_path: Path) -> None:
    """Each account's trouble rings for that account; the one without trouble never does."""
    # But for one: a program that starves for five seconds on a busy machine is not absent for five minutes.
    (tmp_path / "alerts.yaml").write_text(text(scale=SCALE, ABSENT_LASTING=PATIENCE_SECONDS / SCALE))
    accounts, pager, log = Accounts(), Pager(), tmp_path / "exporter.log"
    with (
        accounts.running() as origin,
        pager.listening() as webhook,
        alertmanager(tmp_path, alerting_to(webhook)) as alerting,
    ):
        config = tmp_path / "config.yaml"
        named = [
            {"name": name, "account_sid": sid(number), "auth_token": "secret"}
            for number, name in enumerate(ACCOUNTS)
        ]
        settings = {
            "api": {"base_url": f"{origin}/v1", "requests_per_second": 50},
            "poll": {"interval": "1s", "lookback": "5m", "recent": "1m", "sweep_interval": "1m"},
            "state": {"path": str(tmp_path / "state.sqlite")},
            "web": {"listen_address": "127.0.0.1:0"},
            "accounts": named,
        }
        config.write_text(yaml.safe_dump(settings))
        with started(log, "run", "--config-file", str(config)):
            exporter = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)
            eventually(
                lambda: "twilio_email_up" in (fetch(f"http://{exporter}/metrics") or "") or None, "a page"
            )
            told = PROMETHEUS.format(folder=tmp_path, alertmanager=alerting, exporter=exporter)
            with prometheus(tmp_path, told):
                eventually(
                    lambda: pager.rang.keys() >= EXPECTED or None,
                    "all alerts",
                    patience_seconds=PATIENCE_SECONDS,
                )
    for (name, account), at in sorted(pager.rang.items(), key=lambda item: item[1]):
        after = at - accounts.started - BEGINS
        sys.stdout.write(f"{name} rings for {account} {after:.0f} s after it began\n")
    assert EXPECTED <= pager.rang.keys() <= EXPECTED | ALLOWED
    for alert in pager.alerts:
        assert alert["labels"]["job"] == "twilio-email"
        assert alert["labels"]["account"] in alert["annotations"]["summary"]
