"""What stands between polling and serving: metrics, board, log and vigil, who are told the same things.

Must not know who tells them, nor who looks at them.
"""

from collections.abc import Callable
from typing import TypeAlias

from exporter import __version__
from exporter.clock import Clock
from exporter.config.settings import Settings
from exporter.events import Listener, Report
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.registry import Metrics
from exporter.observers.log import LogObserver
from exporter.observers.status import Board, PaceView
from exporter.observers.watchdog import Vigil
from exporter.twilio.rate_limiter import Pace, longest_spacing

Reader: TypeAlias = Callable[[str, Snapshot], None]


class Watchers:
    """Of all accounts that fall to this process. More may join at any time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        names = [account.name for account in settings.own_accounts]
        interval, api = settings.poll.interval, settings.api
        self.metrics = Metrics(names, version=__version__, interval=interval)
        self.metrics.reloaded(clock.now(), successful=True)  # what was read to start with
        self.board = Board(names)
        patience = api.timeout + longest_spacing(api.requests_per_second)
        self.vigil = Vigil(names, clock, interval=interval, patience=patience)
        self._paces: dict[str, Pace] = {}
        self.listeners: list[Listener] = [
            self.metrics.observe,
            LogObserver(self.board).observe,
            self.vigil.observe,
        ]
        """Whom reports are told, in this order."""
        self.readers: list[Reader] = [self.metrics.publish, self.board.publish]
        """Whom snapshots are handed, in this order."""

    def report(self, report: Report) -> None:
        for listen in self.listeners:
            listen(report)

    def publish(self, account: str, snapshot: Snapshot) -> None:
        for read in self.readers:
            read(account, snapshot)

    def restore(self, account: str, snapshot: Snapshot) -> None:
        """Show what a former process knew."""
        self.metrics.restore(account, snapshot)
        self.board.publish(account, snapshot)

    def watch_pace(self, account: str, pace: Pace) -> None:
        """Show how an account's requests leave, as it is when someone looks."""
        self._paces[account] = pace
        self.metrics.watch(
            account, lambda: pace.requests_per_second, lambda: self._view(pace).next_request_at
        )

    def watch_state(self, bytes_on_disk: Callable[[], int]) -> None:
        """Show how large the state file was at the last save."""
        self.metrics.watch_state(bytes_on_disk)

    def paces(self) -> dict[str, PaceView]:
        """How each account's requests leave now."""
        return {account: self._view(pace) for account, pace in self._paces.items()}

    def _view(self, pace: Pace) -> PaceView:
        wait = pace.wait(self._clock.monotonic())
        return PaceView(pace.requests_per_second, self._clock.now() + wait if wait > 0 else 0.0)
