"""The command `healthcheck` in the table of commands.

`exporter.__main__` runs the check itself without loading this package, but only when it is the first word.
"""

from typing import Final

from exporter.cli.command import INVALID_CONFIGURATION, Command
from exporter.output import complain


def _healthcheck(*_: object) -> int:
    complain("write healthcheck first, before its flags")
    return INVALID_CONFIGURATION


COMMAND: Final = Command(_healthcheck, "check whether the exporter on this machine is healthy")
