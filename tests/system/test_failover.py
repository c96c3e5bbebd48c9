"""Two real exporters with one database, whose active one is killed and suspended at random moments.

`make failover` does the same hundreds of times, and prints the figures of docs/failover.md.
"""

from pathlib import Path

import pytest

from tests.support.failover import run

FAULTS = 8
LEASE_SECONDS = 3.0


@pytest.mark.long
@pytest.mark.needs("initdb", "prometheus")
def test_one_of_two_is_active_and_nothing_is_lost_or_invented(tmp_path: Path) -> None:
    """Neither in the database nor in the sum of the increases that Prometheus has seen."""
    figures = run(tmp_path, faults=FAULTS, lease=LEASE_SECONDS, seed=5)
    assert figures.kills + figures.pauses == FAULTS
    assert figures.terms >= FAULTS / 2
    assert not any(figures.lost.values()), figures
    assert figures.wrong_scrapes == 0, figures
    assert figures.active_scrapes > 5, figures
    # A process that is killed between a scrape and the note of it in the database lets the next one repeat
    # what that scrape has seen: at most what one poll finds.
    shares = [missed / figures.counted[stat] for stat, missed in figures.missed.items()]
    assert all(-0.05 < share <= 0 for share in shares), figures
    assert all(0.95 < estimated < 1.2 for estimated in figures.estimated.values()), figures
