"""The command `simulator`: the simulated Twilio alone."""

import argparse
from collections.abc import Sequence

from exporter.cli.flags import DEFAULT_ADDRESS, DEFAULT_SCENARIO
from exporter.cli.starting import load_settings, serve
from exporter.clock import SystemClock
from exporter.config.parsers import ListenAddress
from exporter.exit_codes import FAILED, SUCCESS
from exporter.output import OUTPUT, complain
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from exporter.supervisor import stop_on_signals


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    load_settings(flags, unrecognized, accounts_required=False)
    address = getattr(flags, "listen_address", DEFAULT_ADDRESS)
    return serve(_serve_simulator(address, getattr(flags, "scenario", DEFAULT_SCENARIO)))


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
        return FAILED
    return SUCCESS
