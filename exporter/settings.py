"""The settings: one class defines names, defaults and bounds; `load` fills it from every source.

The only module that knows pydantic. Must not know what a setting is used for, nor how it is written as a
flag, as a variable or in a file (that is `flags`).

Rule 1: flag > environment > file > default, setting by setting.
Rule 2: all problems are reported at once, and none shows a credential.
"""

import argparse
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from exporter import flags as written
from exporter.flags import ACCOUNT_VARIABLES, Given, Location, Problem, Setting, SettingsError

__all__ = [
    "SETTINGS",
    "Account",
    "Api",
    "Credential",
    "CredentialError",
    "ListenAddress",
    "Log",
    "Metrics",
    "Poll",
    "Settings",
    "SettingsError",
    "Web",
    "add_flags",
    "duration_text",
    "load",
    "parse_duration",
    "parse_listen_address",
]

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
    """Seconds. Raises `ValueError` with what would be right."""
    text = str(value).strip()
    amounts = _DURATION.fullmatch(f"{text}s" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else text)
    if amounts:
        pairs = zip(amounts.groups("0"), _UNITS.values(), strict=True)
        try:
            return float(sum(Fraction(amount) * unit for amount, unit in pairs))
        except (OverflowError, ValueError):  # more digits than a float, or than Python cares to read
            pass
    raise ValueError("is not a duration; write 90s, 15m, 7d or plain seconds")


