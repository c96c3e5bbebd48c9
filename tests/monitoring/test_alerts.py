"""What every alert and every recording rule must have, whatever it states."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from exporter.config.alerts import Alerts
from exporter.metrics.families import FAMILIES
from grafana import rules, thresholds
from tests.packaging.test_repository import anchors
from tests.support.program import ROOT

FILE: Final = ROOT / "grafana" / "alerts.yaml"
GROUPS: Final[list[dict[str, Any]]] = yaml.safe_load(FILE.read_text())["groups"]
RULES: Final = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: Final = [rule for rule in RULES if "alert" in rule]
DASHBOARDS: Final = [
    json.loads(file.read_text()) for file in (ROOT / "grafana" / "dashboards").glob("*.json")
]
RULE_TESTS: Final = sorted((Path(__file__).parent / "rules").rglob("*.test.yaml"))

PROMISED: Final = {
    "twilio-email": {
        "TwilioEmailFailedSpike",
        "TwilioEmailUndeliveredSpike",
        "TwilioEmailBounceRateHigh",
        "TwilioEmailDeliverySlow",
        "TwilioEmailBacklog",
        "TwilioEmailOperationStuck",
        "TwilioEmailTrafficStopped",
    },
    "twilio-email-exporter": {
        "TwilioEmailExporterAbsent",
        "TwilioEmailPollFailing",
        "TwilioEmailDataStale",
        "TwilioEmailUnauthorized",
        "TwilioEmailThrottled",
        "TwilioEmailStateNotSaved",
        "TwilioEmailExporterCrashLooping",
        "TwilioEmailClockSkewed",
        "TwilioEmailLabelsOverwritten",
    },
}
OF_NO_ACCOUNT: Final = {
    "TwilioEmailExporterAbsent",
    "TwilioEmailStateNotSaved",
    "TwilioEmailExporterCrashLooping",
    "TwilioEmailClockSkewed",
    "TwilioEmailLabelsOverwritten",
}
LABELS: Final = {"cluster", "namespace", "job", "instance", "account"}
SLOWEST_SCRAPE: Final = 75
"""Seconds between two scrapes, as docs/alerts.md has it."""
UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

every_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def titles(panels: list[dict[str, Any]]) -> set[str]:
    return {title for each in panels for title in (each.get("title", ""), *titles(each.get("panels") or []))}


def test_groups_hold_the_alerts_that_users_depend_on() -> None:
    """Each alert is in the promised group, under the promised name, once."""
    found = {g["name"]: [rule["alert"] for rule in g["rules"] if "alert" in rule] for g in GROUPS}
    assert {name: set(alerts) for name, alerts in found.items()} == PROMISED
    assert len(ALERTS) == sum(map(len, PROMISED.values()))


@every_alert
def test_alert_says_how_bad_what_and_where_to_look(alert: dict[str, Any]) -> None:
    """An alert has a severity, a `for` duration and four annotations; its summary names the account."""
    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["for"]
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert alert["annotations"]["summary"].endswith(".")
    assert ("$labels.account" in alert["annotations"]["summary"]) is (alert["alert"] not in OF_NO_ACCOUNT)
    for label in ("job", "namespace", "cluster"):
        assert f"$labels.{label}" in alert["annotations"]["summary"]


@every_alert
def test_texts_can_be_edited_by_hand(alert: dict[str, Any]) -> None:
    """A text has at most two sentences, and the label and the value of the alert are its only variables."""
    for name in ("summary", "description"):
        text = alert["annotations"][name]
        assert "query" not in text
        assert set(re.findall(r"\$[\w.]+", text)) <= {"$value", *(f"$labels.{label}" for label in LABELS)}
    assert alert["annotations"]["description"].count(". ") <= 1


@every_alert
def test_addresses_of_an_alert_lead_somewhere(alert: dict[str, Any]) -> None:
    """The runbook heading exists, and so does the dashboard, which has the variables of the link."""
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor == alert["alert"].lower()
    assert anchor in anchors(ROOT / page)
    link = alert["annotations"]["dashboard_url"]
    uid = re.match(r"/d/([\w-]+)\{\{", link)
    assert uid
    (dashboard,) = [each for each in DASHBOARDS if each["uid"] == uid.group(1)]
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert set(re.findall(r"var-(\w+)=", link)) == set(variables) - {"datasource"} == LABELS


@every_alert
def test_runbook_says_what_to_do(alert: dict[str, Any]) -> None:
    """A section has meaning, impact, diagnosis and mitigation, and names panels that exist."""
    page = (ROOT / "docs" / "runbook.md").read_text()
    section = page.partition(f"## {alert['alert']}\n")[2].partition("\n## ")[0]
    wanted = ("**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mitigation")
    assert [word for word in wanted if word not in section] == []
    panels = set(re.findall(r"[Pp]anel \*([^*]+)\*", section))
    assert panels <= set().union(*(titles(each["panels"]) for each in DASHBOARDS))
    assert f"runbook.md#{alert['alert'].lower()}" in (ROOT / "docs" / "alerts.md").read_text()


@every_alert
def test_rule_tests_see_an_alert_fire_with_its_text_and_stay_silent(alert: dict[str, Any]) -> None:
    """Each alert has a promtool test in which it fires and one in which it does not."""
    cases = [
        case
        for file in RULE_TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == alert["alert"]
    ]
    texts = [each["exp_annotations"] for case in cases for each in case.get("exp_alerts", [])]
    assert texts
    assert all(each.keys() == alert["annotations"].keys() for each in texts)
    assert [case for case in cases if not case.get("exp_alerts")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_ranges_hold_four_scrapes(rule: dict[str, Any]) -> None:
    """Prometheus 3 leaves out a sample on the left edge; a range of two scrapes could be empty there."""
    ranges = re.findall(r"\[(\d+)(ms|[smhdw])(?::\w+)?\]", rule["expr"])
    assert rule["expr"].count("[") == len(ranges)
    assert all(int(count) * UNITS[unit] >= 4 * SLOWEST_SCRAPE for count, unit in ranges)


def test_rules_read_metrics_that_are_there() -> None:
    """Of the exporter's table, `up`, or recorded in the same group before."""
    names = {family.name for family in FAMILIES} | {"up"}
    for group in GROUPS:
        known = set(names)
        for rule in group["rules"]:
            bare = re.sub(r'"[^"]*"', "", rule["expr"])
            read = set(
                re.findall(r"[a-z]\w*:twilio_email_[\w:]+|\btwilio_email_\w+|\bup\b|\bprocess_\w+", bare)
            )
            assert read <= known, rule
            known |= {rule["record"]} if "record" in rule else set()


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.25, "250ms"), (1, "1s"), (90, "90s"), (900, "15m"), (7200, "2h"), (86400, "1d"), (604800, "1w")],
)
def test_duration_is_written_as_prometheus_reads_it(seconds: float, written: str) -> None:
    """In the largest unit that is exact."""
    assert thresholds.duration(seconds) == written


def test_thresholds_are_series_with_the_settings_defaults() -> None:
    """A setting that a rule compares with is recorded by account, with its default where it is missing."""
    recorded = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
    for setting, value in Alerts():
        record = f"account:twilio_email_alert_threshold:{setting}"
        if setting in {"late_after", "waiting_after"}:  # which the exporter itself applies
            assert record not in recorded
        else:
            assert f'{{setting="{setting}"}}' in recorded[record]
            assert recorded[record].rstrip().endswith(f"+ {value}")


def test_scale_shortens_every_time() -> None:
    """A rule file for tests has none of the long ranges left."""
    assert re.search(r"\[\d+[hdw]", rules.text())
    assert not re.search(r"\[\d+[hdw]|for: \d+[mhd]\b", rules.text(scale=0.001))
