"""Reads settings from the YAML file: YAML in, text with its source out.

The only module that knows YAML. Must not know what a setting means.

Rule 1: every scalar stays text until `settings` gives it a type.
Rule 2: no error quotes the file, because it may contain a credential.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeGuard

import yaml  # noqa: TID251 - home of yaml

from exporter.config.problems import Problem, SettingsError, quoted, shown, unknown, why
from exporter.config.sources import ACCOUNT_KEYS, PREFIX, Given, Location, Setting

UNSET: Final = ("", "~", "null")
"""The scalars that mean no value in YAML, as text."""


_NAMES_TOKENS_ONLY: Final = re.compile(r"(?:[a-z <>,]|'(?:<[a-z ]+>|[\[\]{},?:-])')+")
"""Such as: expected ',' or '}', but got '<stream end>'."""


class _Loader(yaml.BaseLoader):
    """Keeps every scalar as text: a token of digits only, or `0123`, must not become a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: list[object] = []
        for key, _ in node.value:
            if key.value in keys:
                raise yaml.MarkedYAMLError(problem="the same key twice", problem_mark=key.start_mark)
            keys.append(key.value)
        return super().construct_mapping(node, deep)


def read_document(content: bytes) -> dict[str, Any]:
    """The mapping of the document, scalars as text. Raises `ValueError` with the line and the problem."""
    try:
        document = yaml.load(content, _Loader)  # noqa: S506 - a BaseLoader makes nothing but text
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "not valid YAML"
        if not _NAMES_TOKENS_ONLY.fullmatch(problem):  # it may quote the file, possibly a credential
            problem = re.sub(r"['\"].*['\"]", "…", problem)
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"line {line}: {problem}") from None
    except yaml.YAMLError:
        raise ValueError("is not UTF-8 text") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if document is None or document in UNSET:
        return {}
    if not isinstance(document, dict):
        raise ValueError("must be a mapping of settings, such as poll: {interval: 60s}")  # noqa: TRY004 - one kind
    return document


def read_file(named: Given) -> dict[str, Any]:
    """The content of the settings file. Raises `SettingsError`."""
    file = Path(named.value)
    try:
        return read_document(file.read_bytes())
    except OSError as error:
        raise SettingsError([Problem("config_file", named.source, why(error))]) from None
    except ValueError as error:
        raise SettingsError([Problem("config_file", f"{file}:", str(error))]) from None


def section_problems(
    settings: Sequence[Setting], file: Path, document: Mapping[str, Any]
) -> Iterator[Problem]:
    """Problems of sections that do not exist or are not a mapping."""
    known = {setting.location[0]: len(setting.location) > 1 for setting in settings} | {"accounts": False}
    for name, content in document.items():
        if name not in known:
            yield Problem(shown(name), f"{file}:", _nesting(settings, name, content) or unknown(name, known))
        elif known[name] and not isinstance(content, dict) and content not in UNSET:
            yield Problem(name, f"{file}:", "must be a mapping of settings")


def _nesting(settings: Sequence[Setting], name: str, value: object) -> str | None:
    """How to nest a setting that was written flat: by its path, its variable or its name without section."""
    path = name.lower().removeprefix(PREFIX.lower()).replace("__", ".")
    nested = [each.location for each in settings if len(each.location) > 1]
    found = [each for each in nested if path in {".".join(each), each[1]}]
    if not found:
        return None
    written = quoted(value).strip('"') if isinstance(value, str) else "…"
    right = [f"{section}: {{{key}: {written}}}" for section, key in found]
    return f"is not a top-level key; write {' or '.join(right)}"


def given_by_file(
    settings: Sequence[Setting], file: Path, document: Mapping[str, Any]
) -> dict[Location, Given]:
    """The values of a document by location, unchecked; keys without a value are left out."""
    by_location = {setting.location: setting for setting in settings}
    sections = {location[0] for location in by_location if len(location) > 1}
    given: dict[Location, Given] = {}
    for section, content in document.items():
        inner = content.items() if section in sections and isinstance(content, dict) else ()
        for location, value in [((section,), content), *(((section, key), value) for key, value in inner)]:
            setting = by_location.get(location)
            # An unknown key is kept, so that it is reported.
            if (setting and value not in UNSET) or (not setting and len(location) > 1):
                given[location] = _given(setting, file, value)
    return given


def _given(setting: Setting | None, file: Path, value: object) -> Given:
    text = ",".join(value) if setting and setting.repeatable and _is_texts(value) else value
    if not setting or not isinstance(text, str):
        return Given(value, f"{file}:")
    # A relative path is relative to the settings file, not to the working directory.
    return Given(str(file.parent / text) if setting.metavar == "FILE" else text, f"{file}: {quoted(text)}")


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def accounts_by_file(file: Path, document: Mapping[str, Any], alerts: Collection[str]) -> Any:
    """The accounts of a document, unchecked; keys without a value are left out. `alerts`: the known ones."""
    accounts = document.get("accounts", "")
    if accounts in UNSET:
        return []
    if not isinstance(accounts, list):
        return accounts
    return [_account(file, account, alerts) if isinstance(account, dict) else account for account in accounts]


def _account(file: Path, account: Mapping[str, Any], alerts: Collection[str]) -> dict[str, Any]:
    given = _with_values(account, ACCOUNT_KEYS)
    for key, value in given.items():
        if key.endswith("_file") and isinstance(value, str) and value not in UNSET:
            given[key] = str(file.parent / value)
    if isinstance(own := given.get("alerts"), dict):
        given["alerts"] = _with_values(own, alerts)
    return given


def _with_values(content: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Without the known keys that have no value; unknown keys are kept, so that they are reported."""
    return {key: value for key, value in content.items() if key not in known or value not in UNSET}
