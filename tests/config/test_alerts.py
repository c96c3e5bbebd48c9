"""Thresholds of the alerts: the common ones from each source, and those of one account from the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.accounts import Account
from exporter.config.alerts import Alerts
from exporter.config.loading import load
from exporter.config.problems import SettingsError
from exporter.config.settings import Settings

FILE = "exporter.yaml"
CREDENTIAL = {"account_sid": "AC" + "0" * 32, "auth_token": "a-token"}
ENVIRONMENT = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "a-token"}
RATIO = "must be a number, more than 0, at most 1"
NOT_EXPANDED = "contains a placeholder such as ${NAME}, which is not expanded; write the value itself"
AGE = "must be a duration, more than 0s, at most 7d"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def account(name: str, alerts: object = None) -> dict[str, Any]:
    return {"name": name, **CREDENTIAL} | ({} if alerts is None else {"alerts": alerts})


def loaded(
    document: Mapping[str, Any],
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    Path(FILE).write_text(yaml.safe_dump(document))
    return load({"config_file": FILE, **(flags or {})}, environ or {})


def lines(document: Mapping[str, Any], **sources: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(document, **sources)
    return str(caught.value).split("\n")


# -- precedence -------------------------------------------------------------------------------------------


def test_accounts_without_a_section_have_the_common_thresholds() -> None:
    """Defaults and common settings hold for every account."""
    settings = loaded({"accounts": [account("a"), account("b")]}, {"alerts.failed_ratio": "0.2"})
    assert settings.alerts_of("a") == settings.alerts_of("b") == Alerts(failed_ratio=0.2)


def test_account_of_the_environment_has_the_common_thresholds() -> None:
    """An account without the file can be tuned, too."""
    settings = load({}, ENVIRONMENT | {"EXPORTER_ALERTS__STUCK_AFTER": "6h"})
    assert settings.alerts_of("default") == Alerts(stuck_after=21600)


@pytest.mark.parametrize(
    "common",
    [
        {"flags": {"alerts.failed_ratio": "0.3"}},
        {"environ": {"EXPORTER_ALERTS__FAILED_RATIO": "0.3"}},
        {"document": {"alerts": {"failed_ratio": "0.3"}}},
        {},
    ],
    ids=["flag", "variable", "file", "default"],
)
def test_section_of_an_account_wins_over_the_common_threshold(common: dict[str, Any]) -> None:
    """Whatever the source of the common one; other accounts and other thresholds are not affected."""
    accounts = {"accounts": [account("shop", {"failed_ratio": 0.2}), account("news")]}
    settings = loaded(common.pop("document", {}) | accounts, **common)
    assert settings.alerts_of("shop") == settings.alerts.model_copy(update={"failed_ratio": 0.2})
    assert settings.alerts_of("news") == settings.alerts


def test_section_of_an_account_may_repeat_the_default() -> None:
    """A written value counts, even if it is the default: the common one may differ."""
    accounts = [account("shop", {"failed_ratio": 0.05, "stuck_after": "2h"})]
    settings = loaded({"accounts": accounts, "alerts": {"failed_ratio": 0.3, "stuck_after": "4h"}})
    assert settings.alerts_of("shop") == Alerts()


@given(
    common=st.dictionaries(st.sampled_from([*Alerts.model_fields]), st.floats(0.001, 1)),
    own=st.dictionaries(st.sampled_from([*Alerts.model_fields]), st.floats(0.001, 1)),
)
def test_each_threshold_has_the_strongest_value(common: dict[str, float], own: dict[str, float]) -> None:
    """For every pair of partial sections: the account's, otherwise the common one, otherwise the default."""
    shop = Account.model_validate(account("shop", own))
    settings = Settings(alerts=Alerts.model_validate(common), accounts=(shop,))
    assert settings.alerts_of("shop").model_dump() == Alerts().model_dump() | common | own


@pytest.mark.parametrize("text", ["alerts:", "alerts: ~", "alerts: {}", "alerts: {failed_ratio: }"])
def test_what_a_section_leaves_open_is_not_set(text: str) -> None:
    """An empty section or value of an account changes nothing."""
    Path(FILE).write_text(f"accounts: [{{name: a, account_sid: AC{'0' * 32}, auth_token: t, {text}}}]")
    assert load({"config_file": FILE}, {}).alerts_of("a") == Alerts()


def test_thresholds_are_frozen_and_checked_again_in_code() -> None:
    """No code path can set a threshold that is out of bounds."""
    with pytest.raises(ValueError, match="frozen"):
        Alerts().failed_ratio = 0.5
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Alerts(failed_ratio=1.5)


