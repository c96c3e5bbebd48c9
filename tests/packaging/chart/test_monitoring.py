"""Monitors, rules and dashboards, and the notes about them."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.packaging.chart.rendering import Manifest, render, render_scenario, scenario
from tests.support.program import ROOT

ALERTS: Final = ROOT / "grafana" / "alerts.yaml"
DASHBOARDS: Final = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))


# -- monitors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scheme", "path"),
    [("shards", "http", "/metrics"), ("tls", "https", "/metrics"), ("operator", "http", "/metrics")],
)
def test_monitor_scrapes_as_the_program_serves(name: str, scheme: str, path: str) -> None:
    """Scheme and path of the one monitor follow from the settings."""
    (endpoint,) = render_scenario(name).one("ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["path"]) == (scheme, path)


def test_monitor_uses_the_telemetry_path() -> None:
    """The monitor scrapes `config.web.telemetry_path`."""
    values = {"config": {"web": {"telemetry_path": "/mail"}}, "podMonitor": {"enabled": True}}
    (endpoint,) = render(values).one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] == "/mail"


def test_instance_is_the_pods_name() -> None:
    """A restarted pod with another address continues its series."""
    for kind, endpoints in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
        rendered = render({f"{kind[0].lower()}{kind[1:]}": {"enabled": True}})
        (endpoint,) = rendered.one(kind)["spec"][endpoints]
        assert endpoint["relabelings"] == [
            {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}
        ]


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_monitors_can_be_in_another_namespace(monitor: str) -> None:
    """A monitor in another namespace selects the namespace of the pods."""
    kind = monitor[0].upper() + monitor[1:]
    rendered = render({monitor: {"enabled": True, "namespace": "monitoring"}}).one(kind)
    assert rendered["metadata"]["namespace"] == "monitoring"
    assert rendered["spec"]["namespaceSelector"] == {"matchNames": ["mail"]}
    assert "namespaceSelector" not in render({monitor: {"enabled": True}}).one(kind)["spec"]


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_monitors_keep_the_labels_of_the_exporter(monitor: str) -> None:
    """`honorLabels` is true unless the values say otherwise: a target label must not replace `account`."""
    for values, honored in (({}, True), ({"honorLabels": False}, False)):
        kind = monitor[0].upper() + monitor[1:]
        spec = render({monitor: {"enabled": True, **values}}).one(kind)["spec"]
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        assert endpoint["honorLabels"] is honored


# -- rules --------------------------------------------------------------------------------------------------


def rule_groups(**values: Any) -> list[Manifest]:
    groups: list[Manifest] = render({"prometheusRule": {"enabled": True, **values}}).one("PrometheusRule")[
        "spec"
    ]["groups"]
    return groups


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    """promtool accepts the rules, with changed alerts, extra labels, base URLs and an extra group."""
    values = scenario("operator")
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(render(values).one("PrometheusRule")["spec"]))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_those_of_the_rule_file() -> None:
    """By default, the rules are those of grafana/alerts.yaml."""
    assert rule_groups() == yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]


def test_groups_can_be_left_out_and_added() -> None:
    """`disabledGroups` removes groups by name, and `extraGroups` adds groups."""
    names = [group["name"] for group in rule_groups()]
    own = {"name": "own", "rules": [{"alert": "Own", "expr": "up == 0"}]}
    found = [group["name"] for group in rule_groups(disabledGroups=names[:1], extraGroups=[own])]
    assert found == [*names[1:], "own"]


def test_alerts_can_be_left_out_one_by_one() -> None:
    """`disabledAlerts` removes alerts by name, and nothing else."""
    left_out = {"TwilioEmailTrafficStopped", "TwilioEmailDataStale"}
    for group, plain in zip(rule_groups(disabledAlerts=sorted(left_out)), rule_groups(), strict=True):
        assert group["rules"] == [rule for rule in plain["rules"] if rule.get("alert") not in left_out]


def test_alerts_can_be_changed_one_by_one() -> None:
    """`alerts` sets `for` and `severity` of an alert, and nothing else."""
    changes = {
        "TwilioEmailBacklog": {"for": "30m", "severity": "page"},
        "TwilioEmailDataStale": {"severity": "info"},
    }
    for group, plain in zip(rule_groups(alerts=changes), rule_groups(), strict=True):
        for rule, before in zip(group["rules"], plain["rules"], strict=True):
            change = changes.get(rule.get("alert", ""), {})
            if "for" in change:
                before["for"] = change["for"]
            if "severity" in change:
                before["labels"]["severity"] = change["severity"]
            assert rule == before


def test_groups_are_a_list_even_when_there_are_none() -> None:
    """The operator refuses `groups: null`."""
    names = [group["name"] for group in rule_groups()]
    assert rule_groups(disabledGroups=names) == []


def test_base_urls_make_links_absolute() -> None:
    """The relative links of the rule file are appended to the base URLs."""
    options = {
        "runbookBaseUrl": "https://git.example.com/docs-of-mail/",
        "dashboardBaseUrl": "https://grafana.example.com",
    }
    for group, plain in zip(rule_groups(**options), rule_groups(), strict=True):
        for rule, before in zip(group["rules"], plain["rules"], strict=True):
            if "alert" in rule:
                links, old = rule["annotations"], before["annotations"]
                assert links["runbook_url"] == f"https://git.example.com/docs-of-mail/{old['runbook_url']}"
                assert links["dashboard_url"] == f"https://grafana.example.com{old['dashboard_url']}"


def test_alerts_get_labels_and_keep_their_own() -> None:
    """Labels of the values are added to alerts, but do not replace their labels."""
    for group, plain in zip(
        rule_groups(ruleLabels={"team": "mail", "severity": "x"}), rule_groups(), strict=True
    ):
        for rule, before in zip(group["rules"], plain["rules"], strict=True):
            if "alert" in rule:
                assert rule["labels"] == {"team": "mail", **before["labels"]}
            else:
                assert rule == before


# -- dashboards ---------------------------------------------------------------------------------------------


def test_dashboards_are_the_files() -> None:
    """Each dashboard file is a ConfigMap with the label of Grafana's sidecar."""
    rendered = render({"dashboards": {"enabled": True}})
    found: dict[str, str] = {}
    for each in rendered.all("ConfigMap"):
        if each["metadata"]["labels"].get("grafana_dashboard") == "1":
            found |= each["data"]
    assert {name: json.loads(text) for name, text in found.items()} == {
        file.name: json.loads(file.read_text(encoding="utf-8")) for file in DASHBOARDS
    }
    assert found


