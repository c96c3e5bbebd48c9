"""The door of the command line. A health check goes in at once; for anything else the program is loaded."""

import sys
from collections.abc import Sequence

from exporter import healthcheck


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["healthcheck"]:
        return healthcheck.main(arguments[1:])
    from exporter import cli as commands

    return commands.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
