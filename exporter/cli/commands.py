"""The table of commands, in the order of `--help`."""

from collections.abc import Mapping
from typing import Final

from exporter.cli import (
    backup,
    check,
    demo,
    explain,
    healthcheck,
    observe,
    once,
    restore,
    run,
    simulator,
)
from exporter.cli.command import Command

COMMANDS: Final[Mapping[str, Command]] = {
    "run": run.COMMAND,
    "once": once.COMMAND,
    "check": check.COMMAND,
    "explain": explain.COMMAND,
    "demo": demo.COMMAND,
    "simulator": simulator.COMMAND,
    "observe": observe.COMMAND,
    "backup": backup.COMMAND,
    "restore": restore.COMMAND,
    "healthcheck": healthcheck.COMMAND,
}
