"""Users, headers and the rate limit: who comes in, and what it costs."""

import asyncio
import base64
import threading
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.problems import SettingsError
from exporter.web import passwords
from exporter.web import routes as web
from exporter.web.auth import Authenticator, basic_credential
from exporter.web.listener import is_of_this_machine
from exporter.web.passwords import REMEMBERED_SECONDS, Client, Passwords
from tests.support.clock import ManualClock
from tests.support.web_service import ask, opened

LONG = "x" * 80

CLIENT = Client("192.0.2.7", has_left=lambda: False)


def hashed(password: str, *, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost)).decode()


ALICE, BOB = hashed("secret"), hashed("other")


def basic(user: str, password: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The hashes that bcrypt was asked about."""
    asked: list[bytes] = []
    matches = passwords._matches

    def counted(password: str, hash_: bytes) -> bool:
        assert threading.current_thread() is not threading.main_thread()
        asked.append(hash_)
        return matches(password, hash_)

    monkeypatch.setattr(passwords, "_matches", counted)
    return asked


# -- passwords ----------------------------------------------------------------------------------------------


def users_of(clock: ManualClock, **users: str) -> Passwords:
    made = Passwords(clock)
    made.replace(users)
    return made


@pytest.mark.parametrize(
    ("user", "password", "accepted"),
    [
        ("alice", "secret", True),
        ("alice", "other", False),
        ("bob", "secret", False),
        ("bob", "other", True),
        ("carol", "secret", False),
        ("", "", False),
        ("alice", "", False),
        ("alice", "sec\0ret", False),
        ("long", LONG, True),
        ("long", LONG[:72], True),
        ("ümlaut", "pässword", True),
    ],
)
async def test_who_comes_in(user: str, password: str, accepted: bool) -> None:
    """A known user with the right password; bcrypt looks at 72 bytes, here as elsewhere."""
    users = {"alice": ALICE, "bob": BOB, "long": hashed(LONG), "ümlaut": hashed("pässword")}
    assert await users_of(ManualClock(), **users).accept(user, password, CLIENT) is accepted


@pytest.mark.parametrize("kind", ["$2a$", "$2b$", "$2y$"])
async def test_kinds_of_bcrypt(kind: str) -> None:
    """As htpasswd, Go and Python write them."""
    assert await users_of(ManualClock(), alice=ALICE.replace("$2b$", kind)).accept("alice", "secret", CLIENT)


async def test_right_answer_is_remembered_for_a_while(checks: list[bytes]) -> None:
    """bcrypt is paid for once, and again when the memory has gone."""
    clock = ManualClock()
    users = users_of(clock, alice=ALICE)
    for _ in range(3):
        assert await users.accept("alice", "secret", CLIENT)
    assert len(checks) == 1
    clock.advance(REMEMBERED_SECONDS)
    assert await users.accept("alice", "secret", CLIENT)
    assert len(checks) == 2


async def test_many_at_once_pay_once(checks: list[bytes]) -> None:
    """Scrapers that start together do not queue for the same answer."""
    users = users_of(ManualClock(), alice=ALICE)
    assert all(await asyncio.gather(*(users.accept("alice", "secret", CLIENT) for _ in range(5))))
    assert len(checks) == 1


async def test_unknown_user_costs_what_a_wrong_password_costs(checks: list[bytes]) -> None:
    """One check of a hash of the same kind, each time; the same name meets the same hash."""
    users = users_of(ManualClock(), alice=ALICE, bob=BOB)
    for user in ("alice", "carol", "carol"):
        assert not await users.accept(user, "wrong", CLIENT)
    assert len(checks) == 3
    assert checks[0] == ALICE.encode()
    assert checks[1] == checks[2]
    assert set(checks) <= {ALICE.encode(), BOB.encode()}


async def test_unknown_user_with_a_known_password_stays_outside(checks: list[bytes]) -> None:
    """Though the hash that stands in for his would match."""
    users = users_of(ManualClock(), alice=ALICE)
    assert await users.accept("alice", "secret", CLIENT)
    assert not await users.accept("carol", "secret", CLIENT)
    assert checks == [ALICE.encode()] * 2


async def test_changed_users_count_at_once() -> None:
    """What was remembered of the old ones is forgotten."""
    users = users_of(ManualClock(), alice=ALICE)
    assert await users.accept("alice", "secret", CLIENT)
    users.replace({"alice": BOB})
    assert not await users.accept("alice", "secret", CLIENT)
    assert await users.accept("alice", "other", CLIENT)


async def test_user_removed_during_a_check_stays_outside() -> None:
    """The answer counts for the users of now."""
    users = users_of(ManualClock(), alice=ALICE)
    checking = asyncio.create_task(users.accept("alice", "secret", CLIENT))
    await asyncio.sleep(0)
    users.replace({"bob": BOB})
    assert not await checking


async def test_memory_holds_no_password() -> None:
    """Only keyed digests, and not those that are over."""
    clock = ManualClock()
    users = users_of(clock, alice=ALICE, bob=BOB)
    await users.accept("alice", "secret", CLIENT)
    clock.advance(REMEMBERED_SECONDS)
    await users.accept("bob", "other", CLIENT)
    assert len(users._accepted) == 1
    assert "secret" not in repr(vars(users))


# -- header -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic YWxpY2U6c2VjcmV0", ("alice", "secret")),
        ("basic  YWxpY2U6c2VjcmV0 ", ("alice", "secret")),
        ("Basic YTpiOmM=", ("a", "b:c")),
        ("Basic Og==", ("", "")),
        (None, None),
        ("", None),
        ("Basic", None),
        ("Basic YWxpY2U=", None),
        ("Basic ***", None),
        ("Basic /w==", None),
        ("Bearer YWxpY2U6c2VjcmV0", None),
    ],
)
def test_basic_credential(header: str | None, expected: tuple[str, str] | None) -> None:
    """User and password as RFC 7617 has them; the password may hold colons."""
    assert basic_credential(header) == expected


@given(st.text())
def test_any_header_is_answered(header: str) -> None:
    """Nonsense is no error."""
    basic_credential(header)


# -- over HTTP ----------------------------------------------------------------------------------------------


def config(folder: Path, text: str) -> Path:
    file = folder / "web.yml"
    file.write_text(text, encoding="utf-8")
    return file


PROBES = ["/-/healthy", "/-/ready"]


@pytest.mark.parametrize("path", ["/metrics", "/", "/status.css", "/nothing", *PROBES])
async def test_every_path_is_guarded(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes from elsewhere needs a password for health and readiness, too, as exporter-toolkit has it."""
    monkeypatch.setattr(web, "is_of_this_machine", lambda _: False)
    async with opened(config_file=config(tmp_path, f"basic_auth_users: {{alice: {ALICE}}}")) as web_service:
        reply = await ask(web_service.port, path)
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert (await ask(web_service.port, path, headers=[basic("alice", "wrong")])).status == 401
        expected = 404 if path == "/nothing" else 200
        assert (await ask(web_service.port, path, headers=[basic("alice", "secret")])).status == expected


@pytest.mark.parametrize("path", PROBES)
async def test_probe_from_this_machine_needs_no_password(tmp_path: Path, path: str) -> None:
    """Nor does it count for the rate limit: a restart because others scrape much would be no help."""
    text = f"rate_limit: {{interval: 1h, burst: 1}}\nbasic_auth_users: {{alice: {ALICE}}}"
    async with opened(config_file=config(tmp_path, text)) as web_service:
        assert [(await ask(web_service.port, path)).status for _ in range(3)] == [200] * 3
        assert (await ask(web_service.port, f"{path}/")).status == 401
        assert (await ask(web_service.port, path)).status == 200
        assert (await ask(web_service.port)).status == 429


@pytest.mark.parametrize(
    ("peer", "own", "local"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.9.9.9", "127.0.0.1", True),
        ("::1", "::1", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::7", "2001:db8::8", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
    ],
)
def test_who_is_of_this_machine(peer: str, own: str, local: bool) -> None:
    """Only a process of this machine has a loopback address, or the one that we listen on."""

    class Connection(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> tuple[str, int]:
            return {"peername": (peer, 50000), "sockname": (own, 10587)}[name]

    assert is_of_this_machine(Connection()) is local


def test_who_is_gone_is_of_no_machine() -> None:
    """With TLS a connection that was lost has a transport for a moment longer than it has addresses."""
    assert not is_of_this_machine(None)
    assert not is_of_this_machine(asyncio.Transport())


async def test_reload_is_guarded(tmp_path: Path) -> None:
    """Who may not read may not reload."""
    async with opened(config_file=config(tmp_path, f"basic_auth_users: {{alice: {ALICE}}}")) as web_service:
        assert (await ask(web_service.port, "/-/reload", method="POST")).status == 401


async def test_headers_are_added_to_every_reply(tmp_path: Path) -> None:
    """To errors as well; what is configured replaces what the page would say of itself."""
    text = (
        "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: default-src 'self'}}"
    )
    async with opened(config_file=config(tmp_path, text)) as web_service:
        for path in ("/metrics", "/", "/nothing"):
            reply = await ask(web_service.port, path)
            assert reply.headers["X-Frame-Options"] == "deny"
            assert reply.headers["Content-Security-Policy"] == "default-src 'self'"


async def test_rate_limit(tmp_path: Path) -> None:
    """A burst, then one at a time, then a burst again after a pause; before a password is looked at."""
    text = f"rate_limit: {{interval: 10s, burst: 2}}\nbasic_auth_users: {{alice: {ALICE}}}"
    async with opened(config_file=config(tmp_path, text)) as web_service:

        async def statuses(count: int) -> list[int]:
            return [(await ask(web_service.port)).status for _ in range(count)]

        assert await statuses(3) == [401, 401, 429]
        web_service.clock.advance(10)
        assert await statuses(2) == [401, 429]
        web_service.clock.advance(1000)
        assert await statuses(3) == [401, 401, 429]


async def test_users_headers_and_rate_change_while_running(tmp_path: Path) -> None:
    """From the next request on."""
    file = config(tmp_path, f"basic_auth_users: {{alice: {ALICE}}}\nrate_limit: {{interval: 1s, burst: 100}}")
    async with opened(config_file=file) as web_service:
        assert (await ask(web_service.port)).status == 401
        config(tmp_path, "http_server_config: {headers: {X-XSS-Protection: '0'}}")
        assert web_service.authenticator.changed()
        web_service.authenticator.reload()
        reply = await ask(web_service.port)
        assert reply.status == 200
        assert reply.headers["X-XSS-Protection"] == "0"


def test_missing_file_is_told(tmp_path: Path) -> None:
    """It may vanish while running; from the start it is a wrong setting."""
    file = config(tmp_path, "")
    authenticator = Authenticator(file, ManualClock())
    file.unlink()
    assert authenticator.changed()
    with pytest.raises(SettingsError, match=r"web\.config_file: .*web\.yml: cannot be read: No such file"):
        authenticator.reload()
    assert not authenticator.changed()


def test_without_a_file_there_is_nothing_to_reload() -> None:
    """And nothing that could change."""
    authenticator = Authenticator(None, ManualClock())
    authenticator.reload()
    assert not authenticator.changed()
    assert authenticator.within_rate()
