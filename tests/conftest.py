"""Tests that want a real program say so, and are skipped in plain sight where it is missing."""

import os
import shutil

import pytest

OTHER_NAMES = {"alertmanager": "prometheus-alertmanager"}  # Debian's


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("image") and item.config.getoption("markexpr") != "image":
        pytest.skip("make image-test runs it")
    for marker in item.iter_markers("needs"):
        for tool in marker.args:
            if not (shutil.which(tool) or shutil.which(OTHER_NAMES.get(tool, tool))):
                tell = pytest.fail if os.environ.get("REQUIRE_TOOLS") else pytest.skip
                tell(f"{tool} is not installed")
