"""What every storage of a state can do, whatever it is stored in.

Must not know files, databases or what is counted.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from exporter.ledger.counters import Counts
from exporter.ledger.saved import Changes, Progress, Saved
from exporter.storage.codec import AccountRow

T = TypeVar("T")


class StateStore(Protocol):
    """An open state. Raises `StateError` if it cannot be reached, and loads again once it can."""

    async def accounts(self) -> Sequence[AccountRow]:
        """Every account that has a state."""
        ...

    async def load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        """The result of `build` for an account's state, in another thread; `None` without a state.

        Raises `DamagedError`, also for a `ValueError` of `build`; `RefusedError` if it cannot be read.
        """
        ...

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        """Save everything or nothing. Raises `StateError`."""
        ...

    async def shown(self, account: str) -> Counts | None:
        """The counters of an account as last scraped from any process; `None` if no other process shows them.

        For an account that has a state.
        """
        ...

    async def set_aside(self, now: float) -> str | None:
        """Rename the damaged state and begin a new one; returns the new name of the damaged one.

        `None`: another process has already done so. Raises `RefusedError`.
        """
        ...

    def bytes_on_disk(self) -> int:
        """Size as of the last save."""
        ...
