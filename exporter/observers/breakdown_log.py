"""The log observer of the breakdown: a line when refreshes begin to fail, fail otherwise, and succeed again.

Rule: no line may contain an address, a domain, a tag or an id of an email. Events contain none of these.
"""

from collections.abc import Iterable
from logging import DEBUG, ERROR, INFO, WARNING

from exporter.errors import TwilioError
from exporter.events import BreakdownCrashed, BreakdownFinished, Event, OperationErrorsUnsupported
from exporter.logs import line, traceback_text


class BreakdownLog:
    def __init__(self, accounts: Iterable[str]) -> None:
        self._breakdowns = {account: _Edges("breakdown", "the last numbers are kept") for account in accounts}
        self._operation_errors = {
            account: _Edges("reading the errors of operations", "they are left out")
            for account in self._breakdowns
        }

    def observe(self, event: Event) -> None:
        match event:
            case BreakdownFinished(account=account, error=error, errors_error=errors_error):
                _log_refresh(event)
                self._breakdowns[account].note(account, error)
                if error is None:
                    self._operation_errors[account].note(account, errors_error)
            case OperationErrorsUnsupported(account=account, error=error):
                line(
                    WARNING,
                    "errors of operations are not available and are not requested again",
                    account=account,
                    error=error,
                    request_id=error.request_id,
                )
            case BreakdownCrashed(account=account, error=crash):
                line(
                    ERROR,
                    "internal error; the breakdown continues",
                    account=account,
                    traceback=traceback_text(crash),
                )
            case _:
                pass


class _Edges:
    """Logs when something begins to fail, fails otherwise, and succeeds again."""

    def __init__(self, what: str, consequence: str) -> None:
        self._what = what
        self._consequence = consequence
        self._outcome: str | None = None  # of the failure that was logged last

    def note(self, account: str, error: TwilioError | None) -> None:
        before, self._outcome = self._outcome, error.outcome if error else None
        if error is None:
            if before is not None:
                line(INFO, f"{self._what} recovered", account=account)
        elif before != error.outcome:
            line(
                WARNING,
                f"{self._what} failed; {self._consequence}",
                account=account,
                outcome=error.outcome,
                error=error,
                request_id=error.request_id,
            )


def _log_refresh(refresh: BreakdownFinished) -> None:
    line(
        DEBUG,
        "breakdown finished",
        account=refresh.account,
        outcome=refresh.error.outcome if refresh.error else "success",
        duration_seconds=round(refresh.duration_seconds, 3),
        requests=refresh.requests,
    )
