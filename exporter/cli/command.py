"""A command and its flags as records. They import nothing of what commands need to run."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class WrongUsage(Exception):
    """A wrong command line; the message is one line."""


class Flag(NamedTuple):
    """A flag that is not a setting. Commands may have flags of the same name and different meaning."""

    name: str
    """With underscores, as in the parsed flags, which have it only if it was given."""
    help: str
    """With the default."""
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    read: Callable[[str], Any] = str
    """Raises `ValueError` with the remedy."""

    @property
    def spelling(self) -> str:
        return f"--{self.name.replace('_', '-')}"


class Command(NamedTuple):
    summary: str
    """One line of at most 62 characters."""
    details: str = ""
    operand: str = ""
    """A word that may follow the name; the command finds it among the unrecognized arguments."""
    flags: tuple[Flag, ...] = ()
    settings: str = ".*"
    """Those that have an effect, as a pattern of their paths; `--help` shows no others."""
    defaults: Mapping[str, str] = MappingProxyType({})
    """Defaults of settings that differ from those of `run`, by path."""
    needs_account: bool = True
