"""The scenarios: traffic, outcomes of emails, and episodes of faults.

Every number is a field, so that tests can use `dataclasses.replace`. Episodes count from the start of the
world; no faults occur in the history before it. It must not know operations or HTTP.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

Dimension: TypeAlias = Literal["recipient_domain", "sender_domain", "tag:campaign"]
Trouble: TypeAlias = Literal["rate-limited", "outage"]


@dataclass(frozen=True, slots=True)
class Episode:
    """A period that recurs."""

    after_seconds: float
    for_seconds: float
    every_seconds: float

    def remaining_seconds(self, elapsed: float) -> float:
        """Seconds until it ends; zero outside of it."""
        if elapsed < self.after_seconds:
            return 0.0
        return max(0.0, self.for_seconds - (elapsed - self.after_seconds) % self.every_seconds)

    def spans(self, first: float, last: float) -> list[tuple[float, float]]:
        """The parts of first..last within an episode, in seconds since the start."""
        number = max(0, int((first - self.after_seconds) // self.every_seconds))
        found = []
        while (begin := self.after_seconds + number * self.every_seconds) < last:
            if begin + self.for_seconds > first:
                found.append((max(first, begin), min(last, begin + self.for_seconds)))
            number += 1
        return found


@dataclass(frozen=True, slots=True)
class Mix:
    """Outcomes of emails. Shares are from 0 to 1, each of the emails that reached the stage."""

    failed_share: float = 0.01
    undelivered_share: float = 0.02
    opened_share: float = 0.35
    bounce_within_seconds: float = 3 * 3600.0
    """The last bounces arrive this long after sending."""
    scheduled_share: float = 0.04
    """Share of the operations that are scheduled hours or days ahead."""
    canceled_share: float = 0.3
    """Share of the scheduled operations that are canceled."""
    scheduled_within_hours: float = 200.0
    """More than the seven days of retention: some operations leave the window before they are sent."""
    late_share: float = 0.1
    """Share of the delivered emails that are late: greylisting, full mailboxes, slow providers."""
    late_within_seconds: float = 2 * 3600.0
    """Late emails are delivered between two minutes and this after sending."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """Why emails of a spike fail: what nearly all of the failed and undelivered ones have in common."""

    dimension: Dimension
    value: str
    """A domain, or the value of the tag `campaign`."""
    share: float = 0.95
    """Of the bad emails of the spike."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The traffic and the faults of one simulated account."""

    name: str
    summary: str
    operations_per_hour: float = 30.0
    diurnal_swing: float = 0.6
    """0: the same at all hours; 1: nothing at 02:00, twice the average at 14:00 (UTC)."""
    fewest_emails: int = 1
    most_emails: int = 300
    mix: Mix = Mix()
    spike: Episode | None = None
    spike_mix: Mix = Mix()
    spike_operations_per_hour: float = 600.0
    """Additional traffic during the spike."""
    culprit: Culprit | None = None
    trouble: Trouble | None = None
    trouble_episode: Episode = Episode(120.0, 300.0, 1200.0)


SPIKE: Final = Episode(after_seconds=120.0, for_seconds=600.0, every_seconds=2400.0)
HOURLY_SPIKE: Final = replace(SPIKE, every_seconds=3600.0)

QUIET: Final = Scenario("quiet", "no generated traffic; for scripted tests", operations_per_hour=0.0)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "steady", "about 30 operations an hour with 1 to 300 emails each, more by day than at night"
        ),
        Scenario(
            "failure-spike",
            "steady; every 40 minutes most emails of new operations fail for 10 minutes, first after 2",
            spike=SPIKE,
            spike_mix=Mix(failed_share=0.8, scheduled_share=0.0),
        ),
        Scenario(
            "undelivered-spike",
            "steady; every 40 minutes most emails of new operations bounce for 10 minutes, first after 2",
            spike=SPIKE,
            spike_mix=Mix(undelivered_share=0.7, bounce_within_seconds=40.0, scheduled_share=0.0),
        ),
        Scenario(
            "recipient-domain-bounces",
            "steady; every hour nearly all emails to yahoo.com bounce for 10 minutes, first after 2",
            spike=HOURLY_SPIKE,
            spike_mix=Mix(undelivered_share=0.25, bounce_within_seconds=40.0, scheduled_share=0.0),
            spike_operations_per_hour=180.0,
            culprit=Culprit("recipient_domain", "yahoo.com"),
        ),
        Scenario(
            "sender-refused",
            "steady; every hour most emails from offers.shop.example fail for 10 minutes, first after 2",
            spike=HOURLY_SPIKE,
            spike_mix=Mix(failed_share=0.8, scheduled_share=0.0),
            spike_operations_per_hour=180.0,
            culprit=Culprit("sender_domain", "offers.shop.example"),
        ),
        Scenario(
            "campaign-bad-addresses",
            "steady; every hour half the emails of campaign win-back bounce for 10 minutes, first after 2",
            spike=HOURLY_SPIKE,
            spike_mix=Mix(undelivered_share=0.5, bounce_within_seconds=40.0, scheduled_share=0.0),
            spike_operations_per_hour=240.0,
            culprit=Culprit("tag:campaign", "win-back"),
        ),
        Scenario(
            "campaigns",
            "6 operations an hour with 500 to 5,000 emails each, most of them scheduled up to 24 hours ahead",
            operations_per_hour=6.0,
            fewest_emails=500,
            most_emails=5000,
            mix=Mix(scheduled_share=0.7, scheduled_within_hours=24.0, canceled_share=0.1),
        ),
        Scenario(
            "slow-providers",
            "steady; half of the deliveries take between 2 minutes and 6 hours",
            mix=Mix(late_share=0.5, late_within_seconds=6 * 3600.0),
        ),
        Scenario(
            "rate-limited",
            "steady; every 2 minutes replies are 429 with Retry-After for 20 seconds, first after 1 minute",
            trouble="rate-limited",
            trouble_episode=Episode(60.0, 20.0, 120.0),
        ),
        Scenario(
            "outage",
            "steady; every 20 minutes replies are 503, 500 or resets for 5 minutes, first after 2",
            trouble="outage",
        ),
        Scenario(
            "busy",
            "3,000 operations an hour with 1 to 3 emails each: half a million in the window",
            operations_per_hour=3000.0,
            diurnal_swing=0.0,
            most_emails=3,
        ),
    )
}
