"""Whether this process is the active one of several, and what it shows while it is not.

With a state file a process is always active. With a database it is so while it holds the lock (`Mandate`).
Must not know how the lock works.

Rule 1: a process that is not active shows no mail counters: another one may be counting on.
Rule 2: a process that stands by shows no polled data at all. One that has lost the database keeps its last
gauges for a while, because perhaps nobody is active.
Rule 3: the mandate is looked at whenever something is shown, because a suspended process cannot notice its
end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from logging import ERROR, INFO
from typing import Final, Protocol

from exporter.clock import Clock
from exporter.ledger.counters import Counts
from exporter.logs import line, time_text
from exporter.metrics.registry import Metrics, Scrape
from exporter.observers.status import AccountStatuses
from exporter.observers.watchdog import Watchdog

GAUGES_STAY_SECONDS: Final = 300.0

_LOST: Final = "the lock was lost: the connection broke, or this process was suspended"


class Mandate(Protocol):
    """The right to be active."""

    @property
    def is_held(self) -> bool: ...

    @property
    def since(self) -> float:
        """Unix time."""
        ...

    async def confirm(self) -> None:
        """Return at once while it is held; otherwise wait until the task is cancelled."""
        ...


class _Always:
    is_held = True
    since = 0.0

    async def confirm(self) -> None:
        pass


ALWAYS: Final = _Always()
"""The mandate of a process that has its state to itself."""


class Role(Enum):
    ACTIVE = "active"
    STANDBY = "standby"
    """Another process is active."""
    CUT_OFF = "cut off"
    """The database cannot be reached, or has not been reached yet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The role of this process, and who is active."""

    role: Role
    since: float
    """Unix time from which on it has this role; of a standby, from which on the other process is active."""
    holder: str = ""
    """Name of the active process, if it is another one."""
    problem: str = ""
    """Why the database cannot be reached."""


class Activity:
    """The standing of this process, and what follows from it for all that shows something."""

    def __init__(self, metrics: Metrics, statuses: AccountStatuses, watchdog: Watchdog, clock: Clock) -> None:
        self._metrics = metrics
        self._statuses = statuses
        self._watchdog = watchdog
        self._clock = clock
        self._mandate: Mandate | None = ALWAYS
        self._current: Standing | None = None

    def await_database(self) -> None:
        """Call this at the start if the state is in a database: nobody knows yet who is active."""
        self._stop()
        self._current = Standing(Role.CUT_OFF, self._clock.now())

    def begin(self, mandate: Mandate) -> None:
        """Be active, with nothing known; what the state holds is to be shown next, without a pause."""
        self._mandate = mandate
        self._statuses.reset()
        self._watchdog.start()
        self._metrics.activate()
        if self._current is not None:
            self._current = Standing(Role.ACTIVE, mandate.since)
            line(INFO, "active: this process polls")

    def stand_by(self, holder: str, since: float) -> None:
        """Another process is active. Call it as often as that is seen."""
        standing = Standing(Role.STANDBY, since, holder)
        if self._current != standing:
            self._stop()
            self._metrics.hide_gauges()
            self._statuses.reset()
            self._current = standing
            line(INFO, "standing by: another process is active", active=holder, since=time_text(since))

    def cut_off(self, problem: str) -> None:
        """The database cannot be reached. Call it after each attempt."""
        if self._current is None or self._current.role is not Role.CUT_OFF or not self._current.problem:
            self._stop()
            self._current = Standing(Role.CUT_OFF, self._clock.now(), problem=problem)
            line(ERROR, "no connection to the database of the state; nothing is polled", error=problem)

    def scrape(self) -> Scrape:
        """What a page that is rendered now shows. Its term changes together with the standing."""
        self._look()
        return self._metrics.scrape()

    @property
    def seen(self) -> Mapping[str, Counts]:
        """What scrapes have seen of each account's counters in this term."""
        return dict(self._metrics.seen)

    def on_seen(self, call: Callable[[], object]) -> None:
        """Call `call` whenever a scrape has seen more."""
        self._metrics.on_seen = call

    def retire(self) -> None:
        """Show no counters any more: this process is about to let another one be active."""
        self._stop()

    def _look(self) -> None:
        now = self._clock.now()
        standing = self._current
        if self._mandate is not None and not self._mandate.is_held:
            self.cut_off(_LOST)
        elif standing and standing.role is Role.CUT_OFF and now - standing.since > GAUGES_STAY_SECONDS:
            self._hide_gauges()

    @property
    def standing(self) -> Standing | None:
        """`None` with a state file, where there is nothing to tell. Safe in another thread."""
        if self._mandate is not None and not self._mandate.is_held:
            return Standing(Role.CUT_OFF, self._clock.now(), problem=_LOST)
        return self._current

    @property
    def is_active(self) -> bool:
        self._look()
        return self._mandate is not None

    def _stop(self) -> None:
        self._mandate = None
        self._watchdog.stop()
        self._metrics.deactivate()

    def _hide_gauges(self) -> None:
        if self._metrics.hide_gauges():
            self._statuses.reset()
