"""The file of `web.config_file`: TLS, headers, users and rate limit as frozen models.

The format is that of Prometheus' exporter-toolkit; a field's name or alias is the key in the file.
https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

Text in, values out: must not open a file that it names, nor know of ssl or HTTP.

Rule 1: an unknown key, a wrong value and a contradiction are errors, all reported at once.
Rule 2: no message shows a key, a password or its hash.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import (  # noqa: TID251 - home of pydantic
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails  # noqa: TID251 - home of pydantic_core

from exporter.config.loading import error_message
from exporter.config.sources import Problem, SettingsError, quoted, shown, unknown
from exporter.config.yaml_file import UNSET, read_document

VERSIONS: Final = ("TLS10", "TLS11", "TLS12", "TLS13")
CLIENT_AUTH_TYPES: Final = {
    "NoClientCert": "NoClientCert",
    "RequestClientCert": "RequestClientCert",
    "RequireAnyClientCert": "RequireAnyClientCert",
    "RequireClientCert": "RequireAnyClientCert",  # an older name that exporter-toolkit still takes
    "VerifyClientCertIfGiven": "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert": "RequireAndVerifyClientCert",
}
FRAME_OPTIONS: Final = ("deny", "sameorigin")
CONTENT_TYPE_OPTIONS: Final = ("nosniff",)
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

# 128 bits of salt in 22 characters: the last one holds two of them. The library refuses any other.
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_GO_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_AMOUNT: Final = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)"

Pem: TypeAlias = Path | str
"""A file, or the text that would stand in one."""


def _one_of(names: Iterable[str]) -> AfterValidator:
    allowed = tuple(names)

    def check(text: str | None) -> str | None:
        if text is not None and text not in allowed:
            raise ValueError(f"{quoted(text)} must be one of {', '.join(allowed)}")
        return text

    return AfterValidator(check)


def _flag(value: object) -> object:
    """A boolean of YAML, which arrives as text."""
    if isinstance(value, str) and value not in {"true", "false"}:
        raise ValueError(f"{quoted(value)} must be one of true, false")
    return value


def _path(value: object, info: ValidationInfo) -> object:
    """Relative paths are relative to the folder of the web config, which is the validation's context."""
    if not isinstance(value, str):
        return value
    if "-----BEGIN" in value:  # it would be shown as the name of a file that does not exist
        raise ValueError(f"holds the text itself; write that under {_inline(info.field_name)}")
    return (info.context or Path()) / value


def _inline(key: str | None) -> str:
    return (key or "").removesuffix("_file")


def _one_line(text: str | None) -> str | None:
    if text is not None and not text.isprintable():
        raise ValueError("must be one line of text")
    return text


def _user_name(name: str) -> str:
    if ":" in name or not name:
        raise ValueError("is no user name: it must not be empty nor hold a colon")
    return name


def _hash(text: str) -> str:
    if not _BCRYPT.fullmatch(text):
        raise ValueError("must be a bcrypt hash, such as htpasswd -nBC 10 writes")
    return text


def _go_seconds(value: object) -> object:
    """Seconds of a duration as Go writes it."""
    if not isinstance(value, str) or value == "0":
        return value
    if not re.fullmatch(f"(?:{_GO_AMOUNT})+", value):
        raise ValueError("is not a duration; write 100ms, 1s or 1m30s, or 0 for no limit")
    return sum(float(amount) * _GO_UNITS[unit] for amount, unit in re.findall(_GO_AMOUNT, value))


