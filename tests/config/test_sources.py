"""Flags and variables: help, unknown names, and names that are not ours."""

# A table of wrong settings is easier to read with whole lines.
# ruff: noqa: E501

import argparse

import pytest

from exporter.config.problems import Problem
from exporter.config.settings import SETTINGS
from exporter.config.sources import add_flags, unknown_flags, unknown_variables


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(made, SETTINGS)
    return made


def test_help_shows_every_flag_with_its_default() -> None:
    """`--help` shows the name, description and default of every setting."""
    text = " ".join(parser().format_help().split())
    assert "--config-file FILE" in text
    for setting in SETTINGS:
        assert f"{setting.flag} {setting.metavar} {setting.description}" in text
        assert f"default: {setting.default}" in text or not setting.default


def test_what_is_not_given_is_not_there() -> None:
    """A flag that was not given does not override another source."""
    assert vars(parser().parse_args([])) == {}


def test_flags_stay_text_and_addresses_add_up() -> None:
    """Of a plain flag the last value is used, of a repeatable flag all values."""
    arguments = [
        "--poll.interval=1",
        "--poll.interval=2s",
        "--web.listen_address=:1",
        "--web.listen_address=:2",
    ]
    assert vars(parser().parse_args(arguments)) == {
        "poll.interval": "2s",
        "web.listen_address": [":1", ":2"],
    }


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ([], []),
        (["--poll.intervall=5s"], ["poll.intervall: --poll.intervall: unknown setting; did you mean --poll.interval?"]),
        (["--poll.intervall", "5s"], ["poll.intervall: --poll.intervall: unknown setting; did you mean --poll.interval?"]),
        (["--config_file=x"], ["config_file: --config_file: unknown setting; did you mean --config-file?"]),
        (["--interval=5s"], ["interval: --interval: unknown setting; did you mean --poll.interval?"]),
        (["--sweep-interval=5s"], ["sweep-interval: --sweep-interval: unknown setting; did you mean --poll.sweep_interval?"]),
        (["-x", "--wholly-other"], ["x: -x: unknown setting", "wholly-other: --wholly-other: unknown setting"]),
        (["word"], ["arguments: command line: more than one command; settings are written --name=value"]),
    ],
)  # fmt: skip
def test_unknown_flags(arguments: list[str], lines: list[str]) -> None:
    """A flag that does not exist is reported with the nearest one, and without its value."""
    assert [str(problem) for problem in unknown_flags(SETTINGS, arguments)] == lines


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ("EXPORTER_POLL__INTERVALL", "poll.intervall: EXPORTER_POLL__INTERVALL: unknown setting; did you mean EXPORTER_POLL__INTERVAL?"),
        ("EXPORTER_POLL_INTERVAL", "poll_interval: EXPORTER_POLL_INTERVAL: unknown setting; did you mean EXPORTER_POLL__INTERVAL?"),
        ("EXPORTER_CONFIGFILE", "configfile: EXPORTER_CONFIGFILE: unknown setting; did you mean EXPORTER_CONFIG_FILE?"),
        ("EXPORTER_SHARDS", "shards: EXPORTER_SHARDS: unknown setting; did you mean EXPORTER_SHARD?"),
        ("EXPORTER_ACCOUNTS", "accounts: EXPORTER_ACCOUNTS: unknown setting"),
        ("EXPORTER_WEB__PORT", "web.port: EXPORTER_WEB__PORT: unknown setting"),
    ],
)  # fmt: skip
def test_unknown_variables(variable: str, line: str) -> None:
    """A variable with our prefix that does not exist is reported with the nearest one."""
    assert [str(problem) for problem in unknown_variables(SETTINGS, [variable])] == [line]


@pytest.mark.parametrize(
    "variable",
    [
        "EXPORTER_SERVICE_HOST",
        "EXPORTER_SERVICE_PORT",
        "EXPORTER_SERVICE_PORT_HTTP_METRICS",
        "EXPORTER_PORT",
        "EXPORTER_PORT_10587_TCP",
        "EXPORTER_PORT_10587_TCP_PROTO",
        "EXPORTER_PORT_10587_TCP_PORT",
        "EXPORTER_PORT_10587_TCP_ADDR",
        "EXPORTER_OF_MAIL_SERVICE_HOST",
        "EXPORTER_OF_MAIL_PORT_53_UDP",
        "EXPORTER_CONFIG_FILE",
        "EXPORTER_POLL__INTERVAL",
        "MY_EXPORTER_X",
        "EXPORTERX",
    ],
)
def test_variables_that_are_no_mistake(variable: str) -> None:
    """Our variables, those that Kubernetes sets for a Service named exporter, and others are accepted."""
    assert list(unknown_variables(SETTINGS, [variable])) == []


def test_a_problem_is_one_line() -> None:
    """Control characters and line breaks cannot forge a second line."""
    assert str(Problem("a\nb", "\x1b[31m", "c\u2028d")) == r"a\nb: \x1b[31m c\u2028d"
