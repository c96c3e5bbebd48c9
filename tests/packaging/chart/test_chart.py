"""Checks the rendered chart against Kubernetes, the Prometheus operator, promtool and the program.

Must not need a cluster. Scheduling, volumes and DNS are therefore not tested.
"""

import base64
import json
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import kubernetes_validate  # type: ignore[import-untyped] # has types, but no py.typed
import pytest
import yaml
from jsonschema import Draft202012Validator

from exporter import __version__
from exporter.config.alerts import Alerts
from exporter.web.web_config import read_web_config
from grafana.thresholds import STATE_WINDOW
from tests.packaging.chart.reference import GOLDEN, README, golden
from tests.packaging.chart.rendering import (
    ACCOUNT,
    CHART,
    NAMESPACE,
    SCENARIOS,
    Manifest,
    environment_on_loopback,
    mount,
    read_rendered,
    render,
    render_scenario,
    scenario,
    settings_of,
)
from tests.support.program import ROOT, eventually, fetch, found_in, free_port, started

METADATA: Final = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
ALERTS: Final = ROOT / "grafana" / "alerts.yaml"
DASHBOARDS: Final = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
OPERATORS: Final = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}

each_scenario = pytest.mark.parametrize("name", SCENARIOS)


@each_scenario
def test_helm_lint_finds_nothing(name: str) -> None:
    """Helm's linter reports no error and no warning."""
    report = helm.lint(CHART, scenario(name), strict=True)
    assert [each for each in report["messages"] if each["severity"] > 1] == []
    assert report["errors"] == []


@each_scenario
def test_manifests_match_the_golden_files(name: str) -> None:
    """The golden files show in a review what a change to the chart changes in a cluster."""
    assert golden(render_scenario(name)) == (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")


def test_every_golden_file_has_a_scenario() -> None:
    """The golden files of removed scenarios are removed."""
    assert {file.stem for file in GOLDEN.iterdir()} == set(SCENARIOS)


def test_defaults_need_an_account() -> None:
    """Without values, Helm reports that an account is missing."""
    with pytest.raises(helm.HelmRenderError, match="accounts: the list is empty"):
        render({"accounts": []})


# -- consumers of the manifests ------------------------------------------------------------------------------

OLDEST: Final = re.sub(r".*?(\d+\.\d+).*", r"\1", METADATA["kubeVersion"])
NEWEST: Final = kubernetes_validate.latest_version()


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@each_scenario
def test_manifests_are_valid_for_kubernetes(name: str, version: str) -> None:
    """Every manifest is valid; unknown keys, which Kubernetes drops silently, are errors."""
    for manifest in render_scenario(name).manifests:
        if manifest["kind"] not in OPERATORS:
            kubernetes_validate.validate(manifest, version, strict=True)


@cache
def operator_schema(kind: str) -> Draft202012Validator:
    file = Path(__file__).parent / "schemas" / f"{kind.lower()}.json"
    return Draft202012Validator(json.loads(file.read_text(encoding="utf-8")))


@each_scenario
def test_manifests_are_valid_for_the_prometheus_operator(name: str) -> None:
    """Every manifest of the operator is valid and has no unknown keys."""
    for manifest in render_scenario(name).manifests:
        if manifest["kind"] in OPERATORS:
            operator_schema(manifest["kind"]).validate(manifest)


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_operator_schema_is_strict(kind: str) -> None:
    """The schema rejects unknown keys."""
    name = {"PodMonitor": "web-config-secret"}.get(kind, "operator")
    manifest = render_scenario(name).one(kind)
    assert not operator_schema(kind).is_valid({**manifest, "spec": {**manifest["spec"], "tpyo": 1}})


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    """promtool accepts all groups, with extra labels, base URLs and an extra group."""
    values = scenario("operator")
    values["prometheusRule"]["disabledGroups"] = []
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(render(values).one("PrometheusRule")["spec"]))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each_scenario
def test_program_accepts_its_settings(name: str, tmp_path: Path) -> None:
    """The program loads the files and variables of a pod without a problem."""
    settings = settings_of(render_scenario(name), tmp_path)
    assert [each.name for each in settings.accounts] == [each["name"] for each in scenario(name)["accounts"]]
    assert settings.state.path == tmp_path / "var/lib/twilio-email-exporter/state.sqlite"
    assert settings.state.path.parent.is_dir()
    assert all(each.credential().secret.get_secret_value() for each in settings.accounts)


