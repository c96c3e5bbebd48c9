"""compose.yaml and its configuration files, checked with the programs that read them."""

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

from exporter.config.database import parse_database, read_password
from tests.support.monitoring import alertmanager, prometheus, query
from tests.support.program import ROOT, environment, eventually, fetch, found_in, started

CONFIGS: Final = ROOT / "compose"
COMPOSE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
RULES: Final = (ROOT / "grafana" / "alerts.yaml").read_text()
ALERTS: Final = {
    rule["alert"] for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"] if "alert" in rule
}

JOB: Final = "twilio-email"


def mounts(service: str) -> Iterator[tuple[str, str]]:
    """Source and target of each mount."""
    for volume in SERVICES[service].get("volumes", ()):
        source, target = volume.removesuffix(":ro").split(":")
        yield source, target


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_hardened(service: str) -> None:
    """A service is read-only, has no capabilities, listens on loopback and has a pinned image."""
    definition = SERVICES[service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in definition.get("ports", ()))
    assert "build" in definition or definition["image"].rpartition(":")[2][:1] in set("v123456789")
    assert "build" in definition or "healthcheck" in definition


@pytest.mark.parametrize("service", SERVICES)
def test_mounted_files_exist(service: str) -> None:
    """Docker would create an empty folder in place of a missing file."""
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
def test_docker_compose_accepts_it(secret: str) -> None:
    """The file is valid with and without a credential, which only the exporter receives."""
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
        ("POSTGRES_PASSWORD", "demo"),
        *((f"TWILIO_{name}", "run") for name in ("ACCOUNT_SID", "AUTH_TOKEN", "API_KEY", "API_KEY_SECRET")),
    ],
)
def test_exporter_runs_the_demo_without_a_credential(tmp_path: Path, variable: str, command: str) -> None:
    """An incomplete credential starts `run`, which reports what is missing, instead of the demo."""
    arguments, _ = command_of_exporter(tmp_path, **({variable: "something"} if variable else {}))
    assert arguments[0] == command
    assert (command == "demo") == ("--web.listen_address=:10587" in arguments)


def command_of_exporter(folder: Path, **variables: str) -> tuple[list[str], dict[str, str]]:
    """Run the service's script with /tmp in `folder`. Returns the arguments and the `EXPORTER_` variables."""
    program = folder / "twilio-email-exporter"
    program.write_text('#!/bin/sh\necho "$@"\nenv\n')
    program.chmod(0o755)
    exporter = SERVICES["exporter"]
    assert variables.keys() <= exporter["environment"].keys()
    script = exporter["command"][0].replace("$$", "$").replace("/tmp/", f"{folder}/")
    output = subprocess.check_output(
        [*exporter["entrypoint"], script], env={**variables, "PATH": f"{folder}:/bin:/usr/bin"}, text=True
    )
    arguments, *environment = output.splitlines()
    settings = dict(line.split("=", 1) for line in environment if line.startswith("EXPORTER_"))
    return arguments.split(), settings


def test_state_is_a_file_or_a_database(tmp_path: Path) -> None:
    """With a password, the exporter uses the database of the profile, and the password is in a file."""
    arguments, settings = command_of_exporter(tmp_path, TWILIO_AUTH_TOKEN="something")
    assert (arguments, settings) == (["run", "--state.path=/state/state.sqlite"], {})
    arguments, settings = command_of_exporter(
        tmp_path, TWILIO_AUTH_TOKEN="something", POSTGRES_PASSWORD="p%s $1"
    )
    file = Path(settings.pop("EXPORTER_STATE__PASSWORD_FILE"))
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("p%s $1", 0o600)
    database = parse_database(settings.pop("EXPORTER_STATE__URL"))
    service = SERVICES["postgresql"]["environment"]
    assert (database.user, database.name) == (service["POSTGRES_USER"], service["POSTGRES_DB"])
    assert (database.hosts, database.sslmode) == ((("postgresql", 5432),), "disable")
    assert read_password(database, file) == "p%s $1"
    assert (arguments, settings) == (["run"], {})
    assert {SERVICES[name]["environment"]["POSTGRES_PASSWORD"] for name in ("exporter", "postgresql")} == {
        "${POSTGRES_PASSWORD:-}"
    }


def test_database_starts_with_its_profile_only() -> None:
    """The database has a profile; the exporter waits for it, and starts without it."""
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "postgresql": ["postgresql"]
    }
    wait = {"condition": "service_healthy", "required": False}
    assert SERVICES["exporter"]["depends_on"] == {"postgresql": wait}


# -- Prometheus and Alertmanager ----------------------------------------------------------------------------


def command_of_prometheus(folder: Path, **instead: str) -> list[str]:
    """Run the service's script with the container's /tmp in `folder`. Returns the arguments of Prometheus."""
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
    arguments = subprocess.check_output(
        [*SERVICES["prometheus"]["entrypoint"], script],
        env={"PATH": f"{tools}:/bin:/usr/bin"},
        text=True,
    )
    return arguments.split()


