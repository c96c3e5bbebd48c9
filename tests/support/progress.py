"""Prints the progress of a parallel test run every 15 seconds.

Long tests run first, and pytest prints a percentage only at the end of a line of dots: on a busy machine not
for minutes.
"""

import time
from threading import Event, Thread
from typing import Final

import pytest

SECONDS_BETWEEN_LINES: Final = 15.0


class Progress:
    """A plugin of the process that distributes tests to workers."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._total = 0
        self._finished = 0
        self._failed = 0
        self._running: dict[str, None] = {}
        self._ended = Event()
        # A thread: no hook is called while all workers are busy with long tests.
        self._thread = Thread(target=self._print_lines, daemon=True)

    def pytest_sessionstart(self) -> None:
        self._thread.start()

    def pytest_sessionfinish(self) -> None:
        self._ended.set()
        self._thread.join()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._total = len(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed += report.failed

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._finished += 1
        self._running.pop(nodeid, None)

    def _print_lines(self) -> None:
        started = time.monotonic()
        while not self._ended.wait(SECONDS_BETWEEN_LINES):
            running = ", ".join(list(self._running)) or "none"
            self._terminal.write_line(
                f"{self._finished:,} of {self._total:,} tests after {time.monotonic() - started:.0f} s, "
                f"{self._failed} failed; running: {running}"
            )