def test_values_become_settings(tmp_path: Path) -> None:
    """The program reads each value of `config` with its type."""
    settings = settings_of(render_scenario("settings"), tmp_path)
    assert settings.api.requests_per_second == 2.5
    assert settings.poll.model_dump() == {
        "interval": 120,
        "lookback": 6 * 86400,
        "recent": 5400,
        "sweep_interval": 1800,
        "fetch": "fewest",
    }
    assert [str(each) for each in settings.web.listen_address] == ["0.0.0.0:9999", "[::1]:9999"]
    assert settings.breakdown.by == ("recipient_domain", "tag:campaign")
    assert settings.breakdown.errors is True
    assert settings.alerts_of("default") == Alerts(
        failed_ratio=0.08,
        undelivered_ratio=0.2,
        bounce_ratio=0.04,
        late_after=1800,
        late_ratio=0.25,
        waiting_after=7200,
        waiting_ratio=0.3,
        stuck_after=21600,
    )
    assert settings.metrics.top_operations == 0
    assert settings.log.format == "json"


def test_thresholds_of_one_account_become_its_settings(tmp_path: Path) -> None:
    """The program uses an account's own thresholds for that account only."""
    settings = settings_of(render_scenario("accounts"), tmp_path)
    assert settings.alerts_of("newsletter") == Alerts(undelivered_ratio=0.2, stuck_after=21600)
    assert settings.alerts_of("shop") == settings.alerts == Alerts()


def test_program_accepts_its_web_config(tmp_path: Path) -> None:
    """The program reads the web config from the Secret."""
    rendered = render_scenario("tls")
    settings = settings_of(rendered, tmp_path)
    assert settings.web.config_file is not None
    config = read_web_config(settings.web.config_file, settings.web.config_file.read_bytes())
    assert set(config.users) == {"prometheus"}


def test_shards_divide_the_accounts(tmp_path: Path) -> None:
    """With three pods, each account belongs to exactly one of them."""
    rendered = render_scenario("shards")
    pods = [settings_of(rendered, tmp_path / str(index), index) for index in range(3)]
    assert [str(pod.shard) for pod in pods] == ["0/3", "1/3", "2/3"]
    owned = [account.name for pod in pods for account in pod.own_accounts]
    assert sorted(owned) == ["alerts", "newsletter", "shop"]


# -- secrets ------------------------------------------------------------------------------------------------


def test_secrets_are_in_secrets_only() -> None:
    """No other manifest and no note contains a secret, neither as text nor in base64."""
    values = {
        "accounts": scenario("accounts")["accounts"],
        "webConfig": {
            "content": {
                "basic_auth_users": {"prometheus": "$2y$10$markermarkermarkermare" + "marker0" * 4 + "xyz"},
                "tls_server_config": {"key": "marker-key"},
            }
        },
        **{key: scenario("operator")[key] for key in ("prometheusRule", "dashboards", "serviceMonitor")},
    }
    rendered = render(values)
    inside = json.dumps(rendered.all("Secret"))
    outside = json.dumps([each for each in rendered.manifests if each["kind"] != "Secret"]) + rendered.notes
    markers = ["marker-auth-token", "marker-api-key-secret"]
    for marker in markers:
        assert base64.b64encode(marker.encode()).decode() in inside
    assert "marker" not in outside
    assert base64.b64encode(b"marker").decode()[:7] not in outside


