"""The health check as a container runs it: a separate process against a real listener."""

import asyncio
import ssl
import subprocess
import sys
from http.client import HTTPSConnection
from pathlib import Path

import bcrypt
import pytest

from exporter import healthcheck
from exporter.config.parsers import ListenAddress
from exporter.config.settings import SETTINGS
from exporter.web.routes import Health
from tests.support.certificates import make_certificates
from tests.support.program import command, environment, finish, free_port, silent_server
from tests.support.web_service import opened

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


async def checked(port: int, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and standard error."""
    address = {"EXPORTER_WEB__LISTEN_ADDRESS": f"127.0.0.1:{port}", **variables}
    done = await asyncio.to_thread(finish, "healthcheck", *arguments, **address)
    assert done.stdout == ""
    return done.returncode, done.stderr


def health(*, dead: str | None = None, ready: bool = True) -> Health:
    return Health(dead=lambda: dead, ready=ready, loaded=True)


@pytest.mark.parametrize(
    ("state", "arguments", "code", "said"),
    [
        (health(), (), 0, ""),
        (health(), ("--ready",), 0, ""),
        (health(ready=False), (), 0, ""),
        (health(ready=False), ("--ready",), 1, "/-/ready returned 503: not ready\n"),
        (
            health(dead="polling of shop has stopped"),
            (),
            1,
            "/-/healthy returned 503: polling of shop has stopped\n",
        ),
        (health(dead="polling of shop has stopped"), ("--ready",), 0, ""),
    ],
)
async def test_exit_code_follows_the_probe(
    state: Health, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Exit code 0 for 200, else 1 with the reason on one line, without credentials and without a proxy."""
    async with opened(health=state) as web_service:
        proxy = {"http_proxy": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:1"}
        assert await checked(web_service.port, *arguments, **proxy) == (code, said)


async def test_refused_connection() -> None:
    """A refused connection is exit code 1."""
    port = free_port()
    assert await checked(port) == (1, f"127.0.0.1:{port}: Connection refused\n")


async def test_hanging_exporter_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging process keeps its port open: the check times out, with and without TLS."""
    monkeypatch.setattr(healthcheck, "TIMEOUT_SECONDS", 0.2)
    with silent_server() as url:
        address = ListenAddress("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))
        for try_tls in (False, True):
            said = healthcheck._ask(address, "/-/healthy", try_tls=try_tls)
            assert said == f"{address} did not answer within 0.2 seconds"


async def test_something_else_at_the_port() -> None:
    """Another protocol at the port is exit code 1."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await checked(port) == (1, f"127.0.0.1:{port} does not speak HTTP: BadStatusLine\n")


async def test_listener_on_every_address_is_asked_on_loopback(tmp_path: Path) -> None:
    """`:port` and `0.0.0.0:port` are checked at 127.0.0.1; of several addresses the first is."""
    async with opened() as web_service:
        file = tmp_path / "settings.yml"
        file.write_text(f"web: {{listen_address: [':{web_service.port}', '[::1]:1']}}\naccounts: nonsense\n")
        unset = {"EXPORTER_WEB__LISTEN_ADDRESS": ""}
        for written in (
            f":{web_service.port}",
            f"0.0.0.0:{web_service.port}",
            f"127.0.0.1:{web_service.port},127.0.0.1:1",
        ):
            assert await checked(1, f"--web.listen_address={written}") == (0, "")
        assert await checked(1, **{**unset, "EXPORTER_CONFIG_FILE": str(file)}) == (0, "")
        assert await checked(1, "--config-file", str(file), **unset) == (0, "")


def test_listener_on_every_ipv6_address_is_asked_on_loopback() -> None:
    """`[::]:port` is checked at ::1, and `:port` also there when 127.0.0.1 refuses."""
    port = free_port()
    for written, asked in ((f"[::]:{port}", f"[::1]:{port}"), (f":{port}", f"127.0.0.1:{port}")):
        done = finish("healthcheck", EXPORTER_WEB__LISTEN_ADDRESS=written)
        assert (done.returncode, done.stderr.partition(": ")[0]) == (1, asked)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--web.listen_address=here",), 'web.listen_address: --web.listen_address="here" is not an address'),
        (
            ("--web.listen_address=:0",),
            'web.listen_address: --web.listen_address=":0" means any free port; set the port',
        ),
        (("--config-file=none.yml",), 'config_file: --config-file="none.yml" does not exist'),
        (("--poll.interval=1s",), "unrecognized arguments: --poll.interval=1s; see --help\n"),
        (("--ready=now",), "--ready: ignored explicit argument 'now'; see --help\n"),
    ],
)
def test_wrong_settings(arguments: tuple[str, ...], said: str) -> None:
    """Wrong settings are exit code 2, with one line that shows what to write instead."""
    done = finish("healthcheck", *arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr


def test_broken_settings_file(tmp_path: Path) -> None:
    """A settings file that cannot be read is exit code 2."""
    file = tmp_path / "settings.yml"
    file.write_text("web: [")
    done = finish("healthcheck", EXPORTER_CONFIG_FILE=str(file))
    assert (done.returncode, done.stderr.startswith(f"config_file: {file}: line 1: ")) == (2, True)


def test_comes_first() -> None:
    """The command must be the first word, because the rest of the program is not loaded for it."""
    done = finish("--web.listen_address=:1", "healthcheck")
    assert (done.returncode, done.stderr) == (2, "write healthcheck first, before its flags\n")


def test_loads_little() -> None:
    """The check runs in the memory of the container that it checks."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command("healthcheck", "--web.listen_address=127.0.0.1:1")[1:]],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "http.client" in loaded
    assert loaded.isdisjoint({"aiohttp", "asyncio", "exporter.app", "exporter.cli", "pydantic", "yaml"})


def test_settings_are_those_of_the_program() -> None:
    """Name, default and kind of its two settings match the program; the descriptions may differ."""
    known = {setting.path: setting for setting in SETTINGS}
    for setting in (healthcheck.LISTEN_ADDRESS, healthcheck.WEB_CONFIG_FILE):
        real = known[setting.path]
        assert setting._replace(description="", allowed="") == real._replace(description="", allowed="")


# -- TLS and basic auth -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


SERVER = "  cert_file: server.pem\n  key_file: server.key\n"
CA = "  client_ca_file: ca.pem\n"
USERS = f"basic_auth_users: {{alice: {HASH}}}\n"


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
@pytest.mark.parametrize(
    "more",
    [
        "",
        f"{CA}  client_auth_type: VerifyClientCertIfGiven\n",
        f"{CA}  client_auth_type: RequireAndVerifyClientCert\n",
        f"{CA}  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [scraper.example]\n",
    ],
    ids=["no client certificate", "if given", "required", "required, with a name"],
)
async def test_tls(certificates: Path, more: str, version: str) -> None:
    """Any certificate is accepted; a listener that requires a client certificate is healthy."""
    file = certificates / "web.yml"
    file.write_text(f"tls_server_config:\n{SERVER}  max_version: {version}\n{more}{USERS}")
    async with opened(config_file=file) as web_service:
        for _ in range(3):  # with TLS 1.3 the refusal and our request cross each other
            assert await checked(web_service.port, EXPORTER_WEB__CONFIG_FILE=str(file)) == (0, "")


@pytest.mark.needs("openssl")
async def test_exit_code_follows_the_probe_over_tls(certificates: Path) -> None:
    """With TLS the status of the reply counts as well."""
    file = certificates / "web.yml"
    file.write_text(f"tls_server_config:\n{SERVER}")
    async with opened(config_file=file, health=health(dead="a task has stopped")) as web_service:
        said = await checked(web_service.port, f"--web.config_file={file}")
        assert said == (1, "/-/healthy returned 503: a task has stopped\n")


async def test_web_config_without_tls(tmp_path: Path) -> None:
    """Plain HTTP is used then, without a password; the web config is not read."""
    file = tmp_path / "web.yml"
    file.write_text(USERS)
    async with opened(config_file=file) as web_service:
        file.write_text("tls_server_config: {broken")
        assert await checked(web_service.port, f"--web.config_file={file}") == (0, "")


@pytest.mark.parametrize(
    ("reason", "well"), [("TLSV1_ALERT_PROTOCOL_VERSION", True), ("WRONG_VERSION_NUMBER", False)]
)
def test_alert_is_an_answer(monkeypatch: pytest.MonkeyPatch, reason: str, well: bool) -> None:
    """A TLS alert counts as healthy; after any other TLS error plain HTTP is tried."""

    def broken(_: object) -> None:
        error = ssl.SSLError(1, "")
        error.reason = reason
        raise error

    monkeypatch.setattr(HTTPSConnection, "connect", broken)
    said = healthcheck._ask(ListenAddress("127.0.0.1", free_port()), "/-/healthy", try_tls=True)
    assert (said is None) is well
