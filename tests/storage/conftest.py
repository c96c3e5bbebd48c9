"""The storages, each with a state of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.storage.backends import Backend, FileBackend, PostgresBackend


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.needs("initdb"))])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    is_file = request.param == "file"
    made: Backend = (
        FileBackend(tmp_path / "state.sqlite")
        if is_file
        else PostgresBackend(request.getfixturevalue("postgres_server"))
    )
    yield made
    await made.close()
