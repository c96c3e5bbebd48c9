"""The file of `web.config_file`: TLS, headers, users and rate limit, in the format of Prometheus'
exporter-toolkit, as frozen values.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

Text in, values out: must not open a file that it names, nor know of ssl or HTTP.

Rule 1: an unknown key, a wrong value and a contradiction are errors, all reported at once.
Rule 2: no message shows a key, a password or its hash.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exporter.config.problems import Problem, SettingsError
from exporter.config.yaml_file import read_document
from exporter.web.section import Pem, Section

VERSIONS: Final = ("TLS10", "TLS11", "TLS12", "TLS13")
CLIENT_AUTH_TYPES: Final = {
    "NoClientCert": "NoClientCert",
    "RequestClientCert": "RequestClientCert",
    "RequireAnyClientCert": "RequireAnyClientCert",
    "RequireClientCert": "RequireAnyClientCert",  # an older name that exporter-toolkit still takes
    "VerifyClientCertIfGiven": "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert": "RequireAndVerifyClientCert",
}
CURVES: Final = ("CurveP256", "CurveP384", "CurveP521", "X25519")

_ECDHE_SUITES: Final = (
    "AES_128_CBC_SHA",
    "AES_256_CBC_SHA",
    "AES_128_GCM_SHA256",
    "AES_256_GCM_SHA384",
    "CHACHA20_POLY1305_SHA256",
)
TLS12_SUITES: Final = tuple(
    f"TLS_ECDHE_{key}_WITH_{suite}" for key in ("ECDSA", "RSA") for suite in _ECDHE_SUITES
)
TLS13_SUITES: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")

HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""What may be set, and to which values; to any where there are none."""

# 128 bits of salt in 22 characters: the last one holds two of them. The library refuses any other.
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_GO_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_AMOUNT: Final = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)"


@dataclass(frozen=True, slots=True)
class Tls:
    cert: Pem
    key: Pem = field(repr=False)
    client_auth_type: str = "NoClientCert"
    client_ca: Pem | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    """Go's names; none: the library's own choice."""
    curve_preferences: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One request each `interval` seconds, and `burst` at once after a pause."""

    interval: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Password hashes by name."""
    rate_limit: RateLimit | None = None

    def files(self) -> list[Path]:
        """Those that are named in it."""
        pems = (self.tls.cert, self.tls.key, self.tls.client_ca) if self.tls else ()
        return [pem for pem in pems if isinstance(pem, Path)]


def read_web_config(file: Path, content: bytes) -> WebConfig:
    """`file` gives relative paths their folder, and problems their place. Raises `SettingsError`."""
    problems: list[Problem] = []
    try:
        document = read_document(content)
    except ValueError as error:
        raise SettingsError([Problem("web.config_file", f"{file}:", str(error))]) from None
    top = Section("", document, file, problems)
    config = WebConfig(
        tls=_tls(top.section("tls_server_config")),
        headers=_headers(top.section("http_server_config")),
        users=_users(top.section("basic_auth_users")),
        rate_limit=_rate_limit(top.section("rate_limit")),
    )
    top.end()
    if problems:
        raise SettingsError(problems)
    return config


def _tls(section: Section) -> Tls | None:
    cert, key = section.pem("cert"), section.pem("key")
    tls = Tls(
        cert=cert or "",
        key=key or "",
        client_auth_type=CLIENT_AUTH_TYPES[
            section.one_of("client_auth_type", CLIENT_AUTH_TYPES, "NoClientCert")
        ],
        client_ca=section.pem("client_ca"),
        client_allowed_sans=section.texts("client_allowed_sans"),
        min_version=section.one_of("min_version", VERSIONS, "TLS12"),
        max_version=section.one_of("max_version", VERSIONS, "TLS13"),
        cipher_suites=section.texts("cipher_suites", (*TLS12_SUITES, *TLS13_SUITES)),
        curve_preferences=section.texts("curve_preferences", CURVES),
        prefer_server_cipher_suites=section.flag("prefer_server_cipher_suites", default=True),
    )
    section.end()
    if not section.keys:
        return None
    for name, pem in (("cert_file", cert), ("key_file", key)):
        if not pem:
            section.wrong(name, "is missing")
    _check_client_auth(section, tls)
    _check_versions(section, tls)
    return tls


def _check_client_auth(section: Section, tls: Tls) -> None:
    required = tls.client_auth_type in {"RequireAnyClientCert", "RequireAndVerifyClientCert"}
    if tls.client_ca and tls.client_auth_type == "NoClientCert":
        section.wrong("client_ca_file", "is of no use without a client_auth_type")
    if tls.client_allowed_sans and not required:
        section.wrong(
            "client_allowed_sans",
            "needs a client_auth_type of RequireAnyClientCert or RequireAndVerifyClientCert",
        )
    # Python's ssl has no way to take a certificate without verifying it.
    if tls.client_auth_type == "RequireAnyClientCert" and not tls.client_ca:
        section.wrong(
            "client_auth_type",
            "RequireAnyClientCert needs a client_ca_file here: every certificate that is taken is verified",
        )


def _check_versions(section: Section, tls: Tls) -> None:
    if VERSIONS.index(tls.min_version) > VERSIONS.index(tls.max_version):
        section.wrong("min_version", f"{tls.min_version} is above max_version {tls.max_version}")
    if tls.cipher_suites and tls.max_version != "TLS13" and not set(tls.cipher_suites) & set(TLS12_SUITES):
        section.wrong("cipher_suites", f"holds none for max_version {tls.max_version}")


def _headers(section: Section) -> Mapping[str, str]:
    section.flag("http2", default=True)  # HTTP/1.1 is what the server speaks, whatever stands here
    headers = section.section("headers")
    section.end()
    values = {}
    for name in HEADERS:
        value = headers.one_of(name, HEADERS[name], "") if HEADERS[name] else headers.text(name)
        if value and not value.isprintable():
            headers.wrong(name, "must be one line of text")
        elif value:
            values[name] = value
    headers.end()
    return values


def _users(section: Section) -> Mapping[str, str]:
    users = {}
    for name in section.keys:
        hash_ = section.text(name)
        if ":" in name or not name:
            section.wrong(name, "is no user name: it must not be empty nor hold a colon")
        elif hash_ is None or not _BCRYPT.fullmatch(hash_):
            section.wrong(name, "must be a bcrypt hash, such as htpasswd -nBC 10 writes")
        else:
            users[name] = hash_
    return users


def _rate_limit(section: Section) -> RateLimit | None:
    interval = _go_seconds(section.text("interval") or "0")
    burst = section.text("burst") or "0"
    section.end()
    if interval is None:
        section.wrong("interval", "is not a duration; write 100ms, 1s or 1m30s, or 0 for no limit")
    elif not re.fullmatch("[0-9]{1,9}", burst):
        section.wrong("burst", "must be a whole number")
    elif interval and int(burst) == 0:
        section.wrong("burst", "must be at least 1, or no request would ever pass")
    elif interval:
        return RateLimit(interval, int(burst))
    return None


def _go_seconds(text: str) -> float | None:
    """A duration as Go writes it; `None` for anything else."""
    if text == "0":
        return 0.0
    if not re.fullmatch(f"(?:{_GO_AMOUNT})+", text):
        return None
    return sum(float(amount) * _GO_UNITS[unit] for amount, unit in re.findall(_GO_AMOUNT, text))
