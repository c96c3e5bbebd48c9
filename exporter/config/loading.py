"""Settings from all sources: flags, variables, a file, defaults; right ones, or all that is wrong with them.

Must not know single settings, but for the accounts.

Rule 1: flag > environment > file > default, setting by setting.
Rule 2: all problems are reported at once, and none shows a credential.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError  # noqa: TID251 - home of pydantic
from pydantic_core import ErrorDetails  # noqa: TID251 - home of pydantic_core

from exporter.config import sources as written
from exporter.config.accounts import WrittenAccounts, read_accounts
from exporter.config.problems import Problem, SettingsError, quoted, shown, unknown, why
from exporter.config.settings import SETTINGS, Settings
from exporter.config.sources import ACCOUNT_VARIABLES, Given, Location
from exporter.config.yaml_file import given_by_file, read_document, unknown_sections


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each setting, and `--config-file`. Use a parser with `allow_abbrev=False`."""
    written.add_flags(parser, SETTINGS)


def load(
    flags: argparse.Namespace | Mapping[str, object],
    environ: Mapping[str, str],
    *,
    unrecognized: Sequence[str] = (),
    accounts_required: bool = True,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from all sources. Raises `SettingsError` with everything that is wrong.

    `flags`: what a parser with `add_flags` found, by path; other names in it are left alone.
    `unrecognized`: what `parse_known_args` left over.
    `accounts_required=False`: credentials and `accounts` are not looked at.
    `defaults`: values by path in place of the model's own.
    """
    given_flags = vars(flags) if isinstance(flags, argparse.Namespace) else flags
    problems = [*written.unknown_flags(SETTINGS, unrecognized), *written.unknown_variables(SETTINGS, environ)]
    file, document = _document(given_flags, environ, problems)
    problems += unknown_sections(SETTINGS, file, document)
    given = {
        **{tuple(path.split(".")): Given(str(value), "default:") for path, value in (defaults or {}).items()},
        **given_by_file(SETTINGS, file, document),
        **written.given_by_environment(SETTINGS, environ),
        **written.given_by_flags(SETTINGS, given_flags),
    }
    accounts = WrittenAccounts(file, [], {})
    if accounts_required:
        accounts = read_accounts(file, document, environ, problems)
    try:
        settings = Settings(**_nested(given), accounts=accounts.all)
    except ValidationError as error:
        problems += [_problem(detail, given, accounts) for detail in error.errors(include_url=False)]
        raise SettingsError(problems) from None  # the error's own text quotes what was given
    if problems:
        raise SettingsError(problems)
    return settings


def _document(
    flags: Mapping[str, object], environ: Mapping[str, str], problems: list[Problem]
) -> tuple[Path, dict[str, Any]]:
    """The settings file and what it holds: nothing when there is none, or when it cannot be used."""
    flag = flags.get("config_file")
    text = str(flag or environ.get(written.CONFIG_FILE_VARIABLE, ""))
    file = Path(text)
    if text:
        try:
            return file, read_document(file.read_bytes())
        except OSError as error:
            name = written.CONFIG_FILE_FLAG if flag else written.CONFIG_FILE_VARIABLE
            problems.append(Problem("config_file", f"{name}={quoted(text)}", why(error)))
        except ValueError as error:
            problems.append(Problem("config_file", f"{file}:", str(error)))
    return file, {}


def _nested(given: Mapping[Location, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for (section, *names), (value, _) in given.items():
        if not names:
            tree[section] = value
        elif isinstance(content := tree.setdefault(section, {}), dict):
            content[names[0]] = value
    return tree


def _problem(detail: ErrorDetails, given: Mapping[Location, Given], accounts: WrittenAccounts) -> Problem:
    location = tuple(map(str, detail["loc"]))
    if location[0] == "accounts":
        index, key = int(location[1]), "".join(location[2:3])
        allowed = "text" if key else "a mapping of name and credential"
        return accounts.problem(index, key, _message(detail, allowed, unknown(key, ACCOUNT_VARIABLES)))
    path = ".".join(location[:2])
    settings = {setting.path: setting.allowed for setting in SETTINGS}
    if detail["type"] == "extra_forbidden":
        return Problem(shown(path), f"{accounts.file}:", unknown(path, settings))
    allowed = settings.get(path, "a mapping of settings")
    return Problem(path, given[location[:2]].source, _message(detail, allowed, ""))


def _message(detail: ErrorDetails, allowed: str, otherwise: str) -> str:
    match detail["type"]:
        case "value_error":  # one of ours, with what would be right
            return str(detail["ctx"]["error"])
        case "extra_forbidden":
            return otherwise
        case "missing":
            return "is missing"
    return f"must be {allowed}"
