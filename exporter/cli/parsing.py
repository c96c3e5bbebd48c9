"""The parser of every command line, and the help. Must not know single commands."""

import argparse
import re
from collections.abc import Mapping
from typing import Final

from exporter.cli.command import Command, Flag
from exporter.config.loading import add_flags
from exporter.config.sources import OneLineParser

PROGRAM: Final = "twilio-email-exporter"

_CREDENTIALS: Final = """\
Credentials: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and
TWILIO_API_KEY_SECRET; or list several accounts in the settings file.
"""
_EPILOG: Final = """\
Each setting is a flag, an environment variable and a key of the settings file:
--poll.interval=30s is EXPORTER_POLL__INTERVAL=30s and poll: {interval: 30s}.
Hyphens are accepted in place of underscores.
Exit codes: 0 success, 1 runtime failure, 2 invalid configuration.
"""


def parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Takes the flags of all commands, before and after the command. Flags of commands stay text."""
    result = OneLineParser(prog=PROGRAM, add_help=False)
    result.add_argument("command", nargs="?")
    _add_common_flags(result)
    for flag in {flag.name: flag for command in commands.values() for flag in command.flags}.values():
        result.add_argument(flag.spelling, dest=flag.name, default=argparse.SUPPRESS)
    add_flags(result)
    return result


def read_flag(flag: Flag, text: str) -> object:
    """The value of a command's flag. Raises `ValueError` with one line."""
    if flag.choices and text not in flag.choices:
        raise ValueError(f'{flag.spelling}: "{text}" is not one of {", ".join(flag.choices)}; see --help')
    try:
        return flag.read(text)
    except ValueError as error:
        raise ValueError(f"{flag.spelling}: {error}; see --help") from None


def help_text(commands: Mapping[str, Command], name: str | None) -> str:
    """The flags of one command, or without one the commands and what they have in common."""
    command = commands[name or "run"]
    result = argparse.ArgumentParser(
        prog=PROGRAM if name is None else f"{PROGRAM} {name}",
        usage=f"%(prog)s {'[COMMAND]' if name is None else command.operand} [flags]".replace("  ", " "),
        description=_commands_text(commands) if name is None else _command_text(command),
        epilog=_CREDENTIALS + _EPILOG if command.needs_account else _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    _add_common_flags(result)
    for flag in command.flags if name else ():
        result.add_argument(flag.spelling, choices=flag.choices or None, metavar=flag.metavar, help=flag.help)
    add_flags(result, lambda path: bool(re.fullmatch(command.settings, path)), command.defaults)
    return result.format_help()


def _commands_text(commands: Mapping[str, Command]) -> str:
    lines = "\n".join(f"  {name:<12} {each.summary}" for name, each in commands.items())
    return (
        "Prometheus exporter for Twilio Email Operations.\n\n"
        f"commands:\n{lines}\n\nCOMMAND --help shows the flags of one command."
    )


def _command_text(command: Command) -> str:
    return f"{command.summary[0].upper()}{command.summary[1:]}.\n{command.details}"


def _add_common_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