def test_only_settings_restart_the_pods() -> None:
    """A changed secret does not restart the pods; changed settings do, and so does TLS when switched on."""

    def checksum(values: Manifest) -> str:
        text: str = render(values).pod["metadata"]["annotations"]["checksum/config"]
        return text

    def with_token(token: str) -> Manifest:
        return {"accounts": [{"name": "a", "account_sid": "AC" + "0" * 32, "auth_token": token}]}

    assert checksum(with_token("one")) == checksum(with_token("two"))
    assert checksum({}) != checksum({"config": {"poll": {"interval": "2m"}}})
    assert checksum({"webConfig": {"content": {"rate_limit": {}}}}) != checksum(
        {"webConfig": {"content": {"tls_server_config": {"cert_file": "x"}}}}
    )


# -- security -----------------------------------------------------------------------------------------------


@each_scenario
def test_pods_have_minimal_privileges(name: str) -> None:
    """The pods of the exporter and of `helm test` have the restricted security context."""
    rendered = render_scenario(name)
    for spec in (rendered.pod["spec"], rendered.one("Pod")["spec"]):
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    assert all(account["automountServiceAccountToken"] is False for account in rendered.all("ServiceAccount"))


def test_chart_and_image_agree() -> None:
    """User, group, port and paths in the chart match the Dockerfile."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    rendered = render_scenario("tls")
    context = rendered.pod["spec"]["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in dockerfile
    assert context["fsGroup"] == context["runAsGroup"]
    assert f"EXPOSE {rendered.container['ports'][0]['containerPort']}" in dockerfile
    program = rendered.container["livenessProbe"]["exec"]["command"][0]
    assert f'ENTRYPOINT ["{program}"]' in dockerfile
    python = rendered.one("Pod")["spec"]["containers"][0]["command"][0]
    assert Path(python).parent == Path(program).parent


def test_platform_can_choose_the_user() -> None:
    """A null in the values removes the default user and group."""
    context = render_scenario("openshift").pod["spec"]["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & context.keys()


def test_network_policy_allows_the_required_traffic() -> None:
    """Egress to DNS, Twilio and the proxy, ingress from peers and `helm test`, and the extra rules."""
    rendered = render_scenario("locked-down")
    spec = rendered.one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [(port["port"], port["protocol"]) for port in spec["egress"][0]["ports"]] == [
        (53, "UDP"),
        (53, "TCP"),
        (443, "TCP"),
        (3128, "TCP"),
    ]
    behind_a_service = spec["egress"][1]
    assert behind_a_service["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}
    ]
    assert [(port["port"], port["protocol"]) for port in behind_a_service["ports"]] == [
        (5353, "UDP"),
        (5353, "TCP"),
    ]
    assert spec["egress"][2]["ports"] == [{"port": 8200, "protocol": "TCP"}]
    assert spec["ingress"][0]["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    test_pod, prometheus = spec["ingress"][0]["from"]
    assert selects(test_pod["podSelector"], rendered.one("Pod"))
    assert "namespaceSelector" in prometheus
    assert selects(spec["podSelector"], rendered.pod)


@pytest.mark.parametrize(
    ("base_url", "proxy", "ports"),
    [
        (None, "", {443}),
        ("https://twilio.example.com/v1:1", "", {443}),
        ("https://twilio.example.com:8443/v1", "", {8443}),
        ("https://[2001:db8::8]:8443", "", {8443}),
        ("https://[2001:db8::8]", "", {443}),
        ("http://localhost/v1", "", {80}),
        (None, "http://proxy.example.com:3128/", {443, 3128}),
        (None, "http://proxy.example.com", {443, 80}),
        (None, "https://proxy.example.com", {443}),
    ],
)
def test_network_policy_follows_the_addresses(base_url: str | None, proxy: str, ports: set[int]) -> None:
    """The policy allows the ports of the base URL and the proxy, each once."""
    rendered = render(
        {
            "config": {"api": {"base_url": base_url}} if base_url else {},
            "proxy": {"https": proxy},
            "networkPolicy": {"enabled": True},
        }
    )
    found = [each["port"] for each in rendered.one("NetworkPolicy")["spec"]["egress"][0]["ports"]]
    assert found[:2] == [53, 53]
    assert sorted(found[2:]) == sorted(ports)


# -- names and selectors --------------------------------------------------------------------------


def selects(selector: Manifest, manifest: Manifest) -> bool:
    return bool(selector["matchLabels"].items() <= manifest["metadata"]["labels"].items())


@each_scenario
def test_selectors_match_the_exporter_only(name: str) -> None:
    """Selectors match the exporter's pods and Service, but not the pod of `helm test`."""
    rendered = render_scenario(name)
    stateful_set, service = rendered.one("StatefulSet"), rendered.one("Service")
    for selector in (stateful_set["spec"]["selector"], {"matchLabels": service["spec"]["selector"]}):
        assert selects(selector, rendered.pod)
        assert not selects(selector, rendered.one("Pod"))
    assert stateful_set["spec"]["serviceName"] == service["metadata"]["name"]
    (port,), (container_port,) = service["spec"]["ports"], rendered.container["ports"]
    assert port["targetPort"] == container_port["name"]
    assert port["port"] == container_port["containerPort"]  # headless: clients connect to the pod itself
    for monitor in rendered.all("ServiceMonitor"):
        assert selects(monitor["spec"]["selector"], service)
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    for monitor in rendered.all("PodMonitor"):
        assert selects(monitor["spec"]["selector"], rendered.pod)
        assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == rendered.container["ports"][0]["name"]
    (account,) = {manifest["metadata"]["name"] for manifest in rendered.all("ServiceAccount")} or {"mail"}
    assert rendered.pod["spec"]["serviceAccountName"] == account


