"""Skips tests whose real program is missing, and runs long tests first.

Long tests run without coverage: it would take three times as long, and they reach no line that others miss.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.disk import unsynced
from tests.support.postgres import Postgres, postgres
from tests.support.program import tool
from tests.support.progress import Progress

# An example takes as long as a loaded machine makes it.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One cluster for all tests of a worker; each test has a schema of its own."""
    with postgres() as server:
        yield server


@pytest.hookimpl(trylast=True)  # the terminal's plugin has been registered then
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and getattr(config.option, "numprocesses", None):
        config.pluginmanager.register(Progress(terminal))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.no_cover)
            item.add_marker(pytest.mark.timeout(900))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("image") and item.config.getoption("markexpr") != "image":
        pytest.skip("make image-test runs it")
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if tool(name) is None:
                tell = pytest.fail if os.environ.get("REQUIRE_TOOLS") else pytest.skip
                tell(f"{name} is not installed")
