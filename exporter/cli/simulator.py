"""The command `simulator`: the simulated Twilio alone."""

import argparse
from collections.abc import Sequence
from typing import Final

from exporter import app
from exporter.cli.command import Command, Flag, load_settings, serve
from exporter.clock import SystemClock
from exporter.config.parsers import ListenAddress, parse_listen_address
from exporter.output import OUTPUT, complain
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from exporter.supervisor import stop_on_signals

DEFAULT_ADDRESS: Final = ListenAddress("127.0.0.1", 10588)

SCENARIO: Final = Flag(
    "scenario",
    f"what happens to the simulated account: {', '.join(SCENARIOS)} (default: steady)",
    tuple(SCENARIOS),
    "NAME",
)


def _simulator(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    load_settings(flags, unrecognized, accounts_required=False)
    address = getattr(flags, "listen_address", DEFAULT_ADDRESS)
    return serve(_serve_simulator(address, getattr(flags, "scenario", "steady")))


async def _serve_simulator(address: ListenAddress, scenario: str) -> int:
    clock = SystemClock()
    world = World(SCENARIOS[scenario], started=clock.now())
    stop = stop_on_signals()
    try:
        async with Simulator(world, clock, host=address.host or "127.0.0.1", port=address.port) as simulator:
            sid, token = CREDENTIAL
            OUTPUT.write(
                f"Simulated Twilio, scenario {scenario}. To poll it:\n"
                f"  export TWILIO_ACCOUNT_SID={sid} TWILIO_AUTH_TOKEN={token}\n"
                f"  export EXPORTER_API__BASE_URL={simulator.base_url}\n"
            )
            await stop.wait()
    except OSError as error:
        complain(f"cannot listen on {address}: {error.strerror}")
        return app.FAILED
    return app.SUCCESS


def _address(text: str) -> ListenAddress:
    try:
        return parse_listen_address(text)
    except ValueError:
        raise ValueError(f'"{text}" is not an address; write host:port') from None


COMMAND: Final = Command(
    _simulator,
    "serve the simulated Twilio alone",
    "Prints the variables that make another exporter poll it.",
    flags=(
        SCENARIO,
        Flag(
            "listen_address",
            f"address to listen on (default: {DEFAULT_ADDRESS})",
            metavar="HOST:PORT",
            read=_address,
        ),
    ),
    settings=r"log\..*",
    needs_account=False,
)
