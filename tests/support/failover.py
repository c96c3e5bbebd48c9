"""Two exporters with one database, whose active one is killed and suspended at random, watched by Prometheus.

`python -m tests.support.failover --faults=300` prints the figures of docs/failover.md.

Three things are checked. The counters in the database are the truth of the simulated world. Each scrape that
said `active 1` was answered while that process held the lock: the database keeps a history of its holders.
And the sum of the increases over both exporters is the truth: exactly, from the samples, and as `increase()`
estimates it.
"""

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from exporter.ledger.packing import unpack
from exporter.operation import Stats
from exporter.simulator.server import CREDENTIAL
from tests.support.busy import GROWING, BusyTwilio, truth_of
from tests.support.monitoring import prometheus, query
from tests.support.postgres import Postgres, postgres
from tests.support.program import environment, eventually, fetch

SCHEMA: Final = "failover"
COUNTERS: Final = {
    "total": "twilio_email_emails_total",
    "recipients": "twilio_email_recipients_total",
    "attempts": "twilio_email_attempts_total",
    **{
        status: f'twilio_email_outcomes_total{{status="{status}"}}'
        for status in ("opened", "undelivered", "failed", "canceled")
    },
}
CONFIG: Final = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: twilio-email
    honor_labels: true
    static_configs:
      - targets: {targets}
