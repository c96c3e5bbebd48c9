"""Problems of the settings: one line each, with the place where the value was written.

Imports the standard library only: the health check uses it, and must stay small.

Rule 1: a problem is one line, whatever the value contains.
Rule 2: a line never shows a credential. Values of unknown names are not shown at all.
"""

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One wrong setting. `source` is the flag, variable or file, with the value unless it may be secret."""

    path: str
    source: str
    message: str

    def __str__(self) -> str:
        line = f"{self.path}: {self.source} {self.message}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


class SettingsError(Exception):
    """All problems of the settings; the text has one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shown(text: str) -> str:
    """The text, cut to 60 characters."""
    return text if len(text) <= 60 else text[:59] + "…"


def quoted(value: str) -> str:
    """The value in quotes, without the parts of a URL that may contain a password or a token."""
    # In the URL of a database without "@" the password cannot be told from the host.
    hidden = r"(?<=:).*" if value.startswith("postgres") else r"^.*@|[?#].*$"
    return f'"{shown(re.sub(hidden, "…", value, flags=re.DOTALL))}"'


def unknown(name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist, with the nearest ones that do."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    if not near:  # the name without its section, such as --interval
        near = [each for each in names if each.rpartition(".")[2] == name.lstrip("-").replace("-", "_")]
    return f"unknown setting; did you mean {' or '.join(near)}?" if near else "unknown setting"


def why(error: OSError) -> str:
    """Why a file cannot be read; the text follows the name of the file."""
    return "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
