"""What the chart takes and what it refuses, with which words."""

import ipaddress
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.config.parsers import _OTHER_PATHS, check_base_url, parse_duration, parse_listen_address
from exporter.config.problems import SettingsError
from exporter.config.settings import SETTINGS, Settings
from exporter.config.sources import Setting
from exporter.web.section import Section
from exporter.web.web_config import (
    CLIENT_AUTH_TYPES,
    CURVES,
    HEADERS,
    TLS12_SUITES,
    TLS13_SUITES,
    VERSIONS,
    _headers,
    _rate_limit,
    _tls,
    read_web_config,
)
from tests.packaging.chart.reference import README, defaults, described_values, readme
from tests.packaging.chart.rendering import ACCOUNT, CHART, render
from tests.support.program import ROOT

SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: Final = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

SET_BY_THE_CHART: Final = {"state.path": "persistence", "web.config_file": "webConfig", "shard": "shards"}
"""Settings that are no keys of `config`, and the value that each follows from."""

SID: Final = {"account_sid": "AC" + "0" * 32}
KEY: Final = {"api_key": "SK" + "0" * 32}
ELSEWHERE: Final = {"existingSecret": {"name": "twilio"}}


def account(**keys: Any) -> dict[str, Any]:
    return {"accounts": [{"name": "shop", **keys}]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"accounts": []}, "accounts: none given; list at least one"),
        (
            account(**SID, **KEY, **ELSEWHERE),
            "accounts[0] (shop): two kinds of credential; keep account_sid with",
        ),
        (account(**SID, api_key_secret="x"), "accounts[0] (shop): two kinds of credential"),
        (account(**KEY, auth_token="x"), "accounts[0] (shop): two kinds of credential"),
        (account(**SID, auth_token="x", api_key_secret="x"), "accounts[0] (shop): two kinds of credential"),
        (account(), "accounts[0] (shop): no credential; give account_sid or api_key"),
        (account(**ELSEWHERE), "accounts[0] (shop): no credential; give account_sid or api_key"),
        (account(**SID), "accounts[0] (shop): no secret; give existingSecret, or auth_token"),
        (account(**KEY), "accounts[0] (shop): no secret; give existingSecret, or api_key_secret"),
        (
            account(**SID, auth_token="x", **ELSEWHERE),
            "given more than once, as auth_token and existingSecret; keep one",
        ),
        (
            account(**SID, auth_token="x", auth_token_file="/x"),
            "given more than once, as auth_token and auth_token_file",
        ),
        ({"accounts": [ACCOUNT, ACCOUNT]}, "accounts[1] (default): accounts[0] has the same name"),
        ({"accounts": [{**ACCOUNT, "name": "a b"}]}, "at '/accounts/0/name': 'a b' does not match"),
        ({"accounts": [{**ACCOUNT, "name": "x" * 65}]}, "at '/accounts/0/name'"),
        ({"accounts": [SID]}, "at '/accounts/0': missing property 'name'"),
        (account(account_sid="AC12", **ELSEWHERE), "at '/accounts/0/account_sid': 'AC12' does not match"),
        (account(**SID, auth_token=12345), "at '/accounts/0/auth_token': got number, want string"),
        (
            account(**SID, existingSecret={"key": "x"}),
            "at '/accounts/0/existingSecret': missing property 'name'",
        ),
        ({"replicaCount": 2}, "replicaCount: is 2, but one account must be polled by one pod only"),
        ({"replicaCount": 2}, "to divide several accounts among pods set shards"),
        ({"shards": 0}, "at '/shards': minimum: got 0, want 1"),
        ({"shards": 1001}, "at '/shards': maximum: got 1,001, want 1,000"),
        (
            {"config": {"poll": {"intervall": "60s"}}},
            "at '/config/poll': additional properties 'intervall' not allowed",
        ),
        ({"config": {"polling": {}}}, "at '/config': additional properties 'polling' not allowed"),
        ({"config": {"state": {"path": "/x"}}}, "at '/config': additional properties 'state' not allowed"),
        ({"config": {"poll": {"interval": True}}}, "at '/config/poll/interval': got boolean, want number"),
        (
            {"serviceMonitor": {"interval": "1.5m"}},
            'serviceMonitor.interval: "1.5m" is not a duration of Prometheus; write 30s or 1m',
        ),
        ({"podMonitor": {"scrapeTimeout": "10"}}, 'podMonitor.scrapeTimeout: "10" is not a duration of'),
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
            {"config": {"web": {"listen_address": "10587"}}},
            'config.web.listen_address: "10587" is not an address; write host:port',
        ),
        *(
            (
                {"config": {"web": {"listen_address": address}}},
                "config.web.listen_address: "
                + "".join(address).partition(",")[0]
                + " is reached from within",
            )
            for address in ("127.0.0.1:10587", "localhost:1,:2", ["[::1]:10587"])
        ),
        (
            {"webConfig": {"content": {"rate_limit": {}}, "existingSecret": "x"}},
            "webConfig: both content and existingSecret",
        ),
        (
            {"webConfig": {"content": {"basic_auth_user": {}}}},
            "additional properties 'basic_auth_user' not allowed",
        ),
        ({"webConfig": {"tlsSecret": "x"}}, "webConfig.tlsSecret: nothing uses it; name its files in"),
        ({"ca": {"configMap": "x", "secret": "y"}}, "ca: both configMap and secret are given"),
        (
            {"ca": {"secret": "y"}, "config": {"api": {"ca_file": "/x"}}},
            "config.api.ca_file: ca is given, too",
        ),
        (
            {"proxy": {"https": "http://me:word@proxy:3128"}},
            "put HTTPS_PROXY into a Secret and name that in extraEnvFrom",
        ),
        (
            {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
            "each pod would be scraped twice",
        ),
        (
            {"prometheusRule": {"disabledGroups": ["mail"]}},
            "prometheusRule.disabledGroups: there is no group mail; there are",
        ),
        ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match"),
        *(
            ({name: wrong}, f'fullnameOverride: "{found}" cannot be the name of a Service; set')
            for name, wrong, found in (
                ("fullnameOverride", "My_Name", "my_name"),
                ("fullnameOverride", "1234", "1234"),
                ("fullnameOverride", "-mail", "-mail"),
                ("nameOverride", "my mail", "demo-my mail"),
            )
        ),
        (
            {"nameOverride": "my mail", "fullnameOverride": "mail"},
            'nameOverride: "my mail" cannot be a label',
        ),
        *(
            (
                values,
                f"{path}: {label} is how the pods are found; choose another label",
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
                f"extraVolumes[1]: the chart has a volume named {name}, too; choose another name",
            )
            for name in ("state", "config", "credentials", "web", "tls", "ca")
        ),
    ],
)
def test_bad_values_are_refused(values: Mapping[str, Any], words: str) -> None:
    """Helm stops, and says where and what is wrong."""
    with pytest.raises(helm.HelmError) as caught:
        render(values)
    assert words in str(caught.value)


