"""States of the exporter as filled metrics: for golden pages, the status page and benchmarks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from exporter.breakdown import Bad, Breakdown, Row
from exporter.config.alerts import Alerts
from exporter.errors import Unauthorized, Unreachable
from exporter.events import (
    BreakdownFinished,
    Event,
    ListingProgressed,
    PollFinished,
    PollScheduled,
    PollStarted,
    RequestFinished,
    RequestRetried,
)
from exporter.ledger.ledger import Ledger
from exporter.ledger.snapshot import RECENT_AGES, Snapshot, summarise
from exporter.metrics.registry import Metrics
from exporter.observers.status import AccountStatuses, RateLimitStatus
from exporter.observers.verdicts import Verdicts
from exporter.operation import Operation
from tests.support.clock import SATURDAY
from tests.support.operations import operation

ALERTS: Final = defaultdict(Alerts, newsletter=Alerts(undelivered_ratio=0.2, stuck_after=21600))
WEEK: Final = 7 * 86400.0
SHOP: Final = (
    operation(0, total=1000, recipients=1010, delivered=940, opened=300, failed=20, undelivered=40),
    operation(1, age=5000.0, total=500, recipients=500, attempts=500, delivered=500, opened=120, failed=0),
    operation(2, status="processing", age=1800.0, total=200, queued=150, sent=50, undelivered=3),
    operation(3, status="scheduled", age=90_000.0, total=70, recipients=70, scheduled=70),
)  # fmt: skip
NEWSLETTER: Final = (operation(4, age=100_000.0, total=9000, recipients=9000, delivered=8999, failed=1),)


def snapshot_of(operations: Iterable[Operation], *, top_failing: int = 20) -> Snapshot:
    ledger = Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=SATURDAY - WEEK)
    for each in operations:
        ledger.absorb(each, SATURDAY)
    return summarise(ledger, SATURDAY, top_failing=top_failing, waiting_after=3600.0, counts=ledger.counts())


class State:
    """Metrics and statuses of some accounts, which observe the same events."""

    def __init__(self, *accounts: str, has_breakdown: bool = False) -> None:
        self.metrics = Metrics(
            accounts,
            version="1.2.3",
            interval=60.0,
            alerts_of=ALERTS.__getitem__,
            has_breakdown=has_breakdown,
        )
        self.statuses = AccountStatuses(accounts)
        self.verdicts = Verdicts(self.statuses, ALERTS.__getitem__, interval=60.0)
        self.rate_limiters = {account: RateLimitStatus(5.0, 0.0) for account in accounts}

    def observe(self, *events: Event) -> None:
        for each in events:
            self.metrics.observe(each)
            self.statuses.observe(each)
            if isinstance(each, PollFinished):
                self.verdicts.judge(each.account, each.finished_at)

    def publish(self, account: str, snapshot: Snapshot) -> None:
        self.metrics.publish(account, snapshot)
        self.statuses.publish(account, snapshot)

    def refresh(self, account: str, breakdown: Breakdown) -> None:
        self.metrics.publish_breakdown(account, breakdown)
        self.statuses.publish_breakdown(account, breakdown)
        self.observe(
            RequestFinished(account, "emails", "200", 0.2, 0.5),
            BreakdownFinished(account, SATURDAY, 0.5, 2, None),
        )

    def succeed(self, account: str, operations: Iterable[Operation]) -> None:
        self.publish(account, snapshot_of(operations))
        self.observe(
            RequestFinished(account, "list", "200", 0.2, 0.5),
            PollFinished(account, SATURDAY, 0.25, None, listed_operations=4),
            PollScheduled(account, SATURDAY + 60),
        )


def before_the_first_poll() -> State:
    state = State("shop")
    state.observe(PollStarted("shop", SATURDAY), ListingProgressed("shop", 7, 7000, 2.0))
    return state


def one_account() -> State:
    state = State("shop")
    state.succeed("shop", SHOP)
    return state


def several_accounts() -> State:
    state = State("shop", "newsletter", "empty")
    state.succeed("shop", SHOP)
    state.succeed("newsletter", NEWSLETTER)
    state.succeed("empty", ())
    return state


def failing() -> State:
    """One account fails after a success; another has never succeeded."""
    state = State("shop", "newsletter")
    state.succeed("shop", SHOP)
    state.observe(
        RequestFinished("shop", "list", "timeout", 30.0, None),
        RequestRetried("shop", "timeout", 1.5),
        PollFinished("shop", SATURDAY + 90, 30.0, Unreachable("no reply within 30 s", reason="timeout")),
        RequestFinished("newsletter", "list", "401", 0.1, 0.0),
        PollFinished("newsletter", SATURDAY + 60, 0.1, Unauthorized("the credential was refused")),
    )
    state.rate_limiters["shop"] = RateLimitStatus(0.625, SATURDAY + 400)
    return state


BREAKDOWN: Final = Breakdown(
    as_of=SATURDAY,
    lookback_seconds=86400.0,
    complete=False,
    emails=Bad(21, 43),
    dimensions={
        "recipient_domain": (
            Row("yahoo.com", Bad(1, 40)),
            Row("xn--bcher-kva.example", Bad(15, 0)),
            Row("unknown", Bad(2, 1)),
            Row("other", Bad(3, 2)),
        ),
        "sender_domain": (Row("news.shop.example", Bad(21, 43)), Row("other", Bad(0, 0))),
        "tag:campaign": (
            Row('say "hi" \\ …@x', Bad(20, 43)),
            Row("none", Bad(1, 0)),
            Row("other", Bad(0, 0)),
        ),
    },
    errors=(("30007", 12), ("30003", 9), ("other", 0)),
)


def broken_down() -> State:
    """One account has been refreshed, the other is still waiting for its first poll."""
    state = State("shop", "newsletter", has_breakdown=True)
    state.succeed("shop", SHOP)
    state.refresh("shop", BREAKDOWN)
    return state


def many_accounts() -> State:
    """Enough for a long page, with names as long as names may be."""
    names = [f"account-{number:02}-{'x' * 53}" for number in range(40)]
    state = State(*names)
    for name in names:
        state.succeed(name, SHOP)
    return state


STATES: Final[Mapping[str, Callable[[], State]]] = {
    each.__name__: each
    for each in (before_the_first_poll, one_account, several_accounts, failing, broken_down)
}
