"""Password checks under attack: few wait, good users do not."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import pytest

from exporter.web import passwords
from exporter.web.passwords import (
    REMEMBERED_SECONDS,
    WAITING_CHECKS,
    WAITING_CHECKS_OF_AN_ADDRESS,
    Client,
    Passwords,
    TooManyChecksError,
)
from tests.support.clock import ManualClock
from tests.support.web_service import ask, opened

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
OTHER_HASH = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()


@dataclass
class Bcrypt:
    """Checks that wait until they are let go."""

    checked: list[str] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)

    def matches(self, password: str, _: bytes) -> bool:
        self.checked.append(password)
        self.let_go.wait()
        return password == "secret"


@pytest.fixture
def slow_bcrypt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bcrypt]:
    slow = Bcrypt()
    monkeypatch.setattr(passwords, "_matches", slow.matches)
    yield slow
    slow.let_go.set()


def users(clock: ManualClock | None = None) -> Passwords:
    made = Passwords(clock or ManualClock())
    made.replace({"alice": HASH})
    return made


def client(address: str = "192.0.2.1", *, has_left: bool = False) -> Client:
    return Client(address, lambda: has_left)


async def attack(tested: Passwords, count: int, of: Client) -> list[asyncio.Task[bool]]:
    """So many different wrong passwords at once."""
    tasks = [
        asyncio.create_task(tested.accept("alice", f"{of.address} {number}", of)) for number in range(count)
    ]
    await asyncio.sleep(0)
    return tasks


def refused(tasks: list[asyncio.Task[bool]]) -> int:
    return sum(task.done() and isinstance(task.exception(), TooManyChecksError) for task in tasks)


async def test_waiting_checks_have_a_limit(slow_bcrypt: Bcrypt) -> None:
    """One runs and ten wait; those beyond are refused at once, and the others are checked one by one."""
    tested = users()
    tasks = [task for number in range(4) for task in await attack(tested, 4, client(f"192.0.2.{number}"))]
    assert refused(tasks) == len(tasks) - 1 - WAITING_CHECKS
    slow_bcrypt.let_go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results.count(False) == len(slow_bcrypt.checked) == 1 + WAITING_CHECKS


async def test_one_address_cannot_take_every_place(slow_bcrypt: Bcrypt) -> None:
    """A user of another address waits for a few checks, not for thousands."""
    tested = users()
    tasks = await attack(tested, 200, client())
    assert refused(tasks) == 200 - 1 - WAITING_CHECKS_OF_AN_ADDRESS
    good = asyncio.create_task(tested.accept("alice", "secret", client("192.0.2.2")))
    await asyncio.sleep(0)
    slow_bcrypt.let_go.set()
    assert await good
    assert len(slow_bcrypt.checked) == 1 + WAITING_CHECKS_OF_AN_ADDRESS + 1
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_known_password_does_not_wait(slow_bcrypt: Bcrypt) -> None:
    """It is remembered, and each use renews that: a scraper pays once."""
    clock = ManualClock()
    tested = users(clock)
    slow_bcrypt.let_go.set()
    assert await tested.accept("alice", "secret", client())
    slow_bcrypt.let_go.clear()
    tasks = await attack(tested, 200, client())
    for _ in range(5):
        clock.advance(REMEMBERED_SECONDS - 1)
        assert await tested.accept("alice", "secret", client())
    assert "secret" not in slow_bcrypt.checked[1:]
    slow_bcrypt.let_go.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_change_of_another_user_costs_no_check(slow_bcrypt: Bcrypt) -> None:
    """What is remembered counts for as long as the user's own hash stays."""
    tested = users()
    slow_bcrypt.let_go.set()
    assert await tested.accept("alice", "secret", client())
    tested.replace({"alice": HASH, "bob": OTHER_HASH})
    assert await tested.accept("alice", "secret", client())
    assert slow_bcrypt.checked == ["secret"]


async def test_check_of_a_client_that_has_left_is_dropped(slow_bcrypt: Bcrypt) -> None:
    """Before bcrypt runs."""
    tested = users()
    running = await attack(tested, 1, client())
    left = await attack(tested, 3, client("192.0.2.2", has_left=True))
    slow_bcrypt.let_go.set()
    assert not any(await asyncio.gather(*running, *left))
    assert slow_bcrypt.checked == ["192.0.2.1 0"]


async def test_same_password_is_checked_once_for_all(slow_bcrypt: Bcrypt) -> None:
    """Whether right or wrong, and also if the first of the clients has left."""
    tested = users()
    running = await attack(tested, 1, client("192.0.2.9"))
    for password in ("secret", "wrong"):
        running += [
            asyncio.create_task(tested.accept("alice", password, client(has_left=number == 0)))
            for number in range(20)
        ]
    await asyncio.sleep(0)
    slow_bcrypt.let_go.set()
    assert await asyncio.gather(*running) == [False] + 20 * [True] + 20 * [False]
    assert len(slow_bcrypt.checked) == 3


def basic(password: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'alice:{password}'.encode()).decode()}"


async def test_flood_over_http(tmp_path: Path, slow_bcrypt: Bcrypt) -> None:
    """Requests beyond the limit get 503 and a time to come again; a known user gets the page throughout."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: {HASH}}}", encoding="utf-8")
    async with opened(config_file=file) as web_service:
        slow_bcrypt.let_go.set()
        assert (await ask(web_service.port, headers=[basic("secret")])).status == 200
        slow_bcrypt.let_go.clear()
        tasks = [
            asyncio.create_task(ask(web_service.port, headers=[basic(f"wrong {number}")]))
            for number in range(30)
        ]
        while sum(task.done() for task in tasks) < 30 - 1 - WAITING_CHECKS_OF_AN_ADDRESS:
            assert (await ask(web_service.port, headers=[basic("secret")])).status == 200
        refusals = {
            (each.result().status, each.result().headers["Retry-After"]) for each in tasks if each.done()
        }
        assert refusals == {(503, "1")}
        slow_bcrypt.let_go.set()
        replies = await asyncio.gather(*tasks)
        assert {each.status for each in replies} == {401, 503}


async def test_client_that_leaves_over_http(tmp_path: Path, slow_bcrypt: Bcrypt) -> None:
    """Its closed connection is noticed while it waits."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: {HASH}}}", encoding="utf-8")
    async with opened(config_file=file) as web_service:
        running = asyncio.create_task(ask(web_service.port, headers=[basic("first")]))
        while not slow_bcrypt.checked:
            await asyncio.sleep(0)
        _, writer = await asyncio.open_connection("127.0.0.1", web_service.port)
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\n{basic('second')}\r\n\r\n".encode())
        while len(web_service.authenticator._passwords._checks) < 2:
            await asyncio.sleep(0)
        writer.close()
        while len(web_service.connections) > 1:
            await asyncio.sleep(0)
        slow_bcrypt.let_go.set()
        assert (await running).status == 401
    assert slow_bcrypt.checked == ["first"]