def test_release_is_named_as_a_service_may_be() -> None:
    """Helm takes a name that begins with a digit, a Service does not."""
    with pytest.raises(
        helm.HelmRenderError, match='"1234-twilio-email-exporter" cannot be the name of a Ser'
    ):
        render(name="1234")


def test_all_contradictions_are_told_at_once() -> None:
    """Nobody mends one mistake to be told of the next."""
    with pytest.raises(helm.HelmRenderError) as caught:
        render({"accounts": [{"name": "a"}, {"name": "b"}], "replicaCount": 3})
    told = re.findall(r"^  (\S+?)[: ]", str(caught.value), flags=re.MULTILINE)
    assert told == ["replicaCount", "accounts[0]", "accounts[1]"]


def mappings(
    schema: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Each part of the schema that names its keys, and where it stands."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        yield path, schema
        for key, inner in schema["properties"].items():
            yield from mappings(inner, (*path, key))


OPEN: Final = {"global"}
"""What Helm itself puts there."""


@pytest.mark.parametrize("path", [path for path, _ in mappings(SCHEMA)], ids=".".join)
def test_a_typo_is_refused_everywhere(path: tuple[str, ...]) -> None:
    """Wherever the chart knows its keys, it takes no other."""
    values: dict[str, Any] = {"tpyo": 1}
    for name in reversed(path):
        values = {name: values}
    with pytest.raises(helm.HelmValuesError, match="additional properties 'tpyo' not allowed"):
        render(values)


def test_schema_and_values_know_the_same() -> None:
    """What values.yaml offers the schema allows, and the other way round."""
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
    """`config` has every setting of the program, but for those that the chart sets by itself."""
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
    """What the program would refuse at its start Helm refuses before anything is changed."""
    schema = SCHEMA["properties"]["config"]["properties"][setting.location[0]]["properties"]
    said = re.findall(r"(more than|at least|at most) (\d+)", setting.allowed)
    found = {name: limit for name, limit in schema[setting.location[1]].items() if name in BOUNDS.values()}
    assert found == {BOUNDS[words]: int(limit) for words, limit in said}


DURATIONS: Final = [each for each in SETTINGS if each.metavar == "DURATION"]
LOOKBACK: Final = next(each for each in DURATIONS if each.path == "poll.lookback")


@pytest.mark.parametrize("wrong", ["15 minutes", "1w", "1.2.3s", "", "0 s", -1])
@pytest.mark.parametrize("setting", DURATIONS, ids=lambda each: each.path)
def test_bad_durations_are_refused(setting: Setting, wrong: object) -> None:
    """Each setting that is one, in the words of the program."""
    section, key = setting.location
    with pytest.raises(helm.HelmRenderError) as caught:
        render({"config": {section: {key: wrong}}})
    with pytest.raises(ValueError, match="is not a duration") as said:
        parse_duration(wrong)
    assert f"config.{setting.path}: {json.dumps(str(wrong))} {said.value}\n" in str(caught.value)


amounts = st.decimals(0, 10**6, places=1).map(str) | st.integers(0, 10**6).map(str)


@settings(max_examples=200, deadline=None)  # each is rendered
@given(
    st.sampled_from(DURATIONS),
    st.dictionaries(st.sampled_from(["d", "h", "m", "s", "ms"]), amounts)
    | amounts
    | st.floats(0, 10**6)
    | st.integers(0, 10**6),
)
@example(setting=LOOKBACK, written={"h": "168"})
@example(setting=LOOKBACK, written={"h": "168", "ms": "1"})
@example(setting=LOOKBACK, written="0")
@example(setting=LOOKBACK, written=6.103515625e-05)
def test_chart_takes_the_durations_that_the_program_takes(setting: Setting, written: Any) -> None:
    """What works in the settings file works in the values, and nothing else."""
    if isinstance(written, dict):
        written = "".join(f"{written[unit]}{unit}" for unit in ("d", "h", "m", "s", "ms") if unit in written)
    section, key = setting.location
    config: dict[str, Any] = {section: {key: written}}
    try:
        Settings(**config)
    except ValidationError:
        with pytest.raises(helm.HelmRenderError, match=re.escape(f"config.{setting.path}: ")):
            render({"config": config})
    else:
        rendered = render({"config": config}).config_map["data"]["config.yaml"]
        assert yaml.safe_load(rendered)[section][key] == written


@pytest.mark.parametrize("setting", DURATIONS, ids=lambda each: each.path)
def test_bounds_of_durations_are_told(setting: Setting) -> None:
    """In the words of the program."""
    section, key = setting.location
    for words in setting.allowed.removeprefix("a duration, ").split(", "):
        beyond = {"more than 0s": "0s", "at least 1s": "0.9s", "at most 7d": "7.1d"}.get(words)
        if words != "at least 0s":  # nobody can write less
            assert beyond, words
            with pytest.raises(helm.HelmRenderError) as caught:
                render({"config": {section: {key: beyond}}})
            assert f'config.{setting.path}: "{beyond}" must be {words}\n' in str(caught.value)


def taken_by_the_program(section: str, key: str, value: str) -> bool:
    try:
        Settings.model_validate({section: {key: value}})
    except ValidationError:
        return False
    return True


def problems_of_the_chart(section: str, key: str, value: Any) -> str:
    """Those of one setting; empty when it is taken."""
    try:
        render({"config": {section: {key: value}}})
    except helm.HelmError as error:
        assert f"config.{section}.{key}: " in str(error) or f"'/config/{section}/{key}'" in str(error)
        return str(error)
    return ""


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["https://", "http://", "HTTP://", "ftp://", "https:/", "//", ""]),
            st.sampled_from(["", "me@", "me:word@"]),
            st.sampled_from(["twilio.example.com", "localhost", "LocalHost", "localhost.example.com", ""])
            | st.sampled_from(["127.0.0.1", "127.9.8.7", "127.0.0.256", "127.0.0.01", "128.0.0.1", "127.1"])
            | st.sampled_from(["[::1]", "[0:0::0:1]", "[::2]", "[1]", "::1", "[::1"]),
            st.sampled_from(["", ":", ":0", ":443", ":65535", ":65536", ":99999", ":x", ":-1"]),
            st.sampled_from(["", "/", "/v1", "/v1/", "//", "/v1?a=b", "/v1#a", "/a b", "/a\nb", "/@"]),
        ),
    )
)
@example("http://twilio.example.com")
@example("http://[::1]:8080/v1")
@example("https://a..b/v1")
@example(f"https://{'a' * 63}.b./v1")
@example(f"https://{'a' * 64}.b/v1")
def test_chart_takes_the_urls_that_the_program_takes(url: str) -> None:
    """And says in the words of the program what is wrong with the others."""
    try:
        check_base_url(url)
    except ValueError as error:
        told = problems_of_the_chart("api", "base_url", url)
        assert str(error).partition(";")[0] in told
    else:
        assert not problems_of_the_chart("api", "base_url", url)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            "{}{}".format,
            st.sampled_from(
                ["", "0.0.0.0", "mail.example.com", "[::]", "[2001:db8::1]", "a b", "::", "[]", "a..b"]
            ),
            st.sampled_from([":1", ":65535", ":65536", ":99999", ":100000", ":10587 ", ":", "", ":x"]),
        ),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
