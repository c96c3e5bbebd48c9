"""Who is active, with a real database that comes and goes."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exporter.clock import SystemClock
from exporter.config.settings import Settings, State
from exporter.errors import RefusedError
from exporter.observers.activity import Mandate, Role, Standing
from exporter.observers.hub import Hub
from exporter.polling.election import Election
from exporter.storage.store import StateStore
from tests.storage.samples import PROGRESS, changes, whole
from tests.support.postgres import PASSWORD, Postgres
from tests.support.whole import logging_to
from tests.support.wire import wire_to

pytestmark = pytest.mark.needs("initdb")

PATIENT = 60.0


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    with logging_to("info", "logfmt") as stream:
        yield stream


@dataclass
class Candidate:
    """A process that takes part, and what its terms were."""

    url: str
    password_file: Path | None = None
    lease: float = 1.0
    ends: list[str] = field(default_factory=list)
    loading: float = 0.0

    def __post_init__(self) -> None:
        settings = Settings(
            state=State.model_validate({"url": self.url, "password_file": self.password_file})
        )
        assert settings.database is not None
        self.hub = Hub(settings, SystemClock())
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.store: StateStore | None = None
        self._election = Election(
            settings,
            settings.database,
            ["a"],
            self.hub.activity,
            SystemClock(),
            self.ready.set,
            self.lease,
        )

    async def run(self) -> None:
        await self._election.run(self._term, self.stop)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Candidate"]:
        """Ends with a normal stop."""
        task = asyncio.create_task(self.run())
        try:
            yield self
            self.stop.set()
            async with asyncio.timeout(PATIENT):
                await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def _term(self, store: StateStore, mandate: Mandate) -> AsyncIterator[None]:
        await store.load("a", whole)
        await asyncio.sleep(self.loading)
        self.store = store
        self.hub.activity.begin(mandate)
        try:
            yield
        except BaseException:
            self.ends.append("lost")
            raise
        await store.save("a", changes(), PROGRESS)
        self.ends.append("saved")

    @property
    def role(self) -> Role:
        standing = self.hub.activity.standing
        assert standing is not None
        return standing.role

    async def becomes(self, role: Role) -> Standing:
        await until(lambda: self.role is role)
        standing = self.hub.activity.standing
        assert standing is not None
        return standing


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENT):
        while not condition():
            await asyncio.sleep(0.02)


async def test_first_is_active_and_the_others_stand_by(postgres_server: Postgres) -> None:
    """All are ready. The next one is active once the first has saved and left."""
    url = postgres_server.url()
    async with Candidate(url).running() as second_to_start:
        await second_to_start.becomes(Role.ACTIVE)
        async with Candidate(url).running() as third, Candidate(url).running() as fourth:
            for each in (third, fourth):
                standing = await each.becomes(Role.STANDBY)
                assert standing.holder
                await asyncio.wait_for(each.ready.wait(), PATIENT)
            second_to_start.stop.set()
            await until(lambda: second_to_start.ends == ["saved"])
            await until(lambda: {third.role, fourth.role} == {Role.ACTIVE, Role.STANDBY})
            active = third if third.role is Role.ACTIVE else fourth
            assert active.store is not None
            assert await active.store.load("a", whole) is not None


async def test_unreachable_database_is_waited_for(postgres_server: Postgres, log: io.StringIO) -> None:
    """With a line when it is missed and one when it is there."""
    async with wire_to(postgres_server.port) as wire:
        target, wire.target = wire.target, 1  # where nobody listens
        async with Candidate(postgres_server.url(hosts=f"127.0.0.1:{wire.port}")).running() as candidate:
            await until(lambda: "no connection to the database" in log.getvalue())
            await asyncio.sleep(0.3)
            assert not candidate.ready.is_set()
            wire.target = target
            await candidate.becomes(Role.ACTIVE)
            await asyncio.wait_for(candidate.ready.wait(), PATIENT)
    assert log.getvalue().count("no connection to the database") == 1
    assert log.getvalue().count("active: this process polls") == 1


async def test_refusal_ends_the_start(postgres_server: Postgres, tmp_path: Path) -> None:
    """A wrong password is a wrong setting."""
    file = tmp_path / "password"
    file.write_text("wrong")
    url = postgres_server.url().replace(postgres_server.url().split("@")[0], "postgresql://exporter")
    with pytest.raises(RefusedError, match="password authentication failed"):
        await Candidate(url, file).run()


async def test_newer_schema_ends_the_start(postgres_server: Postgres) -> None:
    """Whether it would be active or stand by."""
    schema = postgres_server.new_schema()
    url = postgres_server.url(schema)
    async with Candidate(url).running() as candidate:
        await candidate.becomes(Role.ACTIVE)
        postgres_server.sql(f"UPDATE {schema}.contents SET version = 99")
        with pytest.raises(RefusedError, match="newer version"):
            await Candidate(url).run()
    with pytest.raises(RefusedError, match="newer version"):
        await Candidate(url).run()


async def test_refusal_in_the_middle_is_waited_out(postgres_server: Postgres, tmp_path: Path) -> None:
    """A password that is being rotated ends no process that can still show its own metrics."""
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    schema = postgres_server.new_schema()
    url = f"postgresql://exporter@127.0.0.1:{postgres_server.port}/state?schema={schema}"
    async with Candidate(url, file).running() as candidate:
        await candidate.becomes(Role.ACTIVE)
        file.write_text("not yet")
        postgres_server.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        await until(lambda: candidate.ends == ["lost"])
        await asyncio.sleep(0.5)
        assert candidate.role is Role.CUT_OFF
        file.write_text(PASSWORD)
        await candidate.becomes(Role.ACTIVE)


async def test_database_that_stops_ends_the_term(postgres_server: Postgres) -> None:
    """Nothing is saved after it. It goes on by itself when the database is back."""
    async with Candidate(postgres_server.url()).running() as candidate:
        await candidate.becomes(Role.ACTIVE)
        postgres_server.stop()
        try:
            await candidate.becomes(Role.CUT_OFF)
            await until(lambda: candidate.ends == ["lost"])
        finally:
            postgres_server.start()
        await candidate.becomes(Role.ACTIVE)
    assert candidate.ends == ["lost", "saved"]


async def test_silent_cut_lets_another_take_over(postgres_server: Postgres) -> None:
    """The one that is cut off has given up before; when it is mended, it stands by."""
    schema = postgres_server.new_schema()
    async with wire_to(postgres_server.port) as wire:
        by_wire = postgres_server.url(schema, hosts=f"127.0.0.1:{wire.port}")
        async with Candidate(by_wire).running() as cut_off:
            await cut_off.becomes(Role.ACTIVE)
            async with Candidate(postgres_server.url(schema)).running() as standby:
                await standby.becomes(Role.STANDBY)
                wire.cut()
                await standby.becomes(Role.ACTIVE)
                assert cut_off.role is Role.CUT_OFF
                wire.mend()
                await cut_off.becomes(Role.STANDBY)
                assert cut_off.ends == ["lost"]


async def test_lease_that_ends_while_the_state_is_loaded_ends_the_term(postgres_server: Postgres) -> None:
    """It never begins."""
    candidate = Candidate(postgres_server.url(), loading=1000.0)
    async with candidate.running():
        await until(lambda: "advisory" in postgres_server.sql("SELECT locktype FROM pg_locks"))
        await asyncio.sleep(0.3)
        postgres_server.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        await until(lambda: candidate.role is Role.CUT_OFF)
        candidate.loading = 0.0
        await candidate.becomes(Role.ACTIVE)
    assert candidate.ends == ["saved"]


@pytest.mark.parametrize("phase", ["loading", "unreachable", "standing by"])
async def test_stop_is_not_held_up(postgres_server: Postgres, phase: str) -> None:
    """Whatever it waits for."""
    url = postgres_server.url()
    async with wire_to(postgres_server.port) as wire, Candidate(url).running() as active:
        await active.becomes(Role.ACTIVE)
        if phase == "loading":
            active.stop.set()
            other = Candidate(url, loading=1000.0, lease=1000.0)
        elif phase == "unreachable":
            wire.cut()
            other = Candidate(postgres_server.url(hosts=f"127.0.0.1:{wire.port}"), lease=1000.0)
        else:
            other = Candidate(url, lease=1000.0)
        async with other.running():
            await asyncio.sleep(0.5)
        assert other.ends == []
