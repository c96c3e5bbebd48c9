"""promtool of the installed Prometheus 2 and of Prometheus 3; a test whose version is missing is skipped."""

import os
from typing import Final

import pytest

from tests.support import prometheus3
from tests.support.program import tool

VERSIONS: Final = ("2", "3")


def promtool(version: str) -> str:
    """The path of the program. Prometheus 3 is not available everywhere, so it is never required."""
    if version == "3":
        try:
            return str(prometheus3.programs() / "promtool")
        except prometheus3.UnavailableError as error:
            pytest.skip(f"Prometheus 3 is not available: {error}")
    path = tool("promtool")
    if path is None:
        tell = pytest.fail if os.environ.get("REQUIRE_TOOLS") else pytest.skip
        tell("promtool is not installed")
    return path
