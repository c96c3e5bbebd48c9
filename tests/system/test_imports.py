"""What a command loads: start and memory of each process depend on it."""

import re
import subprocess
import sys
from importlib import import_module

import pytest

from exporter.cli.commands import COMMANDS
from tests.support.program import environment

CALLS_TWILIO = {"aiohttp", "msgspec", "tenacity", "exporter.polling"}
SERVES = {"prometheus_client", "bcrypt", "exporter.web"}
SETTINGS = {"pydantic", "pydantic_settings"}
ON_DEMAND = {"jinja2", "exporter.web.status_page"}
OTHERS = {"exporter.observation", "exporter.simulator.server"}


def loaded(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "exporter", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    ("arguments", "needed", "unneeded"),
    [
        (("--help",), SETTINGS, CALLS_TWILIO | SERVES | ON_DEMAND | OTHERS),
        (("healthcheck",), set[str](), SETTINGS | CALLS_TWILIO | SERVES | ON_DEMAND | OTHERS | {"asyncio"}),
        (("run",), SETTINGS | CALLS_TWILIO | SERVES, ON_DEMAND | OTHERS),
        (("backup",), SETTINGS, SERVES | ON_DEMAND | OTHERS),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_command_loads_what_it_needs(
    arguments: tuple[str, ...], needed: set[str], unneeded: set[str]
) -> None:
    """Packages of other commands would take memory and time from each process."""
    modules = loaded(*arguments)
    assert needed <= modules
    assert not unneeded & modules


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_module(name: str) -> None:
    """The table names modules that are imported when a command runs."""
    assert callable(import_module(f"exporter.cli.{name}").run)
