"""The cost of a start: a real process, from its start to its first metrics page.

The baseline is an interpreter that only imports the libraries.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.account import Span, served
from bench.measuring import median_ratio
from bench.table import TIMES, Row
from tests.support.clock import SATURDAY
from tests.support.program import environment, fetch, free_port

SECTION: Final = "Starting"
LIBRARIES: Final = "import aiohttp.web, jinja2, msgspec, prometheus_client, pydantic_settings, tenacity, yaml"
PATIENCE_SECONDS: Final = 60.0


class Start(NamedTuple):
    seconds: float
    cpu_seconds: float


def bare_start(code: str) -> Start:
    """Figures of a Python process that runs to its end."""
    before, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)  # noqa: S603 - ours
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return Start(time.perf_counter() - before, cpu_seconds)


def start_to_metrics(base_url: str, accounts: int) -> Start:
    """Figures of the exporter up to its first page, which contains its CPU time."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(_config(base_url, accounts), encoding="utf-8")
        command = [sys.executable, "-m", "exporter", "run", "--config-file", str(config)]
        command += ["--web.listen_address", f"127.0.0.1:{port}", "--log.level", "error"]
        before = time.perf_counter()
        process = subprocess.Popen(command, env=environment())  # noqa: S603 - ours
        try:
            while (page := fetch(f"http://127.0.0.1:{port}/metrics")) is None:
                if process.poll() is not None or time.perf_counter() - before > PATIENCE_SECONDS:
                    raise TimeoutError("the exporter did not start")
                time.sleep(0.005)
            seconds = time.perf_counter() - before
        finally:
            process.kill()
            process.wait()
    (cpu_seconds,) = re.findall(r"^process_cpu_seconds_total (\S+)$", page, flags=re.MULTILINE)
    return Start(seconds, float(cpu_seconds))


def _config(base_url: str, accounts: int) -> str:
    credentials = (f"{{name: a{n}, account_sid: AC{n:032x}, auth_token: secret}}" for n in range(accounts))
    return "\n  - ".join([f"api: {{base_url: {base_url}}}\naccounts:", *credentials])


def measure(repeats: int, accounts: Sequence[int]) -> list[Row]:
    floors, imports = [], []
    starts: dict[int, list[Start]] = {count: [] for count in accounts}
    with served(Span(100, SATURDAY - 3600, SATURDAY)) as base_url:
        for _ in range(repeats):
            floors.append(bare_start(LIBRARIES).cpu_seconds)
            imports.append(bare_start("import exporter.cli.main, exporter.app").cpu_seconds)
            for count in accounts:
                starts[count].append(start_to_metrics(base_url, count))
    libraries = "importing the libraries alone"
    rows = [Row(SECTION, "importing the exporter: CPU", median_ratio(imports, floors), TIMES, libraries)]
    for count in accounts:
        what = f"start to first /metrics, {count} account{'s' if count > 1 else ''}"
        cpu = [each.cpu_seconds for each in starts[count]]
        fastest = min(each.seconds for each in starts[count])
        rows += [
            Row(SECTION, f"{what}: CPU", median_ratio(cpu, floors), TIMES, libraries),
            Row(SECTION, f"{what}: fastest of {repeats}", fastest, "s", "", 1.0),
        ]
    return rows
