"""Values that the chart accepts, and its messages about those that it rejects.

The JSON schema checks names, types and simple bounds; tests compare it with the program, so that a new
setting is added to both. The templates check what only the chart can see. The program checks the rest.
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
from exporter.config.settings import SETTINGS
from exporter.config.sources import Setting
from exporter.web.web_config import read_web_config
from tests.packaging.chart.reference import README, defaults, described_values, readme
from tests.packaging.chart.rendering import ACCOUNT, CHART, render, settings_of
from tests.support.program import ROOT

SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: Final = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

SET_BY_THE_CHART: Final = {"state.path": "persistence", "web.config_file": "webConfig", "shard": "shards"}
"""Settings that `config` does not accept, and the value that controls each of them."""

SID: Final = {"account_sid": "AC" + "0" * 32}
KEY: Final = {"api_key": "SK" + "0" * 32}
EXISTING: Final = {"existingSecret": {"name": "twilio"}}


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
        ({"accounts": [{**ACCOUNT, "name": "a b"}]}, "at '/accounts/0/name': 'a b' does not match"),
        ({"accounts": [{**ACCOUNT, "name": "x" * 65}]}, "at '/accounts/0/name'"),
        ({"accounts": [SID]}, "at '/accounts/0': missing property 'name'"),
        (account(account_sid="AC12", **EXISTING), "at '/accounts/0/account_sid': 'AC12' does not match"),
        (account(**SID, auth_token=12345), "at '/accounts/0/auth_token': got number, want string"),
        (
            account(**SID, existingSecret={"key": "x"}),
            "at '/accounts/0/existingSecret': missing property 'name'",
        ),
        *(
            (values, f"at '/{path}/alerts{problem}")
            for alerts, problem in (
                ({"failed_ratio": 1.5}, "/failed_ratio': maximum: got 1.5, want 1"),
                ({"late_ratio": 0}, "/late_ratio': exclusiveMinimum: got 0, want 0"),
                ({"failed_ratio": "5%"}, "/failed_ratio': got string, want number"),
                ({"stuck_after": True}, "/stuck_after': got boolean, want number"),
                ({"failed_ration": 0.1}, "': additional properties 'failed_ration' not allowed"),
                ({"gone": {"failed_ratio": 0.1}}, "': additional properties 'gone' not allowed"),
            )
            for path, values in (
                ("config", {"config": {"alerts": alerts}}),
                ("accounts/0", {"accounts": [{**ACCOUNT, "alerts": alerts}]}),
            )
        ),
        ({"replicaCount": 2}, "replicaCount: 2 pods would poll the same accounts and count everything twice"),
        ({"replicaCount": 2}, "write 1, and divide the accounts among pods with shards"),
        ({"shards": 0}, "at '/shards': minimum: got 0, want 1"),
        ({"shards": 1001}, "at '/shards': maximum: got 1,001, want 1,000"),
        (
            {"config": {"poll": {"intervall": "60s"}}},
            "at '/config/poll': additional properties 'intervall' not allowed",
        ),
        ({"config": {"polling": {}}}, "at '/config': additional properties 'polling' not allowed"),
        ({"config": {"state": {"path": "/x"}}}, "at '/config': additional properties 'state' not allowed"),
        ({"config": {"poll": {"interval": True}}}, "at '/config/poll/interval': got boolean, want number"),
        ({"serviceMonitor": {"interval": "1.5m"}}, "at '/serviceMonitor/interval': '1.5m' does not match"),
        ({"podMonitor": {"scrapeTimeout": "10"}}, "at '/podMonitor/scrapeTimeout': '10' does not match"),
        (
            {"config": {"api": {"requests_per_second": 0}}},
            "at '/config/api/requests_per_second': exclusiveMinimum",
        ),
        ({"config": {"metrics": {"top_operations": 201}}}, "top_operations': maximum: got 201, want 200"),
        ({"config": {"metrics": {"top_operations": -1}}}, "top_operations': minimum: got -1, want 0"),
        (
            {"config": {"log": {"level": "verbose"}}},
            "at '/config/log/level': value must be one of 'debug', 'info'",
        ),
        (
            {"webConfig": {"content": {"rate_limit": {}}, "existingSecret": "x"}},
            "webConfig: both content and existingSecret are set",
        ),
        (
            {"webConfig": {"content": {"basic_auth_user": {}}}},
            "additional properties 'basic_auth_user' not allowed",
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
        (
            {"prometheusRule": {"disabledGroups": ["mail"]}},
            "prometheusRule.disabledGroups: there is no group mail; write",
        ),
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
                },
                f"extraVolumes[1]: the chart already has a volume named {name}; choose another name",
            )
            for name in ("state", "config", "credentials", "web", "tls", "ca")
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


OPEN: Final = {"global"}
"""Keys that Helm sets itself."""


@pytest.mark.parametrize("path", [path for path, _ in mappings(SCHEMA)], ids=".".join)
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
    assert allowed - sections - OPEN == offered - sections
    assert offered & sections == {
        "config",
        "livenessProbe",
        "readinessProbe",
        "resources",
        "webConfig.content",
        "persistence.retentionPolicy",
    }


def test_every_setting_can_be_written() -> None:
    """`config` accepts every setting of the program, except those that the chart sets itself."""
    config = SCHEMA["properties"]["config"]["properties"]
    written = {f"{section}.{key}" for section, inner in config.items() for key in inner["properties"]}
    assert written | SET_BY_THE_CHART.keys() == {setting.path for setting in SETTINGS}
    assert not written & SET_BY_THE_CHART.keys()
    assert set(SET_BY_THE_CHART.values()) <= VALUES.keys()


BOUNDS: Final = {"more than": "exclusiveMinimum", "at least": "minimum", "at most": "maximum"}


@pytest.mark.parametrize(
    "setting", [each for each in SETTINGS if each.metavar in {"NUMBER", "COUNT"}], ids=lambda each: each.path
)
def test_numbers_have_the_bounds_of_the_program(setting: Setting) -> None:
    """The schema has the same minimum and maximum as the program."""
    schema = SCHEMA["properties"]["config"]["properties"][setting.location[0]]["properties"]
    bounds = re.findall(r"(more than|at least|at most) (\d+)", setting.allowed)
    found = {name: limit for name, limit in schema[setting.location[1]].items() if name in BOUNDS.values()}
    assert found == {BOUNDS[words]: int(limit) for words, limit in bounds}


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


# -- the web config -----------------------------------------------------------------------------------------

WEB_CONFIG: Final = SCHEMA["properties"]["webConfig"]["properties"]["content"]["properties"]
HEADERS: Final = WEB_CONFIG["http_server_config"]["properties"]["headers"]["properties"]
FILE: Final = Path("/web-config.yaml")
TLS: Final = {
    "cert_file": "a",
    "key_file": "b",
    "client_ca_file": "c",
    "client_auth_type": "RequireAndVerifyClientCert",
    "min_version": "TLS10",
}


def samples(schema: Mapping[str, Any]) -> list[Any]:
    """Every value that the schema lists, else a value of its type."""
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "array":
        return [[each] for each in samples(schema["items"])]
    return [True, False] if schema["type"] == "boolean" else ["x"]


@pytest.mark.parametrize(
    "content",
    [
        *(
            {
                "tls_server_config": {name: pem for name, pem in TLS.items() if name != f"{key}_file"}
                | {key: each}
            }
            for key, schema in WEB_CONFIG["tls_server_config"]["properties"].items()
            for each in samples(schema)
            if each != "NoClientCert"  # the default; it contradicts client_ca_file
        ),
        *(
            {"http_server_config": {"headers": {name: each}}}
            for name, schema in HEADERS.items()
            for each in samples(schema)
        ),
    ],
    ids=str,
)
def test_program_accepts_every_key_and_value_of_the_schema(content: Mapping[str, Any]) -> None:
    """In the web config, each key of the schema is a key of the program, with the same values."""
    read_web_config(FILE, yaml.safe_dump(content).encode())


def accepted_by_the_program(content: Mapping[str, Any]) -> bool:
    try:
        read_web_config(FILE, yaml.safe_dump(content).encode())
    except SettingsError:
        return False
    return True


def accepted_by_the_chart(content: Mapping[str, Any]) -> bool:
    try:
        render({"webConfig": {"content": content}})
    except helm.HelmError:
        return False
    return True


@pytest.mark.parametrize(
    "content",
    [
        {"tls_server_config": {"cert_file": "a", "key_file": "b", "prefer_server_cipher_suites": False}},
        {"tls_server_config": {"cert_file": "a", "key_file": "b", "client_auth_type": "Require"}},
        {"tls_server_config": {"cert_file": "a", "key_file": "b", "cipher_suites": ["TLS_RSA"]}},
        {"http_server_config": {"http2": False, "headers": {"X-Frame-Options": "deny"}}},
        {"http_server_config": {"headers": {"X-Frame-Options": "never"}}},
        {"http_server_config": {"headers": {"X-XSS-Protection": 0}}},
        {"http_server_config": {"http2": "perhaps"}},
        {"rate_limit": {"interval": "1m30.5s", "burst": 3}},
        {"rate_limit": {"interval": "0"}},
        {"rate_limit": {"interval": "1 s", "burst": 3}},
        {"rate_limit": {"interval": "1s", "burst": -3}},
    ],
)
def test_schema_and_program_accept_the_same_web_configs(content: Mapping[str, Any]) -> None:
    """The types that YAML gives to values are the types that the schema expects."""
    assert accepted_by_the_chart(content) is accepted_by_the_program(content)


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
    assert render(values).one("StatefulSet")["spec"]["replicas"] == values.get("shards", 1)


def test_command_of_the_docs_renders() -> None:
    """The values that docs/installing.md sets on Helm's command line are sufficient."""
    options = re.findall(r"--set '?([^' \n]+)", (ROOT / "docs" / "installing.md").read_text(encoding="utf-8"))
    rendered = render(helm.parse_set_string(",".join(options)))
    assert rendered.container["image"].startswith("registry.example.com/")
    assert "auth_token_file" in rendered.config_map["data"]["config.yaml"]
