"""Checks the rendered chart against Kubernetes, the schemas of operators and the program.

Must not need a cluster. Scheduling, volumes and DNS are therefore not tested.
"""

import base64
import json
import re
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import helm_python as helm
import pytest

from exporter import __version__
from exporter.config.alerts import Alerts
from exporter.config.database import Database, read_password
from exporter.web.web_config import read_web_config
from grafana.files import files
from tests.packaging.chart.reference import DEFAULTS, GOLDEN, README, golden
from tests.packaging.chart.rendering import (
    ACCOUNT,
    CHART,
    NAMESPACE,
    SCENARIOS,
    URL,
    Manifest,
    environment_on_loopback,
    mount,
    read_rendered,
    render,
    render_scenario,
    scenario,
    selects,
    settings_of,
)
from tests.packaging.chart.validity import METADATA, SCHEMAS, VERSIONS, operator_schema, validate
from tests.support.program import eventually, fetch, found_in, free_port, started

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


@pytest.mark.parametrize("version", VERSIONS)
@each_scenario
def test_manifests_are_valid(name: str, version: str) -> None:
    """Every manifest has a schema, is valid and has no unknown keys."""
    rendered = render_scenario(name)
    for manifest in (*rendered.manifests, *rendered.extra):
        validate(manifest, version)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_operator_schemas_are_strict(kind: str) -> None:
    """A scenario contains a manifest of each kind, and the schema rejects an unknown key in it."""
    manifest = next(
        manifest
        for name in SCENARIOS
        for manifest in (*render_scenario(name).manifests, *render_scenario(name).extra)
        if manifest["kind"].lower() == kind
    )
    assert not operator_schema(kind).is_valid({**manifest, "spec": {**manifest["spec"], "tpyo": 1}})


REFERENCES: Final = {
    ("tls", "Secret", "twilio-email-exporter-tls"),  # of cert-manager
    ("external-secrets", "Secret", "twilio-shop"),  # of the secret store
    ("pods", "PriorityClass", "system-cluster-critical"),  # of every cluster
}
"""What a scenario needs in its cluster, besides the operators that its first line names."""


@each_scenario
def test_scenario_can_be_installed(name: str) -> None:
    """What the pods refer to is part of the release, so that `ct install` can wait for them."""
    rendered = render_scenario(name)
    found = {(each["kind"], each["metadata"]["name"]) for each in (*rendered.manifests, *rendered.extra)}
    needed = set(referenced(rendered.pod["spec"])) - found
    assert {(name, *each) for each in needed} == {each for each in REFERENCES if each[0] == name}


def referenced(pod: Manifest) -> Iterator[tuple[str, str]]:
    """Kind and name of what a pod cannot start without."""
    for volume in pod["volumes"]:
        match volume:
            case {"secret": {"secretName": name}}:
                yield "Secret", name
            case {"configMap": {"name": name}}:
                yield "ConfigMap", name
            case {"persistentVolumeClaim": {"claimName": name}}:
                yield "PersistentVolumeClaim", name
            case {"projected": {"sources": sources}}:
                yield from (("Secret", source["secret"]["name"]) for source in sources)
    for container in pod["containers"]:
        yield from (("Secret", source["secretRef"]["name"]) for source in container.get("envFrom", []))
    if pod["serviceAccountName"] != "default":
        yield "ServiceAccount", pod["serviceAccountName"]
    if "priorityClassName" in pod:
        yield "PriorityClass", pod["priorityClassName"]


@each_scenario
def test_program_accepts_its_settings(name: str, tmp_path: Path) -> None:
    """The program loads the files and variables of a pod without a problem."""
    settings = settings_of(render_scenario(name), tmp_path)
    assert [each.name for each in settings.accounts] == [each["name"] for each in scenario(name)["accounts"]]
    if settings.state.url is None:
        assert settings.state.path == tmp_path / "var/lib/twilio-email-exporter/state.sqlite"
        assert settings.state.path.parent.is_dir()
    assert all(each.credential().secret.get_secret_value() for each in settings.accounts)


