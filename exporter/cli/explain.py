"""The command `explain`: why mail fails, once, for people."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from exporter.cli.explanation import as_json, as_table
from exporter.cli.flags import DEFAULT_LAST, DEFAULT_REQUESTS
from exporter.cli.starting import load_settings
from exporter.clock import SystemClock
from exporter.config.settings import Settings
from exporter.config.values import MAX_LOOKBACK
from exporter.exit_codes import FAILED, INVALID_CONFIGURATION, SUCCESS
from exporter.observers.hub import Hub
from exporter.operation import ID_PATTERN
from exporter.output import OUTPUT, complain
from exporter.polling.explain import Explanation, Question
from exporter.polling.service import Polling


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    # A word after an unknown flag may be the value of the flag, and a secret.
    has_operand = unrecognized and not unrecognized[0].startswith("-")
    operation_id = unrecognized[0] if has_operand else None
    settings = load_settings(flags, unrecognized[1:] if has_operand else unrecognized)
    if problem := _problem(operation_id, is_last_given="last" in flags):
        complain(problem)
        return INVALID_CONFIGURATION
    question = Question(
        lookback=MAX_LOOKBACK if operation_id else getattr(flags, "last", DEFAULT_LAST),
        operation_id=operation_id,
        max_requests=getattr(flags, "max_requests", DEFAULT_REQUESTS),
        by=settings.breakdown.by,
        top=settings.breakdown.top,
        patience=settings.api.timeout,
    )
    write = as_json if getattr(flags, "format", "table") == "json" else as_table
    return asyncio.run(_answer(settings, question, write))


def _problem(operation_id: str | None, *, is_last_given: bool) -> str | None:
    if operation_id is None:
        return None
    if not ID_PATTERN.fullmatch(operation_id):
        return "this is not the id of an operation; write comms_operation_ and what follows, or --last=1h"
    if is_last_given:
        return "write the id of an operation or --last, not both"
    return None


async def _answer(
    settings: Settings, question: Question, write: Callable[[Sequence[Explanation]], str]
) -> int:
    clock = SystemClock()
    progress = _Progress(sys.stderr)
    answers = await Polling(settings, clock, Hub(settings, clock)).explain(question, progress.show)
    progress.clear()
    failed = [answer for answer in answers if answer.error is not None]
    for answer in failed:
        complain(f"account {answer.account}: its emails cannot be listed: {answer.error}")
    found = [answer for answer in answers if answer.breakdown is not None]
    if question.operation_id is not None and not found and not failed:
        complain("no account has this operation; Twilio keeps operations for 7 days")
        return FAILED
    OUTPUT.write(write(found))
    return FAILED if failed else SUCCESS


class _Progress:
    """A line that shows how far it is, on a terminal only."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._shown = 0

    def show(self, account: str, emails: int, requests: int) -> None:
        self._write(f"{account}: {emails:,} failed or undelivered emails in {requests} requests …")

    def clear(self) -> None:
        self._write("")

    def _write(self, text: str) -> None:
        if self._err.isatty():
            self._err.write(f"\r{text:<{self._shown}}" if text else f"\r{' ' * self._shown}\r")
            self._err.flush()
            self._shown = len(text)
