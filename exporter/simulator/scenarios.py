"""What can be simulated, by name: how much mail, what becomes of it, and what goes wrong when.

Every number is a field, for `dataclasses.replace` in tests. Knows nothing of operations or HTTP. Episodes
count from the instant the world starts; before it, in the history, nothing went wrong.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Trouble: TypeAlias = Literal["rate-limited", "outage"]


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that begins, ends, and comes back."""

    after_seconds: float
    for_seconds: float
    every_seconds: float

    def remaining_seconds(self, elapsed: float) -> float:
        """Seconds until it ends; zero while it is not on."""
        if elapsed < self.after_seconds:
            return 0.0
        return max(0.0, self.for_seconds - (elapsed - self.after_seconds) % self.every_seconds)

    def spans(self, first: float, last: float) -> list[tuple[float, float]]:
        """The parts of first..last in which it is on, all in seconds since the start."""
        number = max(0, int((first - self.after_seconds) // self.every_seconds))
        found = []
        while (begin := self.after_seconds + number * self.every_seconds) < last:
            if begin + self.for_seconds > first:
                found.append((max(first, begin), min(last, begin + self.for_seconds)))
            number += 1
        return found


@dataclass(frozen=True, slots=True)
class Mix:
    """What becomes of mails. Shares from 0 to 1; each is of those that got so far."""

    failed_share: float = 0.01
    undelivered_share: float = 0.02
    opened_share: float = 0.35
    bounce_within_seconds: float = 3 * 3600.0
    """The last bounces come this long after sending."""
    scheduled_share: float = 0.04
    """Of the operations: sent not at once but hours or days ahead."""
    canceled_share: float = 0.3
    """Of the operations scheduled ahead."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of account."""

    name: str
    summary: str
    operations_per_hour: float = 30.0
    diurnal_swing: float = 0.6
    """0: the same at all hours; 1: nothing in the small hours, double in the early afternoon (UTC)."""
    fewest_emails: int = 1
    most_emails: int = 300
    mix: Mix = Mix()
    spike: Episode | None = None
    spike_mix: Mix = Mix()
    spike_operations_per_hour: float = 600.0
    """On top of the usual traffic while the spike is on."""
    trouble: Trouble | None = None
    trouble_episode: Episode = Episode(120.0, 300.0, 1200.0)
    updated_moves_after_final: bool = True
    """Whether `updatedAt` moves with bounces and opens after COMPLETED."""


SPIKE: Final = Episode(after_seconds=120.0, for_seconds=600.0, every_seconds=2400.0)

QUIET: Final = Scenario("quiet", "no traffic of its own; for scripted tests", operations_per_hour=0.0)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario("steady", "about 30 operations an hour of 1 to 300 emails, more by day than by night"),
        Scenario(
            "failure-spike",
            "steady; after 2 minutes most emails of new operations fail, for 10 minutes, every 40",
            spike=SPIKE,
            spike_mix=Mix(failed_share=0.8, scheduled_share=0.0),
        ),
        Scenario(
            "undelivered-spike",
            "steady; after 2 minutes most emails of new operations bounce, for 10 minutes, every 40",
            spike=SPIKE,
            spike_mix=Mix(undelivered_share=0.7, bounce_within_seconds=40.0, scheduled_share=0.0),
        ),
        Scenario(
            "rate-limited",
            "steady; after 1 minute 429 with Retry-After, for 20 seconds, every 2 minutes",
            trouble="rate-limited",
            trouble_episode=Episode(60.0, 20.0, 120.0),
        ),
        Scenario(
            "outage",
            "steady; after 2 minutes 503, 500 and resets mixed, for 5 minutes, every 20",
            trouble="outage",
        ),
        Scenario(
            "busy",
            "3,000 operations an hour of 1 to 3 emails: half a million in the window",
            operations_per_hour=3000.0,
            diurnal_swing=0.0,
            most_emails=3,
        ),
    )
}
