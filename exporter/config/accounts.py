"""Accounts and their credentials: the model of one, and the problems of those that were configured.

Must not know how a credential is used.

Rule 1: an account has one complete pair of user and secret, and the secret is given once.
Rule 2: no problem shows a credential.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, field_validator  # noqa: TID251 - home of pydantic

from exporter.config.alerts import Alerts
from exporter.config.parsers import check_expanded, decode_secret, parse_secret
from exporter.config.problems import Problem, shown, why
from exporter.config.sources import ACCOUNT_VARIABLES, account_by_environment
from exporter.config.yaml_file import accounts_by_file
from exporter.errors import CredentialError


class Credential(NamedTuple):
    """User name and password of HTTP basic authentication."""

    username: str
    secret: SecretStr


def _read_secret(file: Path) -> SecretStr:
    """Raises `ValueError` with the name of the file, never with its content."""
    # A secret may have been given in place of a path: Twilio's secrets are 32 letters and digits.
    shown = "…" if re.fullmatch("[a-zA-Z0-9]{32}", file.name) else str(file)
    try:
        text = decode_secret(file.read_bytes())
    except OSError as error:
        raise ValueError(f"file {shown} {why(error)}") from None
    except ValueError:  # the text of the error quotes the content
        raise ValueError(f"file {shown} is not a text file") from None
    try:
        return SecretStr(parse_secret(text))
    except ValueError as error:
        raise ValueError(f"file {shown} {error}") from None


def _parse_secret(secret: SecretStr | None) -> SecretStr | None:
    return secret and SecretStr(parse_secret(secret.get_secret_value()))


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


AccountName = Annotated[
    str, _matching("[a-zA-Z0-9_.-]{1,64}", "must be 1 to 64 characters of a-z, A-Z, 0-9, _ . -")
]
AccountSid = Annotated[str | None, _matching("AC[0-9a-fA-F]{32}", "must be AC followed by 32 hex digits")]
ApiKey = Annotated[str | None, _matching("SK[0-9a-fA-F]{32}", "must be SK followed by 32 hex digits")]
Secret = Annotated[SecretStr | None, AfterValidator(_parse_secret)]
SecretFile = Annotated[Path | None, AfterValidator(_with_secret)]


class Account(BaseModel):
    """One account. `_pair_problems` checks that it has one complete pair of user and secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    name: AccountName
    account_sid: AccountSid = None
    auth_token: Secret = None
    auth_token_file: SecretFile = None
    api_key: ApiKey = None
    api_key_secret: Secret = None
    api_key_secret_file: SecretFile = None
    alerts: Alerts = Alerts()
    """Only those that are set count; `Settings.alerts_of` returns all."""
    _expanded = field_validator("*", mode="before")(check_expanded)

    def credential(self) -> Credential:
        """The credential, its secret read from the file each time. Raises `CredentialError`."""
        file = self.api_key_secret_file if self.api_key else self.auth_token_file
        secret = self.api_key_secret if self.api_key else self.auth_token
        try:
            secret = _read_secret(file) if file else secret
        except ValueError as error:
            raise CredentialError(f"account {self.name}: {error}") from None
        return Credential(self.api_key or self.account_sid or "", secret or SecretStr(""))


@dataclass(frozen=True)
class WrittenAccounts:
    """The accounts as configured, that of the environment last, and how to report their problems."""

    file: Path
    in_file: Sequence[Any]
    by_environment: Mapping[str, str]

    @property
    def all(self) -> tuple[Any, ...]:
        return (*self.in_file, self.by_environment) if self.by_environment else tuple(self.in_file)

    def problem(self, index: int, key: str, message: str) -> Problem:
        if index == len(self.in_file):
            return Problem("accounts", f"{ACCOUNT_VARIABLES[key]}:", message)
        path = f"accounts[{index}].{shown(key)}" if key else f"accounts[{index}]"
        return Problem(path, f"{self.file}:", message)

    def contradictions(self) -> Iterator[Problem]:
        """Values that conflict with each other, or are missing."""
        if self.in_file and self.by_environment:
            variable = next(ACCOUNT_VARIABLES[key] for key in self.by_environment if key != "name")
            yield Problem(
                "accounts", f"{variable}:", f"conflicts with the accounts in {self.file}; keep one of the two"
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
                yield self.problem(index, "name", f"is also the name of accounts[{first[name]}]")


def _pair_problems(account: Mapping[str, Any], spelled: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each wrong key with its message."""
    token = [key for key in ("auth_token", "auth_token_file") if key in account]
    api_key = [key for key in ("api_key", "api_key_secret", "api_key_secret_file") if key in account]
    # An account SID next to an API key is common, and is not used.
    user, secret = ("api_key", "api_key_secret") if api_key else ("account_sid", "auth_token")
    secrets = [key for key in (secret, f"{secret}_file") if key in account]
    if token and api_key:
        yield token[0], f"conflicts with {spelled[api_key[0]]}; keep one of the two"
    elif user not in account and not secrets:
        yield user, "is missing; set account_sid and auth_token, or api_key and api_key_secret"
    elif user not in account:
        yield user, f"is missing; {spelled[secrets[0]]} needs it"
    elif not secrets:
        yield secret, f"is missing; set it or {spelled[f'{secret}_file']}"
    if len(secrets) > 1:
        yield secrets[1], f"conflicts with {spelled[secret]}; keep one of the two"


def read_accounts(
    file: Path, document: Mapping[str, Any], environ: Mapping[str, str], problems: list[Problem]
) -> WrittenAccounts:
    in_file = accounts_by_file(file, document, Alerts.model_fields)
    if not isinstance(in_file, list):
        problems.append(Problem("accounts", f"{file}:", "must be a list of accounts"))
        in_file = []
    accounts = WrittenAccounts(file, in_file, account_by_environment(environ))
    problems += [*accounts.contradictions(), *accounts.repeated_names()]
    # A file that cannot be read may list accounts.
    if not accounts.all and not any(problem.path in {"accounts", "config_file"} for problem in problems):
        ways = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_KEY_SECRET"
        problems.append(
            Problem("accounts", "none configured:", f"set {ways} (or list accounts in a settings file)")
        )
    return accounts
