"""Wires a watch to an account, a terminal and a file.

Must not know flags or signals: the caller passes an event that stops the watch.

Rule: what was observed is printed and written, however the watch ends.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO

from exporter.clock import Clock
from exporter.config.accounts import Account
from exporter.config.settings import Api, Settings
from exporter.errors import TwilioError
from exporter.events import Event, RequestFinished
from exporter.exit_codes import FAILED, SUCCESS
from exporter.observation.asking import Asking
from exporter.observation.evidence import Evidence
from exporter.observation.report import Course, report, table
from exporter.observation.watching import Plan, Watch
from exporter.twilio.client import Client
from exporter.twilio.credentials import Credential
from exporter.twilio.rate_limiter import RateLimiter
from exporter.twilio.transport import open_transport


class Output(Protocol):
    """Standard output, or a buffer."""

    def write(self, text: str, /) -> object: ...


class _Watched(NamedTuple):
    evidence: Evidence
    course: Course
    error: TwilioError | None
    """What ended the watch early."""


async def observe(
    settings: Settings,
    account: Account,
    seconds: float,
    *,
    clock: Clock,
    stop: asyncio.Event,
    out: Output,
    err: TextIO,
    output: Path | None = None,
) -> int:
    """Watch an account, print what it shows, and write the report; returns the exit code."""
    if output is not None and not _is_written(output, None, err):
        return FAILED
    plan = Plan(seconds)
    out.write(
        f"watching for {seconds:.0f} s with about {plan.expected_requests} requests, at most"
        f" {plan.max_requests} and their retries; Ctrl-C ends it earlier\n"
    )
    evidence, course, error = await _watch(settings.api, account, plan, clock, stop, err)
    out.write(table(evidence, course))
    if error is not None:
        err.write(f"observe: {error} ({error.outcome})\n")
    text = json.dumps(report(evidence, course), indent=2) + "\n"
    written = output is None or _is_written(output, text, err)
    return SUCCESS if written and error is None else FAILED


async def _watch(
    api: Api, account: Account, plan: Plan, clock: Clock, stop: asyncio.Event, err: TextIO
) -> _Watched:
    codes: Counter[str] = Counter()
    emit = _counting(codes)
    credential = Credential(account.name, account.credential, emit)
    rate_limiter = RateLimiter(api.requests_per_second)
    error, interrupted = None, False
    async with open_transport(api) as transport:
        client = Client(account.name, transport, credential, rate_limiter, clock, emit, concurrency=1)
        asking = Asking(client, clock, patience=api.timeout, max_requests=plan.max_requests)
        watch = Watch(asking, clock, plan, _progress(asking, plan, err))
        try:
            interrupted = await _interrupted(watch.run(), stop)
        except TwilioError as failure:
            error = failure
    if err.isatty():
        err.write("\n")
    public = Api.model_fields["base_url"].default
    base_url = api.base_url if api.base_url == public else None
    course = Course(base_url, watch.seconds, interrupted, codes, watch.failures)
    return _Watched(asking.evidence, course, error)


def _counting(codes: Counter[str]) -> Callable[[Event], None]:
    def count(event: Event) -> None:
        if isinstance(event, RequestFinished):
            codes[event.code] += 1

    return count


async def _interrupted(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Wait for the end of the work, or cancel it when `stop` is set; whether it was cancelled."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()  # raises its error
            return False
        return True
    finally:
        for task in (working, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError, TwilioError):
                await task


def _progress(asking: Asking, plan: Plan, err: TextIO) -> Callable[[float], None]:
    """One line on a terminal, written over after each round."""

    def show(seconds: float) -> None:
        evidence = asking.evidence
        err.write(
            f"\r{seconds:.0f} of {plan.seconds:.0f} s: {asking.requests} requests,"
            f" {len(evidence.operations)} operations, {evidence.new_operations} new … "
        )
        err.flush()

    return show if err.isatty() else lambda _: None


def _is_written(output: Path, text: str | None, err: TextIO) -> bool:
    """Replace the content of the file; `None`: create it if it does not exist, and change nothing."""
    try:
        with output.open("a" if text is None else "w", encoding="utf-8") as file:
            file.write(text or "")
    except OSError as error:
        err.write(f"cannot write {output}: {error.strerror}\n")
        return False
    return True
