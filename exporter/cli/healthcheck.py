"""The command `healthcheck` in the table of commands.

`exporter.__main__` runs the check itself without loading this package, but only when it is the first word.
"""

from exporter.exit_codes import INVALID_CONFIGURATION
from exporter.output import complain


def run(*_: object) -> int:
    complain("write healthcheck first, before its flags")
    return INVALID_CONFIGURATION
