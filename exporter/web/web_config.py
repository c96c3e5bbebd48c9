"""The file of `web.config_file`: TLS, headers, users and rate limit as frozen models.

The format is that of Prometheus' exporter-toolkit; a field's name or alias is the key in the file.
https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

Text in, values out: must not open the files that it names, or know ssl or HTTP.

Rule 1: an unknown key, a wrong value and a contradiction are errors, all reported at once.
Rule 2: no message shows a key, a password or its hash.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

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
from exporter.config.problems import Problem, SettingsError, quoted, shown, unknown
from exporter.config.yaml_file import UNSET, read_document
from exporter.web.go_scalars import parse_boolean, parse_seconds, parse_whole_number

VERSIONS: Final = ("TLS10", "TLS11", "TLS12", "TLS13")
CLIENT_AUTH_TYPES: Final = {
    "NoClientCert": "NoClientCert",
    "RequestClientCert": "RequestClientCert",
    "RequireAnyClientCert": "RequireAnyClientCert",
    "RequireClientCert": "RequireAnyClientCert",  # an older name that exporter-toolkit still accepts
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

# 128 bits of salt in 22 characters: the last one has two of them, and the library refuses other characters.
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")

Pem: TypeAlias = Path | str
"""A file, or its content."""


def _one_of(names: Iterable[str]) -> AfterValidator:
    allowed = tuple(names)

    def check(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{quoted(text)} must be one of {', '.join(allowed)}")
        return text

    return AfterValidator(check)


def _parsed(parse: Callable[[str], Any]) -> BeforeValidator:
    """A validator that parses text; other values are given by code, and stay as they are."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _path(value: object, info: ValidationInfo) -> object:
    """Relative paths are relative to the folder of the web config, the context of the validation."""
    if not isinstance(value, str):
        return value
    if "-----BEGIN" in value:  # the message "does not exist" would show it
        raise ValueError(f"contains the PEM text itself; write it under {_inline(info.field_name)}")
    return (info.context or Path()) / value


def _inline(key: str | None) -> str:
    return (key or "").removesuffix("_file")


def _one_line(text: str) -> str:
    """Line ends become spaces, as in Go. A block scalar of YAML ends in one."""
    line = re.sub("[\r\n]", " ", text).strip(" \t")
    if not line.replace("\t", " ").isprintable():
        raise ValueError("must be text without control characters")
    return line


def _user_name(name: str) -> str:
    if ":" in name or not name:
        raise ValueError("is not a valid user name; it must not be empty or contain a colon")
    return name


def _hash(text: str) -> str:
    if not _BCRYPT.fullmatch(text):
        raise ValueError("must be a bcrypt hash; create one with htpasswd -nBC 10 NAME")
    return text


Flag = Annotated[bool, _parsed(parse_boolean)]
FileName = Annotated[Path | None, BeforeValidator(_path)]
Version = Annotated[str, _one_of(VERSIONS)]
HeaderValue = Annotated[str, AfterValidator(_one_line)]


