"""A real PostgreSQL with a cluster of its own, run by an unprivileged user on a loopback port."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from exporter.config.database import Database, parse_database
from tests.support.program import free_port, tool

USER: Final = "exporter"
PASSWORD: Final = "pa55 w0rd/@:%?"
"""Each character of it has a meaning in a URL."""

_WRITTEN: Final = "pa55%20w0rd%2F%40%3A%25%3F"
_NUMBERS: Final = itertools.count()


class Postgres:
    """A cluster. `url` and `database` are of a schema that nobody else uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    def url(self, schema: str = "", *, hosts: str = "", more: str = "") -> str:
        schema = schema or self.new_schema()
        hosts = hosts or f"127.0.0.1:{self.port}"
        return f"postgresql://{USER}:{_WRITTEN}@{hosts}/state?schema={schema}{more}"

    def database(self, schema: str = "", **options: str) -> Database:
        return parse_database(self.url(schema, **options))

    def new_schema(self) -> str:
        return f"test_{next(_NUMBERS)}"

    def start(self) -> None:
        self._control("start", "-w", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-w", "-m", mode)

    def configure(self, text: str) -> None:
        """Add to the configuration, and read it again."""
        with (self.folder / "data/postgresql.conf").open("a") as file:
            file.write(text + "\n")
        self._control("reload")

    def sql(self, statement: str, database: str = "state") -> str:
        """As the superuser; returns the rows as lines."""
        address = ["-h", str(self.folder), "-p", str(self.port), "-U", "owner", "-d", database]
        return _run(self.folder, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *address, "-c", statement)

    def _control(self, action: str, *options: str) -> None:
        _run(self.folder, "pg_ctl", action, "-s", "-D", str(self.folder / "data"), *options)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A cluster that is deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    server = Postgres(folder)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _UNPRIVILEGED)
        options = ["-U", "owner", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8"]
        _run(folder, "initdb", "-D", str(folder / "data"), *options)
        (folder / "data/pg_hba.conf").write_text(
            "local all owner trust\nhost all all 127.0.0.0/8 scram-sha-256\n"
        )
        with (folder / "data/postgresql.conf").open("a") as file:
            file.write(
                f"port = {server.port}\nlisten_addresses = '127.0.0.1,127.0.0.2'\n"
                f"unix_socket_directories = '{folder}'\n"
                "fsync = off\nautovacuum = off\n"  # a process is killed, not the machine
            )
        server.start()
        quoted = PASSWORD.replace("'", "''")
        server.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{quoted}'", "postgres")
        server.sql(f"CREATE DATABASE state OWNER {USER}", "postgres")
        yield server
    finally:
        stop = _command("pg_ctl", "stop", "-s", "-m", "immediate", "-D", str(folder / "data"))
        subprocess.run(stop, cwd="/", check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, *command: str) -> str:
    # Not a pipe: the server inherits it, and keeps it open.
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            _command(*command),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
            timeout=60,
        )
        out.seek(0)
        said = out.read()
    log = folder / "log"
    assert done.returncode == 0, said + (log.read_text() if log.exists() else "")
    return said.strip()


def _command(name: str, *arguments: str) -> Sequence[str]:
    program = tool(name) or name
    as_another = ["setpriv", "--reuid", _UNPRIVILEGED, "--regid", _GROUP, "--clear-groups"]
    return [*(as_another if os.geteuid() == 0 else []), program, *arguments]


def _unprivileged() -> str:
    """PostgreSQL refuses to run as root."""
    names = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


_UNPRIVILEGED: Final = _unprivileged()
_GROUP: Final = str(pwd.getpwnam(_UNPRIVILEGED).pw_gid)
