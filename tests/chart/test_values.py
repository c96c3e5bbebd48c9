"""What the chart takes and what it refuses, with which words."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

import helm_python as helm
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.flags import Setting
from exporter.settings import SETTINGS, Settings
from exporter.values import parse_duration
from tests.chart.reference import README, defaults, described_values, readme
from tests.chart.rendering import ACCOUNT, CHART, render
from tests.program import ROOT

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
        ({"config": {"web": {"listen_address": "10587"}}}, "at '/config/web/listen_address'"),
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
    ],
)
def test_bad_values_are_refused(values: Mapping[str, Any], words: str) -> None:
    """Helm stops, and says where and what is wrong."""
    with pytest.raises(helm.HelmError) as caught:
        render(values)
    assert words in str(caught.value)


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
