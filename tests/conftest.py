"""Tests that want a real program say so, and are skipped in plain sight where it is missing."""

import os

import pytest

from tests.program import tool


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("image") and item.config.getoption("markexpr") != "image":
        pytest.skip("make image-test runs it")
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if tool(name) is None:
                tell = pytest.fail if os.environ.get("REQUIRE_TOOLS") else pytest.skip
                tell(f"{name} is not installed")