class Section(BaseModel):
    """A mapping of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, content: object) -> object:
        """A known key without a value gets its default."""
        if not isinstance(content, dict):
            return content
        known = cls.known_keys()
        return {key: value for key, value in content.items() if value not in UNSET or key not in known}

    @classmethod
    def known_keys(cls) -> tuple[str, ...]:
        return tuple(field.alias or name for name, field in cls.model_fields.items())


class Tls(Section):
    """`tls_server_config`.

    A check that needs several keys is a validator of the last one: pydantic validates fields in their order.
    """

    cert: str | None = None
    cert_file: FileName = Field(default=None, validate_default=True)
    key: str | None = Field(default=None, repr=False)
    key_file: FileName = Field(default=None, validate_default=True)
    client_auth_type: Annotated[
        str, _one_of(CLIENT_AUTH_TYPES), AfterValidator(lambda name: CLIENT_AUTH_TYPES[name])
    ] = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    client_ca: str | None = None
    client_ca_file: FileName = Field(default=None, validate_default=True)
    min_version: Version = "TLS12"
    max_version: Annotated[Version, Field(validate_default=True)] = "TLS13"
    cipher_suites: tuple[Annotated[str, _one_of((*TLS12_SUITES, *TLS13_SUITES))], ...] = ()
    """Go's names; empty: OpenSSL's defaults."""
    prefer_server_cipher_suites: Flag = True
    curve_preferences: tuple[Annotated[str, _one_of(CURVES)], ...] = ()

    @property
    def certificate(self) -> Pem:
        """The file, if both are given, as in exporter-toolkit; the same holds for the other two."""
        return self.cert_file or self.cert or ""

    @property
    def private_key(self) -> Pem:
        return self.key_file or self.key or ""

    @property
    def client_authorities(self) -> Pem | None:
        return self.client_ca_file or self.client_ca

    @field_validator("cert_file", "key_file")
    @classmethod
    def _given(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if not file and info.data.get(_inline(info.field_name), "wrong") is None:
            raise ValueError("is missing")
        return file

    @field_validator("client_ca_file")
    @classmethod
    def _authorities_are_of_use(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        given = file or info.data.get("client_ca")
        kind = info.data.get("client_auth_type")
        if given and kind == "NoClientCert":
            raise ValueError("has no effect with client_auth_type NoClientCert")
        # Python's ssl cannot accept a certificate without verifying it.
        verified_here_only = kind == "RequireAnyClientCert" or (
            kind == "RequestClientCert" and info.data.get("client_allowed_sans")
        )
        if not given and verified_here_only:
            raise ValueError(f"is missing; with {kind} the exporter verifies every client certificate")
        return file

    @field_validator("client_allowed_sans")
    @classmethod
    def _certificates_are_asked_for(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names and info.data.get("client_auth_type") == "NoClientCert":
            raise ValueError(
                "has no effect with client_auth_type NoClientCert: clients are not asked for a certificate"
            )
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
            raise ValueError(f"contains no suite for max_version {maximum}")
        return suites


class Headers(Section):
    """`headers`: the headers that can be set, and their allowed values."""

    content_security_policy: HeaderValue | None = Field(default=None, alias="Content-Security-Policy")
    strict_transport_security: HeaderValue | None = Field(default=None, alias="Strict-Transport-Security")
    content_type_options: Annotated[HeaderValue, _one_of(CONTENT_TYPE_OPTIONS)] | None = Field(
        default=None, alias="X-Content-Type-Options"
    )
    frame_options: Annotated[HeaderValue, _one_of(FRAME_OPTIONS)] | None = Field(
        default=None, alias="X-Frame-Options"
    )
    xss_protection: HeaderValue | None = Field(default=None, alias="X-XSS-Protection")


class Http(Section):
    """`http_server_config`."""

    http2: Flag = True
    """No effect: the server supports HTTP/1.1 only."""
    headers: Headers = Headers()


class RateLimit(Section):
    """`rate_limit`: one request per `interval` (seconds), and `burst` requests at once after a pause."""

    interval: Annotated[float, _parsed(parse_seconds)] = 0.0
    burst: Annotated[int, _parsed(parse_whole_number)] = Field(default=0, validate_default=True)

    @field_validator("burst")
    @classmethod
    def _at_least_one(cls, burst: int, info: ValidationInfo) -> int:
        if burst < 1 and info.data.get("interval"):
            raise ValueError("must be at least 1, or every request gets 429")
        return burst


def _none_if_empty(content: object) -> object:
    return None if content == {} else content


def _none_if_unlimited(limit: RateLimit | None) -> RateLimit | None:
    return limit if limit and limit.interval > 0 else None


class WebConfig(Section):
    """The whole file. The defaults are plain HTTP without users, headers or limits."""

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
        """Values by name, added to every response."""
        return self.http.headers.model_dump(by_alias=True, exclude_none=True)

    def files(self) -> list[Path]:
        """The files that it names."""
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
"""The model of each mapping, by its path in the file."""


def read_web_config(file: Path, content: bytes) -> WebConfig:
    """`file` is the base of relative paths and the source of problems. Raises `SettingsError`."""
    try:
        return WebConfig.model_validate(read_document(content), context=file.parent)
    except ValidationError as error:
        raise SettingsError(_problems(file, error)) from None  # its text quotes the values
    except ValueError as error:
        raise SettingsError([Problem("web.config_file", f"{file}:", str(error))]) from None


_KINDS: Final = {"string_type": "text", "path_type": "text", "tuple_type": "a list of text values"}


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
