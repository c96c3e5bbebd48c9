"""A YAML mapping, read key by key: gives what is right, and notes what is wrong.

Scalars are text, as `flags` reads them. Must not know which keys there are, nor what they mean.

Rule: a key that nobody asked for by the end is unknown.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from exporter.config.problems import Problem, quoted, shown, unknown
from exporter.config.yaml_file import UNSET

Pem: TypeAlias = Path | str
"""A file, or the text that would stand in one."""


class Section:
    """A mapping of the document, to be read and then ended; problems go to the list that it was given."""

    def __init__(self, path: str, content: Any, file: Path, problems: list[Problem]) -> None:
        self._path = path
        self._content = content if isinstance(content, dict) else {}
        self._file = file
        self._problems = problems
        self._known: list[str] = []
        if content is not None and not isinstance(content, dict):
            self.wrong("", "must be a mapping")

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._content)

    def wrong(self, key: str, message: str) -> None:
        path = ".".join(filter(None, (self._path, key)))
        self._problems.append(Problem(shown(path), f"{self._file}:", message))

    def section(self, key: str) -> "Section":
        return Section(
            ".".join(filter(None, (self._path, key))), self._value(key), self._file, self._problems
        )

    def text(self, key: str) -> str | None:
        value = self._value(key)
        if value is None or isinstance(value, str):
            return value
        self.wrong(key, "must be text")
        return None

    def one_of(self, key: str, allowed: Iterable[str], default: str) -> str:
        value, names = self.text(key), list(allowed)
        if value is None or value in names:
            return value or default
        self.wrong(key, f"{quoted(value)} must be one of {', '.join(names)}")
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        return self.one_of(key, ("true", "false"), "true" if default else "false") == "true"

    def texts(self, key: str, allowed: Iterable[str] = ()) -> tuple[str, ...]:
        value, names = self._value(key), list(allowed)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.wrong(key, "must be a list of texts")
            return ()
        for item in value:
            if names and item not in names:
                self.wrong(key, f"{quoted(item)} is none of {', '.join(names)}")
        return tuple(value)

    def pem(self, key: str) -> Pem | None:
        """The text under `key`, or the file under `key_file`."""
        text, file = self.text(key), self.text(f"{key}_file")
        if file and "-----BEGIN" in file:  # it would be shown as the name of a file that does not exist
            self.wrong(f"{key}_file", f"holds the text itself; write that under {key}")
            return None
        if text and file:
            self.wrong(key, f"contradicts {key}_file; keep one of the two")
        return self._file.parent / file if file else text

    def end(self) -> None:
        for key in self._content:
            if key not in self._known:
                self.wrong(key, unknown(key, self._known).replace("setting", "key"))

    def _value(self, key: str) -> Any:
        self._known.append(key)
        value = self._content.get(key)
        return None if value in UNSET else value
