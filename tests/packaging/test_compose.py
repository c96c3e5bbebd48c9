"""compose.yaml and what it hands to Prometheus, Alertmanager and Grafana: read by the programs it is for."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.monitoring import alertmanager, prometheus, query
from tests.support.program import ROOT, environment, eventually, fetch, found_in, started

CONFIGS: Final = ROOT / "compose"
COMPOSE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
RULES: Final = (ROOT / "grafana" / "alerts.yaml").read_text()
ALERTS: Final = {
    rule["alert"] for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"] if "alert" in rule
}

HERE: Final = "twilio-email"


def mounts(service: str) -> Iterator[tuple[str, str]]:
    """What is mounted where."""
    for volume in SERVICES[service].get("volumes", ()):
        source, target = volume.removesuffix(":ro").split(":")
        yield source, target


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_hardened(service: str) -> None:
    """It may write to its volumes only, gain no right, and not be reached from outside; images are pinned."""
    definition = SERVICES[service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in definition["ports"])
    assert "build" in definition or definition["image"].rpartition(":")[2][:1] in set("v123456789")
    assert "build" in definition or "healthcheck" in definition


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_exists(service: str) -> None:
    """Docker would make an empty folder of a file that is missing."""
    for source, _ in mounts(service):
        assert source in COMPOSE["volumes"] or (ROOT / source).exists(), source


@contextmanager
def compose_tool() -> Iterator[list[str]]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            yield command
            return
    pytest.skip("docker compose is not installed")


@pytest.mark.parametrize("secret", ["", "a-token"])
def test_docker_compose_reads_it(secret: str) -> None:
    """With a credential and without one; only the exporter is handed it."""
    with compose_tool() as command:
        done = subprocess.run(
            [*command, "--file", "compose.yaml", "config"],
            env=environment(TWILIO_AUTH_TOKEN=secret),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert services["exporter"]["environment"]["TWILIO_AUTH_TOKEN"] == secret
    assert all("a-token" not in json.dumps(services[name]) for name in services if name != "exporter")


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("", "demo"),
        ("TWILIO_ACCOUNT_NAME", "demo"),
        *((f"TWILIO_{name}", "run") for name in ("ACCOUNT_SID", "AUTH_TOKEN", "API_KEY", "API_KEY_SECRET")),
    ],
)
def test_exporter_demonstrates_unless_there_is_a_credential(
    tmp_path: Path, variable: str, command: str
) -> None:
    """Half of one is enough to want the real thing, and to be told what is missing."""
    program = tmp_path / "twilio-email-exporter"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    exporter = SERVICES["exporter"]
    variables = {name: "something" if name == variable else "" for name in exporter["environment"]}
    script = exporter["command"][0].replace("$$", "$")
    said = subprocess.check_output(
        [*exporter["entrypoint"], script], env={**variables, "PATH": f"{tmp_path}:/bin"}, text=True
    )
    assert said.split()[0] == command


# -- Prometheus and Alertmanager ----------------------------------------------------------------------------


def command_of_prometheus(folder: Path, **instead: str) -> list[str]:
    """The service's script, run with the container's /tmp in `folder`; what it would start, in words."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "prometheus").write_text('#!/bin/sh\necho "$@"\n')
    (tools / "prometheus").chmod(0o755)
    (folder / "tmp").mkdir()
    at = {target: source for source, target in mounts("prometheus")} | instead
    script = SERVICES["prometheus"]["command"][0].replace("$$", "$").replace("/tmp/", f"{folder}/tmp/")
    for target in ("/etc/prometheus/alerts.yaml", "/etc/prometheus/prometheus.yml"):
        assert target in script
        script = script.replace(target, str(ROOT / at[target]))
    said = subprocess.check_output(
        [*SERVICES["prometheus"]["entrypoint"], script],
        env={"PATH": f"{tools}:/bin:/usr/bin"},
        text=True,
    )
    return said.split()