"""
HISTORY: Final = f"""
CREATE TABLE {SCHEMA}.history (holder text, since double precision);
ALTER TABLE {SCHEMA}.history OWNER TO exporter;
CREATE FUNCTION {SCHEMA}.note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO {SCHEMA}.history VALUES (NEW.holder, NEW.since); RETURN NULL; END $$;
CREATE TRIGGER history AFTER UPDATE ON {SCHEMA}.leadership FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.note();
"""


class Figures(NamedTuple):
    """What a run has shown."""

    kills: int
    pauses: int
    terms: int
    scrapes: int
    active_scrapes: int
    wrong_scrapes: int
    """Scrapes that said `active 1` while another process held the lock."""
    longest_takeover_seconds: float
    lost: dict[str, float]
    """By stat: the truth less the counter in the database; below zero: invented."""
    missed: dict[str, float]
    """By stat: the truth less the sum of the increases between samples."""
    estimated: dict[str, float]
    """By stat: `increase()` by the truth."""
    counted: dict[str, float]
    """By stat: the truth."""


class Exporter:
    """One of the two: always at the same address, as a pod with a stable name."""

    def __init__(self, folder: Path, settings: Mapping[str, str], lease: float) -> None:
        self.address = f"127.0.0.1:{_port_of_a_server()}"
        self._log = folder / f"{self.address}.log"
        self._settings = {**settings, "EXPORTER_WEB__LISTEN_ADDRESS": self.address}
        self._lease = lease
        self.pids: list[tuple[float, int]] = []
        """When each process was started, and its id."""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "tests.support.impatient", str(self._lease)]
            self.process = subprocess.Popen(
                command, env=environment(**self._settings), stdout=log, stderr=subprocess.STDOUT
            )
        self.pids.append((time.time(), self.process.pid))

    def check(self) -> None:
        """It ends only when it is killed."""
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text()[-2000:]

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def holder(self) -> str:
        assert self.process is not None
        return f"{socket.gethostname()}/{self.process.pid}"

    def pid_at(self, instant: float) -> int:
        return max((started, pid) for started, pid in self.pids if started <= instant)[1]


def _port_of_a_server() -> int:
    """Not one that a connection may be given while the exporter is down."""
    while True:
        port = random.randint(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Pair:
    """Both, and what the database knows of them."""

    def __init__(self, server: Postgres, exporters: Sequence[Exporter]) -> None:
        self._server = server
        self.exporters = exporters

    def holder(self) -> str:
        return self._server.sql(f"SELECT holder FROM {SCHEMA}.leadership")

    def active(self) -> Exporter | None:
        """The one that holds the lock, as far as the database knows."""
        holder = self.holder()
        return next((each for each in self.exporters if each.holder == holder), None)

    def active_after(self, holder: str) -> Exporter | None:
        """The one that has taken the lock since."""
        for each in self.exporters:
            if each.holder != holder:
                each.check()
        active = self.active()
        return active if active is not None and active.holder != holder else None

    def saved(self) -> tuple[dict[str, float], dict[str, Stats]]:
        """The counters, and each operation as it was last seen."""
        (counts,) = json.loads(self._server.sql(f"SELECT json_agg(counts) FROM {SCHEMA}.accounts"))
        counted = {label: value for name, label, value in json.loads(counts) if name == "stat"}
        rows = self._server.sql(f"SELECT id, encode(packed, 'hex') FROM {SCHEMA}.operations").splitlines()
        known = {}
        for each, packed in (row.split("|") for row in rows):
            known[each] = unpack(each, bytes.fromhex(packed)).operation.stats
        return {stat: counted[stat] for stat in GROWING}, known

    def history(self) -> list[tuple[str, float]]:
        rows = self._server.sql(f"SELECT holder, since FROM {SCHEMA}.history ORDER BY since").splitlines()
        return [(holder, float(since)) for holder, since in (row.split("|") for row in rows)]


def run(folder: Path, *, faults: int, lease: float, seed: int, log: bool = False) -> Figures:
    """Break the active one so many times, then let everything settle, and compare."""
    chance = random.Random(seed)
    twilio = BusyTwilio(created=1, pause_seconds=0.2)
    with postgres() as server, twilio.running() as base_url:
        settings = {
            "TWILIO_ACCOUNT_SID": CREDENTIAL[0],
            "TWILIO_AUTH_TOKEN": CREDENTIAL[1],
            "EXPORTER_API__BASE_URL": base_url,
            "EXPORTER_API__REQUESTS_PER_SECOND": "100",
            "EXPORTER_POLL__INTERVAL": "1s",
            "EXPORTER_POLL__FETCH": "none",
            "EXPORTER_POLL__RECENT": "60s",
            "EXPORTER_POLL__SWEEP_INTERVAL": "30s",
            "EXPORTER_STATE__URL": server.url(SCHEMA),
        }
        pair = Pair(server, [Exporter(folder, settings, lease) for _ in range(2)])
        try:
            return _run(folder, server, twilio, pair, chance, faults, log)
        finally:
            for each in pair.exporters:
                each.kill()


def _run(
    folder: Path,
    server: Postgres,
    twilio: BusyTwilio,
    pair: Pair,
    chance: random.Random,
    faults: int,
    log: bool,
) -> Figures:
    first, _ = pair.exporters
    first.start()
    eventually(lambda: server.sql(f"SELECT to_regclass('{SCHEMA}.accounts')") or None, "the tables")
    eventually(lambda: server.sql(f"SELECT count(*) FROM {SCHEMA}.accounts") == "1" or None, "a save")
    first.send(signal.SIGTERM)
    assert first.process is not None
    assert first.process.wait(timeout=30) == 0
    counted, known = pair.saved()  # no scrape has seen anything of it
    server.sql(HISTORY)
    for each in pair.exporters:
        each.start()
    targets = json.dumps([each.address for each in pair.exporters])
    with prometheus(folder, CONFIG.format(targets=targets)) as url:
        began = time.time()
        kills, longest = 0, 0.0
        for number in range(faults):
            active = eventually(pair.active, "an active exporter")
            time.sleep(chance.uniform(0.1, 2.5))  # the moment is what is tested
            is_kill = chance.random() < 0.5
            kills += is_kill
            longest = max(longest, _break(pair, active, is_kill=is_kill, chance=chance))
            if log and number % 10 == 9:
                sys.stderr.write(f"{number + 1} faults, {time.time() - began:.0f} s\n")
        twilio.rest()
        time.sleep(0.5)  # for the last change under way
        expected = truth_of(twilio.world, counted, known)
        lost = _settled(pair, expected)
        time.sleep(5)  # for the last scrapes
        return _figures(url, pair, began, expected, lost, kills, faults - kills, longest)


def _break(pair: Pair, active: Exporter, *, is_kill: bool, chance: random.Random) -> float:
    """Kill or suspend the active one until the other is active; returns the seconds until then.

    0: the other was only starting, or did not take over.
    """
    (other,) = (each for each in pair.exporters if each is not active)
    stands_by = fetch(f"http://{other.address}/-/ready") is not None
    holder, since = active.holder, time.monotonic()
    if is_kill:
        active.kill()
        eventually(lambda: pair.active_after(holder), "a take-over")
        seconds = time.monotonic() - since
        active.start()
        return seconds if stands_by else 0.0
    active.send(signal.SIGSTOP)
    try:
        if chance.random() < 0.3:  # it wakes up before, or just when the other takes over
            time.sleep(chance.uniform(0.1, 4.0))
            return 0.0
        eventually(lambda: pair.active_after(holder), "a take-over")
        seconds = time.monotonic() - since
        time.sleep(chance.uniform(0.0, 1.0))
        return seconds if stands_by else 0.0
    finally:
        active.send(signal.SIGCONT)


def _settled(pair: Pair, expected: Mapping[str, float]) -> dict[str, float]:
    """The truth less the counters, once they are equal or have had the time to be."""
    deadline = time.monotonic() + 90
    while True:
        counted, _ = pair.saved()
        lost = {stat: expected[stat] - counted[stat] for stat in GROWING}
        if not any(lost.values()) or time.monotonic() > deadline:
            return lost
        time.sleep(1)


def _figures(
    url: str,
    pair: Pair,
    began: float,
    expected: dict[str, float],
    lost: dict[str, float],
    kills: int,
    pauses: int,
    longest: float,
) -> Figures:
    window = f"[{time.time() - began + 5:.0f}s]"
    active = _samples(url, f"twilio_email_exporter_active{window}")
    durations = _samples(url, f"scrape_duration_seconds{window}")
    history = pair.history()
    said = [
        (exporter, at, dict(durations[exporter.address])[at])
        for exporter in pair.exporters
        for at, value in active.get(exporter.address, ())
        if value == 1
    ]
    wrong = [each for each in said if not _held_the_lock(*each, history)]
    estimated = {}
    for stat, name in COUNTERS.items():
        (estimate,) = (query(url, f"sum by (account) (increase({name}{window}))") or {(): 0.0}).values()
        estimated[stat] = estimate / expected[stat]
    return Figures(
        kills=kills,
        pauses=pauses,
        terms=len(history),
        scrapes=sum(map(len, active.values())),
        active_scrapes=len(said),
        wrong_scrapes=len(wrong),
        longest_takeover_seconds=longest,
        lost=lost,
        missed={
            stat: expected[stat] - sum(map(_increase, _samples(url, f"{name}{window}").values()))
            for stat, name in COUNTERS.items()
        },
        estimated=estimated,
        counted=expected,
    )


def _held_the_lock(
    exporter: Exporter, at: float, duration: float, history: Sequence[tuple[str, float]]
) -> bool:
    """Whether the process had the lock at some instant of the scrape."""
    holder = f"{socket.gethostname()}/{exporter.pid_at(at)}"
    ends = [since for _, since in history[1:]] + [float("inf")]
    return any(
        name == holder and since <= at + duration and at <= end
        for (name, since), end in zip(history, ends, strict=True)
    )


def _samples(url: str, expression: str) -> dict[str, list[tuple[float, float]]]:
    """Time and value of each sample, by instance."""
    reply = json.loads(fetch(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}") or "{}")
    return {
        series["metric"]["instance"]: [(float(at), float(value)) for at, value in series["values"]]
        for series in reply["data"]["result"]
    }


def _increase(samples: Sequence[tuple[float, float]]) -> float:
    """As Prometheus sees it, without the extrapolation: a value that falls has started at zero."""
    return sum(now - before if now >= before else now for (_, before), (_, now) in pairwise(samples))


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    with _folder() as folder:
        figures = run(folder, faults=flags.faults, lease=flags.lease, seed=flags.seed, log=True)
    sys.stdout.write(json.dumps(figures._asdict(), indent=2) + "\n")


if __name__ == "__main__":
    main()