@each_scenario
def test_resources_belong_to_the_release(name: str) -> None:
    """All resources have the release's label, and all but dashboards are in its namespace."""
    for manifest in render_scenario(name).manifests:
        is_dashboard = "-dashboard-" in manifest["metadata"]["name"]
        assert manifest["metadata"]["namespace"] == ("grafana" if is_dashboard else NAMESPACE)
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"


def test_names_stay_text() -> None:
    """Names that look like numbers or null in YAML remain text."""
    monitor = {"enabled": True, "jobLabel": "2"}
    values = {
        "fullnameOverride": "mail",
        "nameOverride": "0",
        "serviceAccount": {"name": "3"},
        "priorityClassName": "4",
        "webConfig": {"existingSecret": "5", "existingSecretKey": "6", "tlsSecret": "7"},
        "serviceMonitor": monitor,
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True, "namespace": "8"},
        "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}]},
        "persistence": {"storageClass": "null"},
    }
    for more in (
        {"ca": {"configMap": "9", "key": "10"}},
        {"ca": {"secret": "11"}, "serviceMonitor": {}, "podMonitor": monitor},
    ):
        rendered = render({**values, **more}, name="1234", namespace="5678")
        for manifest in rendered.manifests:
            if manifest["kind"] in OPERATORS:
                operator_schema(manifest["kind"]).validate(manifest)
            else:
                kubernetes_validate.validate(manifest, NEWEST, strict=True)
            metadata = manifest["metadata"]
            assert metadata["labels"]["app.kubernetes.io/instance"] == "1234"
            assert metadata["namespace"] == ("8" if "-dashboard-" in metadata["name"] else "5678")


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("mail.v2", {}, "mail-v2-twilio-email-exporter"),
        ("demo", {"nameOverride": "Mail.Exporter"}, "demo-mail-exporter"),
        ("1234", {"fullnameOverride": "mail"}, "mail"),
    ],
)
def test_service_name_is_valid(release: str, values: Manifest, name: str) -> None:
    """Dots and capitals, which a Service name may not contain, are replaced."""
    rendered = render(values, name=release)
    assert rendered.one("Service")["metadata"]["name"] == name
    assert rendered.one("StatefulSet")["spec"]["serviceName"] == name


def test_long_names_are_cut() -> None:
    """The StatefulSet's name has at most 52 characters: controller-revision-hash adds 11, up to 63."""
    rendered = render(name="a" * 53)
    assert len(rendered.one("StatefulSet")["metadata"]["name"]) == 52


def test_replicas_are_the_shards() -> None:
    """The StatefulSet has one replica for each shard."""
    assert render().one("StatefulSet")["spec"]["replicas"] == 1
    assert render({"shards": 5}).one("StatefulSet")["spec"]["replicas"] == 5