def duration_text(seconds: float) -> str:
    """In the largest unit that holds it exactly, a minute as 60s; `parse_duration` reads it back."""
    exact = Fraction(repr(seconds))
    for unit, size in _UNITS.items():
        if exact and exact % size == 0 and (exact, unit) != (Fraction(60), "m"):
            return f"{exact // size}{unit}"
    return f"{Decimal(repr(seconds)).normalize():f}s"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """`host` is None for every interface; port 0 is any free port."""

    host: str | None
    port: int

    def __str__(self) -> str:
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Raises `ValueError` with what would be right."""
    match = _ADDRESS.fullmatch(text.strip())
    if match and int(match["port"]) <= 65535 and (match["ipv6"] is None or _is_ipv6(match["ipv6"])):
        return ListenAddress(match["ipv6"] or match["host"] or None, int(match["port"]))
    raise ValueError("is not an address; write host:port, :port or [::1]:port, several with commas between")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _listen_addresses(value: object) -> tuple[ListenAddress, ...]:
    if isinstance(value, tuple):
        return value
    return tuple(map(parse_listen_address, str(value).split(",")))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError:
        host = None
    # urlsplit drops line breaks and tabs without a word
    if not host or parts.scheme not in {"https", "http"} or not text.isprintable() or " " in text:
        raise ValueError("is not a URL; write one such as https://comms.twilio.com/v1")
    if any(mark in text for mark in "@?#"):
        raise ValueError(
            "must hold no credentials, query or fragment; write one such as https://comms.twilio.com/v1"
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError(
            "would send credentials in the clear; write https (http is for loopback addresses only)"
        )
    return text.rstrip("/")


def _telemetry_path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", text):
        raise ValueError("is not a path; write one such as /metrics")
    if text in _OTHER_PATHS:
        raise ValueError("is taken; write one such as /metrics")
    return text


def _why(error: OSError) -> str:
    return "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def _readable(content: str) -> AfterValidator:
    def check(file: Path | None) -> Path | None:
        if file is not None:
            try:
                file.open("rb").close()
            except OSError as error:
                raise ValueError(f"{_why(error)}; write the path of a file with {content}") from None
        return file

    return AfterValidator(check)


@dataclass(frozen=True)
class _Kind:
    """What help, docs and messages call the values of a type."""

    metavar: str
    words: str


Duration = Annotated[float, BeforeValidator(parse_duration), _Kind("DURATION", "a duration")]
Number = Annotated[float, _Kind("NUMBER", "a number")]
Count = Annotated[int, _Kind("COUNT", "a whole number")]
BaseUrl = Annotated[
    str, AfterValidator(_base_url), _Kind("URL", "an https URL (http for loopback addresses only)")
]
Addresses = Annotated[
    tuple[ListenAddress, ...],
    BeforeValidator(_listen_addresses),
    _Kind("ADDRESS", "host:port, :port or [::1]:port; several with commas between"),
]
UrlPath = Annotated[
    str, AfterValidator(_telemetry_path), _Kind("PATH", "a path that the exporter does not serve otherwise")
]
File = Annotated[Path | None, _Kind("FILE", "a file that can be written")]
_READABLE: Final = _Kind("FILE", "a file that can be read")
CaFile = Annotated[Path | None, _readable("CA certificates"), _READABLE]
WebConfigFile = Annotated[Path | None, _readable("TLS and users"), _READABLE]

_FROZEN: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Api(BaseModel):
    """How Twilio is called."""

    model_config = _FROZEN
    base_url: BaseUrl = Field(default="https://comms.twilio.com/v1", description="where the API is")
    timeout: Duration = Field(default=30.0, gt=0, description="time for one request, whole")
    requests_per_second: Number = Field(
        default=5.0, gt=0, le=100, description="ceiling, each account on its own"
    )
    concurrency: Count = Field(default=2, ge=1, le=50, description="requests in flight, each account")
    ca_file: CaFile = Field(default=None, description="extra CA certificates (PEM)")


class Poll(BaseModel):
    """What is asked for, and how often."""

    model_config = _FROZEN
    interval: Duration = Field(
        default=60.0, ge=1, description="from the start of a poll to the start of the next"
    )
    lookback: Duration = Field(
        default=604800.0, gt=0, le=604800, description="the window: operations created within it are counted"
    )
    recent: Duration = Field(default=7200.0, gt=0, description="the part of the window listed on every poll")
    sweep_interval: Duration = Field(
        default=900.0, gt=0, description="within this the whole window is listed once"
    )


class State(BaseModel):
    """What survives a restart."""

    model_config = _FROZEN
    path: File = Field(default=None, description="SQLite file; none: counters start at zero with the process")


class Metrics(BaseModel):
    """What is shown."""

    model_config = _FROZEN
    top_operations: Count = Field(
        default=20, ge=0, le=200, description="operations with their own series, worst first; 0: none"
    )
    first_scrape_timeout: Duration = Field(
        default=120.0,
        ge=0,
        description="after a start counters wait this long for a scrape to see where they stand",
    )


class Web(BaseModel):
    """Where it is shown."""

    model_config = _FROZEN
    listen_address: Addresses = Field(default=(ListenAddress(None, 10587),), description="where to listen")
    telemetry_path: UrlPath = Field(default="/metrics", description="path of the metrics")
    config_file: WebConfigFile = Field(
        default=None, description="TLS and basic auth, in the format of Prometheus' exporter-toolkit"
    )


class Log(BaseModel):
    """What is logged, to standard error."""

    model_config = _FROZEN
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level logged"
    )
    format: Literal["logfmt", "json"] = Field(default="logfmt", description="form of a log line")


class CredentialError(Exception):
    """The file of a secret is missing, empty or unreadable; the message names file and account."""


class Credential(NamedTuple):
    """User name and password of HTTP basic authentication."""

    username: str
    secret: SecretStr


def _read_secret(file: Path) -> SecretStr:
    """Raises `ValueError` that names the file, never its content."""
    # The trap is a secret where the path of its file should be: Twilio's secrets are 32 letters and digits.
    shown = "…" if re.fullmatch("[a-zA-Z0-9]{32}", file.name) else str(file)
    try:
        content = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"file {shown} {_why(error)}") from None
    except ValueError:  # its own text quotes the content
        raise ValueError(f"file {shown} is not a text file") from None
    if not content:
        raise ValueError(f"file {shown} is empty")
    return SecretStr(content)


def _matching(pattern: str, message: str) -> AfterValidator:
    def check(text: str | None) -> str | None:
        if text is not None and not re.fullmatch(pattern, text):
            raise ValueError(message)
        return text

    return AfterValidator(check)


def _with_secret(file: Path | None) -> Path | None:
    if file is not None:
        _read_secret(file)
    return file


AccountName = Annotated[str, _matching("[a-zA-Z0-9_.-]{1,64}", "must be 1 to 64 of a-z, A-Z, 0-9, _ . -")]
AccountSid = Annotated[str | None, _matching("AC[0-9a-fA-F]{32}", "must be AC followed by 32 hex digits")]
ApiKey = Annotated[str | None, _matching("SK[0-9a-fA-F]{32}", "must be SK followed by 32 hex digits")]
SecretFile = Annotated[Path | None, AfterValidator(_with_secret)]


class Account(BaseModel):
    """An account as it was written; `load` sees to it that it holds one whole pair."""

    model_config = _FROZEN
    name: AccountName
    account_sid: AccountSid = None
    auth_token: SecretStr | None = None
    auth_token_file: SecretFile = None
    api_key: ApiKey = None
    api_key_secret: SecretStr | None = None
    api_key_secret_file: SecretFile = None

    def credential(self) -> Credential:
        """Reads the secret's file anew. Raises `CredentialError`."""
        file = self.api_key_secret_file if self.api_key else self.auth_token_file
        secret = self.api_key_secret if self.api_key else self.auth_token
        try:
            secret = _read_secret(file) if file else secret
        except ValueError as error:
            raise CredentialError(f"account {self.name}: {error}") from None
        return Credential(self.api_key or self.account_sid or "", secret or SecretStr(""))


