"""The cost of a start and of being there: real processes of the exporter, and the memory of one at rest.

The baseline is an interpreter that only imports the libraries.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.account import Span, served
from bench.measuring import median_ratio
from bench.table import TIMES, Row
from tests.support.program import environment, fetch, free_port

SECTION: Final = "Starting"
LIBRARIES: Final = "import aiohttp.web, bcrypt, msgspec, prometheus_client, pydantic_settings, tenacity, yaml"
PATIENCE_SECONDS: Final = 60.0
RESTING_SECONDS: Final = 3


class Start(NamedTuple):
    seconds: float
    cpu_seconds: float


class Rest(NamedTuple):
    resident_bytes: float
    check_cpu_seconds: float
    """Of a health check."""


def cpu_seconds(*arguments: str) -> float:
    """CPU seconds of a Python process that runs to its end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def bare_bytes(code: str) -> float:
    """Resident memory of a Python process after this code."""
    code = f"{code}\nfrom bench.measuring import resident_bytes\nprint(resident_bytes())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(), check=True, capture_output=True)  # noqa: S603 - ours
    return float(done.stdout)


@contextmanager
def started(base_url: str, accounts: int, *flags: str) -> Iterator[tuple[int, str]]:
    """The exporter's port and its first page."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(_config(base_url, accounts), encoding="utf-8")
        command = [sys.executable, "-m", "exporter", "run", "--config-file", str(config), *flags]
        command += ["--web.listen_address", f"127.0.0.1:{port}", "--log.level", "error"]
        process = subprocess.Popen(command, env=environment())  # noqa: S603 - ours
        try:
            yield port, _page(port, process)
        finally:
            process.kill()
            process.wait()


def _page(port: int, process: subprocess.Popen[bytes]) -> str:
    until = time.perf_counter() + PATIENCE_SECONDS
    while (page := fetch(f"http://127.0.0.1:{port}/metrics")) is None:
        if process.poll() is not None or time.perf_counter() > until:
            raise TimeoutError("the exporter did not start")
        time.sleep(0.005)
    return page


def _value(page: str, name: str) -> float:
    (value,) = re.findall(rf"^{name} (\S+)$", page, flags=re.MULTILINE)
    return float(value)


def start_to_metrics(base_url: str, accounts: int) -> Start:
    """Figures of the exporter up to its first page, which contains its CPU time."""
    before = time.perf_counter()
    with started(base_url, accounts) as (_, page):
        return Start(time.perf_counter() - before, _value(page, "process_cpu_seconds_total"))


def rest(base_url: str) -> Rest:
    """Figures of an exporter of one account, after some polls and scrapes."""
    with started(base_url, 1, "--poll.interval=1s") as (port, _):
        pages = []
        for _ in range(RESTING_SECONDS):
            time.sleep(1.0)
            pages.append(fetch(f"http://127.0.0.1:{port}/metrics") or "")
        check = cpu_seconds("-m", "exporter", "healthcheck", f"--web.listen_address=127.0.0.1:{port}")
        return Rest(_value(pages[-1], "process_resident_memory_bytes"), check)


def _config(base_url: str, accounts: int) -> str:
    credentials = (f"{{name: a{n}, account_sid: AC{n:032x}, auth_token: secret}}" for n in range(accounts))
    return "\n  - ".join([f"api: {{base_url: {base_url}}}\naccounts:", *credentials])


def measure(repeats: int, accounts: Sequence[int]) -> list[Row]:
    floors, imports, helps = [], [], []
    starts: dict[int, list[Start]] = {count: [] for count in accounts}
    now = time.time()
    with served(Span(100, now - 6 * 86400, now - 120)) as base_url:
        for _ in range(repeats):
            floors.append(cpu_seconds("-c", LIBRARIES))
            imports.append(cpu_seconds("-c", "import exporter.cli.run"))
            helps.append(cpu_seconds("-m", "exporter", "--help"))
            for count in accounts:
                starts[count].append(start_to_metrics(base_url, count))
        resting = rest(base_url)
    libraries = "importing the libraries alone"
    bare = f"importing the libraries alone: {bare_bytes(LIBRARIES) / 1e6:.1f} MB"
    rows = [
        Row(SECTION, "importing the exporter: CPU", median_ratio(imports, floors), TIMES, libraries),
        Row(
            SECTION,
            "memory at rest, 1 account of 100 operations",
            resting.resident_bytes / 1e6,
            "MB",
            bare,
            45.0,
        ),
        Row(SECTION, f"`--help`: CPU, least of {repeats}", min(helps), "s", "", 0.3),
        Row(SECTION, "`healthcheck`: CPU", resting.check_cpu_seconds, "s", "", 0.15),
    ]
    for count in accounts:
        what = f"start to first /metrics, {count} account{'s' if count > 1 else ''}"
        cpu = [each.cpu_seconds for each in starts[count]]
        fastest = min(each.seconds for each in starts[count])
        rows += [
            Row(SECTION, f"{what}: CPU, least of {repeats}", min(cpu), "s", "", 0.6 if count == 1 else None),
            Row(SECTION, f"{what}: CPU", median_ratio(cpu, floors), TIMES, libraries),
            Row(SECTION, f"{what}: fastest of {repeats}", fastest, "s", "", 1.0),
        ]
    return rows