def test_helm_test_connects_to_every_shard() -> None:
    """The test pod connects to the DNS name of each pod of the StatefulSet."""
    rendered = render({"shards": 2})
    _, port, *pods = rendered.one("Pod")["spec"]["containers"][0]["args"]
    name, service = (
        rendered.one("StatefulSet")["metadata"]["name"],
        rendered.one("Service")["metadata"]["name"],
    )
    assert (port, pods) == ("10587", [f"{name}-0.{service}", f"{name}-1.{service}"])


def test_state_is_on_a_volume_of_each_pod() -> None:
    """Each pod has a volume claim, or an emptyDir if persistence is off."""
    spec = render_scenario("shards").one("StatefulSet")["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["annotations"] == {"backup": "weekly"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Delete"}
    without = render({"persistence": {"enabled": False}})
    assert "volumeClaimTemplates" not in without.one("StatefulSet")["spec"]
    assert {"name": "state", "emptyDir": {}} in without.pod["spec"]["volumes"]
    none = render({"persistence": {"storageClass": "-"}}).one("StatefulSet")["spec"]["volumeClaimTemplates"][
        0
    ]
    assert none["spec"]["storageClassName"] == ""


@each_scenario
def test_mounted_folders_follow_changes(name: str) -> None:
    """No file is mounted by subPath, because such a file is not updated when its Secret changes."""
    for each in render_scenario(name).container["volumeMounts"]:
        assert "subPath" not in each


# -- probes and monitors ------------------------------------------------------------------------------------


def test_probes_use_http() -> None:
    """Without a web config, the probes are HTTP requests."""
    container = render_scenario("settings").container
    assert container["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "metrics"}
    assert container["ports"] == [{"name": "metrics", "containerPort": 9999, "protocol": "TCP"}]


@pytest.mark.parametrize("name", ["tls", "web-config-secret"])
def test_probes_run_the_health_check(name: str) -> None:
    """With a web config, the probes run the program's health check, which needs no password."""
    container = render_scenario(name).container
    program = ["/opt/venv/bin/twilio-email-exporter", "healthcheck"]
    assert container["livenessProbe"]["exec"]["command"] == program
    assert container["readinessProbe"]["exec"]["command"] == [*program, "--ready"]


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


# -- rules and dashboards -----------------------------------------------------------------------------------


def rule_groups(**values: Any) -> list[Manifest]:
    groups: list[Manifest] = render({"prometheusRule": {"enabled": True, **values}}).one("PrometheusRule")[
        "spec"
    ]["groups"]
    return groups


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


def test_chart_without_its_rule_file_does_not_render(tmp_path: Path) -> None:
    """A chart packaged without the files of `grafana/` fails, instead of deploying no alerts."""
    copy = tmp_path / CHART.name
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("files"))
    values = scenario("operator")
    with helm.Chart.load(copy) as chart, pytest.raises(Exception, match=r"alerts\.yaml is missing"):
        chart.render(values, name="demo", namespace=NAMESPACE)


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_monitors_keep_the_labels_of_the_exporter(monitor: str) -> None:
    """`honorLabels` is true unless the values say otherwise: a target label must not replace `account`."""
    for values, honored in (({}, True), ({"honorLabels": False}, False)):
        kind = monitor[0].upper() + monitor[1:]
        spec = render({monitor: {"enabled": True, **values}}).one(kind)["spec"]
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        assert endpoint["honorLabels"] is honored


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


# -- the package --------------------------------------------------------------------------------------------


def test_package_is_complete(tmp_path: Path) -> None:
    """The package contains the files of `grafana/` and no scenarios, and renders the same manifests."""
    archive = helm.package(CHART, destination=tmp_path)
    with tarfile.open(archive) as tar:
        content = {each.name: tar.extractfile(each) for each in tar.getmembers()}
        for file in (ALERTS, *DASHBOARDS):
            inside = content[f"{CHART.name}/files/{file.relative_to(ROOT / 'grafana')}"]
            assert inside is not None
            assert inside.read() == file.read_bytes()
        assert not [name for name in content if "/ci/" in name]
        assert {"README.md", "values.schema.json"} <= {Path(name).name for name in content}
    with helm.Chart.load(archive) as chart:
        assert read_rendered(
            chart.render(scenario("operator"), name="demo", namespace=NAMESPACE)
        ) == render_scenario("operator")


