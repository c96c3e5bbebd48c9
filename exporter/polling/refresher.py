"""Refreshes the breakdown of one account: list, count, publish, report.

Uses protocols and callables only; must not contain HTTP, Prometheus or other accounts.

Rule 1: a failed refresh publishes nothing, and the last numbers are kept. No error ends the refresher.
Rule 2: all requests of a refresh share one budget, and are sent between two polls.
Rule 3: the errors of operations may fail without the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from exporter.breakdown import Breakdown, Tally, tag_keys, top_errors
from exporter.clock import Clock
from exporter.config.breakdown import Breakdown as BreakdownSettings
from exporter.errors import TwilioError
from exporter.events import BreakdownCrashed, BreakdownFinished, Observer
from exporter.polling.bad_mail import EmailsApi, Wanted, list_bad_mail
from exporter.polling.operation_errors import ErrorCounts, ErrorReader, ErrorsApi
from exporter.polling.precedence import PollPrecedence
from exporter.twilio.client import RequestBudget


class BreakdownApi(EmailsApi, ErrorsApi, Protocol):
    """The calls of Twilio's API that a refresh makes."""


PublishBreakdown: TypeAlias = Callable[[str, Breakdown], None]


class BreakdownRefresher:
    """The first refresh follows the first successful poll, the next ones each `interval` of the settings."""

    def __init__(
        self,
        account: str,
        api: BreakdownApi,
        precedence: PollPrecedence,
        clock: Clock,
        settings: BreakdownSettings,
        emit: Observer,
        publish: PublishBreakdown,
    ) -> None:
        self.account = account
        self._api = api
        self._precedence = precedence
        self._clock = clock
        self._settings = settings
        self._emit = emit
        self._publish = publish
        self._errors = ErrorReader(account, api, emit)

    async def run(self) -> None:
        """Refresh until cancelled."""
        await self._precedence.last_snapshot()
        due = self._clock.monotonic()
        while True:
            await self.refresh()
            late = self._clock.monotonic() - due
            due += self._settings.interval * (1 + max(0.0, late // self._settings.interval))
            await self._clock.sleep(due - self._clock.monotonic())

    async def refresh(self) -> None:
        """Refresh once, as soon as polls leave time for it. Errors are reported, not raised."""
        await self._precedence.time_between_polls()
        current = _Refresh(
            self._clock.now(), self._clock.monotonic(), RequestBudget(self._settings.max_requests)
        )
        try:
            self._publish(self.account, await self._read(current))
        except TwilioError as error:
            self._finish(current, error)
        except Exception as error:  # noqa: BLE001 - rule 1
            self._emit(BreakdownCrashed(self.account, self._clock.now(), error))
        else:
            self._finish(current, None)

    async def _read(self, current: "_Refresh") -> Breakdown:
        settings = self._settings
        tally = Tally(settings.by)
        wanted = Wanted(
            current.as_of - settings.lookback, current.as_of, tag_keys=frozenset(tag_keys(settings.by))
        )
        send = self._precedence.between_polls
        is_complete = await list_bad_mail(self._api, wanted, tally.absorb, current.budget, send)
        errors = await self._read_errors(current) if settings.errors else None
        return Breakdown(
            as_of=current.as_of,
            lookback_seconds=settings.lookback,
            complete=is_complete and (errors is None or errors.complete),
            emails=tally.emails,
            dimensions=tally.rows(settings.top),
            errors=None if errors is None else top_errors(errors.codes, settings.top),
        )

    async def _read_errors(self, current: "_Refresh") -> ErrorCounts | None:
        """`None` as well after a failure, because older numbers would be shown as new ones."""
        snapshot = await self._precedence.last_snapshot()
        try:
            return await self._errors.read(snapshot, current.budget, self._precedence.between_polls)
        except TwilioError as error:
            current.errors_error = error
            return None

    def _finish(self, current: "_Refresh", error: TwilioError | None) -> None:
        self._emit(
            BreakdownFinished(
                account=self.account,
                finished_at=self._clock.now(),
                duration_seconds=self._clock.monotonic() - current.started,
                requests=self._settings.max_requests - current.budget.left,
                error=error,
                errors_error=current.errors_error,
            )
        )


@dataclass(slots=True)
class _Refresh:
    """The refresh that is running."""

    as_of: float
    """Unix time at which it started."""
    started: float
    """The same instant, monotonic."""
    budget: RequestBudget
    errors_error: TwilioError | None = None
    """Why the errors of the operations could not be read."""
