"""The command line: commands, their flags, help and exit codes. The only module that knows the simulator.

Exit codes: 0 success, 1 runtime failure, 2 invalid configuration.
"""

import argparse
import asyncio
import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple

from exporter import __version__, app, logs
from exporter.clock import SystemClock
from exporter.config.accounts import Account
from exporter.config.loading import add_flags, load
from exporter.config.parsers import ListenAddress, parse_listen_address
from exporter.config.problems import SettingsError
from exporter.config.settings import Settings
from exporter.config.sources import OneLineParser
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from exporter.supervisor import ignore_signals, stop_on_signals

INVALID_CONFIGURATION: Final = 2

PROGRAM: Final = "twilio-email-exporter"

DEMO_DEFAULTS: Final = {"poll.interval": "5s", "api.requests_per_second": "50"}
"""Fast enough to show changes at once. The simulated Twilio has no rate limit of its own."""

SIMULATOR_ADDRESS: Final = ListenAddress("127.0.0.1", 10588)


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    flags, unrecognized = _parser().parse_known_args(argv)
    try:
        name = _command_name(flags.command, unrecognized)
        if flags.version:
            return _print(f"{PROGRAM} {__version__}\n")
        if flags.help and name != "healthcheck":
            return _print(_help_parser(name).format_help())
        _check_own_flags(flags, name or "run")
        return _COMMANDS[name or "run"].run(flags, unrecognized)
    except (SettingsError, _WrongUsage) as error:
        _complain(str(error))
        return INVALID_CONFIGURATION
    except _OutputError as error:
        _complain(str(error))
        return app.FAILED
    except KeyboardInterrupt:
        return app.FAILED


class _WrongUsage(Exception):
    """A wrong command line; the message is one line."""


class _OutputError(Exception):
    """Standard output cannot be written; the message is one line, empty when the reader has left."""


class _Output:
    """Standard output, written at once. Raises `_OutputError`."""

    def write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise _OutputError from None
        except OSError as error:
            reason = error.strerror or "it is closed"
            raise _OutputError(f"cannot write to standard output: {reason}") from None


_OUTPUT: Final = _Output()


def _print(text: str) -> int:
    _OUTPUT.write(text)
    return app.SUCCESS


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):  # the exit code still reports it
        sys.stderr.write(f"{text}\n" if text else "")


def _command_name(word: str | None, unrecognized: Sequence[str]) -> str | None:
    """The command that was written, `None` without one. Raises `_WrongUsage`."""
    # A word after an unknown flag may be the value of the flag, and a secret.
    if word is None or word in _COMMANDS or any(each.startswith("-") for each in unrecognized):
        return word if word in _COMMANDS else None
    near = difflib.get_close_matches(word, [*_COMMANDS, "--help", "--version"], n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(_COMMANDS)}"
    shown = f' "{word}"' if re.fullmatch("[A-Za-z-]{1,20}", word) else ""
    raise _WrongUsage(f"unknown command{shown}; {hint}")


def _check_own_flags(flags: argparse.Namespace, command: str) -> None:
    """Raises `_WrongUsage` for a flag of another command."""
    for flag in sorted(_OWN_FLAGS.keys() & vars(flags).keys() - _COMMANDS[command].own_flags):
        commands = " and ".join(name for name, each in _COMMANDS.items() if flag in each.own_flags)
        hint = "; did you mean --web.listen_address?" if flag == "listen_address" else ""
        raise _WrongUsage(f"--{flag.replace('_', '-')} is not a flag of {command}, only of {commands}{hint}")


def _load(flags: argparse.Namespace, unrecognized: Sequence[str], **options: Any) -> Settings:
    """The settings; the log is set up with them. Raises `SettingsError`."""
    settings = load(flags, os.environ, unrecognized=unrecognized, **options)
    logs.configure(settings.log.level, settings.log.format)
    return settings


def _serve(command: Coroutine[None, None, int]) -> int:
    """Run until a signal; further signals do not change the exit code."""
    try:
        return asyncio.run(command)
    finally:
        ignore_signals()


def _run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    return _serve(app.run(_load(flags, unrecognized)))