def test_program_finds_the_database(tmp_path: Path) -> None:
    """The program reads the URL, the password from its Secret, and the CA; the schema is that of the URL."""
    settings = settings_of(render_scenario("postgresql"), tmp_path)
    folder = tmp_path / "etc/twilio-email-exporter"
    assert settings.database == Database(
        hosts=(("postgresql.databases", 5433),),
        name="exporter",
        user="exporter",
        schema="mail",
        sslmode="verify-full",
        sslrootcert=folder / "postgresql-ca/ca.crt",
    )
    assert settings.state.password_file == folder / "postgresql/password"
    assert read_password(settings.database, settings.state.password_file) == "not-a-password"


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


# -- names and selectors --------------------------------------------------------------------------


@each_scenario
def test_selectors_match_the_exporter_only(name: str) -> None:
    """Selectors match the exporter's pods and Service, but not the pod of `helm test`."""
    rendered = render_scenario(name)
    service, headless = rendered.all("Service")
    budgets = [each["spec"]["selector"] for each in rendered.all("PodDisruptionBudget")]
    services = [{"matchLabels": each["spec"]["selector"]} for each in (service, headless)]
    for selector in (rendered.workload["spec"]["selector"], *services, *budgets):
        assert selects(selector, rendered.pod)
        assert not selects(selector, rendered.one("Pod"))
    for stateful_set in rendered.all("StatefulSet"):
        assert stateful_set["spec"]["serviceName"] == headless["metadata"]["name"]
    assert headless["spec"]["clusterIP"] == "None"
    (container_port,) = rendered.container["ports"]
    assert headless["spec"]["ports"][0]["port"] == container_port["containerPort"]
    for (port,) in (service["spec"]["ports"], headless["spec"]["ports"]):
        assert port["targetPort"] == container_port["name"]
    for monitor in rendered.all("ServiceMonitor"):
        assert selects(monitor["spec"]["selector"], service)
        assert not selects(monitor["spec"]["selector"], headless)
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    for monitor in rendered.all("PodMonitor"):
        assert selects(monitor["spec"]["selector"], rendered.pod)
        assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == rendered.container["ports"][0]["name"]
    (account,) = {manifest["metadata"]["name"] for manifest in rendered.all("ServiceAccount")} or {"default"}
    assert rendered.pod["spec"]["serviceAccountName"] == account


@each_scenario
def test_resources_belong_to_the_release(name: str) -> None:
    """All resources have the release's label, and are in its namespace unless the values say otherwise."""
    for manifest in render_scenario(name).manifests:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"
        monitoring = {"ServiceMonitor", "PrometheusRule", "GrafanaDashboard"} | (
            {"ConfigMap"} if "-dashboard-" in manifest["metadata"]["name"] else set()
        )
        elsewhere = name == "operator" and manifest["kind"] in monitoring
        expected = "mail-pods" if name == "pods" else "grafana" if elsewhere else NAMESPACE
        assert manifest["metadata"]["namespace"] == expected


def test_common_labels_and_annotations_are_everywhere() -> None:
    """All resources have them and keep their own; pods have the labels only."""
    rendered = render_scenario("operator")
    for manifest in rendered.manifests:
        assert manifest["metadata"]["labels"]["team"] == "mail"
        assert manifest["metadata"]["annotations"]["example.com/cost-centre"] == "4711"
    annotations = rendered.one("ServiceMonitor")["metadata"]["annotations"]
    assert annotations["example.com/owner"] == "mail"
    assert rendered.pod["metadata"]["labels"]["team"] == "mail"
    assert rendered.pod["metadata"]["annotations"].keys() == {"checksum/config"}


