"""Connects to the database, and translates the errors of the driver.

Rule 1: what counts is in the settings: no variable of libpq (`PGHOST`, `PGSSLMODE`, …), no service file and
no password file of libpq is read.
Rule 2: no error contains a password, a statement or a row.
Rule 3: the server ends a session that falls silent, so that no lock outlives its process by long.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, TypeAlias

import asyncpg  # noqa: TID251 - home of asyncpg

from exporter.config.database import Database
from exporter.errors import CredentialError, RefusedError, StateError

CONNECT_SECONDS: Final = 5.0
"""For each host."""

STATEMENT_SECONDS: Final = 60.0
"""For one statement, and for a commit: a slow disk delays polls, and ends none."""

CLOSE_SECONDS: Final = 1.0

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect: TypeAlias = Callable[[], Coroutine[Any, Any, Connection]]
"""Raises `StateError` while the database cannot be reached, and `RefusedError`."""

_REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,  # a wrong password, too
    asyncpg.InvalidCatalogNameError,
    asyncpg.SyntaxOrAccessError,  # a missing privilege, and a setting that an older server does not know
    asyncpg.ProtocolViolationError,  # a setting that a connection pooler does not know
)

_WORKS_WITHOUT_TLS: Final = frozenset({"disable", "prefer"})


def connector(database: Database, password: Callable[[], str], silent_seconds: float) -> Connect:
    """A function that connects. The server ends a session that has been silent for `silent_seconds`."""
    return partial(_connect, database, password, _server_settings(database, silent_seconds))


def _server_settings(database: Database, silent_seconds: float) -> dict[str, str]:
    silent = f"{round(silent_seconds * 1000)}ms"
    whole = str(max(1, round(silent_seconds / 3)))
    return {
        "application_name": "twilio-email-exporter",
        "search_path": database.schema,
        "idle_session_timeout": silent,
        "idle_in_transaction_session_timeout": silent,
        # Sessions that wait for a peer that is gone, such as one that sends rows to it.
        "tcp_keepalives_idle": whole,
        "tcp_keepalives_interval": whole,
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": silent,
    }


async def _connect(
    database: Database, password: Callable[[], str], server_settings: Mapping[str, str]
) -> Connection:
    """The first host that accepts writes. Raises `RefusedError`, `StateError`."""
    problem = StateError("no host is configured")
    for host, port in database.hosts:
        try:
            with translated(f"{host}:{port}"):
                connection = await _connect_to(host, port, database, password(), server_settings)
                await _wait_for_the_disk(connection)
                return connection
        except StateError as error:
            problem = error
    raise problem


async def _connect_to(
    host: str, port: int, database: Database, password: str, server_settings: Mapping[str, str]
) -> Connection:
    connect = partial(
        asyncpg.connect,
        # With every argument given, the driver reads neither variables nor files of libpq.
        host=host,
        port=port,
        user=database.user,
        password=password,
        database=database.name,
        direct_tls=False,
        krbsrvname="postgres",
        gsslib="gssapi",
        target_session_attrs="read-write",
        server_settings=dict(server_settings),
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
    )
    if database.sslmode == "disable":
        return await connect(ssl=False)
    try:
        return await connect(ssl=_tls(database))
    except ConnectionError as error:
        # The driver raises this class itself, and no subclass, when the server has no TLS.
        if database.sslmode not in _WORKS_WITHOUT_TLS or type(error) is not ConnectionError:
            raise
        return await connect(ssl=False)


def _tls(database: Database) -> ssl.SSLContext:
    """As libpq's modes: https://www.postgresql.org/docs/current/libpq-ssl.html"""
    context = ssl.create_default_context(cafile=database.sslrootcert)
    context.check_hostname = database.sslmode == "verify-full"
    if database.sslmode == "prefer" or (database.sslmode == "require" and database.sslrootcert is None):
        context.verify_mode = ssl.CERT_NONE
    if database.sslcert is not None:
        context.load_cert_chain(database.sslcert, database.sslkey)
    return context


async def _wait_for_the_disk(connection: Connection) -> None:
    """A database may be configured to confirm commits that a crash would undo; then counters would fall."""
    await connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Translate what the driver raises."""
    try:
        yield
    except TimeoutError:
        raise StateError(f"{where}: no answer in time") from None
    except _REFUSED as error:
        raise RefusedError(f"{where}: {_text(error)}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise StateError(f"{where}: {_text(error)}") from None
    except CredentialError as error:
        raise StateError(str(error)) from None
    except OSError as error:
        raise StateError(f"{where}: {error.strerror or error}") from None


def _text(error: Exception) -> str:
    """The message alone: the detail of some errors quotes a row."""
    return str(error.args[0]) if error.args else type(error).__name__


async def close(connection: Connection) -> None:
    """Close it politely, or at once where the server does not answer."""
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """Everything or nothing. After an error the caller must give the connection up, which undoes everything.

    The driver's own context manager would ask for a rollback first, which hangs where the database is away.
    """
    begun = connection.transaction()
    await begun.start()
    yield
    await begun.commit()


@asynccontextmanager
async def closing(connection: Connection) -> AsyncIterator[Connection]:
    """Close it politely after success, and at once after an error."""
    try:
        yield connection
    except BaseException:
        connection.terminate()
        raise
    await close(connection)
