"""The pages as scrapers read them, for each state, kept beside this module.

`python -m tests.metrics.golden` writes them after a wanted change; read the difference before you commit it.
"""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from exporter.metrics.exposition import SCRAPE_SECONDS, Exposition
from exporter.metrics.negotiation import OPENMETRICS, TEXT, Format
from exporter.metrics.registry import ORDER, Metrics
from tests.support.states import STATES

FOLDER = Path(__file__).parent / "golden"
SUFFIXES = {TEXT: "txt", OPENMETRICS: "om"}
CASES = [(name, format_) for name in STATES for format_ in SUFFIXES]


def exposition_of(metrics: Metrics) -> Exposition:
    """Without the process's own numbers, which are never the same twice; later each time it is asked."""
    return Exposition([*metrics.polled, *metrics.own], ORDER, count(step=SCRAPE_SECONDS).__next__)


async def page(name: str, format_: Format) -> bytes:
    return await exposition_of(STATES[name]().metrics).page(format_)


def path(name: str, format_: Format) -> Path:
    return FOLDER / f"{name}.{SUFFIXES[format_]}"


def pages() -> Iterator[tuple[Path, bytes]]:
    for name, format_ in CASES:
        yield path(name, format_), asyncio.run(page(name, format_))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, content in pages():
        file.write_bytes(content)
