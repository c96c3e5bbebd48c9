"""Connecting to a real server: what is refused, what is waited for, and what is never told."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.config.database import Database, parse_database, read_password
from exporter.errors import RefusedError, StateError
from exporter.storage.postgresql.connection import closing, connector
from tests.storage.backends import connect_to
from tests.support.certificates import make_certificates
from tests.support.postgres import PASSWORD, Postgres
from tests.support.program import free_port

pytestmark = pytest.mark.needs("initdb")

WRONG = "0ther-pa55word"


async def ask(database: Database, query: str) -> object:
    async with closing(await connect_to(database)()) as connection:
        return await connection.fetchval(query)


async def refused(database: Database, error: type[Exception] = RefusedError) -> str:
    with pytest.raises(error) as caught:
        await ask(database, "SELECT 1")
    text = str(caught.value)
    assert PASSWORD not in text
    assert WRONG not in text
    return text


def with_password(database: Database, password: str) -> Database:
    return replace(database, password=parse_database(f"postgresql://u:{password}@h/d").password)


async def test_variables_of_libpq_are_ignored(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever they say: they may be those of another program in the same container."""
    (tmp_path / ".pgpass").write_text(f"*:*:*:*:{WRONG}\n")
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql/root.crt").write_text("no certificate")
    variables = {
        "HOME": str(tmp_path), "PGHOST": "nowhere.example", "PGPORT": "1", "PGUSER": "nobody",
        "PGDATABASE": "nothing", "PGPASSWORD": WRONG, "PGPASSFILE": str(tmp_path / ".pgpass"),
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/nowhere", "PGSSLCERT": "/nowhere",
        "PGSSLKEY": "/nowhere",
        "PGSSLNEGOTIATION": "direct", "PGTARGETSESSIONATTRS": "standby", "PGSERVICE": "nothing",
        "PGSERVICEFILE": "/nowhere", "PGOPTIONS": "-c search_path=nowhere", "PGAPPNAME": "nobody",
        "PGSSLMINPROTOCOLVERSION": "TLSv9", "PGGSSLIB": "nothing", "PGKRBSRVNAME": "nothing",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    database = postgres_server.database()
    assert await ask(database, "SELECT current_user || current_database()") == "exporterstate"
    assert await ask(database, "SHOW search_path") == database.schema
    without = replace(database, password=None)
    assert "password" in await refused(without), "none is taken from elsewhere"


async def test_session_ends_when_it_falls_silent(postgres_server: Postgres) -> None:
    """And is told from those of other programs."""
    database = postgres_server.database()
    for setting, value in {
        "idle_session_timeout": "8500ms",
        "idle_in_transaction_session_timeout": "8500ms",
        "tcp_user_timeout": "8500",
        "tcp_keepalives_idle": "3",
        "application_name": "twilio-email-exporter",
    }.items():
        assert await ask(database, f"SHOW {setting}") == value


async def test_commit_waits_for_the_disk(postgres_server: Postgres) -> None:
    """Also where the database is configured not to; where it waits for replicas, it still does."""
    for configured, used in {"off": "on", "remote_apply": "remote_apply"}.items():
        postgres_server.sql(f"ALTER ROLE exporter SET synchronous_commit = {configured}")
        assert await ask(postgres_server.database(), "SHOW synchronous_commit") == used
    postgres_server.sql("ALTER ROLE exporter RESET synchronous_commit")


async def test_wrong_password_is_refused(postgres_server: Postgres) -> None:
    """And shown nowhere, neither the right nor the wrong one."""
    text = await refused(with_password(postgres_server.database(), WRONG))
    assert "password authentication failed" in text


async def test_missing_database_is_refused(postgres_server: Postgres) -> None:
    """A mistyped name does not get better by waiting."""
    assert 'database "nothing" does not exist' in await refused(
        replace(postgres_server.database(), name="nothing")
    )


async def test_password_is_read_for_each_connection(postgres_server: Postgres, tmp_path: Path) -> None:
    """A rotated password takes effect without a restart; a file that is gone is waited for."""
    file = tmp_path / "password"
    database = replace(postgres_server.database(), password=None)
    connect = connector(database, lambda: read_password(database, file), 10.0)
    for password, error in ((WRONG, RefusedError), (PASSWORD + "\n", None), (None, StateError)):
        file.unlink(missing_ok=True) if password is None else file.write_text(password)
        if error is None:
            (await connect()).terminate()
        else:
            with pytest.raises(error) as caught:
                await connect()
            assert WRONG not in str(caught.value)


async def test_unreachable_server_is_waited_for(postgres_server: Postgres) -> None:
    """Nobody listens there, or the name is unknown."""
    database = postgres_server.database()
    assert "127.0.0.1" in await refused(replace(database, hosts=(("127.0.0.1", free_port()),)), StateError)
    assert "nowhere.invalid" in await refused(replace(database, hosts=(("nowhere.invalid", 1),)), StateError)


async def test_hosts_are_tried_in_order(postgres_server: Postgres) -> None:
    """The one that accepts writes is used."""
    database = postgres_server.database()
    hosts = (("127.0.0.1", free_port()), ("nowhere.invalid", 5432), *database.hosts)
    assert await ask(replace(database, hosts=hosts), "SELECT 1") == 1


async def test_read_only_server_is_waited_for(postgres_server: Postgres) -> None:
    """As a replica is, which may become the primary."""
    postgres_server.sql("ALTER ROLE exporter SET default_transaction_read_only = on")
    await refused(postgres_server.database(), StateError)
    postgres_server.sql("ALTER ROLE exporter RESET default_transaction_read_only")


async def test_unix_socket(postgres_server: Postgres) -> None:
    """With its directory as the host; that of this server takes one user only."""
    database = replace(
        postgres_server.database(), hosts=((str(postgres_server.folder), postgres_server.port),), user="owner"
    )
    assert await ask(database, "SELECT inet_client_addr() IS NULL") is True


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@contextmanager
def serving_tls(server: Postgres, certificates: Path) -> Iterator[None]:
    for name in ("server.pem", "server.key"):
        copy = Path(shutil.copy(certificates / name, server.folder / name))
        owner = server.folder.stat()
        os.chown(copy, owner.st_uid, owner.st_gid)
        copy.chmod(0o600)
    server.configure(
        f"ssl = on\nssl_cert_file = '{server.folder}/server.pem'\nssl_key_file = '{server.folder}/server.key'"
    )
    try:
        yield
    finally:
        server.configure("ssl = off")


IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


async def settled(database: Database, is_encrypted: bool) -> None:
    """The server reads its configuration a moment after it is told to."""
    async with asyncio.timeout(30):
        while await ask(database, IS_ENCRYPTED) is not is_encrypted:
            await asyncio.sleep(0.05)


@pytest.mark.needs("openssl")
async def test_modes_of_tls(postgres_server: Postgres, certificates: Path) -> None:
    """As libpq defines them."""
    database = postgres_server.database()
    ours, strange = certificates / "ca.pem", certificates / "strange-ca.pem"
    await settled(database, is_encrypted=False)
    for mode in ("require", "verify-ca", "verify-full"):
        await refused(replace(database, sslmode=mode, sslrootcert=ours), StateError)
    with serving_tls(postgres_server, certificates):
        await settled(database, is_encrypted=True)
        for mode in ("prefer", "require"):
            assert await ask(replace(database, sslmode=mode), IS_ENCRYPTED) is True
        assert await ask(replace(database, sslmode="disable"), IS_ENCRYPTED) is False
        for mode in ("require", "verify-ca", "verify-full"):
            assert await ask(replace(database, sslmode=mode, sslrootcert=ours), IS_ENCRYPTED) is True
            await refused(replace(database, sslmode=mode, sslrootcert=strange), StateError)
        for mode in ("verify-ca", "verify-full"):
            await refused(replace(database, sslmode=mode), StateError)
        elsewhere = replace(database, hosts=(("127.0.0.2", postgres_server.port),), sslrootcert=ours)
        assert await ask(replace(elsewhere, sslmode="verify-ca"), IS_ENCRYPTED) is True
        assert "127.0.0.2" in await refused(replace(elsewhere, sslmode="verify-full"), StateError)
    await settled(database, is_encrypted=False)