@example(addresses=[":1", ":65536"], one=True)
@example(addresses=[f"{'a' * 63}.b.:1"], one=True)
@example(addresses=[f"{'a' * 64}.b:1"], one=True)
@example(addresses=["a..b:1"], one=False)
@example(addresses=[".a:1"], one=False)
def test_chart_takes_the_addresses_that_the_program_takes(addresses: list[str], one: bool) -> None:
    """As a list or with commas between."""
    told = problems_of_the_chart("web", "listen_address", ",".join(addresses) if one else addresses)
    assert bool(told) is not taken_by_the_program("web", "listen_address", ",".join(addresses))


@pytest.mark.parametrize("address", [":0", "0.0.0.0:0", ["127.0.0.1:1", ":0"]])
def test_pod_needs_a_port_that_is_known(address: str | list[str]) -> None:
    """Port 0, which the program takes, is another one at each start: nobody would find it."""
    assert "must have a port from 1 to 65535" in problems_of_the_chart("web", "listen_address", address)


@pytest.mark.parametrize(
    "address",
    ["LOCALHOST:80", "Localhost:80", "127.1.2.3:80", "[::1]:80", "[0:0:0:0:0:0:0:1]:80", "[::0001]:80"],
)
def test_loopback_is_no_address_of_a_pod(address: str) -> None:
    """However it is written: neither probes nor Prometheus would reach it."""
    host = parse_listen_address(address).host
    assert host is not None
    assert host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    assert "is reached from within the pod only" in problems_of_the_chart("web", "listen_address", address)


