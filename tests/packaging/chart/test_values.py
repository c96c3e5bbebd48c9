"""Values that the chart accepts, and its messages about those that it rejects.

The JSON schema and the templates check the chart's own values. The program checks the rest when it starts:
everything in `config`, the credentials and the web config.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import pytest
import yaml

from exporter.config.problems import SettingsError
from tests.packaging.chart.reference import README, defaults, described_values, readme
from tests.packaging.chart.rendering import ACCOUNT, CHART, URL, render, settings_of
from tests.support.program import ROOT

SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: Final = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

SID: Final = {"account_sid": "AC" + "0" * 32}
KEY: Final = {"api_key": "SK" + "0" * 32}
EXISTING: Final = {"existingSecret": {"name": "twilio"}}


VERIFIED: Final = f"{URL}?sslmode=verify-full"


def database(**keys: Any) -> dict[str, Any]:
    return {"state": {"postgresql": keys}, "persistence": {"enabled": False}}


def account(**keys: Any) -> dict[str, Any]:
    return {"accounts": [{"name": "shop", **keys}]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"accounts": []}, "accounts: the list is empty; add an account"),
        *(
            (
                account(**keys),
                f"accounts[0] (shop): the credential is given as {given}; write account_sid and one",
            )
            for keys, given in (
                ({}, "nothing"),
                (SID, "account_sid"),
                (KEY, "api_key"),
                (EXISTING, "existingSecret"),
                ({**SID, **KEY, **EXISTING}, "account_sid, api_key, existingSecret"),
                ({**SID, "api_key_secret": "x"}, "account_sid, api_key_secret"),
                ({**KEY, "auth_token": "x"}, "api_key, auth_token"),
                ({**SID, "auth_token": "x", **EXISTING}, "account_sid, auth_token, existingSecret"),
                (
                    {**SID, "auth_token": "x", "auth_token_file": "/x"},
                    "account_sid, auth_token, auth_token_file",
                ),
            )
        ),
        (
            {"accounts": [ACCOUNT, ACCOUNT]},
            "accounts[1].name: default is also the name of accounts[0]; choose",
        ),
        ({"accounts": [SID]}, "at '/accounts/0': missing property 'name'"),
        (account(**SID, auth_token=12345), "at '/accounts/0/auth_token': got number, want string"),
        (
            account(**SID, existingSecret={"key": "x"}),
            "at '/accounts/0/existingSecret': missing property 'name'",
        ),
        ({"replicaCount": 2}, "replicaCount: 2 pods would poll the same accounts and count everything twice"),
        ({"replicaCount": 2}, "write 1, and divide the accounts among pods with shards"),
        ({"replicaCount": 2}, "or let the pods share a database with state.postgresql"),
        ({**database(url=URL), "persistence": {}}, "persistence.enabled: with state.postgresql, the pods h"),
        ({**database(url=URL), "shards": 2}, "shards: with state.postgresql, one pod polls all accounts"),
        *(
            (database(**keys), f"state.postgresql.url: {problem}")
            for keys, problem in (
                ({"existingSecret": "x"}, "it is empty, so no database is used; write one"),
                ({"ca": {"secret": "x"}}, "it is empty, so no database is used; write one"),
                ({"url": "postgresql://me:word@db/mail"}, "everyone who can read the ConfigMap would see"),
            )
        ),
        *(
            (database(url=url, ca=ca), f"state.postgresql.ca: {problem}")
            for url, ca, problem in (
                (VERIFIED, {"configMap": "x", "secret": "y"}, "both configMap and secret are set"),
                (f"{VERIFIED}&sslrootcert=/x", {"secret": "y"}, "the URL has an sslrootcert as well"),
                (URL, {"secret": "y"}, "no certificate would be verified; add sslmode=verify-full"),
                (f"{URL}?sslmode=prefer", {"configMap": "x"}, "no certificate would be verified"),
            )
        ),
        ({"shards": 0}, "at '/shards': minimum: got 0, want 1"),
        ({"shards": 1001}, "at '/shards': maximum: got 1,001, want 1,000"),
        ({"config": {"poll": "60s"}}, "at '/config/poll': got string, want null or object"),
        ({"config": {"web": {"listen_address": 1}}}, "at '/config/web/listen_address': got number, want"),
        ({"config": {"state": {"path": "/x"}}}, "config.state: the chart sets it; use persistence or state"),
        ({"config": {"shard": {"x": 1}}}, "config.shard: the chart sets it; use shards"),
        ({"config": {"web": {"config_file": "/x"}}}, "config.web.config_file: the chart sets it; use webC"),
        ({"serviceMonitor": {"interval": "1.5m"}}, "at '/serviceMonitor/interval': '1.5m' does not match"),
        ({"podMonitor": {"scrapeTimeout": "10"}}, "at '/podMonitor/scrapeTimeout': '10' does not match"),
        (
            {"webConfig": {"content": {"rate_limit": {}}, "existingSecret": "x"}},
            "webConfig: both content and existingSecret are set",
        ),
        (
            {"webConfig": {"tlsSecret": "x"}},
            "webConfig.tlsSecret: no web config uses this certificate; name its files in",
        ),
        ({"ca": {"configMap": "x", "secret": "y"}}, "ca: both configMap and secret are set"),
        (
            {"ca": {"secret": "y"}, "config": {"api": {"ca_file": "/x"}}},
            "config.api.ca_file: ca is set as well",
        ),
        (
            {"proxy": {"https": "http://me:word@proxy:3128"}},
            "put HTTPS_PROXY into a Secret and name that Secret in extraEnvFrom",
        ),
        (
            {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
            "each pod would be scraped twice",
        ),
        *(
            ({"prometheusRule": {"enabled": True, **values}}, f"prometheusRule.{problem}")
            for values, problem in (
                (
                    {"disabledGroups": ["mail"]},
                    "disabledGroups: the rules have no mail; write twilio-email or",
                ),
                ({"disabledAlerts": ["Mail"]}, "disabledAlerts: the rules have no Mail; write TwilioEmail"),
                ({"alerts": {"Mail": {"for": "1h"}}}, "alerts: the rules have no Mail; write TwilioEmail"),
            )
        ),
        (
            {"prometheusRule": {"alerts": {"TwilioEmailBacklog": {"for": "soon"}}}},
            "at '/prometheusRule/alerts/TwilioEmailBacklog/for': 'soon' does not match",
        ),
        (
            {"prometheusRule": {"alerts": {"TwilioEmailBacklog": {"expr": "up"}}}},
            "additional properties 'expr' not allowed",
        ),
        (
            {"shards": 2, "persistence": {"existingClaim": "mail"}},
            "persistence.existingClaim: shards cannot share one volume; write shards: 1",
        ),
        *(
            (
                {"shards": 2, name: {"enabled": True, **values}},
                f"{name}.enabled: each shard has a status page",
            )
            for name, values in (
                ("ingress", {"hosts": [{"host": "mail.example.com"}]}),
                ("httpRoute", {"parentRefs": [{"name": "gateway"}]}),
            )
        ),
        ({"ingress": {"enabled": True}}, "ingress.hosts: the list is empty; write a host"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: the list is empty; name a Gateway"),
        ({"service": {"type": "ExternalName"}}, "at '/service/type': value must be one of 'ClusterIP'"),
        ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match"),
        *(
            ({name: wrong}, f'fullnameOverride: "{found}" cannot be the name of a Service; write')
            for name, wrong, found in (
                ("fullnameOverride", "My_Name", "my_name"),
                ("fullnameOverride", "1234", "1234"),
                ("fullnameOverride", "-mail", "-mail"),
                ("nameOverride", "my mail", "demo-my mail"),
            )
        ),
        (
            {"nameOverride": "my mail", "fullnameOverride": "mail"},
            'nameOverride: "my mail" cannot be the value of a label',
        ),
        *(
            (
                values,
                f"{path}: selectors use the label {label}; choose another label",
            )
            for label in ("app.kubernetes.io/name", "app.kubernetes.io/instance")
            for path, values in (
                ("commonLabels", {"commonLabels": {label: "x"}}),
                ("podLabels", {"podLabels": {label: "x"}}),
                ("service.labels", {"service": {"labels": {label: "x"}}}),
            )
        ),
        *(
            (
                {
                    "extraVolumes": [{"name": "own", "emptyDir": {}}, {"name": name, "emptyDir": {}}],
                    "webConfig": {"content": {"rate_limit": {}}, "tlsSecret": "x"},
                    "ca": {"secret": "y"},
                    **database(url=VERIFIED, existingSecret="x", ca={"secret": "y"}),
                },
                f"extraVolumes[1]: the chart already has a volume named {name}; choose another name",
            )
            for name in ("state", "config", "credentials", "web", "tls", "ca", "postgresql", "postgresql-ca")
        ),
    ],
)
def test_bad_values_are_refused(values: Mapping[str, Any], words: str) -> None:
    """Helm fails, with a message that names the value and what is wrong with it."""
    with pytest.raises(helm.HelmError) as caught:
        render(values)
    assert words in str(caught.value)


def test_release_name_must_be_valid_for_a_service() -> None:
    """Helm accepts a release name that starts with a digit, which a Service may not have."""
    with pytest.raises(
        helm.HelmRenderError, match='"1234-twilio-email-exporter" cannot be the name of a Ser'
    ):
        render(name="1234")


def test_all_problems_are_reported_at_once() -> None:
    """One message lists every problem that the templates find."""
    with pytest.raises(helm.HelmRenderError) as caught:
        render({"accounts": [{"name": "a"}, {"name": "b"}], "replicaCount": 3})
    reported = re.findall(r"^  (\S+?)[: ]", str(caught.value), flags=re.MULTILINE)
    assert reported == ["replicaCount", "accounts[0]", "accounts[1]"]


def mappings(
    schema: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Path and schema of each mapping whose keys the schema lists."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        yield path, schema
        for key, inner in schema["properties"].items():
            yield from mappings(inner, (*path, key))


OF_PARENTS: Final = {"global", "enabled"}
"""Keys that a parent chart sets."""
CHECKED_BY_THE_PROGRAM: Final = ("config",)


@pytest.mark.parametrize(
    "path", [path for path, _ in mappings(SCHEMA) if path[:1] != CHECKED_BY_THE_PROGRAM], ids=".".join
)
def test_unknown_keys_are_rejected(path: tuple[str, ...]) -> None:
    """A misspelt key is an error in every mapping whose keys the schema lists."""
    values: dict[str, Any] = {"tpyo": 1}
    for name in reversed(path):
        values = {name: values}
    with pytest.raises(helm.HelmValuesError, match="additional properties 'tpyo' not allowed"):
        render(values)


def test_schema_and_values_have_the_same_keys() -> None:
    """Every value in values.yaml is in the schema, and the other way round."""
    described = described_values()
    offered = {path for path, _ in defaults(VALUES, described)}
    allowed = set()
    for path, schema in mappings(SCHEMA):
        within = ".".join(path)
        if not any(within == each or within.startswith(f"{each}.") for each in offered):
            allowed |= {".".join((*path, key)) for key in schema["properties"]}
    sections = {".".join(path) for path, _ in mappings(SCHEMA)}
    assert allowed - sections - OF_PARENTS == offered - sections
    assert offered & sections == {
        "config",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "resources",
        "persistence.retentionPolicy",
    }


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"poll": {"interval": "15 minutes"}}, "poll.interval"),
        ({"poll": {"lookback": "8d"}}, "poll.lookback"),
        ({"api": {"base_url": "http://twilio.example.com"}}, "api.base_url"),
        ({"alerts": {"stuck_after": "8d"}}, "alerts.stuck_after"),
        ({"web": {"listen_address": ":10587,a..b:1"}}, "web.listen_address"),
        ({"web": {"telemetry_path": "/-/healthy"}}, "web.telemetry_path"),
    ],
)
def test_program_reports_what_the_chart_does_not_check(
    config: Mapping[str, Any], path: str, tmp_path: Path
) -> None:
    """The chart renders such values, and the program refuses them with a message that names the setting."""
    with pytest.raises(SettingsError) as caught:
        settings_of(render({"config": config}), tmp_path)
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize(
    "address",
    [
        ":0",
        ":65536",
        ["0.0.0.0:0", ":1"],
        "127.0.0.1:10587",
        "localhost:1,:2",
        "Localhost:80",
        ["[::1]:10587"],
        "[0:0:0:0:0:0:0:1]:80",
    ],
)
def test_probes_need_a_port_that_they_can_reach(address: str | list[str]) -> None:
    """The first address must have a fixed port and must not be a loopback address."""
    first = "".join(address[:1] if isinstance(address, list) else address.partition(",")[0])
    with pytest.raises(helm.HelmRenderError, match=r"config\.web\.listen_address: ") as caught:
        render({"config": {"web": {"listen_address": address}}})
    assert f'cannot reach "{first}"; write :10587' in str(caught.value)


@pytest.mark.parametrize(
    "address", ["[2001:db8::1]:80", "mail.example.com:1,127.0.0.1:2", ["0.0.0.0:1", ":0"]]
)
def test_further_addresses_may_be_any(address: str | list[str]) -> None:
    """Probes and Prometheus use the first address only."""
    assert render({"config": {"web": {"listen_address": address}}}).one("StatefulSet")


# -- documentation -------------------------------------------------------------------------------------------


def test_readme_has_the_table_of_the_values() -> None:
    """The table is up to date; it has a row with a description for every value."""
    assert README.read_text(encoding="utf-8") == readme()


EXAMPLES: Final = [
    textwrap.dedent(block)
    for block in re.findall(
        r"^ *```yaml\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_readme_render(example: str) -> None:
    """Each example renders as it is written, with an account if it has none."""
    values = yaml.safe_load(textwrap.dedent(example))
    expected = values.get("shards", 1) * values.get("replicaCount", 1)
    assert render(values).workload["spec"]["replicas"] == expected


def test_command_of_the_docs_renders() -> None:
    """The values that docs/installing.md sets on Helm's command line are sufficient."""
    options = re.findall(r"--set '?([^' \n]+)", (ROOT / "docs" / "installing.md").read_text(encoding="utf-8"))
    rendered = render(helm.parse_set_string(",".join(options)))
    assert rendered.container["image"].startswith("registry.example.com/")
    assert "auth_token_file" in rendered.config_map["data"]["config.yaml"]
