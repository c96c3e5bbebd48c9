"""A real Prometheus and a real Alertmanager, each with a folder of its own."""

import json
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.program import eventually, fetch, free_port, running, tool


@contextmanager
def prometheus(folder: Path, config: str) -> Iterator[str]:
    """A Prometheus of its own; gives its URL."""
    (folder / "prometheus.yml").write_text(config)
    url = f"http://127.0.0.1:{free_port()}"
    arguments = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with running(folder / "prometheus.log", arguments):
        eventually(lambda: fetch(f"{url}/-/ready"), "Prometheus")
        yield url


def query(url: str, expression: str) -> dict[tuple[str, ...], float] | None:
    """Values by the label values of the result, in the order of the labels' names; `None`: no data yet."""
    reply = fetch(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    result = json.loads(reply or "{}").get("data", {}).get("result", [])
    values = {
        tuple(value for _, value in sorted(each["metric"].items()) if value): float(each["value"][1])
        for each in result
    }
    return values or None


CONFIG: Final = """
scrape_configs:
  - job_name: twilio-email
    scrape_interval: 1s
    static_configs:
      - targets: ["{target}"]
"""


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[str]:
    """An Alertmanager of its own; gives its address."""
    (folder / "alertmanager.yml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    arguments = [
        tool("alertmanager") or "alertmanager",
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running(folder / "alertmanager.log", arguments):
        eventually(lambda: fetch(f"http://{address}/-/ready"), "Alertmanager")
        yield address