def _once(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = _load(flags, unrecognized)
    as_table = getattr(flags, "format", "text") == "table"
    return asyncio.run(app.once(settings, as_table=as_table, out=_OUTPUT, err=sys.stderr))


def _check(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    return asyncio.run(app.check(_load(flags, unrecognized), out=_OUTPUT))


def _demo(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = _load(flags, unrecognized, accounts_required=False, defaults=DEMO_DEFAULTS)
    return _serve(_run_demo(settings, getattr(flags, "scenario", "steady")))


async def _run_demo(settings: Settings, scenario: str) -> int:
    clock = SystemClock()
    sid, token = CREDENTIAL
    account = Account.model_validate({"name": "demo", "account_sid": sid, "auth_token": token})
    async with Simulator(World(SCENARIOS[scenario], started=clock.now()), clock) as simulator:
        api = settings.api.model_copy(update={"base_url": simulator.base_url})
        settings = settings.model_copy(update={"api": api, "accounts": (account,), "shard": None})

        def print_urls(bound: Sequence[tuple[str, int]]) -> None:
            url = _url(*bound[0])
            _print(
                f"Simulated Twilio, scenario {scenario}: {simulator.base_url}\n"
                f"Status page: {url}/\nMetrics:     {url}{settings.web.telemetry_path}\n"
                "Press Ctrl-C to stop.\n"
            )

        return await app.run(settings, on_listening=print_urls)


def _simulator(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    _load(flags, unrecognized, accounts_required=False)
    address = getattr(flags, "listen_address", SIMULATOR_ADDRESS)
    return _serve(_serve_simulator(address, getattr(flags, "scenario", "steady")))


def _healthcheck(*_: object) -> int:
    # `__main__` runs it without loading this module, but only when it is the first word.
    _complain("write healthcheck first, before its flags")
    return INVALID_CONFIGURATION


async def _serve_simulator(address: ListenAddress, scenario: str) -> int:
    clock = SystemClock()
    world = World(SCENARIOS[scenario], started=clock.now())
    stop = stop_on_signals()
    try:
        async with Simulator(world, clock, host=address.host or "127.0.0.1", port=address.port) as simulator:
            sid, token = CREDENTIAL
            _print(
                f"Simulated Twilio, scenario {scenario}. To poll it:\n"
                f"  export TWILIO_ACCOUNT_SID={sid} TWILIO_AUTH_TOKEN={token}\n"
                f"  export EXPORTER_API__BASE_URL={simulator.base_url}\n"
            )
            await stop.wait()
    except OSError as error:
        _complain(f"cannot listen on {address}: {error.strerror}")
        return app.FAILED
    return app.SUCCESS


def _url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - the wildcard address
        host = "localhost"
    return f"http://{ListenAddress(host, port)}"


class _Command(NamedTuple):
    run: Callable[[argparse.Namespace, Sequence[str]], int]
    summary: str
    """One line of at most 62 characters."""
    details: str = ""
    own_flags: frozenset[str] = frozenset()
    settings: str = ".*"
    """Those that have an effect, as a pattern of their paths; `--help` shows no others."""


_COMMANDS: Final = {
    "run": _Command(
        _run,
        "poll and serve metrics until SIGTERM or SIGINT (default)",
        "SIGHUP reloads the secret files and the file of web.config_file.",
    ),
    "once": _Command(
        _once,
        "poll once and print the metrics; starts no server",
        "The state file is neither read nor written. Exit code 1: the poll failed.",
        frozenset({"format"}),
        r"(api|poll|log)\..*|metrics\.top_operations|shard",
    ),
    "check": _Command(
        _check,
        "test each credential and estimate the requests of polling",
        "Exit code 1: a credential fails, or polling does not fit its interval.",
        settings=r"(api|poll|log)\..*|shard",
    ),
    "demo": _Command(
        _demo,
        "run against a simulated Twilio; needs no account",
        "Prints the URLs to open.",
        frozenset({"scenario"}),
        r"(poll|state|metrics|web|log)\..*|api\.(timeout|requests_per_second|concurrency)",
    ),
    "simulator": _Command(
        _simulator,
        "serve the simulated Twilio alone",
        "Prints the variables that make another exporter poll it.",
        frozenset({"scenario", "listen_address"}),
        r"log\..*",
    ),
    "healthcheck": _Command(_healthcheck, "check whether the exporter on this machine is healthy"),
}


def _address(text: str) -> ListenAddress:
    try:
        return parse_listen_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not an address; write host:port') from None


_OWN_FLAGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "format": {
        "choices": ("text", "table"),
        "help": "Prometheus text, or a table to read (default: text)",
    },
    "scenario": {
        "choices": tuple(SCENARIOS),
        "help": "what happens to the simulated account (default: steady)",
    },
    "listen_address": {
        "type": _address,
        "metavar": "HOST:PORT",
        "help": f"address to listen on (default: {SIMULATOR_ADDRESS})",
    },
}

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


def _parser() -> argparse.ArgumentParser:
    """Takes the flags of all commands, before and after the command."""
    parser = OneLineParser(prog=PROGRAM, add_help=False)
    parser.add_argument("command", nargs="?")
    _add_common_flags(parser)
    for name in _OWN_FLAGS:
        _add_own_flag(parser, name)
    add_flags(parser)
    return parser


def _help_parser(command: str | None) -> argparse.ArgumentParser:
    """Shows the flags of one command, or without one the commands and what they have in common."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM if command is None else f"{PROGRAM} {command}",
        usage="%(prog)s [COMMAND] [flags]" if command is None else "%(prog)s [flags]",
        description=_commands_text() if command is None else _command_text(_COMMANDS[command]),
        epilog=_EPILOG if command in {"demo", "simulator"} else _CREDENTIALS + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    _add_common_flags(parser)
    for name in sorted(_COMMANDS[command].own_flags) if command else ():
        _add_own_flag(parser, name)
    pattern = _COMMANDS[command or "run"].settings
    defaults = DEMO_DEFAULTS if command == "demo" else {}
    add_flags(parser, lambda path: bool(re.fullmatch(pattern, path)), defaults)
    return parser


def _commands_text() -> str:
    commands = "\n".join(f"  {name:<12} {each.summary}" for name, each in _COMMANDS.items())
    return (
        "Prometheus exporter for Twilio Email Operations.\n\n"
        f"commands:\n{commands}\n\nCOMMAND --help shows the flags of one command."
    )


def _command_text(command: _Command) -> str:
    return f"{command.summary[0].upper()}{command.summary[1:]}.\n{command.details}"


def _add_common_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    parser.add_argument("--version", action="store_true", help="show the version and exit")


def _add_own_flag(parser: argparse.ArgumentParser, name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, **_OWN_FLAGS[name])
