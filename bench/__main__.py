"""Measures the exporter and prints a table: `python -m bench`.

A complete run updates `bench/results.json` and the tables of `docs/performance.md`. It fails, and updates
neither, if it misses a goal by more than a quarter that the last run met.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench import growth, listing, peers, requests, serving, starting, state, table, week
from bench.measuring import elsewhere
from bench.table import Row

WHOLE: Final[Mapping[str, Callable[[], list[Row]]]] = {
    "requests": lambda: elsewhere(requests.rows),  # Linux hands a peak of memory down to later children
    "first": lambda: listing.first(1_000_000, pairs=3),
    "steady": lambda: listing.steady((10_000, 100_000, 1_000_000), polls=15),
    "everyday": lambda: listing.everyday(1_000_000, polls=10),
    "state": lambda: state.measure(1_000_000, changed=5_000, pairs=2),
    "serving": lambda: serving.measure(accounts=100, rounds=600, storm_seconds=15.0),
    "starting": lambda: starting.measure(repeats=5, accounts=(1, 100)),
    "growth": lambda: growth.measure((100, 1_000, 10_000, 100_000, 1_000_000), (1, 10, 100, 300), polls=3),
    "peers": lambda: peers.measure(accounts=100, operations=1_000, rounds=40),
    "week": lambda: week.measure(operations_an_hour=3_000, days=7),
}

QUICK: Final[Mapping[str, Callable[[], list[Row]]]] = {
    "requests": lambda: requests.rows((100, 3_000), steady_polls=2),
    "first": lambda: listing.first(2_000, pairs=1),
    "steady": lambda: listing.steady((6_000, 7_000), polls=2),
    "everyday": lambda: listing.everyday(3_000, polls=2),
    "state": lambda: state.measure(2_000, changed=100, pairs=1),
    "serving": lambda: serving.measure(accounts=3, rounds=5, storm_seconds=0.3),
    "starting": lambda: starting.measure(repeats=1, accounts=(1,)),
    "growth": lambda: growth.measure((100, 200), (1, 2), polls=2),
    "peers": lambda: peers.measure(accounts=2, operations=5, rounds=5),
    "week": lambda: week.measure(operations_an_hour=20, days=2, polls_a_day=2),
}
"""Small sizes for tests: they run every part, but the figures are meaningless."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="run with small sizes, to check that the bench works"
    )
    parser.add_argument("parts", nargs="*", help=f"{', '.join(WHOLE)}; default: all, and update the files")
    chosen = parser.parse_args(arguments)
    measures = QUICK if chosen.quick else WHOLE
    rows = []
    for name in chosen.parts or measures:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += measures[name]()
    print(table.text(rows))
    if chosen.parts or chosen.quick:
        return 0
    worse = table.worse(rows, table.last())
    for row in worse:
        print(f"worse than in the last run: {' | '.join(row.cells())}", file=sys.stderr)
    if not worse:
        table.publish(rows)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
