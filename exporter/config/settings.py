"""The settings: one class defines names, defaults and bounds, and `SETTINGS` lists them for help and docs.

Must not know what a setting is used for, nor how flags, variables and the file are read.
"""

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (  # noqa: TID251 - home of pydantic
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo  # noqa: TID251 - home of pydantic
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict  # noqa: TID251 - home of pydantic_settings

from exporter.config.accounts import Account
from exporter.config.alerts import Alerts
from exporter.config.breakdown import Breakdown
from exporter.config.database import EXAMPLE, Database, check_password_file, parse_database
from exporter.config.parsers import (
    ListenAddress,
    check_base_url,
    check_ca_file,
    check_expanded,
    check_readable,
    check_telemetry_path,
    duration_text,
    lower_case,
    parse_listen_addresses,
)
from exporter.config.shard import MAX_SHARDS, Shard, parse_shard
from exporter.config.sources import Setting
from exporter.config.values import MAX_LOOKBACK, Count, Duration, Kind, Number, Section

BaseUrl = Annotated[
    str, AfterValidator(check_base_url), Kind("URL", "an https URL (http only for loopback addresses)")
]
Addresses = Annotated[
    tuple[ListenAddress, ...],
    BeforeValidator(parse_listen_addresses),
    Kind("ADDRESS", "host:port, :port or [::1]:port, separated by commas"),
]
UrlPath = Annotated[
    str,
    AfterValidator(check_telemetry_path),
    Kind("PATH", "a path that the exporter does not already serve"),
]
_READABLE: Final = Kind("FILE", "a readable file")
CaFile = Annotated[Path | None, AfterValidator(check_ca_file), _READABLE]
WebConfigFile = Annotated[Path | None, AfterValidator(check_readable), _READABLE]
ShardOf = Annotated[
    Shard | None,
    BeforeValidator(parse_shard),
    Kind("INDEX/COUNT", f"index/count with an index from 0, such as 0/3, at most {MAX_SHARDS} shards"),
]
File = Annotated[Path | None, Kind("FILE", "a writable file")]
DatabaseUrl = Annotated[
    Database | None, BeforeValidator(parse_database), Kind("URL", f"a URL such as {EXAMPLE}")
]
PasswordFile = Annotated[Path | None, AfterValidator(check_password_file), _READABLE]

_ANY_CASE: Final = BeforeValidator(lower_case)


class Api(Section):
    """How the API is called."""

    base_url: BaseUrl = Field(default="https://comms.twilio.com/v1", description="base URL of the API")
    timeout: Duration = Field(default=30.0, gt=0, description="total timeout per request")
    requests_per_second: Number = Field(
        default=5.0, gt=0, le=100, description="maximum request rate per account"
    )
    concurrency: Count = Field(default=2, ge=1, le=50, description="maximum concurrent requests per account")
    ca_file: CaFile = Field(default=None, description="additional CA certificates (PEM)")


class Poll(Section):
    """What is polled, and how often."""

    interval: Duration = Field(
        default=60.0, ge=1, description="time from the start of one poll to the start of the next"
    )
    lookback: Duration = Field(
        default=MAX_LOOKBACK,
        gt=0,
        le=MAX_LOOKBACK,
        description="length of the window: operations created within it are counted",
    )
    recent: Duration = Field(
        default=7200.0, gt=0, description="the newest part of the window, listed on every poll"
    )
    sweep_interval: Duration = Field(
        default=900.0, gt=0, description="the whole window is listed once within this time"
    )
    fetch: Annotated[Literal["all", "fewest", "none"], _ANY_CASE] = Field(
        default="all",
        description="how each poll refreshes unfinished operations: by a fetch of each; with the fewest"
        " requests, by listings filtered by status; or not beyond the listing",
    )


class State(Section):
    """Where the state is kept over a restart."""

    path: File = Field(
        default=None, description="SQLite file that keeps the counters; without one they restart at zero"
    )
    url: DatabaseUrl = Field(
        default=None,
        description="PostgreSQL database that keeps the counters instead of a file; of several exporters with"
        " the same database, one is active",
    )
    password_file: PasswordFile = Field(
        default=None, description="file with the password for state.url, read for each connection"
    )

    @field_validator("url")
    @classmethod
    def _instead_of_a_file(cls, url: Database | None, info: ValidationInfo) -> Database | None:
        if url is not None and info.data.get("path") is not None:
            raise ValueError("conflicts with state.path; keep one of the two")
        return url

    @field_validator("password_file")
    @classmethod
    def _instead_of_one_in_the_url(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        url = info.data.get("url")  # absent where it has a problem of its own
        if file is not None and url is not None and url.password is not None:
            raise ValueError("conflicts with the password in state.url; keep one of the two")
        return file


class Metrics(Section):
    """Which metrics are exposed."""

    top_operations: Count = Field(
        default=20,
        ge=0,
        le=200,
        description="number of top failing operations with their own series; 0 disables them",
    )
    first_scrape_timeout: Duration = Field(
        default=120.0,
        ge=0,
        description="maximum time after a start that counters wait for the first scrape",
    )


class Web(Section):
    """Where the metrics are served."""

    listen_address: Addresses = Field(
        default=(ListenAddress(None, 10587),), description="address to listen on"
    )
    telemetry_path: UrlPath = Field(default="/metrics", description="URL path of the metrics")
    config_file: WebConfigFile = Field(
        default=None, description="file with TLS and basic auth, in the format of exporter-toolkit"
    )


class Log(Section):
    """What is logged to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _ANY_CASE] = Field(
        default="info", description="minimum log level"
    )
    format: Annotated[Literal["logfmt", "json"], _ANY_CASE] = Field(
        default="logfmt", description="log format"
    )


# pydantic-settings takes its sources from the class; there is no public way to pass them to an instance.
_SOURCES: Final[ContextVar[tuple[PydanticBaseSettingsSource, ...]]] = ContextVar("sources", default=())


class Settings(BaseSettings):
    """All settings, checked and frozen. Times are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    api: Api = Api()
    poll: Poll = Poll()
    state: State = State()
    breakdown: Breakdown = Breakdown()
    alerts: Alerts = Alerts()
    metrics: Metrics = Metrics()
    web: Web = Web()
    log: Log = Log()
    shard: ShardOf = Field(
        default=None,
        validate_default=False,
        description="poll only the accounts of this shard",
    )
    accounts: tuple[Account, ...] = ()
    _expanded = field_validator("shard", mode="before")(check_expanded)

    @property
    def own_accounts(self) -> tuple[Account, ...]:
        """The accounts of this shard; all accounts when there is no shard."""
        return tuple(each for each in self.accounts if self.shard is None or self.shard.owns(each.name))

    @property
    def database(self) -> Database | None:
        """Where this shard keeps its state; `None` without `state.url`."""
        return self.state.url and self.state.url.of_shard(self.shard)

    def alerts_of(self, account_name: str) -> Alerts:
        """The thresholds of an account: its own where it has some, otherwise the common ones."""
        own = next((each.alerts for each in self.accounts if each.name == account_name), Alerts())
        return self.alerts.overridden_by(own)

    @classmethod
    def from_sources(cls, sources: Sequence[PydanticBaseSettingsSource], **values: Any) -> "Settings":
        """Settings from `values`, then from the sources, the strongest first. Raises `ValidationError`."""
        token = _SOURCES.set(tuple(sources))
        try:
            return cls(**values)
        finally:
            _SOURCES.reset(token)

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        # Not the library's own sources: they read the process environment and do not keep where a value was.
        return (sources["init_settings"], *_SOURCES.get())


def _settings() -> Iterator[Setting]:
    """Every field of every section and every field without a section, except `accounts`."""
    for section, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for name, inner in field.annotation.model_fields.items():
                yield _setting(f"{section}.{name}", inner)
        elif field.description:
            yield _setting(section, field)


def _setting(path: str, field: FieldInfo) -> Setting:
    kind = next((mark for mark in field.metadata if isinstance(mark, Kind)), None)
    if kind is None:
        choices = get_args(field.annotation)
        kind = Kind("|".join(choices), "one of " + ", ".join(choices))
    return Setting(
        path=path,
        default=_text(kind, field.default),
        description=field.description or "",
        metavar=kind.metavar,
        allowed=", ".join([kind.words, *_bounds(kind, field)]),
        repeatable=isinstance(field.default, tuple),
    )


def _text(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return duration_text(value) if kind.metavar == "DURATION" else str(value).removesuffix(".0")


def _bounds(kind: Kind, field: FieldInfo) -> Iterator[str]:
    for name, words in (("gt", "more than"), ("ge", "at least"), ("le", "at most")):
        yield from (
            f"{words} {_text(kind, getattr(mark, name))}" for mark in field.metadata if hasattr(mark, name)
        )


SETTINGS: Final = tuple(_settings())
"""All settings except the accounts, in the order of help and docs."""
