"""Wall clock and sleep, as one argument.

Everything that asks for the time or waits takes a `Clock`, so that a test can move it: a simulated
week runs in seconds. Nothing else in the package may read a clock or sleep.
"""

import asyncio
import time  # noqa: TID251 - home of time
from typing import Protocol


class Clock(Protocol):
    """What the program may know of time."""

    def now(self) -> float:
        """Unix time in seconds; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary instant; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero and less."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))  # noqa: TID251 - home of sleep
