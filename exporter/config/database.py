"""The database of the state: the URL, its parts, and the file with its password.

Must not know a driver, nor what is stored. The variables of libpq (`PGHOST`, `PGSSLMODE`, …) are not read:
what counts is in the URL.

Rule: neither a message nor the text of a `Database` shows a password.
"""

import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

from pydantic import SecretStr  # noqa: TID251 - home of pydantic

from exporter.config.parsers import check_ca_file, check_readable
from exporter.config.problems import why
from exporter.config.shard import Shard
from exporter.errors import CredentialError

DRIVER: Final = "asyncpg"
EXAMPLE: Final = "postgresql://user@host:5432/database?sslmode=verify-full"
SCHEMA: Final = "twilio_exporter"
SSL_MODES: Final = ("disable", "prefer", "require", "verify-ca", "verify-full")
"""As libpq defines them: https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS"""

_PARAMETERS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey", "host", "schema")
_URL: Final = re.compile(
    r"postgres(?:ql)?://(?P<user>[^:@/?#]+)(?::(?P<password>[^@/?#]*))?@(?P<hosts>[^@/?#]*)/(?P<name>[^/?#]+)"
    r"(?:\?(?P<query>[^#]*))?"
)
_HOST: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_SCHEMA: Final = re.compile("[a-z_][a-z0-9_]{0,23}")
_DEFAULT_PORT: Final = 5432


@dataclass(frozen=True, slots=True)
class Database:
    """Where the state is stored, and how to connect."""

    hosts: tuple[tuple[str, int], ...]
    """Name or address and port, in the order in which they are tried; or the directory of a Unix socket."""
    name: str
    user: str
    password: SecretStr | None = None
    schema: str = SCHEMA
    sslmode: str = "prefer"
    sslrootcert: Path | None = None
    sslcert: Path | None = None
    sslkey: Path | None = None

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"postgresql://{hosts}/{self.name} (schema {self.schema})"

    def of_shard(self, shard: Shard | None) -> "Database":
        """Each shard has accounts, and so a state and a lock, of its own."""
        return self if shard is None else replace(self, schema=f"{self.schema}_shard_{shard.index}")


def parse_database(value: object) -> Database:
    """Raises `ValueError`, also if the driver is not installed."""
    if isinstance(value, Database):
        return value
    parts = _URL.fullmatch(str(value))
    if parts is None:
        raise ValueError(f"is not the URL of a database; write one such as {EXAMPLE}")
    given = dict(parse_qsl(parts["query"] or "", keep_blank_values=True))
    for name in given:
        if name not in _PARAMETERS:
            raise ValueError(f"has an unknown parameter; the known ones are {', '.join(_PARAMETERS)}")
    if find_spec(DRIVER) is None:
        raise ValueError("needs a driver; install it with pip install 'twilio-email-exporter[postgresql]'")
    return Database(
        hosts=_hosts(given.get("host") or unquote(parts["hosts"])),
        name=unquote(parts["name"]),
        user=unquote(parts["user"]),
        password=SecretStr(unquote(parts["password"])) if parts["password"] else None,
        schema=_schema(given.get("schema", SCHEMA)),
        sslmode=_ssl_mode(given),
        sslrootcert=check_ca_file(_file(given, "sslrootcert")),
        sslcert=check_readable(_file(given, "sslcert")),
        sslkey=check_readable(_file(given, "sslkey")),
    )


def _hosts(text: str) -> tuple[tuple[str, int], ...]:
    if text.startswith("/"):
        return ((text, _DEFAULT_PORT),)
    return tuple(map(_host, text.split(",")))


def _host(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or _DEFAULT_PORT) if match else 0
    if match is None or not 0 < port <= 65535:
        raise ValueError(f"names no host; write one such as {EXAMPLE}")
    return match["ipv6"] or match["name"], port


def _ssl_mode(given: dict[str, str]) -> str:
    mode = given.get("sslmode", "prefer")
    if mode not in SSL_MODES:
        raise ValueError(f"has an unknown sslmode; write one of {', '.join(SSL_MODES)}")
    return mode


def _schema(schema: str) -> str:
    if not _SCHEMA.fullmatch(schema):
        raise ValueError("has an invalid schema; write up to 24 characters of a-z, 0-9 and _")
    return schema


def _file(given: dict[str, str], name: str) -> Path | None:
    return Path(given[name]) if given.get(name) else None


def check_password_file(file: Path | None) -> Path | None:
    """Raises `ValueError` with the reason, never with the content."""
    if file is not None:
        _read(file)
    return file


def read_password(database: Database, file: Path | None) -> str:
    """The password, read from its file each time; "" without one. Raises `CredentialError`."""
    try:
        return _read(file) if file else database.password.get_secret_value() if database.password else ""
    except ValueError as error:
        raise CredentialError(f"state.password_file: {file} {error}") from None


def _read(file: Path) -> str:
    """Without the line break at the end: a password may contain spaces, and any character."""
    try:
        password = file.read_bytes().decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{why(error)}; write the path of a readable file") from None
    except UnicodeDecodeError:  # its text quotes the content
        raise ValueError("is not a text file") from None
    if not password:
        raise ValueError("is empty")
    return password