def test_grafana_operator_reads_the_config_maps() -> None:
    """Each GrafanaDashboard names a key of a ConfigMap in its namespace, which the sidecar does not load."""
    operator = {
        "enabled": True,
        "instanceSelector": {"matchLabels": {"dashboards": "mail"}},
        "folder": "Mail",
    }
    rendered = render({"dashboards": {"namespace": "grafana", "grafanaOperator": operator}})
    dashboards = rendered.all("GrafanaDashboard")
    assert len(dashboards) == len(DASHBOARDS)
    for each in dashboards:
        assert each["spec"].items() >= {"folder": "Mail", "allowCrossNamespaceImport": True}.items()
        assert each["spec"]["instanceSelector"] == operator["instanceSelector"]
        source = each["spec"]["configMapRef"]
        (config_map,) = [it for it in rendered.all("ConfigMap") if it["metadata"]["name"] == source["name"]]
        assert source["key"] in config_map["data"]
        assert config_map["metadata"]["namespace"] == each["metadata"]["namespace"] == "grafana"
        assert "grafana_dashboard" not in config_map["metadata"]["labels"]


def test_dashboards_link_to_the_runbook_of_the_base_url() -> None:
    """The base URL of the alerts' runbook is that of the dashboards."""
    base = "https://git.example.com/docs-of-mail"
    rendered = render({"dashboards": {"enabled": True}, "prometheusRule": {"runbookBaseUrl": f"{base}/"}})
    boards = [
        json.loads(text)
        for each in rendered.all("ConfigMap")
        for text in each["data"].values()
        if text[0] == "{"
    ]
    assert len(boards) == len(DASHBOARDS)
    for board in boards:
        assert f"{base}/docs/runbook.md" in [link["url"] for link in board["links"]]


# -- notes --------------------------------------------------------------------------------------------------


TLS: Final = {"tls_server_config": {"cert_file": "a", "key_file": "b"}}
USERS: Final = {"basic_auth_users": scenario("tls")["webConfig"]["content"]["basic_auth_users"]}
CERTIFICATE: Final = "Set {}.tlsConfig"
PASSWORD: Final = "Set {}.basicAuth"


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
@pytest.mark.parametrize(
    ("web_config", "values", "warnings"),
    [
        ({}, {}, ()),
        ({"content": {"rate_limit": {}}}, {}, ()),
        ({"content": TLS}, {}, (CERTIFICATE,)),
        ({"content": TLS}, {"tlsConfig": {"insecureSkipVerify": True}}, ()),
        ({"content": USERS}, {}, (PASSWORD,)),
        ({"content": USERS}, {"basicAuth": {"username": {"name": "a", "key": "b"}}}, ()),
        ({"content": {**TLS, **USERS}}, {}, (CERTIFICATE, PASSWORD)),
        ({"existingSecret": "web"}, {}, ()),
        ({"existingSecret": "web", "tlsSecret": "tls"}, {}, (CERTIFICATE,)),
        ({"existingSecret": "web"}, {"scheme": "https"}, (CERTIFICATE,)),
    ],
)
def test_notes_warn_when_scrapes_will_fail(
    monitor: str, web_config: Manifest, values: Manifest, warnings: tuple[str, ...]
) -> None:
    """The notes name the missing value; the chart cannot read a web config in an existing Secret."""
    notes = render({"webConfig": web_config, monitor: {"enabled": True, **values}}).notes
    for line in (CERTIFICATE, PASSWORD):
        assert (line.format(monitor) in notes) is (line in warnings)
    off = render({"webConfig": web_config, monitor: values}).notes
    assert "WARNING" not in off
