"""The commands, their flags, exit codes. The only module that knows the simulator.

Exit codes: 0 fine, 1 failed at its work, 2 settings wrong.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from exporter import __version__, app, logs
from exporter.clock import SystemClock
from exporter.config.accounts import Account
from exporter.config.loading import add_flags, load
from exporter.config.parsers import ListenAddress, parse_listen_address
from exporter.config.problems import SettingsError
from exporter.config.settings import Settings
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from exporter.supervisor import stop_on_signals

INVALID_CONFIGURATION: Final = 2

DEMO_DEFAULTS: Final = {"poll.interval": "5s", "api.requests_per_second": "50"}
"""A person who watches wants to see things move, and there is no Twilio to be gentle with."""

SIMULATOR_ADDRESS: Final = ListenAddress("127.0.0.1", 10588)


def main(argv: Sequence[str]) -> int:
    """Run the command; gives the exit code."""
    parser = _parser()
    flags, unrecognized = parser.parse_known_args(argv)
    command = _COMMANDS[flags.command]
    for name in sorted(_OWN_FLAGS.keys() & vars(flags).keys() - command.own_flags):
        parser.error(f"--{name.replace('_', '-')} is not for the command {flags.command}")
    try:
        return command.run(flags, unrecognized)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return INVALID_CONFIGURATION
    except KeyboardInterrupt:
        return app.FAILED


def _run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load(flags, os.environ, unrecognized=unrecognized)
    logs.configure(settings.log.level, settings.log.format)
    return asyncio.run(app.run(settings))


def _once(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load(flags, os.environ, unrecognized=unrecognized)
    logs.configure(settings.log.level, settings.log.format)
    as_table = getattr(flags, "format", "text") == "table"
    return asyncio.run(app.once(settings, as_table=as_table, out=sys.stdout, err=sys.stderr))


def _check(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load(flags, os.environ, unrecognized=unrecognized)
    logs.configure(settings.log.level, settings.log.format)
    return asyncio.run(app.check(settings, out=sys.stdout))


def _demo(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load(
        flags, os.environ, unrecognized=unrecognized, accounts_required=False, defaults=DEMO_DEFAULTS
    )
    logs.configure(settings.log.level, settings.log.format)
    return asyncio.run(_run_demo(settings, getattr(flags, "scenario", "steady")))


async def _run_demo(settings: Settings, scenario: str) -> int:
    clock = SystemClock()
    sid, token = CREDENTIAL
    account = Account.model_validate({"name": "demo", "account_sid": sid, "auth_token": token})
    async with Simulator(World(SCENARIOS[scenario], started=clock.now()), clock) as simulator:
        api = settings.api.model_copy(update={"base_url": simulator.base_url})
        settings = settings.model_copy(update={"api": api, "accounts": (account,), "shard": None})

        def say_where(bound: Sequence[tuple[str, int]]) -> None:
            print(f"Simulated Twilio, scenario {scenario}: {simulator.base_url}")
            url = _url(*bound[0])
            print(f"Status page: {url}/\nMetrics:     {url}{settings.web.telemetry_path}")
            print("Ctrl-C stops it.", flush=True)

        return await app.run(settings, on_listening=say_where)


def _simulator(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load(flags, os.environ, unrecognized=unrecognized, accounts_required=False)
    logs.configure(settings.log.level, settings.log.format)
    address = getattr(flags, "listen_address", SIMULATOR_ADDRESS)
    return asyncio.run(_serve_simulator(address, getattr(flags, "scenario", "steady")))


def _healthcheck(*_: object) -> int:
    print("healthcheck comes before its flags", file=sys.stderr)  # `__main__` would have heard it
    return INVALID_CONFIGURATION


async def _serve_simulator(address: ListenAddress, scenario: str) -> int:
    clock = SystemClock()
    world = World(SCENARIOS[scenario], started=clock.now())
    stop = stop_on_signals()
    try:
        async with Simulator(world, clock, host=address.host or "127.0.0.1", port=address.port) as simulator:
            sid, token = CREDENTIAL
            print(f"Simulated Twilio, scenario {scenario}. To poll it:")
            print(f"  export TWILIO_ACCOUNT_SID={sid} TWILIO_AUTH_TOKEN={token}")
            print(f"  export EXPORTER_API__BASE_URL={simulator.base_url}", flush=True)
            await stop.wait()
    except OSError as error:
        print(f"cannot listen on {address}: {error.strerror}", file=sys.stderr)
        return app.FAILED
    return app.SUCCESS


def _url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - how the system says "every address"
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Command(NamedTuple):
    run: Callable[[argparse.Namespace, Sequence[str]], int]
    help: str
    own_flags: frozenset[str] = frozenset()


_COMMANDS: Final = {
    "run": _Command(_run, "poll and serve until SIGTERM or SIGINT (the default)"),
    "once": _Command(
        _once, "one poll, printed; exit code 1 when it failed; no server", frozenset({"format"})
    ),
    "check": _Command(
        _check,
        "try each credential, and say what polling will cost; exit code 1 if one fails or is too much",
    ),
    "demo": _Command(_demo, "run against a simulated Twilio; needs no account", frozenset({"scenario"})),
    "simulator": _Command(
        _simulator, "the simulated Twilio alone", frozenset({"scenario", "listen_address"})
    ),
    "healthcheck": _Command(
        _healthcheck, "ask the exporter on this machine whether it is well; has its own --help"
    ),
}

_OWN_FLAGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "format": {
        "choices": ("text", "table"),
        "help": "once: exposition text, or a table for people (default: text)",
    },
    "scenario": {
        "choices": tuple(SCENARIOS),
        "help": "demo, simulator: what happens to the simulated account (default: steady)",
    },
    "listen_address": {
        "type": parse_listen_address,
        "metavar": "HOST:PORT",
        "help": f"simulator: where it listens (default: {SIMULATOR_ADDRESS})",
    },
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="twilio-email-exporter",
        description="Prometheus exporter for Twilio Email Operations.",
        epilog="Credentials come from TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and "
        "TWILIO_API_KEY_SECRET, or the file. Every setting is also a variable: --poll.interval is "
        "EXPORTER_POLL__INTERVAL. Exit codes: 0 fine, 1 failed at its work, 2 settings wrong.",
        allow_abbrev=False,
    )
    commands = "; ".join(f"{name}: {command.help}" for name, command in _COMMANDS.items())
    parser.add_argument("command", nargs="?", choices=tuple(_COMMANDS), default="run", help=commands)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    for name, options in _OWN_FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, **options)
    add_flags(parser)
    return parser
