"""Runs the command that the command line names.

Exit codes: 0 success, 1 runtime failure, 2 invalid configuration.
"""

import argparse
import difflib
import re
from collections.abc import Sequence

from exporter import __version__
from exporter.cli.command import WrongUsage
from exporter.cli.commands import COMMANDS, run
from exporter.cli.parsing import PROGRAM, help_text, parser, read_flag
from exporter.config.problems import SettingsError
from exporter.exit_codes import FAILED, INVALID_CONFIGURATION, SUCCESS
from exporter.output import OUTPUT, OutputError, complain


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    flags, unrecognized = parser(COMMANDS).parse_known_args(argv)
    try:
        name = _command_name(flags.command, unrecognized)
        if flags.version:
            return _print(f"{PROGRAM} {__version__}\n")
        if flags.help and name != "healthcheck":
            return _print(help_text(COMMANDS, name))
        _read_own_flags(flags, name or "run")
        return run(name or "run", flags, unrecognized)
    except (SettingsError, WrongUsage) as error:
        complain(str(error))
        return INVALID_CONFIGURATION
    except OutputError as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def _print(text: str) -> int:
    OUTPUT.write(text)
    return SUCCESS


def _command_name(word: str | None, unrecognized: Sequence[str]) -> str | None:
    """The command that was written, `None` without one. Raises `WrongUsage`."""
    # A word after an unknown flag may be the value of the flag, and a secret.
    if word is None or word in COMMANDS or any(each.startswith("-") for each in unrecognized):
        return word if word in COMMANDS else None
    near = difflib.get_close_matches(word, [*COMMANDS, "--help", "--version"], n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
    shown = f' "{word}"' if re.fullmatch("[A-Za-z-]{1,20}", word) else ""
    raise WrongUsage(f"unknown command{shown}; {hint}")


def _read_own_flags(flags: argparse.Namespace, command: str) -> None:
    """Replace the texts of the command's flags by their values. Raises `WrongUsage`."""
    _check_flags_of_others(flags, command)
    for flag in COMMANDS[command].flags:
        if flag.name in flags:
            try:
                setattr(flags, flag.name, read_flag(flag, getattr(flags, flag.name)))
            except ValueError as error:
                raise WrongUsage(str(error)) from None


def _check_flags_of_others(flags: argparse.Namespace, command: str) -> None:
    """Raises `WrongUsage` for a flag of another command."""
    names = {name: {flag.name: flag for flag in each.flags} for name, each in COMMANDS.items()}
    own = names.pop(command)
    others = {flag.name: flag for each in names.values() for flag in each.values()}
    for name in sorted(others.keys() & vars(flags).keys() - own.keys()):
        commands = " and ".join(each for each, theirs in names.items() if name in theirs)
        hint = "; did you mean --web.listen_address?" if name == "listen_address" else ""
        raise WrongUsage(f"{others[name].spelling} is not a flag of {command}, only of {commands}{hint}")
