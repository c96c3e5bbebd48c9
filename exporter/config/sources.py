"""Reads settings from flags and environment variables: text in, text with its source out.

Must not know what a setting means (that is `settings`), nor read the process environment. Imports the
standard library only: the health check uses it, and must stay small.

Rule: a value stays text until `settings` gives it a type, whatever its source.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from exporter.config.problems import Problem, quoted, shown, unknown

PREFIX: Final = "EXPORTER_"
CONFIG_FILE_FLAG: Final = "--config-file"
CONFIG_FILE_VARIABLE: Final = "EXPORTER_CONFIG_FILE"
ACCOUNT_VARIABLES: Final = {
    "name": "TWILIO_ACCOUNT_NAME",
    "account_sid": "TWILIO_ACCOUNT_SID",
    "auth_token": "TWILIO_AUTH_TOKEN",
    "auth_token_file": "TWILIO_AUTH_TOKEN_FILE",
    "api_key": "TWILIO_API_KEY",
    "api_key_secret": "TWILIO_API_KEY_SECRET",
    "api_key_secret_file": "TWILIO_API_KEY_SECRET_FILE",
}
"""The keys of an account in the file, and the variables with the same meaning."""
ACCOUNT_KEYS: Final = (*ACCOUNT_VARIABLES, "alerts")
"""All keys of an account in the file."""

Location: TypeAlias = tuple[str, ...]
"""`("poll", "interval")`, or `("shard",)` for a setting without a section."""

# Kubernetes sets variables for each Service in every pod; those of a Service whose name starts with
# "exporter" have our prefix. https://kubernetes.io/docs/concepts/services-networking/service/
_SERVICE_LINK: Final = re.compile(
    r"EXPORTER_(?:[A-Z0-9]+_)*"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


class Setting(NamedTuple):
    """A setting as the sources, `--help` and the docs need it; all fields are text."""

    path: str
    default: str
    description: str
    metavar: str
    allowed: str
    repeatable: bool

    @property
    def location(self) -> Location:
        return tuple(self.path.split("."))

    @property
    def flag(self) -> str:
        return f"--{self.path}"

    @property
    def spellings(self) -> tuple[str, ...]:
        """The flag, the flag with hyphens for underscores, and the spelling of exporter-toolkit."""
        ours = dict.fromkeys((self.flag, self.flag.replace("_", "-")))
        return (*ours, "--web.config.file") if self.path == "web.config_file" else tuple(ours)

    @property
    def variable(self) -> str:
        return PREFIX + self.path.upper().replace(".", "__")


class Given(NamedTuple):
    """A value as written (text, or another YAML value from a file), and its source for problems."""

    value: Any
    source: str


class OneLineParser(argparse.ArgumentParser):
    """Takes no abbreviations, and reports an error on one line instead of with the usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        with suppress(OSError):  # the exit code does not depend on standard error
            sys.stderr.write(f"{message.removeprefix('argument ')}; see --help\n")
        sys.exit(2)


def add_flags(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """Adds a flag for each setting. The result has text by path, only for flags that were given."""
    _add_flag(
        parser,
        (CONFIG_FILE_FLAG, "--config.file"),
        "config_file",
        metavar="FILE",
        help=f"YAML file with settings and accounts (variable {CONFIG_FILE_VARIABLE})",
    )
    groups: dict[str, Any] = {}  # argparse does not export the type of a group
    for setting in settings:
        title = setting.location[0]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        notes = [f"default: {setting.default}"] if setting.default else []
        notes += ["repeatable"] if setting.repeatable else []
        _add_flag(
            groups[title],
            setting.spellings,
            setting.path,
            metavar=setting.metavar,
            action="append" if setting.repeatable else "store",
            help=(setting.description + (f" ({'; '.join(notes)})" if notes else "")).replace("%", "%%"),
        )


def _add_flag(parser: Any, spellings: Sequence[str], path: str, **options: str) -> None:
    """`--help` shows the first spelling only."""
    parser.add_argument(spellings[0], dest=path, default=argparse.SUPPRESS, **options)
    for spelling in spellings[1:]:
        hidden = options | {"help": argparse.SUPPRESS}
        parser.add_argument(spelling, dest=path, default=argparse.SUPPRESS, **hidden)


def config_file(flags: Mapping[str, object], environ: Mapping[str, str]) -> Given | None:
    """The path of the settings file and where it was written; `None` when there is none."""
    flag = flags.get("config_file")
    text = str(flag or environ.get(CONFIG_FILE_VARIABLE, ""))
    name = CONFIG_FILE_FLAG if flag else CONFIG_FILE_VARIABLE
    return Given(text, f"{name}={quoted(text)}") if text else None


def given_by_flags(settings: Sequence[Setting], flags: Mapping[str, object]) -> dict[Location, Given]:
    given = {}
    for setting in settings:
        if setting.path in flags:
            value = flags[setting.path]
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            given[setting.location] = Given(text, f"{setting.flag}={quoted(text)}")
    return given


def unknown_flags(settings: Sequence[Setting], arguments: Sequence[str]) -> Iterator[Problem]:
    """Problems of unrecognised arguments; a word after an unknown flag counts as its value."""
    known = [CONFIG_FILE_FLAG, *(setting.flag for setting in settings)]
    names = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    for name in names:
        yield Problem(shown(name.lstrip("-")), f"{shown(name)}:", unknown(name, known))
    if arguments and not names:
        yield Problem(
            "arguments", "command line:", "more than one command; settings are written --name=value"
        )


def given_by_environment(settings: Sequence[Setting], environ: Mapping[str, str]) -> dict[Location, Given]:
    # An empty variable counts as not set: Compose files and charts pass unset values on as "".
    return {
        setting.location: Given(text, f"{setting.variable}={quoted(text)}")
        for setting in settings
        if (text := environ.get(setting.variable, ""))
    }


def unknown_variables(settings: Sequence[Setting], environ: Iterable[str]) -> Iterator[Problem]:
    known = [CONFIG_FILE_VARIABLE, *(setting.variable for setting in settings)]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.fullmatch(name):
            path = name.removeprefix(PREFIX).lower().replace("__", ".")
            yield Problem(shown(path), f"{shown(name)}:", unknown(name, known))


def account_by_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The keys of the account; empty when no variable has a part of a credential."""
    values = {key: environ.get(variable, "").strip() for key, variable in ACCOUNT_VARIABLES.items()}
    account = {key: value for key, value in values.items() if value}
    return {"name": "default", **account} if account.keys() - {"name"} else {}