def laid_out(folder: Path, **addresses: str) -> str:
    """The configuration of Prometheus, with the rules as in the container; services are elsewhere."""
    command_of_prometheus(folder)
    config = (CONFIGS / "prometheus.yml").read_text().replace("/tmp/", f"{folder}/tmp/")
    for host, address in addresses.items():
        (port,) = {"exporter": ["10587"], "alertmanager": ["9093"]}[host]
        assert f'"{host}:{port}"' in config
        config = config.replace(f"{host}:{port}", address)
    return config


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    """And the rules that it names."""
    (tmp_path / "prometheus.yml").write_text(laid_out(tmp_path))
    subprocess.run(["promtool", "check", "config", str(tmp_path / "prometheus.yml")], check=True, timeout=60)


def test_links_of_alerts_lead_to_grafana(tmp_path: Path) -> None:
    """To the port of this machine that it is published at; nothing else of the rules is changed."""
    command_of_prometheus(tmp_path)
    rules = (tmp_path / "tmp" / "alerts.yaml").read_text()
    (port,) = SERVICES["grafana"]["ports"]
    grafana = f"http://localhost:{port.split(':')[1]}"
    assert rules.count(f"dashboard_url: {grafana}/d/") == rules.count("dashboard_url: ") == len(ALERTS)
    assert rules.replace(f"dashboard_url: {grafana}/", "dashboard_url: /") == RULES
    assert "/tmp" in SERVICES["prometheus"]["tmpfs"]
    assert yaml.safe_load((CONFIGS / "prometheus.yml").read_text())["rule_files"] == ["/tmp/alerts.yaml"]


def test_prometheus_does_not_start_without_its_rules(tmp_path: Path) -> None:
    """It would take a file that is missing for no rules at all."""
    with pytest.raises(subprocess.CalledProcessError):
        command_of_prometheus(tmp_path, **{"/etc/prometheus/alerts.yaml": "no-such-file.yaml"})


def test_prometheus_keeps_what_the_recipes_look_back_on(tmp_path: Path) -> None:
    """Longer than the longest range of docs/queries.md; on its volume, with its configuration."""
    flags = dict(each.split("=") for each in command_of_prometheus(tmp_path))
    kept = int(flags["--storage.tsdb.retention.time"].removesuffix("d"))
    ranges = [int(days) for days in re.findall(r"\b(\d+)d\b", (ROOT / "docs" / "queries.md").read_text())]
    assert kept > max(ranges) >= 30
    assert Path(flags["--config.file"]) == CONFIGS / "prometheus.yml"
    assert dict(mounts("prometheus"))["prometheus"] == flags["--storage.tsdb.path"]


@pytest.mark.needs("amtool")
def test_amtool_accepts_the_configuration() -> None:
    """As it stands."""
    subprocess.run(["amtool", "check-config", str(CONFIGS / "alertmanager.yml")], check=True, timeout=60)


@pytest.mark.needs("prometheus", "alertmanager")
def test_they_find_each_other(tmp_path: Path) -> None:
    """Prometheus scrapes the exporter, has loaded every alert, and knows the Alertmanager."""
    log = tmp_path / "demo.log"
    with (
        started(log, "demo", "--web.listen_address", "127.0.0.1:0"),
        alertmanager(tmp_path, (CONFIGS / "alertmanager.yml").read_text()) as alertmanager_address,
    ):
        target = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)
        config = laid_out(tmp_path, exporter=target, alertmanager=alertmanager_address)
        config = config.replace("scrape_interval: 15s", "scrape_interval: 1s")
        with prometheus(tmp_path, config) as url:
            eventually(lambda: query(url, 'up{job="twilio-email"} == 1'), "a scrape")
            found = json.loads(fetch(f"{url}/api/v1/alertmanagers") or "{}")["data"]["activeAlertmanagers"]
            assert [each["url"] for each in found] == [f"http://{alertmanager_address}/api/v2/alerts"]
            groups = json.loads(fetch(f"{url}/api/v1/rules?type=alert") or "{}")["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert {rule["name"] for rule in rules} == ALERTS
            eventually(lambda: all(r["health"] != "err" for r in rules) or None, "rules without an error")


def alert(name: str, **labels: str) -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, "severity": "warning", "job": HERE, **labels},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
    }


