"""The health check of a container: asks the exporter on this machine how it is.

It runs every few seconds within the limits of the container that it looks after. So it must not import the
program, nor pydantic or aiohttp: it takes a third of the memory and a tenth of the time. Of the settings it
knows the two that say where the exporter listens; a test holds them against `settings`.
"""

import argparse
import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final

from exporter.config.parsers import ListenAddress, parse_listen_addresses
from exporter.config.problems import Problem, SettingsError, shown
from exporter.config.sources import (
    Given,
    Location,
    Setting,
    add_flags,
    config_file,
    given_by_environment,
    given_by_flags,
)

LISTEN_ADDRESS: Final = Setting(
    "web.listen_address",
    default=":10587",
    description="where the exporter listens; the first address is asked",
    metavar="ADDRESS",
    allowed="",
    repeatable=True,
)
WEB_CONFIG_FILE: Final = Setting(
    "web.config_file",
    default="",
    description="if there is one, TLS is tried first",
    metavar="FILE",
    allowed="",
    repeatable=False,
)
TIMEOUT_SECONDS: Final = 4.0
"""For each step. Docker and Kubernetes end a check that takes longer than they were told."""

_HOSTS: Final[Mapping[str | None, tuple[str, ...]]] = {
    None: ("127.0.0.1", "::1"),
    "0.0.0.0": ("127.0.0.1",),  # noqa: S104 - how the system says "every address"
    "::": ("::1",),
}
"""Where to knock at one that listens on every address."""


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 it is well, 1 it is not, or not there, 2 settings wrong."""
    flags = vars(_parser().parse_args(argv))
    try:
        address, has_web_config = _read(flags, os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    complaint = _ask(address, "/-/ready" if flags["ready"] else "/-/healthy", try_tls=has_web_config)
    if complaint is not None:
        print(complaint, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="twilio-email-exporter healthcheck",
        description="Asks the exporter on this machine whether it is well. Needs no credentials.",
        epilog="Exit codes: 0 it is well, 1 it is not, 2 settings wrong.",
        allow_abbrev=False,
    )
    parser.add_argument("--ready", action="store_true", help="ask whether it is ready, not whether it lives")
    add_flags(parser, (LISTEN_ADDRESS, WEB_CONFIG_FILE))
    return parser


def _read(flags: Mapping[str, object], environ: Mapping[str, str]) -> tuple[ListenAddress, bool]:
    """Where it listens, and whether it has a web config. Raises `SettingsError`."""
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
        why_not = "is any free port; a health check must be told the real one"
        raise SettingsError([Problem(LISTEN_ADDRESS.path, written.source, why_not)])
    return address, WEB_CONFIG_FILE.location in given


def _given_by_file(
    settings: Sequence[Setting], flags: Mapping[str, object], environ: Mapping[str, str]
) -> Mapping[Location, Given]:
    named = config_file(flags, environ)
    if named is None:
        return {}
    from exporter.config.yaml_file import given_by_file, read_file  # YAML costs as much as all the rest

    return given_by_file(settings, Path(named.value), read_file(named))


def _ask(address: ListenAddress, path: str, *, try_tls: bool) -> str | None:
    """Why it is not well; `None`: it is."""
    complaints = []
    for host in _HOSTS.get(address.host, (address.host or "",)):
        where = ListenAddress(host, address.port)
        try:
            return _ask_with_tls(where, path) if try_tls else _answer(where, path)
        except TimeoutError:
            return f"{where} has not answered for {TIMEOUT_SECONDS:g} seconds"
        except HTTPException as error:
            complaints.append(f"{where} does not speak HTTP: {type(error).__name__}")
        except OSError as error:
            complaints.append(f"{where}: {error.strerror or error}")
    return complaints[0]


def _ask_with_tls(where: ListenAddress, path: str) -> str | None:
    """The listener is asked what it speaks, and not the web config: that may have changed since the start."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False  # it is our own, on this machine, and may have a certificate for any name
    tls.verify_mode = ssl.CERT_NONE
    connection = HTTPSConnection(where.host or "", where.port, timeout=TIMEOUT_SECONDS, context=tls)
    try:
        connection.connect()
        return _reply(connection, path)
    except ConnectionRefusedError:
        raise
    except (ConnectionError, ssl.SSLEOFError):
        # It wants a certificate, and there is none to show. But it is the loop that hung up: a process that
        # hangs would keep us waiting. asyncio does not always send the alert before.
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
        return None if reply.status == 200 else f"{path} answers {reply.status}: {shown(text)}"
    finally:
        connection.close()