def _whole_number(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError("must be a whole number")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
FileName = Annotated[Path | None, BeforeValidator(_path)]
Version = Annotated[str, _one_of(VERSIONS)]
Header = Annotated[str | None, AfterValidator(_one_line)]


class Section(BaseModel):
    """A mapping of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_open_keys(cls, content: object) -> object:
        """A known key whose value is left open is not given."""
        if not isinstance(content, dict):
            return content
        known = cls.known_keys()
        return {key: value for key, value in content.items() if value not in UNSET or key not in known}

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        return tuple(field.alias or name for name, field in cls.model_fields.items())


class Tls(Section):
    """`tls_server_config`. A check that needs several keys belongs to the last of them."""

    cert: str | None = None
    cert_file: FileName = Field(default=None, validate_default=True)
    key: str | None = Field(default=None, repr=False)
    key_file: FileName = Field(default=None, validate_default=True)
    client_auth_type: Annotated[
        str, _one_of(CLIENT_AUTH_TYPES), AfterValidator(lambda name: CLIENT_AUTH_TYPES[name])
    ] = "NoClientCert"
    client_ca: str | None = None
    client_ca_file: FileName = Field(default=None, validate_default=True)
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Annotated[Version, Field(validate_default=True)] = "TLS13"
    cipher_suites: tuple[Annotated[str, _one_of((*TLS12_SUITES, *TLS13_SUITES))], ...] = ()
    """Go's names; none: the library's own choice."""
    prefer_server_cipher_suites: Flag = True
    curve_preferences: tuple[Annotated[str, _one_of(CURVES)], ...] = ()

    @property
    def certificate(self) -> Pem:
        return self.cert_file or self.cert or ""

    @property
    def private_key(self) -> Pem:
        return self.key_file or self.key or ""

    @property
    def client_authorities(self) -> Pem | None:
        return self.client_ca_file or self.client_ca

    @field_validator("cert_file", "key_file", "client_ca_file")
    @classmethod
    def _given_once(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        name = _inline(info.field_name)
        if file and info.data.get(name):
            raise ValueError(f"contradicts {name}; keep one of the two")
        if not file and name != "client_ca" and info.data.get(name, "wrong") is None:
            raise ValueError("is missing")
        return file

    @field_validator("client_ca_file")
    @classmethod
    def _authorities_are_of_use(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        given = file or info.data.get("client_ca")
        kind = info.data.get("client_auth_type")
        if given and kind == "NoClientCert":
            raise ValueError("is of no use without a client_auth_type")
        # Python's ssl has no way to take a certificate without verifying it.
        if not given and kind == "RequireAnyClientCert":
            raise ValueError("is missing: RequireAnyClientCert here verifies every certificate that it takes")
        return file

    @field_validator("client_allowed_sans")
    @classmethod
    def _names_are_asked_for(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        required = {"RequireAnyClientCert", "RequireAndVerifyClientCert"}
        if names and info.data.get("client_auth_type", "RequireAnyClientCert") not in required:
            raise ValueError("needs a client_auth_type of RequireAnyClientCert or RequireAndVerifyClientCert")
        return names

    @field_validator("max_version")
    @classmethod
    def _not_below_the_minimum(cls, maximum: str, info: ValidationInfo) -> str:
        minimum = info.data.get("min_version", "TLS10")
        if VERSIONS.index(maximum) < VERSIONS.index(minimum):
            raise ValueError(f"{maximum} is below min_version {minimum}")
        return maximum

    @field_validator("cipher_suites")
    @classmethod
    def _some_for_the_maximum(cls, suites: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        maximum = info.data.get("max_version", "TLS13")
        if suites and maximum != "TLS13" and not set(suites) & set(TLS12_SUITES):
            raise ValueError(f"holds none for max_version {maximum}")
        return suites


class Headers(Section):
    """`headers`: what may be set, and to which values."""

    content_security_policy: Header = Field(default=None, alias="Content-Security-Policy")
    strict_transport_security: Header = Field(default=None, alias="Strict-Transport-Security")
    content_type_options: Annotated[Header, _one_of(CONTENT_TYPE_OPTIONS)] = Field(
        default=None, alias="X-Content-Type-Options"
    )
    frame_options: Annotated[Header, _one_of(FRAME_OPTIONS)] = Field(default=None, alias="X-Frame-Options")
    xss_protection: Header = Field(default=None, alias="X-XSS-Protection")


class Http(Section):
    """`http_server_config`."""

    http2: Flag = True
    """Without effect: the server speaks HTTP/1.1."""
    headers: Headers = Headers()


class RateLimit(Section):
    """`rate_limit`: one request each `interval` seconds, and `burst` at once after a pause."""

    interval: Annotated[float, BeforeValidator(_go_seconds)] = 0.0
    burst: Annotated[int, BeforeValidator(_whole_number)] = Field(default=0, validate_default=True)

    @field_validator("burst")
    @classmethod
    def _at_least_one(cls, burst: int, info: ValidationInfo) -> int:
        if burst == 0 and info.data.get("interval"):
            raise ValueError("must be at least 1, or no request would ever pass")
        return burst


def _none_if_empty(content: object) -> object:
    return None if content == {} else content


def _none_if_unlimited(limit: RateLimit | None) -> RateLimit | None:
    return limit if limit and limit.interval else None


class WebConfig(Section):
    """The whole file; an empty one leaves everything open and plain."""

    tls: Annotated[Tls | None, BeforeValidator(_none_if_empty)] = Field(
        default=None, alias="tls_server_config"
    )
    http: Http = Field(default=Http(), alias="http_server_config")
    users: Mapping[Annotated[str, AfterValidator(_user_name)], Annotated[str, AfterValidator(_hash)]] = Field(
        default={}, alias="basic_auth_users", repr=False
    )
    """Password hashes by name."""
    rate_limit: Annotated[RateLimit | None, AfterValidator(_none_if_unlimited)] = None

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Those that are added to every response, by name."""
        return self.http.headers.model_dump(by_alias=True, exclude_none=True)

    def files(self) -> list[Path]:
        """Those that are named in it."""
        tls = self.tls
        named = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls else ()
        return [file for file in named if file]


SECTIONS: Final[Mapping[str, type[Section]]] = {
    "": WebConfig,
    "tls_server_config": Tls,
    "http_server_config": Http,
    "http_server_config.headers": Headers,
    "rate_limit": RateLimit,
}
"""The models by the path of their mapping in the file."""


def read_web_config(file: Path, content: bytes) -> WebConfig:
    """`file` gives relative paths their folder, and problems their place. Raises `SettingsError`."""
    try:
        return WebConfig.model_validate(read_document(content), context=file.parent)
    except ValidationError as error:
        raise SettingsError(_problems(file, error)) from None  # the error's own text quotes what was given
    except ValueError as error:
        raise SettingsError([Problem("web.config_file", f"{file}:", str(error))]) from None


_KINDS: Final = {"string_type": "text", "path_type": "text", "tuple_type": "a list of texts"}


def _problems(file: Path, error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        message = error_message(detail, _KINDS.get(detail["type"], "a mapping"), _unknown(detail))
        yield Problem(shown(_key_path(detail)), f"{file}:", message)


def _key_path(detail: ErrorDetails) -> str:
    """`tls_server_config.cipher_suites[2]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    return "".join(parts).removesuffix(".[key]").removeprefix(".")


def _unknown(detail: ErrorDetails) -> str:
    *parents, key = map(str, detail["loc"])
    section = SECTIONS.get(".".join(parents))
    return unknown(key, section.known_keys() if section else ()).replace("setting", "key")
