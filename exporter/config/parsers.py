"""Parsers and checks of values: durations, addresses, URLs, secrets, files.

Every error is a `ValueError` with what to write instead in its message. Must not know the settings.
"""

import codecs
import ipaddress
import re
import ssl
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from exporter.config.problems import why

_OTHER_PATHS: Final = frozenset({"/", "/status.css", "/-/healthy", "/-/ready", "/-/reload"})
_UNITS: Final = {
    "d": Fraction(86400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}
_DURATION: Final = re.compile("(?=.)" + "".join(rf"(?:([0-9]+(?:\.[0-9]+)?){unit})?" for unit in _UNITS))
_ADDRESS: Final = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[A-Za-z0-9._-]*)):(?P<port>[0-9]{1,5})")


def parse_duration(value: object) -> float:
    """Returns seconds. Raises `ValueError`."""
    text = str(value).strip()
    amounts = _DURATION.fullmatch(f"{text}s" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else text)
    if amounts:
        pairs = zip(amounts.groups("0"), _UNITS.values(), strict=True)
        try:
            return float(sum(Fraction(amount) * unit for amount, unit in pairs))
        except (OverflowError, ValueError):  # too many digits for a float, or for Python's limit
            pass
    raise ValueError("is not a duration; write 90s, 15m, 7d or a number of seconds")


def duration_text(seconds: float) -> str:
    """The duration in the largest unit that is exact, one minute as 60s; the inverse of `parse_duration`."""
    exact = Fraction(repr(seconds))
    for unit, size in _UNITS.items():
        if exact and exact % size == 0 and (exact, unit) != (Fraction(60), "m"):
            return f"{exact // size}{unit}"
    return f"{Decimal(repr(seconds)).normalize():f}s"


def lower_case(value: object) -> object:
    """A word in lower case; `warn` is short for `warning`."""
    return {"warn": "warning"}.get(value.lower(), value.lower()) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """`host` is None for all interfaces; port 0 means any free port."""

    host: str | None
    port: int

    def __str__(self) -> str:
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Raises `ValueError`."""
    match = _ADDRESS.fullmatch(text.strip())
    if match and int(match["port"]) <= 65535:
        ipv6, host = match["ipv6"], match["host"]
        if _is_ipv6(ipv6) if ipv6 is not None else _is_host(host or "localhost"):
            return ListenAddress(ipv6 or host or None, int(match["port"]))
    raise ValueError("is not an address; write host:port, :port or [::1]:port, separated by commas")


def _is_host(text: str) -> bool:
    """Whether a resolver accepts it: no label is empty or too long."""
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def parse_listen_addresses(value: object) -> tuple[ListenAddress, ...]:
    if isinstance(value, tuple):
        return value
    return tuple(map(parse_listen_address, str(value).split(",")))


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError:
        host = None
    # urlsplit drops line breaks and tabs silently
    is_plain = text.isprintable() and " " not in text
    if not host or not _is_host(host) or parts.scheme not in {"https", "http"} or not is_plain:
        raise ValueError("is not a URL; write one such as https://comms.twilio.com/v1")
    if any(mark in text for mark in "@?#"):
        raise ValueError(
            "must not contain credentials, a query or a fragment; write one such as https://comms.twilio.com/v1"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "would send credentials in the clear; write https (http is for loopback addresses only)"
        )
    return text.rstrip("/")


def check_telemetry_path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", text):
        raise ValueError("is not a valid path; write one such as /metrics")
    if text in _OTHER_PATHS:
        raise ValueError("is taken; write one such as /metrics")
    return text


# Shells, Docker Compose and Kubernetes write ${NAME} and $(NAME), templates {{ name }}.
_PLACEHOLDER: Final = re.compile(r"\$\{|\$\(|\{\{|(?:^|/)\$[A-Za-z_][A-Za-z0-9_]*(?:/|$)")


def check_expanded(value: object) -> object:
    """Refuses text with a placeholder that should have been replaced before the start."""
    if isinstance(value, str) and _PLACEHOLDER.search(value):
        raise ValueError(
            "contains a placeholder such as ${NAME}, which is not expanded; write the value itself"
        )
    return value


def parse_secret(text: str) -> str:
    """The secret without the white space, byte order mark and NUL that tools add around it.

    Raises `ValueError` with a message that does not show the secret.
    """
    secret = re.sub(r"^[\s\ufeff\0]+|[\s\ufeff\0]+$", "", text)
    if not secret:
        raise ValueError("is empty")
    check_expanded(secret)
    if len(secret) > 1 and secret[0] == secret[-1] and secret[0] in "\"'`":
        raise ValueError("is in quotes; remove them")
    if not re.fullmatch("[!-~]+", secret):
        raise ValueError("contains spaces, line breaks or characters beyond ASCII; write the secret alone")
    return secret


def decode_secret(content: bytes) -> str:
    """UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it. Raises `ValueError`."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8")


def check_readable(file: Path | None) -> Path | None:
    if file is not None:
        try:
            file.open("rb").close()
        except OSError as error:
            raise ValueError(f"{why(error)}; write the path of a readable file") from None
    return file


def check_ca_file(file: Path | None) -> Path | None:
    """Checked at the start: the first connection would fail with a traceback."""
    if check_readable(file) is not None:
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            raise ValueError("contains no certificates; write the path of a PEM file") from None
    return file