class Settings(BaseSettings):
    """Every setting, checked and frozen. Times are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    api: Api = Api()
    poll: Poll = Poll()
    state: State = State()
    metrics: Metrics = Metrics()
    web: Web = Web()
    log: Log = Log()
    accounts: tuple[Account, ...] = ()

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` merges the others itself: a problem must say which one its value came from.
        return (sources["init_settings"],)


def _settings() -> Iterator[Setting]:
    """Every field of every section; `accounts` is no section."""
    for section, model in Settings.model_fields.items():
        if isinstance(model.annotation, type) and issubclass(model.annotation, BaseModel):
            for name, field in model.annotation.model_fields.items():
                yield _setting(f"{section}.{name}", field)


def _setting(path: str, field: FieldInfo) -> Setting:
    kind = next((mark for mark in field.metadata if isinstance(mark, _Kind)), None)
    if kind is None:
        choices = get_args(field.annotation)
        kind = _Kind("|".join(choices), "one of " + ", ".join(choices))
    return Setting(
        path=path,
        default=_text(kind, field.default),
        description=field.description or "",
        metavar=kind.metavar,
        allowed=", ".join([kind.words, *_bounds(kind, field)]),
        repeatable=isinstance(field.default, tuple),
    )


def _text(kind: _Kind, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return duration_text(value) if kind.metavar == "DURATION" else str(value).removesuffix(".0")


def _bounds(kind: _Kind, field: FieldInfo) -> Iterator[str]:
    for name, words in (("gt", "more than"), ("ge", "at least"), ("le", "at most")):
        yield from (
            f"{words} {_text(kind, getattr(mark, name))}" for mark in field.metadata if hasattr(mark, name)
        )


SETTINGS: Final = tuple(_settings())
"""Every setting but the accounts, in the order of help and docs."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each setting, and `--config-file`. Use a parser with `allow_abbrev=False`."""
    written.add_flags(parser, SETTINGS)