def test_chart_names_the_programs_version() -> None:
    """The default tag is the program's version, and the tag in the README's commands."""
    assert METADATA["appVersion"] == __version__
    assert render().container["image"] == f"twilio-email-exporter:{__version__}"
    pushed = re.findall(r"registry\.example\.com/\S+:(\S+)", README.read_text(encoding="utf-8"))
    assert pushed == [__version__] * 2
    assert render({"image": {"tag": "edge"}}).container["image"] == "twilio-email-exporter:edge"
    assert "@sha256:" in render_scenario("locked-down").container["image"]


def test_notes_show_the_next_steps() -> None:
    """The notes contain commands with the names of this release, and warnings."""
    notes = render_scenario("shards").notes
    assert "kubectl -n mail rollout status statefulset/demo-twilio-email-exporter" in notes
    assert "helm -n mail test demo" in notes
    assert "kubectl -n mail port-forward demo-twilio-email-exporter-0 10587:10587" in notes
    assert "demo-twilio-email-exporter-0 to demo-twilio-email-exporter-2" in notes
    assert "does not configure Prometheus" not in notes
    assert "does not configure Prometheus" in render_scenario("default").notes
    assert "https://localhost:10587/" in render_scenario("tls").notes
    assert "Set persistence.enabled" in render_scenario("locked-down").notes
    assert "Set existingSecret in accounts" in render_scenario("accounts").notes


def test_notes_mention_the_interval_that_the_rules_support() -> None:
    """The notes state the limit of docs/alerts.md if rules are enabled and an interval is set."""
    seconds = STATE_WINDOW // 4  # the shortest range of the rules must contain four polls
    limit = f"a config.poll.interval of up to {seconds} seconds; it is set to 2m"
    config = {"poll": {"interval": "2m"}}
    rules = {"prometheusRule": {"enabled": True}}
    assert limit in render({"config": config, **rules}).notes
    assert "docs/alerts.md" not in render({"config": config}).notes
    assert "docs/alerts.md" not in render(rules).notes


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


# -- the running program -----------------------------------------------------------------------------------


def test_program_runs_with_the_rendered_settings(tmp_path: Path) -> None:
    """With a pod's files and variables, the program answers probes and scrapes, saves its state and stops."""
    port = free_port()
    values = {
        "accounts": [ACCOUNT],
        "config": {
            # Nothing listens there: readiness does not depend on Twilio.
            "api": {"base_url": f"http://127.0.0.1:{free_port()}"},
            "web": {"listen_address": f":{port}", "telemetry_path": "/mail"},
        },
        "serviceMonitor": {"enabled": True},
    }
    rendered = render(values)
    mount(rendered, tmp_path)
    assert rendered.container["ports"][0]["containerPort"] == port
    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]

    def answer(scheme: str, path: str) -> Callable[[], str | None]:
        return lambda: fetch(f"{scheme}://127.0.0.1:{port}{path}")

    log = tmp_path / "log"
    with started(
        log, *rendered.container.get("args", []), **environment_on_loopback(rendered, tmp_path)
    ) as process:
        eventually(found_in(log, "listening"), "the listener")
        eventually(
            answer("http", rendered.container["livenessProbe"]["httpGet"]["path"]), "the liveness probe"
        )
        eventually(
            answer("http", rendered.container["readinessProbe"]["httpGet"]["path"]), "the readiness probe"
        )
        metrics = answer(endpoint["scheme"], endpoint["path"])()
        assert metrics is not None
        assert 'twilio_email_up{account="default"}' in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=rendered.pod["spec"]["terminationGracePeriodSeconds"]) == 0
    assert (tmp_path / "var/lib/twilio-email-exporter/state.sqlite").stat().st_size > 0