@pytest.mark.parametrize(
    "path", ["/metrics", "/mail/metrics", "/-/metrics", "mail", "/a b", *sorted(_OTHER_PATHS)]
)
def test_chart_takes_the_paths_that_the_program_takes(path: str) -> None:
    """None that the exporter serves itself."""
    told = problems_of_the_chart("web", "telemetry_path", path)
    assert bool(told) is not taken_by_the_program("web", "telemetry_path", path)


# -- the web config -----------------------------------------------------------------------------------------

WEB_CONFIG: Final = SCHEMA["properties"]["webConfig"]["properties"]["content"]["properties"]
FILE: Final = Path("/web-config.yaml")


def asked_for(read: Callable[[Section], object]) -> set[str]:
    """The keys that a reader of the web config knows."""
    section = Section("", {"cert": "x", "key": "x"}, FILE, [])
    read(section)
    return set(section._known)


def test_web_config_has_the_keys_of_the_program() -> None:
    """In each of its parts."""
    readers = {"tls_server_config": _tls, "http_server_config": _headers, "rate_limit": _rate_limit}
    assert WEB_CONFIG.keys() == {*readers, "basic_auth_users"}
    for name, read in readers.items():
        assert WEB_CONFIG[name]["properties"].keys() == asked_for(read)
    headers = WEB_CONFIG["http_server_config"]["properties"]["headers"]["properties"]
    assert {name: tuple(each.get("enum", ())) for name, each in headers.items()} == HEADERS
    tls = WEB_CONFIG["tls_server_config"]["properties"]
    assert tls["client_auth_type"]["enum"] == [*CLIENT_AUTH_TYPES]
    assert tls["min_version"]["enum"] == tls["max_version"]["enum"] == [*VERSIONS]
    assert tls["cipher_suites"]["items"]["enum"] == [*TLS12_SUITES, *TLS13_SUITES]
    assert tls["curve_preferences"]["items"]["enum"] == [*CURVES]


