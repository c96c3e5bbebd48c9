"""The clock: the only module that reads the time or sleeps.

Code that needs the time or waits takes a `Clock` as an argument. Tests pass a clock that they move, so that a
simulated week runs in seconds.
"""

import asyncio
import time  # noqa: TID251 - home of time
from typing import Protocol


class Clock(Protocol):
    """The time, and waiting for it to pass."""

    def now(self) -> float:
        """Unix time in seconds; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary instant; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once if `seconds` is zero or negative."""
        ...


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))  # noqa: TID251 - home of sleep