@pytest.mark.needs("alertmanager")
def test_consequence_is_silent_beside_its_cause(tmp_path: Path) -> None:
    """Of the same account only; another account's trouble is told."""
    fired = [
        alert("TwilioEmailUnauthorized", account="shop"),
        alert("TwilioEmailPollFailing", account="shop"),
        alert("TwilioEmailPollFailing", account="newsletter"),
        alert("TwilioEmailDataStale", account="club"),
        alert("TwilioEmailTrafficStopped", account="club"),
        alert("TwilioEmailFailedSpike", account="club"),
        alert("TwilioEmailThrottled", account="club"),
        alert("TwilioEmailThrottled", account="club", job="elsewhere"),
        alert("TwilioEmailExporterAbsent", instance="other-shard:10587"),
    ]
    with alertmanager(tmp_path, (CONFIGS / "alertmanager.yml").read_text()) as address:
        request = urllib.request.Request(
            f"http://{address}/api/v2/alerts",
            json.dumps(fired).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()

        def states() -> dict[tuple[str, str, str], str] | None:
            alerts = json.loads(fetch(f"http://{address}/api/v2/alerts") or "[]")
            found = {
                (
                    each["labels"]["alertname"],
                    each["labels"].get("account", ""),
                    each["labels"]["job"],
                ): "inhibited" if each["status"]["inhibitedBy"] else "told"
                for each in alerts
            }
            return found if len(found) == len(fired) and "inhibited" in found.values() else None

        assert eventually(states, "all alerts") == {
            ("TwilioEmailUnauthorized", "shop", HERE): "told",
            ("TwilioEmailPollFailing", "shop", HERE): "inhibited",
            ("TwilioEmailPollFailing", "newsletter", HERE): "told",
            ("TwilioEmailDataStale", "club", HERE): "told",
            ("TwilioEmailTrafficStopped", "club", HERE): "told",
            ("TwilioEmailFailedSpike", "club", HERE): "told",
            ("TwilioEmailThrottled", "club", HERE): "inhibited",
            ("TwilioEmailThrottled", "club", "elsewhere"): "told",
            ("TwilioEmailExporterAbsent", "", HERE): "told",
        }


def test_inhibition_names_alerts_that_exist() -> None:
    """A name that is misspelt would inhibit nothing, without a word."""
    rules = yaml.safe_load((CONFIGS / "alertmanager.yml").read_text())["inhibit_rules"]
    matchers = [each for rule in rules for each in (*rule["source_matchers"], *rule["target_matchers"])]
    values = [each.split('"')[1] for each in matchers if each.startswith("alertname")]
    names = {name for value in values for name in value.split("|")}
    assert names <= ALERTS


# -- Grafana ------------------------------------------------------------------------------------------------


def test_grafana_finds_what_is_provisioned() -> None:
    """The provider looks where the dashboards are mounted; the home dashboard is among them."""
    at = {target: source for source, target in mounts("grafana")}
    provider = yaml.safe_load((CONFIGS / "grafana" / "dashboards.yml").read_text())["providers"][0]
    assert at[provider["options"]["path"]] == "./grafana/dashboards"
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / at[str(home.parent)] / home.name).is_file()
    assert {str(Path(target).parent) for target in at} >= {
        "/etc/grafana/provisioning/datasources",
        "/etc/grafana/provisioning/dashboards",
    }


@pytest.mark.parametrize(
    "file", sorted((ROOT / "grafana" / "dashboards").glob("*.json")), ids=lambda f: f.stem
)
def test_dashboard_finds_the_datasource(file: Path) -> None:
    """Its variable takes a datasource of the type that is provisioned, which is the default one."""
    (source,) = yaml.safe_load((CONFIGS / "grafana" / "datasources.yml").read_text())["datasources"]
    variables = json.loads(file.read_text())["templating"]["list"]
    (variable,) = (each for each in variables if each["type"] == "datasource")
    assert (variable["name"], variable["query"]) == ("datasource", source["type"])
    assert source["isDefault"] is True
    assert source["url"] == "http://prometheus:9090"
    interval = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
