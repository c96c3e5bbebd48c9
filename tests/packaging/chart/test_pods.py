"""The pods, and what leads to them: security, volumes, probes, Services, routes and network policies."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from exporter.config.database import parse_database
from tests.packaging.chart.pod_security import violations
from tests.packaging.chart.rendering import (
    SCENARIOS,
    URL,
    Manifest,
    render,
    render_scenario,
    scenario,
    selects,
)
from tests.support.program import ROOT

STATUS_PAGE: Final = ROOT / "exporter" / "web" / "templates" / "status.html"

each_scenario = pytest.mark.parametrize("name", SCENARIOS)


# -- security -----------------------------------------------------------------------------------------------


@each_scenario
def test_pods_are_restricted(name: str) -> None:
    """The pods of the exporter and of `helm test` comply with the restricted Pod Security Standard."""
    rendered = render_scenario(name)
    for spec in (rendered.pod["spec"], rendered.one("Pod")["spec"]):
        assert violations(spec) == []
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
    for container in (rendered.container, rendered.one("Pod")["spec"]["containers"][0]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all(account["automountServiceAccountToken"] is False for account in rendered.all("ServiceAccount"))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"podSecurityContext": {"runAsNonRoot": False}}, {"runAsNonRoot"}),
        ({"podSecurityContext": {"runAsUser": 0}}, {"runAsUser"}),
        ({"podSecurityContext": {"seccompProfile": {"type": "Unconfined"}}}, {"seccompProfile"}),
        (
            {"podSecurityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            {"sysctl kernel.msgmax"},
        ),
        ({"podSecurityContext": {"seLinuxOptions": {"type": "spc_t"}}}, {"seLinuxOptions"}),
        ({"podSecurityContext": {"windowsOptions": {"hostProcess": True}}}, {"hostProcess"}),
        ({"podSecurityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {"appArmorProfile"}),
        ({"securityContext": {"privileged": True}}, {"privileged"}),
        ({"securityContext": {"allowPrivilegeEscalation": None}}, {"allowPrivilegeEscalation"}),
        ({"securityContext": {"capabilities": {"drop": []}}}, {"capabilities"}),
        ({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, {"capabilities"}),
        ({"securityContext": {"procMount": "Unmasked"}}, {"procMount"}),
        ({"extraVolumes": [{"name": "host", "hostPath": {"path": "/"}}]}, {"volume hostPath"}),
        (
            {"extraContainers": [{"name": "other", "image": "other", "ports": [{"hostPort": 1}]}]},
            {"hostPort", "allowPrivilegeEscalation", "capabilities"},
        ),
    ],
)
def test_violations_are_found(values: Manifest, found: set[str]) -> None:
    """The check of the standard notices what the values permit."""
    assert set(violations(render(values).pod["spec"])) == found


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


# -- the pod ------------------------------------------------------------------------------------------------


def test_replicas_are_the_shards() -> None:
    """The StatefulSet has one replica for each shard."""
    assert render().one("StatefulSet")["spec"]["replicas"] == 1
    assert render({"shards": 5}).one("StatefulSet")["spec"]["replicas"] == 5


def test_helm_test_connects_to_every_shard() -> None:
    """The test pod connects to the DNS name of each pod of the StatefulSet."""
    rendered = render({"shards": 2})
    _, port, *pods = rendered.one("Pod")["spec"]["containers"][0]["args"]
    spec = rendered.one("StatefulSet")["spec"]
    name, service = rendered.one("StatefulSet")["metadata"]["name"], spec["serviceName"]
    assert (port, pods) == ("10587", [f"{name}-0.{service}", f"{name}-1.{service}"])


def with_database(replicas: int, **values: Any) -> Manifest:
    """Values for pods that share a database."""
    shared = {"state": {"postgresql": {"url": URL}}, "persistence": {"enabled": False}}
    return {"replicaCount": replicas, **shared, **values}


def test_replicas_share_a_database() -> None:
    """The Deployment has as many as the values say, without volume and shard; one drains at a time."""
    rendered = render(with_database(2))
    assert rendered.workload["kind"] == "Deployment"
    assert rendered.workload["spec"]["replicas"] == 2
    assert rendered.workload["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert "state" not in {each["name"] for each in rendered.pod["spec"]["volumes"]}
    assert "EXPORTER_SHARD" not in {each["name"] for each in rendered.container["env"]}
    assert rendered.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    args = rendered.one("Pod")["spec"]["containers"][0]["args"]
    assert args[1:] == ["10587", "demo-twilio-email-exporter-headless"]


def test_replicas_prefer_different_nodes_and_zones() -> None:
    """The preference is for other places than those of the same release, and the node counts more."""
    rendered = render(with_database(2))
    (terms,) = rendered.pod["spec"]["affinity"]["podAntiAffinity"].values()
    terms = sorted(terms, key=lambda each: -each["weight"])
    assert [each["podAffinityTerm"]["topologyKey"] for each in terms] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    assert all(selects(each["podAffinityTerm"]["labelSelector"], rendered.pod) for each in terms)


def test_values_replace_what_replicas_have_by_default() -> None:
    """One's own affinity replaces the chart's; the budget can be switched off."""
    own: Manifest = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    rendered = render(with_database(2, affinity=own, podDisruptionBudget={"enabled": False}))
    assert rendered.pod["spec"]["affinity"] == own
    assert not rendered.all("PodDisruptionBudget")


def test_a_single_pod_needs_neither_affinity_nor_budget() -> None:
    """A budget for one pod blocks every drain; one pod with a database is a Deployment too."""
    for rendered in (render(), render(with_database(1))):
        assert "affinity" not in rendered.pod["spec"]
        assert not rendered.all("PodDisruptionBudget")
    assert render(with_database(1)).one("Deployment")["spec"]["replicas"] == 1


def claimed(**persistence: Any) -> Manifest:
    """The volume claim of each pod."""
    (claim,) = render({"persistence": persistence}).one("StatefulSet")["spec"]["volumeClaimTemplates"]
    found: Manifest = claim
    return found


def test_state_is_on_a_volume_of_each_pod() -> None:
    """Each pod has a claim, which the values describe."""
    spec = render_scenario("shards").one("StatefulSet")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Delete"}
    claim = claimed(storageClass="fast", accessModes=["ReadWriteOncePod"], annotations={"backup": "weekly"})
    assert claim["metadata"]["annotations"] == {"backup": "weekly"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    assert claimed(storageClass="-")["spec"]["storageClassName"] == ""
    assert "storageClassName" not in claimed()["spec"]


@pytest.mark.parametrize(
    ("persistence", "volume"),
    [
        ({"enabled": False}, {"emptyDir": {}}),
        ({"existingClaim": "mail"}, {"persistentVolumeClaim": {"claimName": "mail"}}),
    ],
)
def test_state_can_be_on_another_volume(persistence: Manifest, volume: Manifest) -> None:
    """Without a claim for each pod, it is on an emptyDir or on an existing claim."""
    rendered = render({"persistence": persistence})
    assert "volumeClaimTemplates" not in rendered.one("StatefulSet")["spec"]
    assert {"name": "state", **volume} in rendered.pod["spec"]["volumes"]


@each_scenario
def test_mounted_folders_follow_changes(name: str) -> None:
    """No file is mounted by subPath, because such a file is not updated when its Secret changes."""
    for each in render_scenario(name).container["volumeMounts"]:
        assert "subPath" not in each


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


def test_values_configure_the_pods() -> None:
    """Each value becomes the setting of its name; the pod of `helm test` gets what all pods need."""
    values = scenario("pods")
    rendered = render_scenario("pods")
    spec, test_pod = rendered.pod["spec"], rendered.one("Pod")
    common = {
        "affinity",
        "dnsConfig",
        "hostAliases",
        "nodeSelector",
        "priorityClassName",
        "tolerations",
        "topologySpreadConstraints",
    }
    for name in common:
        assert spec[name] == test_pod["spec"][name] == values[name]
    assert spec["initContainers"] == values["initContainers"]
    assert spec["containers"][1:] == values["extraContainers"]
    assert rendered.one("StatefulSet")["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert rendered.one("PodDisruptionBudget")["spec"].items() >= {"minAvailable": 0}.items()
    for metadata in (rendered.pod["metadata"], test_pod["metadata"]):
        assert metadata["labels"]["network"] == "outside"
        assert metadata["annotations"]["prometheus.io/scrape"] == "true"


def test_helm_test_runs_under_a_quota() -> None:
    """A ResourceQuota rejects pods without requests and limits."""
    rendered = render_scenario("locked-down")
    (container,) = rendered.one("Pod")["spec"]["containers"]
    assert container["resources"] == rendered.container["resources"] == scenario("locked-down")["resources"]


def test_budget_is_a_number_of_unavailable_pods_by_default() -> None:
    """One pod may be unavailable, or as many as the values say."""
    for values, expected in (({}, 1), ({"maxUnavailable": "50%"}, "50%"), ({"maxUnavailable": 0}, 0)):
        spec = render({"podDisruptionBudget": {"enabled": True, **values}}).one("PodDisruptionBudget")["spec"]
        assert spec["maxUnavailable"] == expected
        assert "minAvailable" not in spec


def test_startup_probe_is_a_liveness_probe() -> None:
    """There is none by default; its handler is that of the liveness probe."""
    assert "startupProbe" not in render().container
    container = render_scenario("pods").container
    assert container["startupProbe"]["httpGet"] == container["livenessProbe"]["httpGet"]
    assert container["startupProbe"]["failureThreshold"] == 60


# -- networks -----------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("postgresql://exporter@postgresql/exporter", [5432]),
        ("postgresql://exporter@a:5433,b,[2001:db8::8]:5434/exporter?sslmode=require", [5433, 5432, 5434]),
        ("postgresql://exporter@[2001:db8::8]/exporter", [5432]),
        ("postgres://exporter@a:443/exporter", []),
        ("postgresql://exporter@/exporter?sslmode=require&host=a:5433,b:5434&schema=mail", [5433, 5434]),
    ],
)
def test_network_policy_allows_the_database(url: str, ports: list[int]) -> None:
    """The policy allows the ports of all hosts in the URL, in addition to Twilio's."""
    database = {"postgresql": {"url": url}}
    rendered = render(with_database(1, state=database, networkPolicy={"enabled": True}))
    found = [each["port"] for each in rendered.one("NetworkPolicy")["spec"]["egress"][0]["ports"]]
    assert found == [53, 53, 443, *ports]
    assert {port for _, port in parse_database(url).hosts} == {*ports, *({443} if not ports else ())}


