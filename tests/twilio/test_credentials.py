"""Credentials that change while the exporter runs: when they are read, and what if they cannot be."""

import asyncio
import threading
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from exporter.errors import CredentialError, Unauthorized
from exporter.events import CredentialChanged, CredentialUnreadable, Event
from exporter.twilio.credentials import Credential
from tests.simulator.ask import a_world
from tests.support.whole import Whole, whole


class Source:
    """What stands in the file: a secret, or why there is none."""

    def __init__(self, content: str | CredentialError) -> None:
        self.content = content
        self.events: list[Event] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = threading.Semaphore(0)

    def read(self) -> tuple[str, SecretStr]:
        self.asked.release()
        self.may_answer.wait()
        if isinstance(self.content, CredentialError):
            raise self.content
        return "user", SecretStr(self.content)

    def credential(self) -> Credential:
        credential = Credential("a", self.read, self.events.append)
        self.asked.acquire()
        return credential


def test_secret_is_read_at_the_start_and_when_told_to() -> None:
    """Not at each request."""
    source = Source("old")
    credential = source.credential()
    source.content = "new"
    assert credential.pair() == ("user", SecretStr("old"))
    credential.reload()
    assert credential.pair() == ("user", SecretStr("new"))
    assert source.events == [CredentialChanged("a")]


async def test_old_secret_stays_when_the_new_one_cannot_be_read() -> None:
    """Told once for each problem, and again if it comes back."""
    source = Source("old")
    credential = source.credential()
    for problem in ("gone", "gone", "empty"):
        source.content = CredentialError(problem)
        with pytest.raises(CredentialError, match=problem):
            credential.reload()
    assert credential.pair() == ("user", SecretStr("old"))
    source.content = "old"
    credential.reload()
    source.content = CredentialError("empty")
    assert await credential.renewed(), "the old one is not refused"
    told = [each.problem for each in source.events if isinstance(each, CredentialUnreadable)]
    assert told == ["gone", "empty", "empty"]
    assert CredentialChanged("a") not in source.events


async def test_without_any_secret_requests_are_refused_by_us() -> None:
    """The message says what is wrong; a file that appears later is used."""
    source = Source(CredentialError("the file is gone"))
    credential = source.credential()
    with pytest.raises(Unauthorized, match="the file is gone"):
        credential.pair()
    assert not await credential.renewed()
    source.content = "there"
    assert await credential.renewed()
    assert credential.pair() == ("user", SecretStr("there"))


async def test_only_another_secret_is_worth_a_retry() -> None:
    """The refused one is not, however often it is read."""
    source = Source("old")
    credential = source.credential()
    credential.refuse(("user", SecretStr("old")))
    assert not await credential.renewed()
    source.content = "new"
    assert await credential.renewed()
    credential.refuse(("user", SecretStr("old")))
    assert await credential.renewed(), "an answer to a request that left before the change"
    credential.refuse(("user", SecretStr("new")))
    assert not await credential.renewed()


async def test_file_is_read_beside_the_event_loop() -> None:
    """A slow disk holds up the request that was refused, and nothing else."""
    source = Source("old")
    credential = source.credential()
    source.may_answer.clear()
    renewing = asyncio.create_task(credential.renewed())
    await asyncio.to_thread(source.asked.acquire)
    assert not renewing.done(), "the loop turns meanwhile"
    source.content = "new"
    source.may_answer.set()
    assert await renewing
    assert credential.pair() == ("user", SecretStr("new"))


async def test_slow_read_does_not_undo_a_later_one() -> None:
    """A reload finds another secret while a thread still reads the old one."""
    source = Source("old")
    credential = source.credential()
    credential.refuse(("user", SecretStr("old")))
    source.may_answer.clear()
    renewing = asyncio.create_task(credential.renewed())
    await asyncio.to_thread(source.asked.acquire)
    read, credential._read = credential._read, lambda: ("user", SecretStr("new"))
    credential.reload()
    credential._read = read
    source.may_answer.set()
    assert await renewing
    assert credential.pair() == ("user", SecretStr("new"))
    assert source.events == [CredentialChanged("a")]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("  secret-0\n")
    return file


def put(file: Path, content: str | None) -> None:
    """`None`: the file is gone."""
    if content is None:
        file.unlink()
    else:
        file.write_text(content)


def from_file(file: Path) -> dict[str, object]:
    return {"auth_token_file": str(file)}


def statuses(exporter: Whole) -> list[int | None]:
    return [request.status for request in exporter.simulator.requests]


async def test_rotation_costs_one_refused_request_and_no_poll(secret: Path) -> None:
    """The file is read again on 401, and the request sent again with what it holds now."""
    async with whole([a_world()], account=lambda _: from_file(secret)) as exporter:
        assert await exporter.poll()
        exporter.simulator.rotate_credential("another")
        put(secret, "\tanother \n")
        assert await exporter.poll()
        assert statuses(exporter) == [200, 401, 200]
        assert len(exporter.logged("credential changed")) == 1
        retries = (await exporter.scrape()).value(
            "twilio_email_exporter_retries_total", reason="unauthorized"
        )
        assert retries == 1


async def test_reload_changes_the_secret_before_it_is_refused(secret: Path) -> None:
    """What SIGHUP and POST /-/reload do."""
    async with whole([a_world()], account=lambda _: from_file(secret)) as exporter:
        put(secret, "another")
        assert await exporter.poll()
        exporter.simulator.rotate_credential("another")
        async with TestClient(TestServer(exporter.web_service.application)) as client:
            assert (await client.post("/-/reload")).status == 200
            assert (await client.get("/-/reload")).status == 405
        assert await exporter.poll()
        assert statuses(exporter) == [200, 200]


@pytest.mark.parametrize(("content", "problem"), [("", "is empty"), (None, "does not exist")])
async def test_unreadable_file_leaves_the_old_secret(secret: Path, content: str | None, problem: str) -> None:
    """A line in the log says so and names the file."""
    async with whole([a_world()], account=lambda _: from_file(secret)) as exporter:
        put(secret, content)
        exporter.web_service.reload()
        exporter.web_service.reload()
        assert await exporter.poll()
        (told,) = exporter.logged("the old one stays in use")
        assert str(secret) in told
        assert problem in told


async def test_fixed_file_ends_the_longer_waits(secret: Path) -> None:
    """While the old secret is refused, the file is read again at each interval, without a signal."""
    async with whole([a_world()], account=lambda _: from_file(secret)) as exporter:
        exporter.simulator.rotate_credential("another")

        async def fix() -> None:
            await exporter.clock.sleep(8 * 60 + 30)
            put(secret, "another")

        await asyncio.gather(fix(), exporter.run_for(9 * 60 + 30))
        assert statuses(exporter) == [401] * 3 + [200]
        assert (await exporter.scrape()).value("twilio_email_up") == 1
