"""The command `demo`: `run` against a simulated Twilio in the same process."""

import argparse
from collections.abc import Sequence

from exporter import app
from exporter.cli.commands import COMMANDS
from exporter.cli.flags import DEFAULT_SCENARIO
from exporter.cli.starting import load_settings, serve
from exporter.clock import SystemClock
from exporter.config.accounts import Account
from exporter.config.parsers import ListenAddress
from exporter.config.settings import Settings
from exporter.output import OUTPUT
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World


def run(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized, accounts_required=False, defaults=COMMANDS["demo"].defaults)
    return serve(_run_demo(settings, getattr(flags, "scenario", DEFAULT_SCENARIO)))


async def _run_demo(settings: Settings, scenario: str) -> int:
    clock = SystemClock()
    sid, token = CREDENTIAL
    account = Account.model_validate({"name": "demo", "account_sid": sid, "auth_token": token})
    async with Simulator(World(SCENARIOS[scenario], started=clock.now()), clock) as simulator:
        api = settings.api.model_copy(update={"base_url": simulator.base_url})
        settings = settings.model_copy(update={"api": api, "accounts": (account,), "shard": None})

        def print_urls(bound: Sequence[tuple[str, int]]) -> None:
            url = _url(*bound[0])
            OUTPUT.write(
                f"Simulated Twilio, scenario {scenario}: {simulator.base_url}\n"
                f"Status page: {url}/\nMetrics:     {url}{settings.web.telemetry_path}\n"
                "Press Ctrl-C to stop.\n"
            )

        return await app.run(settings, on_listening=print_urls)


def _url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - the wildcard address
        host = "localhost"
    return f"http://{ListenAddress(host, port)}"
