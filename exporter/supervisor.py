"""Runs the background tasks of the process until a signal stops it.

Must not know what the tasks do: accounts, HTTP, Twilio.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from exporter.logs import LOG


class Supervisor:
    """Runs the background tasks of the process. A task that ends without being cancelled has failed."""

    def __init__(self) -> None:
        self._tasks: Sequence[asyncio.Task[None]] = ()

    @asynccontextmanager
    async def running(
        self, coroutines: Mapping[str, Coroutine[None, None, None]]
    ) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
        """Run the tasks, by name, and cancel them at the end. Several groups may run."""
        tasks = [asyncio.create_task(each, name=name) for name, each in coroutines.items()]
        self._tasks = [*self._tasks, *tasks]
        for task in tasks:
            task.add_done_callback(_log_crash)
        try:
            yield tasks
        finally:
            self._tasks = [each for each in self._tasks if each not in tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def dead(self) -> str | None:
        """A message that names the stopped task; `None` if all are running, or none was started."""
        names = [task.get_name() for task in self._tasks if task.done()]
        return f"{names[0]} has stopped unexpectedly" if names else None


_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals() -> asyncio.Event:
    """Returns an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in _STOP_SIGNALS:
        _on_signal(number, stop.set)
    return stop


def on_hangup(call: Callable[[], object]) -> None:
    """Call `call` at every SIGHUP."""
    if hasattr(signal, "SIGHUP"):  # not on Windows
        _on_signal(signal.SIGHUP, call)


def ignore_signals() -> None:
    """Ignore further signals until the process ends: they must not change the exit code."""
    numbers = [*_STOP_SIGNALS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        # Python reports a signal that arrives just before it is ignored as an error.
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _on_signal(number: signal.Signals, call: Callable[[], object]) -> None:
    """Signals that arrive before `call` has run count as one."""
    # Not `add_signal_handler`: closing the loop would restore the default action, and a second SIGTERM would
    # kill the process before it has ended.
    loop = asyncio.get_running_loop()
    pending = False

    def handle(*_: object) -> None:
        nonlocal pending
        # A signal that arrives meanwhile calls this handler within itself, so it must return at once.
        if not pending:
            pending = True
            if not loop.is_closed():
                loop.call_soon_threadsafe(run)

    def run() -> None:
        nonlocal pending
        pending = False
        call()

    signal.signal(number, handle)


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        fields = {"task": task.get_name()}
        LOG.critical("background task crashed", exc_info=error, extra={"fields": fields})
