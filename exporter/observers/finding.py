"""What a verdict says. Pure; must not know the rules."""

from enum import StrEnum
from typing import NamedTuple


class Mail(StrEnum):
    """What a verdict says; the worst first."""

    FAILING = "failing"
    BOUNCING = "bouncing"
    LATE = "late"
    UNKNOWN = "unknown"
    FINE = "fine"


class Finding(NamedTuple):
    """One statement about the mail of an account."""

    mail: Mail
    name: str
    """The trouble as an adjective, or why the verdict is unknown; empty for fine mail."""
    figure: str
    threshold: str = ""
    """What the figure is compared with; empty for nothing."""

    def __str__(self) -> str:
        return f"mail is {self.mail}: {self.figure}"