def laid_out(folder: Path, **addresses: str) -> str:
    """The configuration of Prometheus for this machine, with the services at `addresses`."""
    command_of_prometheus(folder)
    config = (CONFIGS / "prometheus.yml").read_text().replace("/tmp/", f"{folder}/tmp/")
    for host, address in addresses.items():
        (port,) = {"exporter": ["10587"], "alertmanager": ["9093"]}[host]
        assert f'"{host}:{port}"' in config
        config = config.replace(f"{host}:{port}", address)
    return config


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    """promtool accepts the configuration and its rule file."""
    (tmp_path / "prometheus.yml").write_text(laid_out(tmp_path))
    subprocess.run(["promtool", "check", "config", str(tmp_path / "prometheus.yml")], check=True, timeout=60)


def test_links_of_alerts_point_to_grafana(tmp_path: Path) -> None:
    """The dashboard links use Grafana's published port; the rules are otherwise unchanged."""
    command_of_prometheus(tmp_path)
    rules = (tmp_path / "tmp" / "alerts.yaml").read_text()
    (port,) = SERVICES["grafana"]["ports"]
    grafana = f"http://localhost:{port.split(':')[1]}"
    links = [
        rule["annotations"]["dashboard_url"]
        for group in yaml.safe_load(rules)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(links) == len(ALERTS)
    assert all(link.startswith(f"{grafana}/d/") for link in links)
    assert rules.replace(f"{grafana}/d/", "/d/") == RULES
    assert "/tmp" in SERVICES["prometheus"]["tmpfs"]
    assert yaml.safe_load((CONFIGS / "prometheus.yml").read_text())["rule_files"] == ["/tmp/alerts.yaml"]


def test_prometheus_does_not_start_without_its_rules(tmp_path: Path) -> None:
    """The script fails if the rule file is missing; Prometheus itself would start without rules."""
    with pytest.raises(subprocess.CalledProcessError):
        command_of_prometheus(tmp_path, **{"/etc/prometheus/alerts.yaml": "no-such-file.yaml"})


def test_prometheus_retention_covers_the_recipes(tmp_path: Path) -> None:
    """Prometheus keeps data longer than the longest range in docs/queries.md, on its volume."""
    flags = dict(each.split("=") for each in command_of_prometheus(tmp_path))
    kept = int(flags["--storage.tsdb.retention.time"].removesuffix("d"))
    ranges = [int(days) for days in re.findall(r"\b(\d+)d\b", (ROOT / "docs" / "queries.md").read_text())]
    assert kept > max(ranges) >= 30
    assert Path(flags["--config.file"]) == CONFIGS / "prometheus.yml"
    assert dict(mounts("prometheus"))["prometheus"] == flags["--storage.tsdb.path"]


@pytest.mark.needs("amtool")
def test_amtool_accepts_the_configuration() -> None:
    """amtool accepts compose/alertmanager.yml."""
    subprocess.run(["amtool", "check-config", str(CONFIGS / "alertmanager.yml")], check=True, timeout=60)


@pytest.mark.needs("prometheus", "alertmanager")
def test_services_find_each_other(tmp_path: Path) -> None:
    """Prometheus scrapes the exporter, loads every alert, and discovers the Alertmanager."""
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
        "labels": {"alertname": name, "severity": "warning", "job": JOB, **labels},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
    }


@pytest.mark.needs("alertmanager")
def test_cause_inhibits_its_consequence(tmp_path: Path) -> None:
    """An alert is inhibited only by its cause in the same account of the same job."""
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
                ): "inhibited" if each["status"]["inhibitedBy"] else "active"
                for each in alerts
            }
            return found if len(found) == len(fired) and "inhibited" in found.values() else None

        assert eventually(states, "all alerts") == {
            ("TwilioEmailUnauthorized", "shop", JOB): "active",
            ("TwilioEmailPollFailing", "shop", JOB): "inhibited",
            ("TwilioEmailPollFailing", "newsletter", JOB): "active",
            ("TwilioEmailDataStale", "club", JOB): "active",
            ("TwilioEmailTrafficStopped", "club", JOB): "active",
            ("TwilioEmailFailedSpike", "club", JOB): "active",
            ("TwilioEmailThrottled", "club", JOB): "inhibited",
            ("TwilioEmailThrottled", "club", "elsewhere"): "active",
            ("TwilioEmailExporterAbsent", "", JOB): "active",
        }


def test_inhibition_names_alerts_that_exist() -> None:
    """Alertmanager does not report an inhibition rule with a misspelt alert."""
    rules = yaml.safe_load((CONFIGS / "alertmanager.yml").read_text())["inhibit_rules"]
    matchers = [each for rule in rules for each in (*rule["source_matchers"], *rule["target_matchers"])]
    values = [each.split('"')[1] for each in matchers if each.startswith("alertname")]
    names = {name for value in values for name in value.split("|")}
    assert names <= ALERTS


# -- Grafana ------------------------------------------------------------------------------------------------


def test_grafana_finds_what_is_provisioned() -> None:
    """The dashboards are mounted where the provider expects them, with the home dashboard among them."""
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
    """The dashboard's variable selects the type of the provisioned datasource, which is the default."""
    (source,) = yaml.safe_load((CONFIGS / "grafana" / "datasources.yml").read_text())["datasources"]
    variables = json.loads(file.read_text())["templating"]["list"]
    (variable,) = (each for each in variables if each["type"] == "datasource")
    assert (variable["name"], variable["query"]) == ("datasource", source["type"])
    assert source["isDefault"] is True
    assert source["url"] == "http://prometheus:9090"
    interval = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