def load(
    flags: argparse.Namespace | Mapping[str, object],
    environ: Mapping[str, str],
    *,
    unrecognized: Sequence[str] = (),
    accounts_required: bool = True,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from all sources. Raises `SettingsError` with everything that is wrong.

    `flags`: what a parser with `add_flags` found, by path; other names in it are left alone.
    `unrecognized`: what `parse_known_args` left over.
    `accounts_required=False`: credentials and `accounts` are not looked at.
    `defaults`: values by path in place of the model's own.
    """
    given_flags = vars(flags) if isinstance(flags, argparse.Namespace) else flags
    problems = [*written.unknown_flags(SETTINGS, unrecognized), *written.unknown_variables(SETTINGS, environ)]
    file, document = _document(given_flags, environ, problems)
    problems += written.unknown_sections(SETTINGS, file, document)
    given = {
        **{tuple(path.split(".")): Given(str(value), "default:") for path, value in (defaults or {}).items()},
        **written.given_by_file(SETTINGS, file, document),
        **written.given_by_environment(SETTINGS, environ),
        **written.given_by_flags(SETTINGS, given_flags),
    }
    accounts = _Accounts(file, [], {})
    if accounts_required:
        accounts = _read_accounts(file, document, environ, problems)
    try:
        settings = Settings(**_nested(given), accounts=accounts.all)
    except ValidationError as error:
        problems += [_problem(detail, given, accounts) for detail in error.errors(include_url=False)]
        raise SettingsError(problems) from None  # the error's own text quotes what was given
    if problems:
        raise SettingsError(problems)
    return settings


@dataclass(frozen=True)
class _Accounts:
    """The accounts as they were written, the environment's last, and how a problem speaks of them."""

    file: Path
    in_file: Sequence[Any]
    by_environment: Mapping[str, str]

    @property
    def all(self) -> tuple[Any, ...]:
        return (*self.in_file, self.by_environment) if self.by_environment else tuple(self.in_file)

    def problem(self, index: int, key: str, message: str) -> Problem:
        if index == len(self.in_file):
            return Problem("accounts", f"{ACCOUNT_VARIABLES[key]}:", message)
        path = f"accounts[{index}].{written.shown(key)}" if key else f"accounts[{index}]"
        return Problem(path, f"{self.file}:", message)

    def contradictions(self) -> Iterator[Problem]:
        """What no single value is to blame for."""
        if self.in_file and self.by_environment:
            variable = next(ACCOUNT_VARIABLES[key] for key in self.by_environment if key != "name")
            yield Problem(
                "accounts", f"{variable}:", f"contradicts the accounts in {self.file}; keep one of the two"
            )
        for index, account in enumerate(self.all):
            if isinstance(account, Mapping):
                in_file = index < len(self.in_file)
                spelled = {key: key if in_file else variable for key, variable in ACCOUNT_VARIABLES.items()}
                yield from (self.problem(index, *problem) for problem in _pair_problems(account, spelled))

    def repeated_names(self) -> Iterator[Problem]:
        first: dict[str, int] = {}
        for index, account in enumerate(self.in_file):
            name = account.get("name") if isinstance(account, Mapping) else None
            if isinstance(name, str) and first.setdefault(name, index) != index:
                yield self.problem(index, "name", f"is the name of accounts[{first[name]}], too")


def _pair_problems(account: Mapping[str, Any], spelled: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys and what is wrong with them: an account holds one whole pair, its secret given in one way."""
    token = [key for key in ("auth_token", "auth_token_file") if key in account]
    api_key = [key for key in ("api_key", "api_key_secret", "api_key_secret_file") if key in account]
    # An account SID beside an API key is unused but usual.
    user, secret = ("api_key", "api_key_secret") if api_key else ("account_sid", "auth_token")
    secrets = [key for key in (secret, f"{secret}_file") if key in account]
    if token and api_key:
        yield token[0], f"contradicts {spelled[api_key[0]]}; keep one of the two"
    elif user not in account and not secrets:
        yield user, "is missing; give account_sid and auth_token, or api_key and api_key_secret"
    elif user not in account:
        yield user, f"is missing beside {spelled[secrets[0]]}"
    elif not secrets:
        yield secret, f"is missing beside {spelled[user]}; give it or {spelled[f'{secret}_file']}"
    if len(secrets) > 1:
        yield secrets[1], f"contradicts {spelled[secret]}; keep one of the two"


def _read_accounts(
    file: Path, document: Mapping[str, Any], environ: Mapping[str, str], problems: list[Problem]
) -> _Accounts:
    in_file = written.accounts_by_file(file, document)
    if not isinstance(in_file, list):
        problems.append(Problem("accounts", f"{file}:", "must be a list of accounts"))
        in_file = []
    accounts = _Accounts(file, in_file, written.account_by_environment(environ))
    problems += [*accounts.contradictions(), *accounts.repeated_names()]
    # What could not be read may well hold accounts.
    if not accounts.all and not any(problem.path in {"accounts", "config_file"} for problem in problems):
        ways = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_KEY_SECRET"
        problems.append(
            Problem("accounts", "none given:", f"set {ways} (or list accounts in a settings file)")
        )
    return accounts


def _document(
    flags: Mapping[str, object], environ: Mapping[str, str], problems: list[Problem]
) -> tuple[Path, dict[str, Any]]:
    """The settings file and what it holds: nothing when there is none, or when it cannot be used."""
    flag = flags.get("config_file")
    text = str(flag or environ.get(written.CONFIG_FILE_VARIABLE, ""))
    file = Path(text)
    if text:
        try:
            return file, written.read_document(file.read_bytes())
        except OSError as error:
            name = written.CONFIG_FILE_FLAG if flag else written.CONFIG_FILE_VARIABLE
            problems.append(Problem("config_file", f"{name}={written.quoted(text)}", _why(error)))
        except ValueError as error:
            problems.append(Problem("config_file", f"{file}:", str(error)))
    return file, {}


def _nested(given: Mapping[Location, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for (section, *names), (value, _) in given.items():
        if not names:
            tree[section] = value
        elif isinstance(content := tree.setdefault(section, {}), dict):
            content[names[0]] = value
    return tree


def _problem(detail: ErrorDetails, given: Mapping[Location, Given], accounts: _Accounts) -> Problem:
    location = tuple(map(str, detail["loc"]))
    if location[0] == "accounts":
        index, key = int(location[1]), "".join(location[2:3])
        allowed = "text" if key else "a mapping of name and credential"
        return accounts.problem(
            index, key, _message(detail, allowed, written.unknown(key, ACCOUNT_VARIABLES))
        )
    path = ".".join(location[:2])
    settings = {setting.path: setting.allowed for setting in SETTINGS}
    if detail["type"] == "extra_forbidden":
        return Problem(written.shown(path), f"{accounts.file}:", written.unknown(path, settings))
    allowed = settings.get(path, "a mapping of settings")
    return Problem(path, given[location[:2]].source, _message(detail, allowed, ""))


def _message(detail: ErrorDetails, allowed: str, unknown: str) -> str:
    match detail["type"]:
        case "value_error":  # raised by this module, with what would be right
            return str(detail["ctx"]["error"])
        case "extra_forbidden":
            return unknown
        case "missing":
            return "is missing"
    return f"must be {allowed}"