def taken_as_web_config(content: Mapping[str, Any]) -> bool:
    try:
        read_web_config(FILE, yaml.safe_dump(content).encode())
    except SettingsError:
        return False
    return True


def taken_by_the_chart(content: Mapping[str, Any]) -> bool:
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
        {"tls_server_config": {"cert_file": "a", "key_file": "b", "cipher_suites": [TLS12_SUITES[0]]}},
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
def test_chart_takes_the_web_configs_that_the_program_takes(content: Mapping[str, Any]) -> None:
    """With the types that YAML gives them."""
    assert taken_by_the_chart(content) is taken_as_web_config(content)


HASH: Final = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"


@pytest.mark.parametrize(
    ("name", "hash_"),
    [
        ("me", HASH),
        ("me", HASH.replace("2y", "2b").replace("10", "31")),
        ("me", HASH.replace("2y", "2x")),
        ("me", HASH.replace("10", "03")),
        ("me", HASH.replace("10", "32")),
        ("me", HASH[:-1]),
        ("me", f"{HASH}\n"),
        ("me", HASH.replace("zoub", "zozb")),
        ("me", "a plain marker"),
        ("me", ""),
        ("m:e", HASH),
        ("", HASH),
    ],
)
def test_chart_takes_the_hashes_that_the_program_takes(name: str, hash_: str) -> None:
    """What is refused is not shown: it may be the password itself."""
    content = {"basic_auth_users": {name: hash_}}
    assert taken_by_the_chart(content) is taken_as_web_config(content)
    if not taken_by_the_chart(content):
        with pytest.raises(helm.HelmRenderError) as caught:
            render({"webConfig": {"content": content}})
        assert f"webConfig.content.basic_auth_users.{name}: " in str(caught.value)
        assert not hash_.strip() or hash_.strip() not in str(caught.value)


def test_readme_has_the_table_of_the_values() -> None:
    """Written by `make docs`; every value has a line, and a description."""
    assert README.read_text(encoding="utf-8") == readme()


EXAMPLES: Final = [
    textwrap.dedent(block)
    for block in re.findall(
        r"^ *```yaml\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_readme_can_be_installed(example: str) -> None:
    """As they stand; where no account is named, with one."""
    values = yaml.safe_load(textwrap.dedent(example))
    assert render(values).one("StatefulSet")["spec"]["replicas"] == values.get("shards", 1)


def test_command_of_the_docs_can_be_installed() -> None:
    """What docs/installing.md sets on Helm's command line is enough."""
    options = re.findall(r"--set '?([^' \n]+)", (ROOT / "docs" / "installing.md").read_text(encoding="utf-8"))
    rendered = render(helm.parse_set_string(",".join(options)))
    assert rendered.container["image"].startswith("registry.example.com/")
    assert "auth_token_file" in rendered.config_map["data"]["config.yaml"]