PAGE: Final = {"/", *re.findall(r'rel="stylesheet" href="([^"]+)"', STATUS_PAGE.read_text(encoding="utf-8"))}


def test_routes_lead_to_the_status_page_only() -> None:
    """By default, what the page loads can be reached, but not metrics, probes and reload."""
    rendered = render_scenario("status-page")
    service = rendered.all("Service")[0]
    exact, prefix = rendered.one("Ingress")["spec"]["rules"]
    assert {(each["path"], each["pathType"]) for each in exact["http"]["paths"]} == {
        (f"/{path.lstrip('/')}", "Exact") for path in PAGE
    }
    assert [(each["path"], each["pathType"]) for each in prefix["http"]["paths"]] == [("/", "Prefix")]
    for path in (*exact["http"]["paths"], *prefix["http"]["paths"]):
        backend = path["backend"]["service"]
        assert backend == {
            "name": service["metadata"]["name"],
            "port": {"name": service["spec"]["ports"][0]["name"]},
        }
    (rule,) = rendered.one("HTTPRoute")["spec"]["rules"]
    assert {(each["path"]["value"], each["path"]["type"]) for each in rule["matches"]} == {
        (f"/{path.lstrip('/')}", "Exact") for path in PAGE
    }
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": 80}]


def test_service_has_a_type_and_a_port() -> None:
    """The port of the Service is independent of the port of the pods."""
    service, headless = render_scenario("status-page").all("Service")
    assert service["spec"]["type"] == "NodePort"
    assert (service["spec"]["ports"][0]["port"], headless["spec"]["ports"][0]["port"]) == (80, 10587)
