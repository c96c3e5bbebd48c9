"""The health check of a container: requests /-/healthy or /-/ready of the exporter on this machine.

It runs every few seconds within the limits of the container that it checks. So it must not import the rest
of the program, nor pydantic or aiohttp: it needs a third of the memory and a tenth of the time. It knows the
two settings that define where the exporter listens; a test checks them against `settings`.
"""

import argparse
import os
import ssl
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final

from exporter.config.parsers import ListenAddress, parse_listen_addresses
from exporter.config.problems import Problem, SettingsError, shown
from exporter.config.sources import (
    Given,
    Location,
    OneLineParser,
    Setting,
    add_flags,
    config_file,
    given_by_environment,
    given_by_flags,
)
from exporter.output import OUTPUT, OutputError, complain

LISTEN_ADDRESS: Final = Setting(
    "web.listen_address",
    default=":10587",
    description="address of the exporter; only the first one is checked",
    metavar="ADDRESS",
    allowed="",
    repeatable=True,
)
WEB_CONFIG_FILE: Final = Setting(
    "web.config_file",
    default="",
    description="web config file of the exporter; if set, TLS is tried first",
    metavar="FILE",
    allowed="",
    repeatable=False,
)
TIMEOUT_SECONDS: Final = 4.0
"""For each step, such as connecting. Docker and Kubernetes limit the whole check."""

_HOSTS: Final[Mapping[str | None, tuple[str, ...]]] = {
    None: ("127.0.0.1", "::1"),
    "0.0.0.0": ("127.0.0.1",),  # noqa: S104 - the wildcard address
    "::": ("::1",),
}
"""The addresses to try for an exporter that listens on all interfaces."""


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 healthy, 1 not healthy or not reachable, 2 invalid configuration."""
    parser = _parser()
    flags = vars(parser.parse_args(argv))
    try:
        if flags["help"]:
            OUTPUT.write(parser.format_help())
            return 0
        address, has_web_config = _read(flags, os.environ)
    except OutputError as error:
        complain(str(error))
        return 1
    except SettingsError as error:
        complain(str(error))
        return 2
    problem = _ask(address, "/-/ready" if flags["ready"] else "/-/healthy", try_tls=has_web_config)
    if problem is not None:
        complain(problem)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="twilio-email-exporter healthcheck",
        description="Check whether the exporter on this machine is healthy. Needs no credentials.",
        epilog="Exit codes: 0 healthy, 1 not healthy or not reachable, 2 invalid configuration.",
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    parser.add_argument("--ready", action="store_true", help="check /-/ready instead of /-/healthy")
    add_flags(parser, (LISTEN_ADDRESS, WEB_CONFIG_FILE))
    return parser


def _read(flags: Mapping[str, object], environ: Mapping[str, str]) -> tuple[ListenAddress, bool]:
    """The address, and whether there is a web config. Raises `SettingsError`."""
    settings = (LISTEN_ADDRESS, WEB_CONFIG_FILE)
    given = {
        **_given_by_file(settings, flags, environ),
        **given_by_environment(settings, environ),
        **given_by_flags(settings, flags),
    }
    written = given.get(LISTEN_ADDRESS.location, Given(LISTEN_ADDRESS.default, "default:"))
    try:
        address = parse_listen_addresses(written.value)[0]
    except ValueError as error:
        raise SettingsError([Problem(LISTEN_ADDRESS.path, written.source, str(error))]) from None
    if address.port == 0:
        why_not = "means any free port; set the port that the exporter listens on"
        raise SettingsError([Problem(LISTEN_ADDRESS.path, written.source, why_not)])
    return address, WEB_CONFIG_FILE.location in given


def _given_by_file(
    settings: Sequence[Setting], flags: Mapping[str, object], environ: Mapping[str, str]
) -> Mapping[Location, Given]:
    named = config_file(flags, environ)
    if named is None:
        return {}
    from exporter.config.yaml_file import given_by_file, read_file  # YAML costs as much as everything else

    return given_by_file(settings, Path(named.value), read_file(named))


def _ask(address: ListenAddress, path: str, *, try_tls: bool) -> str | None:
    """Why the exporter is not healthy; `None` when it is."""
    problems = []
    for host in _HOSTS.get(address.host, (address.host or "",)):
        where = ListenAddress(host, address.port)
        try:
            return _ask_with_tls(where, path) if try_tls else _answer(where, path)
        except TimeoutError:
            return f"{where} did not answer within {TIMEOUT_SECONDS:g} seconds"
        except HTTPException as error:
            problems.append(f"{where} does not speak HTTP: {type(error).__name__}")
        except OSError as error:
            problems.append(f"{where}: {error.strerror or error}")
    return problems[0]


def _ask_with_tls(where: ListenAddress, path: str) -> str | None:
    """Tries TLS, then plain HTTP: the web config may have changed since the exporter read it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False  # our own listener, whose certificate may have any name
    tls.verify_mode = ssl.CERT_NONE
    connection = HTTPSConnection(where.host or "", where.port, timeout=TIMEOUT_SECONDS, context=tls)
    try:
        connection.connect()
        return _reply(connection, path)
    except ConnectionRefusedError:
        raise
    except (ConnectionError, ssl.SSLEOFError):
        # The listener requires a client certificate, and there is none. It closed the connection, so its loop
        # is running; a hanging process would time out. asyncio does not always send the alert first.
        return None
    except ssl.SSLError as error:
        return None if "ALERT" in (error.reason or "") else _answer(where, path)


def _answer(where: ListenAddress, path: str) -> str | None:
    return _reply(HTTPConnection(where.host or "", where.port, timeout=TIMEOUT_SECONDS), path)


def _reply(connection: HTTPConnection, path: str) -> str | None:
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        text = reply.read(200).decode(errors="replace").partition("\n")[0]
        return None if reply.status == 200 else f"{path} returned {reply.status}: {shown(text)}"
    finally:
        connection.close()