# -- problems ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alerts", "problem"),
    [
        (5, ": exporter.yaml: must be a mapping of settings"),
        (["failed_ratio"], ": exporter.yaml: must be a mapping of settings"),
        ({"failed_ratio": 1.5}, f'.failed_ratio: exporter.yaml: "1.5" {RATIO}'),
        ({"failed_ratio": 5}, f'.failed_ratio: exporter.yaml: "5" {RATIO}'),
        ({"failed_ratio": "8%"}, f'.failed_ratio: exporter.yaml: "8%" {RATIO}'),
        ({"failed_ratio": 0}, f'.failed_ratio: exporter.yaml: "0" {RATIO}'),
        ({"failed_ratio": [0.1]}, f".failed_ratio: exporter.yaml: {RATIO}"),
        ({"late_after": "8d"}, f'.late_after: exporter.yaml: "8d" {AGE}'),
        ({"late_after": 0}, f'.late_after: exporter.yaml: "0" {AGE}'),
        (
            {"late_after": "soon"},
            '.late_after: exporter.yaml: "soon" is not a duration; write 90s, 15m, 7d or a number of seconds',
        ),
        (
            {"failed_ratio": "${RATIO}"},
            f'.failed_ratio: exporter.yaml: "${{RATIO}}" {NOT_EXPANDED}',
        ),
        (
            {"failed_ration": 0.1},
            ".failed_ration: exporter.yaml: unknown setting; did you mean alerts.failed_ratio?",
        ),
        (
            {"failed_ration": ""},
            ".failed_ration: exporter.yaml: unknown setting; did you mean alerts.failed_ratio?",
        ),
        ({"interval": "5s"}, ".interval: exporter.yaml: unknown setting"),
        ({"alerts": {"failed_ratio": 0.1}}, ".alerts: exporter.yaml: unknown setting"),
        ({"x\n": 1}, r".x\n: exporter.yaml: unknown setting"),
        ({"failed_ratio": "\x1b[2J"}, rf'.failed_ratio: exporter.yaml: "\x1b[2J" {RATIO}'),
    ],
)
def test_wrong_section_of_an_account(alerts: object, problem: str) -> None:
    """One line with the place of the account, the key, the value and what to write instead."""
    accounts = [account("a", {"failed_ratio": 1}), account("b", alerts)]
    assert lines({"accounts": accounts}) == [f"accounts[1].alerts{problem}"]


def test_all_problems_of_all_sections_at_once() -> None:
    """Each wrong threshold is a line of its own."""
    accounts = [account("a", {"failed_ratio": 2, "stuck_late": 1}), account("b", {"stuck_after": "9d"})]
    assert lines({"alerts": {"late_ratio": 2}, "accounts": accounts}) == [
        f'alerts.late_ratio: exporter.yaml: "2" {RATIO}',
        f'accounts[0].alerts.failed_ratio: exporter.yaml: "2" {RATIO}',
        "accounts[0].alerts.stuck_late: exporter.yaml: unknown setting; did you mean alerts.stuck_after?",
        f'accounts[1].alerts.stuck_after: exporter.yaml: "9d" {AGE}',
    ]


def test_threshold_beside_the_section() -> None:
    """The line names the section that the threshold belongs in."""
    assert lines({"accounts": [account("a") | {"failed_ratio": 0.1}]}) == [
        "accounts[0].failed_ratio: exporter.yaml: unknown setting; did you mean alerts.failed_ratio?"
    ]
    assert lines({"accounts": [account("a") | {"alert": {}}]}) == [
        "accounts[0].alert: exporter.yaml: unknown setting; did you mean alerts?"
    ]


OWN_ENTRY = "unknown setting; write the thresholds of an account in its entry of accounts"
NO_CREDENTIAL = "is missing; set account_sid and auth_token, or api_key and api_key_secret"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"alerts": {"shop": {"failed_ratio": 0.1}}}, [f"alerts.shop: exporter.yaml: {OWN_ENTRY}"]),
        ({"alerts": {"gone": {"failed_ratio": 0.1}}}, [f"alerts.gone: exporter.yaml: {OWN_ENTRY}"]),
        ({"gone": {"failed_ratio": 0.1}}, ["gone: exporter.yaml: unknown setting"]),
        (
            {"accounts": [account("shop"), {"name": "gone", "alerts": {"failed_ratio": 0.1}}]},
            [f"accounts[1].account_sid: exporter.yaml: {NO_CREDENTIAL}"],
        ),
        (
            {"accounts": [account("shop"), account("shop", {"failed_ratio": 0.1})]},
            ["accounts[1].name: exporter.yaml: is also the name of accounts[0]"],
        ),
        (
            {"accounts": [account("shop"), {**CREDENTIAL, "alerts": {"failed_ratio": 0.1}}]},
            ["accounts[1].name: exporter.yaml: is missing"],
        ),
    ],
)
def test_thresholds_of_an_account_that_does_not_exist(document: dict[str, Any], expected: list[str]) -> None:
    """Thresholds are never dropped silently."""
    assert lines({"accounts": [account("shop")]} | document) == expected


def test_thresholds_of_an_account_by_flag_or_variable() -> None:
    """Only the file has thresholds of one account."""
    variable = {"EXPORTER_ALERTS__SHOP__FAILED_RATIO": "0.1"}
    (line,) = lines({"accounts": [account("shop")]}, environ=variable)
    assert line.startswith("alerts.shop.failed_ratio: EXPORTER_ALERTS__SHOP__FAILED_RATIO: unknown setting")


def test_thresholds_beside_an_account_of_the_environment() -> None:
    """The file cannot add a section to the account of the environment."""
    entry = {"name": "default", "alerts": {"failed_ratio": 0.1}}
    assert lines({"accounts": [entry]}, environ=ENVIRONMENT) == [
        "accounts: TWILIO_ACCOUNT_SID: conflicts with the accounts in exporter.yaml; keep one of the two",
        f"accounts[0].account_sid: exporter.yaml: {NO_CREDENTIAL}",
    ]
