"""The command `demo`: `run` against a simulated Twilio in the same process."""

import argparse
from collections.abc import Sequence
from typing import Final

from exporter import app
from exporter.cli.command import Command, load_settings, serve
from exporter.cli.simulator import SCENARIO
from exporter.clock import SystemClock
from exporter.config.accounts import Account
from exporter.config.parsers import ListenAddress
from exporter.config.settings import Settings
from exporter.output import OUTPUT
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World

DEFAULTS: Final = {
    "poll.interval": "5s",
    "api.requests_per_second": "50",
    "breakdown.by": "recipient_domain,sender_domain,tag:campaign",
    "breakdown.interval": "60s",
    "breakdown.lookback": "1h",
    "breakdown.errors": "true",
    "breakdown.max_requests": "60",
    "web.listen_address": "127.0.0.1:10587",
}
"""Fast enough to show changes at once: the simulated Twilio has no rate limit. For this machine only."""


def _demo(flags: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    settings = load_settings(flags, unrecognized, accounts_required=False, defaults=DEFAULTS)
    return serve(_run_demo(settings, getattr(flags, "scenario", "steady")))


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


COMMAND: Final = Command(
    _demo,
    "run against a simulated Twilio; needs no account",
    "Prints the URLs to open.",
    flags=(SCENARIO,),
    settings=r"(poll|state|breakdown|alerts|metrics|web|log)\..*|api\.(timeout|requests_per_second|concurrency)",
    defaults=DEFAULTS,
    needs_account=False,
)
