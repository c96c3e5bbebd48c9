"""The exporter with a shorter lease: `python -m tests.support.impatient SECONDS`.

Settings are in the environment.
"""

import os
import sys

from exporter import app, logs
from exporter.cli.starting import serve
from exporter.config.loading import load


def main(lease_seconds: float) -> int:
    settings = load({}, os.environ)
    logs.configure(settings.log.level, settings.log.format)
    return serve(app.run(settings, lease_seconds=lease_seconds))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