def test_own_labels_win_over_common_ones() -> None:
    """A label of one resource replaces the label of all; `additionalLabels` is another name of `labels`."""
    monitor = {"enabled": True, "labels": {"release": "a", "team": "x"}, "additionalLabels": {"release": "b"}}
    values = {"commonLabels": {"team": "mail"}, "serviceMonitor": monitor}
    labels = render(values).one("ServiceMonitor")["metadata"]["labels"]
    assert (labels["team"], labels["release"]) == ("x", "b")


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, f"twilio-email-exporter:{__version__}"),
        ({"image": {"tag": "edge"}}, "twilio-email-exporter:edge"),
        (
            {"image": {"registry": "a.example.com", "digest": f"sha256:{'0' * 64}"}},
            f"a.example.com/twilio-email-exporter@sha256:{'0' * 64}",
        ),
        (
            {
                "image": {"registry": "a.example.com", "tag": "1"},
                "global": {"imageRegistry": "b.example.com"},
            },
            "b.example.com/twilio-email-exporter:1",
        ),
    ],
)
def test_image(values: Manifest, image: str) -> None:
    """A parent's registry replaces that of the image, in all pods."""
    rendered = render(values)
    assert rendered.container["image"] == image
    assert rendered.one("Pod")["spec"]["containers"][0]["image"] == image


def test_pull_secrets_of_a_parent_are_added() -> None:
    """Parents write them as names or as mappings."""
    shared = {"imagePullSecrets": ["mirror", {"name": "other"}]}
    rendered = render({"global": shared, "imagePullSecrets": [{"name": "registry"}]})
    for spec in (rendered.pod["spec"], rendered.one("Pod")["spec"]):
        assert spec["imagePullSecrets"] == [{"name": "mirror"}, {"name": "other"}, {"name": "registry"}]


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
        {
            "state": {"postgresql": {"url": URL, "existingSecret": "12", "existingSecretKey": "13"}},
            "persistence": {"enabled": False},
        },
        {"ca": {"secret": "11"}, "serviceMonitor": {}, "podMonitor": monitor},
    ):
        rendered = render({**values, **more}, name="1234", namespace="5678")
        for manifest in rendered.manifests:
            validate(manifest)
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
    assert [each["metadata"]["name"] for each in rendered.all("Service")] == [name, f"{name}-headless"]
    assert rendered.one("StatefulSet")["spec"]["serviceName"] == f"{name}-headless"


def test_long_names_are_cut() -> None:
    """The StatefulSet's name has at most 52 characters: a label and the headless Service add up to 11."""
    rendered = render(name="a" * 53)
    assert max(len(each["metadata"]["name"]) for each in rendered.all("Service")) <= 63
    assert len(rendered.one("StatefulSet")["metadata"]["name"]) == 52


# -- the package --------------------------------------------------------------------------------------------


def test_package_is_complete(tmp_path: Path) -> None:
    """The package contains rules, dashboards and defaults, no scenarios, and renders the same manifests."""
    archive = helm.package(CHART, destination=tmp_path)
    with tarfile.open(archive) as tar:
        content = {each.name: tar.extractfile(each) for each in tar.getmembers()}
        for path in (*files(), DEFAULTS.name):
            inside = content[f"{CHART.name}/files/{path}"]
            assert inside is not None
            assert inside.read() == (CHART / "files" / path).read_bytes()
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


def test_notes_tell_how_to_find_the_active_replica() -> None:
    """Commands name the Deployment; the state is not on a volume, and needs no warning."""
    notes = render_scenario("postgresql").notes
    assert "1 account(s) on 2 pod(s)" in notes
    assert "kubectl -n mail rollout status deployment/demo-twilio-email-exporter" in notes
    assert "kubectl -n mail port-forward deployment/demo-twilio-email-exporter 10587:10587" in notes
    assert "twilio_email_exporter_active is 1 on the active one" in notes
    assert "WARNING" not in notes
    assert "twilio_email_exporter_active" not in render_scenario("default").notes


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
