"""Loads the settings from flags, environment, file and defaults, or reports everything that is wrong.

Must not know single settings, except the accounts.

Rule 1: flag > environment > file > default, setting by setting.
Rule 2: all problems are reported at once, and none shows a credential.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError  # noqa: TID251 - home of pydantic
from pydantic_core import ErrorDetails  # noqa: TID251 - home of pydantic_core

from exporter.config import sources as written
from exporter.config.accounts import WrittenAccounts, read_accounts
from exporter.config.problems import Problem, SettingsError, quoted, shown, unknown
from exporter.config.provenance import (
    DefaultSource,
    EnvironmentSource,
    FileSource,
    FlagSource,
    WrittenSource,
    where,
)
from exporter.config.proxies import proxy_problem
from exporter.config.settings import SETTINGS, Settings
from exporter.config.sources import ACCOUNT_KEYS
from exporter.config.yaml_file import read_file

_ALLOWED: Final = {setting.path: setting.allowed for setting in SETTINGS}
_THRESHOLDS: Final = {path: allowed for path, allowed in _ALLOWED.items() if path.startswith("alerts.")}


def add_flags(
    parser: argparse.ArgumentParser,
    include: Callable[[str], bool] = lambda _: True,
    defaults: Mapping[str, str] | None = None,
) -> None:
    """`--config-file`, and a flag for each setting. Use a parser with `allow_abbrev=False`.

    `include`: whether to add the setting of a path. `defaults`: shown instead of those of the model, by path.
    """
    defaults = defaults or {}
    written.add_flags(
        parser,
        [
            each._replace(default=defaults.get(each.path, each.default))
            for each in SETTINGS
            if include(each.path)
        ],
    )


def load(
    flags: argparse.Namespace | Mapping[str, object],
    environ: Mapping[str, str],
    *,
    unrecognized: Sequence[str] = (),
    accounts_required: bool = True,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from all sources. Raises `SettingsError` with all problems.

    `flags`: the result of a parser with `add_flags`, by path; other names are ignored.
    `unrecognized`: the rest that `parse_known_args` returned.
    `accounts_required=False`: credentials, `accounts` and the proxy to Twilio are ignored.
    `defaults`: values by path that replace the defaults of the model.
    """
    given_flags = vars(flags) if isinstance(flags, argparse.Namespace) else flags
    file = _file_source(given_flags, environ)
    sources = (
        FlagSource(given_flags, unrecognized),
        EnvironmentSource(environ),
        file,
        DefaultSource(defaults or {}),
    )
    problems = [problem for source in sources for problem in source.problems]
    accounts = WrittenAccounts(file.file, [], {})
    if accounts_required:
        accounts = read_accounts(file.file, file.document, environ, problems)
    try:
        settings = Settings.from_sources(sources, accounts=accounts.all)
    except ValidationError as error:
        problems += [_problem(detail, sources, accounts) for detail in error.errors(include_url=False)]
        raise SettingsError(problems) from None  # the text of the error quotes values
    if accounts_required and (problem := proxy_problem(settings.api.base_url, environ)):
        problems.append(problem)
    if problems:
        raise SettingsError(problems)
    return settings


def _file_source(flags: Mapping[str, object], environ: Mapping[str, str]) -> FileSource:
    named = written.config_file(flags, environ)
    if named is None:
        return FileSource(Path(), {})
    try:
        return FileSource(Path(named.value), read_file(named))
    except SettingsError as error:
        return FileSource(Path(named.value), {}, error.problems)


def _problem(detail: ErrorDetails, sources: Sequence[WrittenSource], accounts: WrittenAccounts) -> Problem:
    location = tuple(map(str, detail["loc"]))
    if location[0] == "accounts":
        return _account_problem(detail, int(location[1]), location[2:], accounts)
    path = ".".join(location[:2])
    if detail["type"] == "extra_forbidden":
        return Problem(shown(path), f"{accounts.file}:", _unknown_key(path, detail["input"]))
    return Problem(path, where(sources, location[:2]), error_message(detail, _ALLOWED[path], ""))


def _unknown_key(path: str, value: object) -> str:
    if path.startswith("alerts.") and isinstance(value, Mapping):
        return "unknown setting; write the thresholds of an account in its entry of accounts"
    return unknown(path, _ALLOWED)


def _account_problem(
    detail: ErrorDetails, index: int, keys: Sequence[str], accounts: WrittenAccounts
) -> Problem:
    key = ".".join(keys[: 2 if keys[:1] == ("alerts",) else 1])
    allowed = {"": "a mapping of name and credential", "alerts": "a mapping of settings"} | _THRESHOLDS
    known = _THRESHOLDS if "." in key else [*ACCOUNT_KEYS, *_THRESHOLDS]
    message = error_message(detail, allowed.get(key, "text"), unknown(key, known))
    # A value is shown only where it cannot be a credential.
    value = f"{quoted(detail['input'])} " if key in _THRESHOLDS and isinstance(detail["input"], str) else ""
    return accounts.problem(index, key, value + message)


def error_message(detail: ErrorDetails, allowed: str, otherwise: str) -> str:
    """Text of a pydantic error: `allowed` names the right values, `otherwise` is for an unknown key."""
    match detail["type"]:
        case "value_error":  # from parsers, with the remedy
            return str(detail["ctx"]["error"])
        case "extra_forbidden":
            return otherwise
        case "missing":
            return "is missing"
    return f"must be {allowed}"
