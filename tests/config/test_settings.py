"""Settings: every source sets each of them, by precedence; each wrong one is reported on its own line."""

# A table of wrong settings is easier to read with whole lines.
# ruff: noqa: E501

import argparse
import shutil
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from exporter.config.accounts import Account
from exporter.config.loading import add_flags, load
from exporter.config.parsers import ListenAddress, duration_text, parse_duration, parse_listen_address
from exporter.config.problems import SettingsError
from exporter.config.settings import SETTINGS, Api, Settings, Web
from exporter.config.sources import ACCOUNT_VARIABLES, Setting
from exporter.errors import CredentialError
from tools.reference import DOCS, SETTINGS_PAGE, main, settings_reference

SID = "AC" + "0" * 32
KEY = "SK" + "0" * 32
ENVIRONMENT = {"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": "a-token"}
CA_FOLDER = Path(__file__).parents[1] / "support" / "ca"

# A value for each source, from the weakest to the strongest, each different from the one before; the first is not the
# model's default. A new setting needs a row.
VALUES = {
    "api.base_url": ("https://a.example", "https://b.example/v1", "http://127.0.0.1:1", "http://[::1]/x"),
    "api.timeout": ("1s", "2s", "3s", "4s"),
    "api.requests_per_second": ("1", "2.5", "3", "100"),
    "api.concurrency": ("1", "3", "4", "50"),
    "api.ca_file": tuple(str(CA_FOLDER / f"{name}.pem") for name in "abcd"),
    "poll.interval": ("1s", "2m", "3h", "1h30m"),
    "poll.lookback": ("1d", "2d", "3d", "4d"),
    "poll.recent": ("1s", "2m", "3h", "1h30m"),
    "poll.sweep_interval": ("1s", "2m", "3h", "1h30m"),
    "poll.fetch": ("fewest", "none", "all", "fewest"),
    "state.path": ("/a", "/b", "/c", "/d"),
    "state.url": tuple(f"postgresql://user@{host}/state" for host in ("a", "b:1", "[::1]:5433", "c,d:2")),
    "state.password_file": tuple(str(CA_FOLDER / f"{name}.pem") for name in "abcd"),
    "breakdown.by": ("sender_domain", "tag:a,tag:b", "recipient_domain", "tag:c"),
    "breakdown.interval": ("1m", "2m", "3h", "7d"),
    "breakdown.lookback": ("1s", "2m", "3h", "7d"),
    "breakdown.top": ("1", "2", "3", "100"),
    "breakdown.max_requests": ("1", "2", "3", "500"),
    "breakdown.errors": ("true", "false", "true", "false"),
    "alerts.failed_ratio": ("0.01", "0.02", "0.5", "1"),
    "alerts.undelivered_ratio": ("0.01", "0.02", "0.5", "1"),
    "alerts.bounce_ratio": ("0.01", "0.02", "0.5", "1"),
    "alerts.late_after": ("1s", "2m", "3h", "7d"),
    "alerts.late_ratio": ("0.01", "0.02", "0.5", "1"),
    "alerts.waiting_after": ("1s", "2m", "3h", "7d"),
    "alerts.waiting_ratio": ("0.01", "0.02", "0.5", "1"),
    "alerts.stuck_after": ("1s", "2m", "3h", "7d"),
    "metrics.top_operations": ("0", "1", "2", "200"),
    "metrics.first_scrape_timeout": ("1s", "2s", "3s", "0s"),
    "web.listen_address": (":1", "localhost:2", "[::1]:3", "127.0.0.1:0"),
    "web.telemetry_path": ("/a", "/b", "/c/d", "/-/metrics"),
    "web.config_file": tuple(
        str(Path(__file__).parent / name)
        for name in ("test_shard.py", "test_sources.py", "test_settings.py", "__init__.py")
    ),
    "log.level": ("debug", "warning", "error", "info"),
    "log.format": ("json", "logfmt", "json", "logfmt"),
    "shard": ("0/2", "1/2", "2/3", "0/1000"),
}

each_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.path)


def loaded(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    document: str | None = None,
    **options: Any,
) -> Settings:
    """Settings without accounts, unless `options` require them."""
    flags = dict(flags or {})
    if document is not None:
        FILE.write_text(document)
        flags["config_file"] = FILE.name
    return load(flags, environ or {}, **{"accounts_required": False, **options})


FILE = Path("exporter.yaml")


def lines(*arguments: Any, **options: Any) -> list[str]:
    """The problems, one line each."""
    with pytest.raises(SettingsError) as caught:
        loaded(*arguments, **options)
    assert str(caught.value).split("\n") == [str(problem) for problem in caught.value.problems]
    return str(caught.value).split("\n")


def account_lines(environ: Mapping[str, str] | None = None, document: str | None = None) -> list[str]:
    return lines(environ=environ, document=document, accounts_required=True)


def value_of(settings: Settings, setting: Setting) -> object:
    value: object = settings
    for name in setting.location:
        value = getattr(value, name)
    return value


def document_of(setting: Setting, value: str) -> str:
    tree: object = value
    for name in reversed(setting.location):
        tree = {name: tree}
    return yaml.safe_dump(tree)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- sources ----------------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_contract() -> None:
    """Without any source every setting has its documented default."""
    assert loaded().model_dump() == {
        "api": {
            "base_url": "https://comms.twilio.com/v1",
            "timeout": 30,
            "requests_per_second": 5,
            "concurrency": 2,
            "ca_file": None,
        },
        "poll": {
            "interval": 60,
            "lookback": 7 * 86400,
            "recent": 7200,
            "sweep_interval": 900,
            "fetch": "all",
        },
        "state": {"path": None, "url": None, "password_file": None},
        "breakdown": {
            "by": (),
            "interval": 300,
            "lookback": 86400,
            "top": 10,
            "max_requests": 20,
            "errors": False,
        },
        "alerts": {
            "failed_ratio": 0.05,
            "undelivered_ratio": 0.10,
            "bounce_ratio": 0.05,
            "late_after": 15 * 60,
            "late_ratio": 0.10,
            "waiting_after": 3600,
            "waiting_ratio": 0.10,
            "stuck_after": 2 * 3600,
        },
        "metrics": {"top_operations": 20, "first_scrape_timeout": 120},
        "web": {
            "listen_address": ({"host": None, "port": 10587},),
            "telemetry_path": "/metrics",
            "config_file": None,
        },
        "log": {"level": "info", "format": "logfmt"},
        "shard": None,
        "accounts": (),
    }


@each_setting
def test_flag_wins_over_variable_over_file_over_default(setting: Setting) -> None:
    """A source is used only where no stronger one has a value."""
    weakest, in_file, variable, flag = VALUES[setting.path]
    options: dict[str, Any] = {"defaults": {setting.path: weakest}}
    expected = []
    for source in (
        {},
        {"document": document_of(setting, in_file)},
        {"environ": {setting.variable: variable}},
        {"flags": {setting.path: flag}},
    ):
        options |= source
        expected.append(value_of(loaded(**options), setting))
    alone = [value_of(loaded({setting.path: value}), setting) for value in VALUES[setting.path]]
    assert expected == alone
    assert alone[0] != value_of(loaded(), setting)


@each_setting
def test_default_as_shown_is_the_default(setting: Setting) -> None:
    """The default that help and docs show is parsed to the default."""
    if setting.default:
        assert value_of(loaded({setting.path: setting.default}), setting) == value_of(loaded(), setting)


@each_setting
def test_every_setting_has_a_flag(setting: Setting) -> None:
    """The command line accepts each setting and passes its text on."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    value = VALUES[setting.path][0]
    flags = parser.parse_args([f"{setting.flag}={value}"])
    assert value_of(load(flags, {}, accounts_required=False), setting) == value_of(
        loaded({setting.path: value}), setting
    )
    assert setting.description in " ".join(parser.format_help().split())


@pytest.mark.parametrize("spelling", [each for setting in SETTINGS for each in setting.spellings])
def test_spellings_of_a_flag(spelling: str) -> None:
    """Hyphens are accepted for underscores, and `--web.config.file` as in exporter-toolkit."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    path = {"--web.config.file": "web.config_file"}.get(spelling, spelling[2:].replace("-", "_"))
    value = VALUES[path][0]
    assert load(parser.parse_args([spelling, value]), {}, accounts_required=False) == loaded({path: value})


@pytest.mark.parametrize("spelling", ["--config-file", "--config.file"])
def test_spellings_of_the_flag_for_the_file(spelling: str) -> None:
    """Ours and that of Prometheus are accepted."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    Path("a.yaml").write_text("poll: {interval: 11}")
    assert load(parser.parse_args([f"{spelling}=a.yaml"]), {}, accounts_required=False).poll.interval == 11


def test_repeated_flag_in_two_spellings() -> None:
    """All addresses are kept."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    flags = parser.parse_args(["--web.listen_address=:1", "--web.listen-address=:2"])
    assert [each.port for each in load(flags, {}, accounts_required=False).web.listen_address] == [1, 2]


@pytest.mark.parametrize(
    ("text", "level"), [("warn", "warning"), ("WARN", "warning"), ("Warning", "warning"), ("INFO", "info")]
)
def test_log_level_in_any_case(text: str, level: str) -> None:
    """The level is accepted from every source; `warn` is `warning`."""
    assert loaded({"log.level": text}).log.level == level
    assert loaded(environ={"EXPORTER_LOG__LEVEL": text}).log.level == level
    assert loaded(document=f"log: {{level: {text}, format: JSON}}").log.level == level


def test_flags_of_the_command_itself_are_left_alone() -> None:
    """Other names in the namespace are ignored."""
    assert load(argparse.Namespace(command="run", scenario="x"), {}, accounts_required=False) == loaded()


def test_defaults_may_be_numbers() -> None:
    """Defaults of a command are Python values."""
    assert loaded(defaults={"poll.interval": 5, "api.timeout": 0.5}).poll.interval == 5


def test_listen_addresses_from_each_source() -> None:
    """Several addresses: a repeated flag, commas in a variable, text or a list in the file."""
    expected = (ListenAddress("127.0.0.1", 1), ListenAddress("::1", 2))
    path, text = "web.listen_address", "127.0.0.1:1, [::1]:2"
    assert loaded({path: ["127.0.0.1:1", "[::1]:2"]}).web.listen_address == expected
    assert loaded(environ={"EXPORTER_WEB__LISTEN_ADDRESS": text}).web.listen_address == expected
    assert loaded(document=f"web: {{listen_address: '{text}'}}").web.listen_address == expected
    assert loaded(document="web: {listen_address: ['127.0.0.1:1', '[::1]:2']}").web.listen_address == expected


def test_file_named_by_variable_or_flag() -> None:
    """The flag wins when both name a file."""
    Path("a.yaml").write_text("poll: {interval: 11}")
    Path("b.yaml").write_text("poll: {interval: 12}")
    environ = {"EXPORTER_CONFIG_FILE": "a.yaml"}
    assert loaded(environ=environ).poll.interval == 11
    assert loaded({"config_file": "b.yaml"}, environ).poll.interval == 12


def test_ca_file_is_relative_to_the_file_that_names_it() -> None:
    """A settings file can be moved together with the files next to it."""
    Path("etc").mkdir()
    shutil.copy(CA_FOLDER / "a.pem", "etc/ca.pem")
    Path("etc/x.yaml").write_text("api: {ca_file: ca.pem}")
    assert loaded({"config_file": "etc/x.yaml"}).api.ca_file == Path("etc/ca.pem")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "# nothing\n",
        "null",
        "---\n",
        "poll:\n",
        "poll: {}",
        "poll: {interval: }",
        "poll: ~\nweb: null",
        "accounts:",
    ],
)
def test_what_a_file_leaves_open_is_not_set(document: str) -> None:
    """An empty file, section or value changes nothing."""
    assert loaded(document=document) == loaded()


@each_setting
def test_empty_variable_is_not_set(setting: Setting) -> None:
    """Compose files and charts pass an unset value on as an empty variable."""
    assert loaded(environ={setting.variable: ""}) == loaded()


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the mapping that was passed in is read."""
    monkeypatch.setenv("EXPORTER_POLL__INTERVAL", "7s")
    monkeypatch.setenv("POLL", '{"interval": 7}')
    assert loaded().poll.interval == 60


def test_settings_are_frozen() -> None:
    """A setting cannot be changed after it was checked."""
    for section in (loaded(), loaded().poll):
        with pytest.raises(ValueError, match="frozen"):
            section.interval = 1.0  # type: ignore[union-attr]


def test_settings_built_in_code() -> None:
    """Tests and commands build settings without a source; the values are checked, too."""
    address = ListenAddress("127.0.0.1", 0)
    settings = Settings(
        api=Api(ca_file=None, timeout=0.5),
        web=Web(listen_address=(address,)),
        accounts=(Account(name="demo", account_sid=SID, auth_token=SecretStr("t"), auth_token_file=None),),
    )
    assert settings.web.listen_address == (address,)
    assert settings.accounts[0].credential() == (SID, SecretStr("t"))
    with pytest.raises(ValueError, match="greater than 0"):
        Api(timeout=0)


# -- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800), ("1h30m", 5400), ("500ms", 0.5), ("90", 90),
        ("1.5", 1.5), ("1.5h", 5400), (" 5s ", 5), ("1d1h1m1s1ms", 90061.001), ("0", 0), (90, 90), (0.25, 0.25),
    ],
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    """Units from milliseconds to days, largest first; without a unit, seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "-1s", "-1", "nan", "inf", float("nan"), float("inf"), -1, True, None, "1w", "1h 30m", "30m1h", "1m1m", "s", "1.s", "٣s", "9" * 400, "9" * 5000, "1e3", "1_0"],
)  # fmt: skip
def test_what_is_no_duration(text: object) -> None:
    """Anything else is refused, and the message says what to write."""
    with pytest.raises(ValueError, match=r"^is not a duration; write 90s, 15m, 7d or a number of seconds$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(604800, "7d"), (90, "90s"), (60, "60s"), (120, "2m"), (5400, "90m"), (7200, "2h"), (0.5, "500ms"), (0, "0s"), (0.0001, "0.0001s")],
)  # fmt: skip
def test_durations_are_shown_in_their_largest_unit(seconds: float, text: str) -> None:
    """Help, docs and messages show durations as people write them."""
    assert duration_text(seconds) == text


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
@example(1e22)
@example(5e-324)
def test_duration_round_trip(seconds: float) -> None:
    """Every duration can be written and parsed back exactly."""
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10587", ListenAddress(None, 10587)),
        ("localhost:0", ListenAddress("localhost", 0)),
        ("0.0.0.0:65535", ListenAddress("0.0.0.0", 65535)),
        ("[::1]:80", ListenAddress("::1", 80)),
        ("[fe80::1%eth0]:80", ListenAddress("fe80::1%eth0", 80)),
    ],
)
def test_listen_addresses(text: str, address: ListenAddress) -> None:
    """host:port, :port and [IPv6]:port; `str` returns the same text."""
    assert parse_listen_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "10587", ":", "host", "::1:80", "[::1]", "[localhost]:80", "[]:80", "a..b:80", ":65536", ":-1", "a b:1", "http://x:1", ":8O"]
)  # fmt: skip
def test_what_is_no_listen_address(text: str) -> None:
    """Anything else is refused, and the message says what to write."""
    shown = f'web.listen_address: --web.listen_address="{text}"'
    assert lines({"web.listen_address": text}) == [f"{shown} {NO_ADDRESS}"]


@given(
    st.builds(
        ListenAddress,
        st.none()
        | st.ip_addresses().map(str)
        | st.text(string.ascii_letters + string.digits, min_size=1, max_size=63),
        st.integers(0, 65535),
    )
)
def test_listen_address_round_trip(address: ListenAddress) -> None:
    """Every address can be written and parsed back."""
    assert parse_listen_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://comms.twilio.com/v1/", "https://comms.twilio.com/v1"),
        ("https://proxy.example:8443", "https://proxy.example:8443"),
        ("http://127.9.9.9:80/v1", "http://127.9.9.9:80/v1"),
        ("http://localhost:1/", "http://localhost:1"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_base_urls(text: str, url: str) -> None:
    """https is accepted everywhere, http for loopback addresses; a trailing slash is dropped."""
    assert loaded({"api.base_url": text}).api.base_url == url


NO_ADDRESS = "is not an address; write host:port, :port or [::1]:port, separated by commas"
NO_URL = "is not a URL; write one such as https://comms.twilio.com/v1"
NOT_PLAIN = (
    "must not contain credentials, a query or a fragment; write one such as https://comms.twilio.com/v1"
)
IN_THE_CLEAR = "would send credentials in the clear; write https (http is for loopback addresses only)"
NO_SHARD = "is not a shard; write index/count with an index from 0, such as 0/3, at most 1000"
TAKEN = "is taken; write one such as /metrics"
OWN_ENTRY = "unknown setting; write the thresholds of an account in its entry of accounts"
NO_PATH = "is not a valid path; write one such as /metrics"


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("api.base_url", "", f'"" {NO_URL}'),
        ("api.base_url", "comms.twilio.com", f'"comms.twilio.com" {NO_URL}'),
        ("api.base_url", "ftp://x", f'"ftp://x" {NO_URL}'),
        ("api.base_url", "https://", f'"https://" {NO_URL}'),
        ("api.base_url", "https://[x", f'"https://[x" {NO_URL}'),
        ("api.base_url", "https://a..b/v1", f'"https://a..b/v1" {NO_URL}'),
        ("api.base_url", "https://x:y", f'"https://x:y" {NO_URL}'),
        ("api.base_url", "https://x/a b", f'"https://x/a b" {NO_URL}'),
        ("api.base_url", "https://x/\n", rf'"https://x/\n" {NO_URL}'),
        ("api.base_url", "https://me:pass@x", f'"…x" {NOT_PLAIN}'),
        ("api.base_url", "https://x/?pass", f'"https://x/…" {NOT_PLAIN}'),
        ("api.base_url", "https://x/#pass", f'"https://x/…" {NOT_PLAIN}'),
        ("api.base_url", "http://comms.twilio.com", f'"http://comms.twilio.com" {IN_THE_CLEAR}'),
        ("api.base_url", "http://10.0.0.1", f'"http://10.0.0.1" {IN_THE_CLEAR}'),
        ("api.timeout", "0", '"0" must be a duration, more than 0s'),
        ("api.requests_per_second", "0", '"0" must be a number, more than 0, at most 100'),
        ("api.requests_per_second", "101", '"101" must be a number, more than 0, at most 100'),
        ("api.requests_per_second", "nan", '"nan" must be a number, more than 0, at most 100'),
        ("api.requests_per_second", "many", '"many" must be a number, more than 0, at most 100'),
        ("api.concurrency", "0", '"0" must be a whole number, at least 1, at most 50'),
        ("api.concurrency", "51", '"51" must be a whole number, at least 1, at most 50'),
        ("api.concurrency", "1.5", '"1.5" must be a whole number, at least 1, at most 50'),
        ("api.ca_file", "/dev/null", '"/dev/null" contains no certificates; write the path of a PEM file'),
        ("api.ca_file", "no.pem", '"no.pem" does not exist; write the path of a readable file'),
        ("api.ca_file", "/", '"/" cannot be read: Is a directory; write the path of a readable file'),
        ("poll.interval", "", '"" is not a duration; write 90s, 15m, 7d or a number of seconds'),
        ("poll.interval", "999ms", '"999ms" must be a duration, at least 1s'),
        ("poll.lookback", "0", '"0" must be a duration, more than 0s, at most 7d'),
        ("poll.lookback", "7d1ms", '"7d1ms" must be a duration, more than 0s, at most 7d'),
        ("poll.recent", "0s", '"0s" must be a duration, more than 0s'),
        ("poll.sweep_interval", "0s", '"0s" must be a duration, more than 0s'),
        *(
            (f"alerts.{ratio}_ratio", text, f'"{text}" must be a number, more than 0, at most 1')
            for ratio in ("failed", "undelivered", "bounce", "late", "waiting")
            for text in ("0", "-0.1", "1.01", "5", "5%", "nan", "inf", "", "a third")
        ),
        *(
            (f"alerts.{age}_after", text, f'"{text}" must be a duration, more than 0s, at most 7d')
            for age in ("late", "waiting", "stuck")
            for text in ("0", "7d1ms", "8d")
        ),
        ("alerts.stuck_after", "-1s", '"-1s" is not a duration; write 90s, 15m, 7d or a number of seconds'),
        ("alerts.stuck_after", "2 hours", '"2 hours" is not a duration; write 90s, 15m, 7d or a number of seconds'),
        ("metrics.top_operations", "-1", '"-1" must be a whole number, at least 0, at most 200'),
        ("metrics.top_operations", "201", '"201" must be a whole number, at least 0, at most 200'),
        ("web.telemetry_path", "metrics", f'"metrics" {NO_PATH}'),
        ("web.telemetry_path", "/{x}", f'"/{{x}}" {NO_PATH}'),
        ("web.telemetry_path", "/", f'"/" {NO_PATH}'),
        ("web.telemetry_path", "/-/healthy", f'"/-/healthy" {TAKEN}'),
        ("web.telemetry_path", "/-/ready", f'"/-/ready" {TAKEN}'),
        ("web.telemetry_path", "/-/reload", f'"/-/reload" {TAKEN}'),
        *((("shard", text, f'"{text}" {NO_SHARD}')) for text in ("3", "1/1", "-1/2", "1/0", "a/b", "0/1001", "1/2/3", "٣/4")),
        ("log.level", "LOUD", '"LOUD" must be one of debug, info, warning, error'),
        ("poll.fetch", "few", '"few" must be one of all, fewest, none'),
        ("log.format", "xml", '"xml" must be one of logfmt, json'),
        ("log.format", "x" * 99, f'"{"x" * 59}…" must be one of logfmt, json'),
        ("log.format", "a\x1b[1m\x7f\udc80", r'"a\x1b[1m\x7f\udc80" must be one of logfmt, json'),
    ],
)  # fmt: skip
def test_wrong_value(path: str, text: str, message: str) -> None:
    """One line names the setting, the source, the value and what to write instead."""
    setting = next(setting for setting in SETTINGS if setting.path == path)
    assert lines({path: text}) == [f"{path}: {setting.flag}={message}"]
    if text:
        assert lines(environ={setting.variable: text}) == [f"{path}: {setting.variable}={message}"]
    if text.isprintable() and text:
        assert lines(document=document_of(setting, text)) == [f"{path}: exporter.yaml: {message}"]


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("poll: 5", "poll: exporter.yaml: must be a mapping of settings"),
        ("poll: [interval]", "poll: exporter.yaml: must be a mapping of settings"),
        ("poll: {interval: [60s]}", "poll.interval: exporter.yaml: is not a duration; write 90s, 15m, 7d or a number of seconds"),
        ("api: {base_url: {a: b}}", "api.base_url: exporter.yaml: must be an https URL (http only for loopback addresses)"),
        ("api: {concurrency: true}", 'api.concurrency: exporter.yaml: "true" must be a whole number, at least 1, at most 50'),
        ("web: {listen_address: [{a: b}]}", "web.listen_address: exporter.yaml: is not an address; write host:port, :port or [::1]:port, separated by commas"),
        ("poll: {intervall: 5s}", "poll.intervall: exporter.yaml: unknown setting; did you mean poll.interval?"),
        ("poll: {intervall: }", "poll.intervall: exporter.yaml: unknown setting; did you mean poll.interval?"),
        ("pol: {interval: 5s}", "pol: exporter.yaml: unknown setting; did you mean poll?"),
        ("pol:", "pol: exporter.yaml: unknown setting; did you mean poll?"),
        ("_env_file: x", "_env_file: exporter.yaml: unknown setting"),
        ("poll.interval: 5s", "poll.interval: exporter.yaml: is not a top-level key; write poll: {interval: 5s}"),
        ("poll.interval: ['5s']", "poll.interval: exporter.yaml: is not a top-level key; write poll: {interval: …}"),
        ("poll__interval: 5s", "poll__interval: exporter.yaml: is not a top-level key; write poll: {interval: 5s}"),
        ("EXPORTER_POLL__INTERVAL: 5s", "EXPORTER_POLL__INTERVAL: exporter.yaml: is not a top-level key; write poll: {interval: 5s}"),
        ("recent: 5s", "recent: exporter.yaml: is not a top-level key; write poll: {recent: 5s}"),
        ("interval: 5s", "interval: exporter.yaml: is not a top-level key; write poll: {interval: 5s} or breakdown: {interval: 5s}"),
        ("api.base_url: https://me:pass@x/?token", "api.base_url: exporter.yaml: is not a top-level key; write api: {base_url: …x/…}"),
        ("poll.intervall: 5s", "poll.intervall: exporter.yaml: unknown setting"),
        ("alerts: 5", "alerts: exporter.yaml: must be a mapping of settings"),
        ("alerts: {failed: 0.1}", "alerts.failed: exporter.yaml: unknown setting; did you mean alerts.failed_ratio?"),
        ("alerts: {failed_ration: 0.1}", "alerts.failed_ration: exporter.yaml: unknown setting; did you mean alerts.failed_ratio?"),
        ("alerts: {failed_ratio: {shop: 0.1}}", "alerts.failed_ratio: exporter.yaml: must be a number, more than 0, at most 1"),
        ("alerts: {shop: {failed_ratio: 0.1}}", f"alerts.shop: exporter.yaml: {OWN_ENTRY}"),
        ("failed_ratio: 0.1", "failed_ratio: exporter.yaml: is not a top-level key; write alerts: {failed_ratio: 0.1}"),
        ("shard: {index: 1}", "shard: exporter.yaml: is not a shard; write index/count with an index from 0, such as 0/3, at most 1000"),
        ("shards: 1/2", "shards: exporter.yaml: unknown setting; did you mean shard?"),
        ("a: 1\na: 2", "config_file: exporter.yaml: line 2: the same key twice"),
        ("poll:\n  recent: 1h\n  'recent': 2h", "config_file: exporter.yaml: line 3: the same key twice"),
        ("- a", "config_file: exporter.yaml: must be a mapping of settings, such as poll: {interval: 60s}"),
        ("poll", "config_file: exporter.yaml: must be a mapping of settings, such as poll: {interval: 60s}"),
        ("a:\n  - b\n c: d", "config_file: exporter.yaml: line 3: expected <block end>, but found '<block mapping start>'"),
        ("poll: {interval: 30s", "config_file: exporter.yaml: line 1: expected ',' or '}', but got '<stream end>'"),
        ("{[a]: b}", "config_file: exporter.yaml: line 1: found unhashable key"),
    ],
)  # fmt: skip
def test_wrong_file(document: str, line: str) -> None:
    """Problems of a file name the file, and the line where there is no path."""
    assert lines(document=document) == [line]


def test_file_that_cannot_be_used() -> None:
    """A named file must exist and be text."""
    Path("bytes.yaml").write_bytes(b"a: \xff\xfe\xfd")
    assert lines({"config_file": "no.yaml"}) == ['config_file: --config-file="no.yaml" does not exist']
    assert lines(environ={"EXPORTER_CONFIG_FILE": "."}) == [
        'config_file: EXPORTER_CONFIG_FILE="." cannot be read: Is a directory'
    ]
    assert lines({"config_file": "bytes.yaml"}) == ["config_file: bytes.yaml: is not UTF-8 text"]
    Path("deep.yaml").write_text("[" * 2000)
    assert lines({"config_file": "deep.yaml"}) == ["config_file: deep.yaml: is nested too deep"]


def test_all_problems_at_once() -> None:
    """One start reports every problem."""
    document = "poll: {recent: never}\npol: {}\naccounts: [{name: 'a b', api_key: x}, 5]"
    environ = {"EXPORTER_LOG__LEVEL": "loud", "EXPORTER_POL": "1"}
    assert lines(
        {"poll.interval": "soon"}, environ, document, unrecognized=["--pol", "1"], accounts_required=True
    ) == [
        "pol: --pol: unknown setting",
        "pol: EXPORTER_POL: unknown setting",
        "pol: exporter.yaml: unknown setting; did you mean poll?",
        "accounts[0].api_key_secret: exporter.yaml: is missing; set it or api_key_secret_file",
        'poll.interval: --poll.interval="soon" is not a duration; write 90s, 15m, 7d or a number of seconds',
        'poll.recent: exporter.yaml: "never" is not a duration; write 90s, 15m, 7d or a number of seconds',
        'log.level: EXPORTER_LOG__LEVEL="loud" must be one of debug, info, warning, error',
        "accounts[0].name: exporter.yaml: must be 1 to 64 characters of a-z, A-Z, 0-9, _ . -",
        "accounts[0].api_key: exporter.yaml: must be SK followed by 32 hex digits",
        "accounts[1]: exporter.yaml: must be a mapping of name and credential",
    ]


def test_a_wrong_value_that_is_overridden_does_no_harm() -> None:
    """Only the effective value is checked."""
    assert loaded({"poll.interval": "5s"}, {"EXPORTER_POLL__INTERVAL": "soon"}).poll.interval == 5


def test_a_section_that_is_none_is_reported_beside_other_sources() -> None:
    """A value from another source does not hide that the section in the file is wrong."""
    environ = {"EXPORTER_POLL__INTERVAL": "5s"}
    expected = ["poll: exporter.yaml: must be a mapping of settings"]
    assert lines(environ=environ, document="poll: 5", defaults={"poll.recent": "1h"}) == expected


# -- accounts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "username", "secret"),
    [
        ({"account_sid": SID, "auth_token": " t "}, SID, "t"),
        ({"account_sid": SID, "auth_token_file": "secret"}, SID, "in-a-file"),
        ({"api_key": KEY, "api_key_secret": "s"}, KEY, "s"),
        ({"api_key": KEY, "api_key_secret_file": "secret"}, KEY, "in-a-file"),
        ({"api_key": KEY, "api_key_secret": "s", "account_sid": SID, "auth_token": ""}, KEY, "s"),
    ],
)
def test_account_from_the_environment(environ: dict[str, str], username: str, secret: str) -> None:
    """Either pair, the secret as text or as a file; an account SID next to an API key is not used."""
    Path("secret").write_text(" in-a-file\n")
    variables = {ACCOUNT_VARIABLES[key]: value for key, value in environ.items()}
    (account,) = load({}, variables).accounts
    credential = account.credential()
    assert (account.name, credential.username, credential.secret.get_secret_value()) == (
        "default",
        username,
        secret,
    )
    assert load({}, variables | {"TWILIO_ACCOUNT_NAME": "shop"}).accounts[0].name == "shop"


def test_accounts_from_the_file() -> None:
    """Each account has its own credential; a relative path is relative to the settings file."""
    Path("etc").mkdir()
    Path("etc/secret").write_text("in-a-file\n")
    Path("etc/x.yaml").write_text(
        f"""
        accounts:
          - {{name: a, account_sid: {SID}, auth_token: 01234567890123456789012345678901, api_key: }}
          - {{name: b, api_key: {KEY}, api_key_secret_file: secret}}
        """
    )
    accounts = loaded({"config_file": "etc/x.yaml"}, accounts_required=True).accounts
    assert [account.name for account in accounts] == ["a", "b"]
    assert [account.credential().secret.get_secret_value() for account in accounts] == [
        "01234567890123456789012345678901",  # digits only, and yet no number
        "in-a-file",
    ]


def test_commands_with_accounts_of_their_own() -> None:
    """Commands that need no account ignore the accounts."""
    environ = {"TWILIO_AUTH_TOKEN_FILE": "no-file", "TWILIO_API_KEY": "x"}
    assert loaded(environ=environ, document="accounts: 5").accounts == ()


BOTH_WAYS = (
    "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_KEY_SECRET"
    " (or list accounts in a settings file)"
)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [f"accounts: none configured: {BOTH_WAYS}"]),
        ({"TWILIO_ACCOUNT_NAME": "x"}, [f"accounts: none configured: {BOTH_WAYS}"]),
        ({"TWILIO_ACCOUNT_SID": SID}, ["accounts: TWILIO_AUTH_TOKEN: is missing; set it or TWILIO_AUTH_TOKEN_FILE"]),
        ({"TWILIO_AUTH_TOKEN": "t"}, ["accounts: TWILIO_ACCOUNT_SID: is missing; TWILIO_AUTH_TOKEN needs it"]),
        ({"TWILIO_API_KEY": KEY}, ["accounts: TWILIO_API_KEY_SECRET: is missing; set it or TWILIO_API_KEY_SECRET_FILE"]),
        ({"TWILIO_API_KEY_SECRET_FILE": "secret"}, ["accounts: TWILIO_API_KEY: is missing; TWILIO_API_KEY_SECRET_FILE needs it"]),
        (ENVIRONMENT | {"TWILIO_API_KEY": KEY, "TWILIO_API_KEY_SECRET": "s"}, ["accounts: TWILIO_AUTH_TOKEN: conflicts with TWILIO_API_KEY; keep one of the two"]),
        (ENVIRONMENT | {"TWILIO_AUTH_TOKEN_FILE": "secret"}, ["accounts: TWILIO_AUTH_TOKEN_FILE: conflicts with TWILIO_AUTH_TOKEN; keep one of the two"]),
        ({"TWILIO_API_KEY": KEY, "TWILIO_API_KEY_SECRET": "s", "TWILIO_API_KEY_SECRET_FILE": "secret"}, ["accounts: TWILIO_API_KEY_SECRET_FILE: conflicts with TWILIO_API_KEY_SECRET; keep one of the two"]),
        (ENVIRONMENT | {"TWILIO_ACCOUNT_SID": "me"}, ["accounts: TWILIO_ACCOUNT_SID: must be AC followed by 32 hex digits"]),
        (ENVIRONMENT | {"TWILIO_ACCOUNT_SID": KEY}, ["accounts: TWILIO_ACCOUNT_SID: must be AC followed by 32 hex digits"]),
        ({"TWILIO_API_KEY": SID, "TWILIO_API_KEY_SECRET": "s"}, ["accounts: TWILIO_API_KEY: must be SK followed by 32 hex digits"]),
        (ENVIRONMENT | {"TWILIO_ACCOUNT_NAME": "a b"}, ["accounts: TWILIO_ACCOUNT_NAME: must be 1 to 64 characters of a-z, A-Z, 0-9, _ . -"]),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN_FILE": "no"}, ["accounts: TWILIO_AUTH_TOKEN_FILE: file no does not exist"]),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN_FILE": "empty"}, ["accounts: TWILIO_AUTH_TOKEN_FILE: file empty is empty"]),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN_FILE": "."}, ["accounts: TWILIO_AUTH_TOKEN_FILE: file . cannot be read: Is a directory"]),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN_FILE": "bytes"}, ["accounts: TWILIO_AUTH_TOKEN_FILE: file bytes is not a text file"]),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN_FILE": "f" * 32}, ["accounts: TWILIO_AUTH_TOKEN_FILE: file … does not exist"]),
    ],
)  # fmt: skip
def test_wrong_account_in_the_environment(environ: dict[str, str], expected: list[str]) -> None:
    """A problem names the variable to correct."""
    Path("secret").write_text("s")
    Path("empty").write_text(" \n")
    Path("bytes").write_bytes(b"\xff\xfea")
    assert account_lines(environ) == expected


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        ("5", ["accounts: x: must be a list of accounts"]),
        ("{name: a}", ["accounts: x: must be a list of accounts"]),
        ("[]", [f"accounts: none configured: {BOTH_WAYS}"]),
        ("[a]", ["accounts[0]: x: must be a mapping of name and credential"]),
        ("[{name: a}]", ["accounts[0].account_sid: x: is missing; set account_sid and auth_token, or api_key and api_key_secret"]),
        ("[{name: a, account_sid: @SID}]", ["accounts[0].auth_token: x: is missing; set it or auth_token_file"]),
        ("[{account_sid: @SID, auth_token: t}]", ["accounts[0].name: x: is missing"]),
        ("[{name: [a], account_sid: @SID, auth_token: [t]}]", ["accounts[0].name: x: must be text", "accounts[0].auth_token: x: must be text"]),
        ("[{name: a, account_sid: @SID, auth_token: t, auth_tokn: t}]", ["accounts[0].auth_tokn: x: unknown setting; did you mean auth_token?"]),
        ("[{name: a, account_sid: @SID, auth_token_file: [s]}]", ["accounts[0].auth_token_file: x: must be text"]),
        ("[{name: a, account_sid: @SID, auth_token_file: no}]", ["accounts[0].auth_token_file: x: file no does not exist"]),
        ("[{name: a, account_sid: @SID, auth_token: t}, {name: a, account_sid: @SID, auth_token: t}]", ["accounts[1].name: x: is also the name of accounts[0]"]),
    ],
)  # fmt: skip
def test_wrong_account_in_the_file(accounts: str, expected: list[str]) -> None:
    """A problem names the account by its place in the list, from 0, and the key to correct."""
    expected = [line.replace(": x: ", ": exporter.yaml: ") for line in expected]
    assert account_lines(document=f"accounts: {accounts.replace('@SID', SID)}") == expected


def test_accounts_from_both_places_contradict() -> None:
    """The exporter does not guess which of them is meant."""
    document = f"accounts: [{{name: a, api_key: {KEY}, api_key_secret: s}}]"
    assert account_lines(ENVIRONMENT, document) == [
        "accounts: TWILIO_ACCOUNT_SID: conflicts with the accounts in exporter.yaml; keep one of the two"
    ]


def test_a_file_that_cannot_be_read_may_hold_accounts() -> None:
    """Accounts are not reported as missing then."""
    assert account_lines(document="a: b: c") == [
        "config_file: exporter.yaml: line 1: mapping values are not allowed here"
    ]


def test_secret_file_is_read_again() -> None:
    """A rotated secret is used at once; a missing file is an error that names file and account."""
    Path("secret").write_text("old")
    (account,) = load({}, {"TWILIO_API_KEY": KEY, "TWILIO_API_KEY_SECRET_FILE": "secret"}).accounts
    Path("secret").write_text("new\n")
    assert account.credential().secret.get_secret_value() == "new"
    Path("secret").write_text("")
    with pytest.raises(CredentialError, match=r"^account default: file secret is empty$"):
        account.credential()
    Path("secret").unlink()
    with pytest.raises(CredentialError, match=r"^account default: file secret does not exist$"):
        account.credential()


@pytest.mark.parametrize(
    "content",
    [b"s3cret", b" s3cret\r\n", b"\xef\xbb\xbfs3cret\n", "s3cret\r\n".encode("utf-16"), b"\xfe\xff\0s\x003\0c\0r\0e\0t", b"s3cret\0", b"\n\ns3cret\0\n"],
)  # fmt: skip
def test_secret_without_what_surrounds_it(content: bytes) -> None:
    """White space, line breaks, NUL and byte order marks are dropped; UTF-16 is read."""
    Path("secret").write_bytes(content)
    (account,) = load({}, {"TWILIO_API_KEY": KEY, "TWILIO_API_KEY_SECRET_FILE": "secret"}).accounts
    assert account.credential().secret.get_secret_value() == "s3cret"


def test_secret_as_text_without_what_surrounds_it() -> None:
    """Variables and the settings file are cleaned in the same way."""
    (account,) = load({}, ENVIRONMENT | {"TWILIO_AUTH_TOKEN": "\ufeffs3cret\r"}).accounts
    assert account.credential().secret.get_secret_value() == "s3cret"
    document = f'accounts: [{{name: a, account_sid: {SID}, auth_token: "\ufeff s3cret\\n"}}]'
    (account,) = loaded(document=document, accounts_required=True).accounts
    assert account.credential().secret.get_secret_value() == "s3cret"


IN_QUOTES = "is in quotes; remove them"
NOT_ALONE = "contains spaces, line breaks or characters beyond ASCII; write the secret alone"
NOT_EXPANDED = "contains a placeholder such as ${NAME}, which is not expanded; write the value itself"


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ('"s3cret"', IN_QUOTES),
        ("'s3cret'", IN_QUOTES),
        ("s3 cret", NOT_ALONE),
        ("s3cret\nanother", NOT_ALONE),
        ("export TWILIO_AUTH_TOKEN=s3cret", NOT_ALONE),
        ("s3cret\u200b", NOT_ALONE),
        ("s3cr\x1bet", NOT_ALONE),
        ("${TOKEN}", NOT_EXPANDED),
        ("${TOKEN:-s3cret}", NOT_EXPANDED),
        ("$TOKEN", NOT_EXPANDED),
        ("$(cat s3cret)", NOT_EXPANDED),
        ("{{ s3cret }}", NOT_EXPANDED),
    ],
)
def test_secret_that_cannot_be_one(secret: str, message: str) -> None:
    """Twilio would refuse it at each poll; the message does not show it."""
    Path("secret").write_text(secret)
    key = {"TWILIO_API_KEY": KEY}
    assert account_lines(key | {"TWILIO_API_KEY_SECRET_FILE": "secret"}) == [
        f"accounts: TWILIO_API_KEY_SECRET_FILE: file secret {message}"
    ]
    assert account_lines(key | {"TWILIO_API_KEY_SECRET": secret}) == [
        f"accounts: TWILIO_API_KEY_SECRET: {message}"
    ]
    account = {"name": "a", "api_key": KEY, "api_key_secret": secret}
    assert account_lines(document=yaml.safe_dump({"accounts": [account]})) == [
        f"accounts[0].api_key_secret: exporter.yaml: {message}"
    ]


@each_setting
def test_placeholder_is_refused(setting: Setting) -> None:
    """For each setting from each source, but not where a stronger source has the value."""
    text = "${X}"
    assert lines({setting.path: text}) == [f'{setting.path}: {setting.flag}="{text}" {NOT_EXPANDED}']
    assert lines(environ={setting.variable: text}) == [
        f'{setting.path}: {setting.variable}="{text}" {NOT_EXPANDED}'
    ]
    document = document_of(setting, text)
    assert lines(document=document) == [f'{setting.path}: exporter.yaml: "{text}" {NOT_EXPANDED}']
    loaded({setting.path: VALUES[setting.path][0]}, document=document)


@pytest.mark.parametrize("key", ["name", "account_sid", "api_key", "auth_token", "auth_token_file"])
def test_placeholder_in_an_account_is_refused(key: str) -> None:
    """Every key of an account is checked."""
    account = {"name": "a", "account_sid": SID, "auth_token": "t"}
    if key == "auth_token_file":
        del account["auth_token"]
    if key == "api_key":
        account = {"name": "a", "api_key_secret": "s"}
    account[key] = "${X}"
    assert account_lines(document=yaml.safe_dump({"accounts": [account]})) == [
        f"accounts[0].{key}: exporter.yaml: {NOT_EXPANDED}"
    ]


@pytest.mark.parametrize("text", ["/srv/$HOME/x", "$HOME/x", "$X", "a$(hostname)", "{{ path }}"])
def test_other_placeholders(text: str) -> None:
    """The syntax of shells, Kubernetes and templates is recognised."""
    assert lines({"state.path": text}) == [f'state.path: --state.path="{text}" {NOT_EXPANDED}']


@pytest.mark.parametrize("text", ["/srv/a$b", "/srv/100$", "{a}", "$5/x"])
def test_dollars_that_are_no_placeholders(text: str) -> None:
    """Other uses of these characters in a path are accepted."""
    assert loaded({"state.path": text}).state.path == Path(text)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_settings_file_with_a_byte_order_mark(encoding: str) -> None:
    """Files written by editors on Windows are read."""
    FILE.write_text("poll: {interval: 5s}\r\n", encoding=encoding)
    assert loaded({"config_file": str(FILE)}).poll.interval == 5


SECRET = "5ec2e7000000000000000000005ec2e7"


@pytest.mark.parametrize(
    ("environ", "document"),
    [
        ({"TWILIO_AUTH_TOKEN": SECRET}, None),
        ({"TWILIO_ACCOUNT_SID": SECRET, "TWILIO_AUTH_TOKEN": SECRET}, None),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": SECRET, "TWILIO_API_KEY_SECRET": SECRET}, None),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": SECRET, "TWILIO_ACCOUNT_NAME": f"{SECRET} "}, "accounts: []\nx: 1"),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN_FILE": SECRET}, None),
        ({"EXPORTER_AUTH_TOKEN": SECRET}, None),
        ({"EXPORTER_API__BASE_URL": f"https://me:{SECRET}@x"}, None),
        ({"EXPORTER_API__BASE_URL": f"https://x/?token={SECRET}"}, None),
        ({}, f"auth_token: {SECRET}"),
        ({}, f"accounts: [{{name: a, account_sid: {SECRET}, auth_token: {SECRET}}}]"),
        ({}, f"accounts: [{{name: a, account_sid: {SID}, auth_token: [{SECRET}]}}]"),
        ({}, f"accounts: [{{name: a, account_sid: {SID}, auth_token_file: {SECRET}}}]"),
        ({}, f"accounts: [{{name: a, account_sid: {SID}, auth_tokn: {SECRET}}}]"),
        ({}, f"accounts: ['auth_token:{SECRET}']"),
        ({}, f"accounts: {SECRET}"),
        ({}, f"accounts: [{{name: a, auth_token: *{SECRET}}}]"),
        ({}, f"accounts: [{{name: a, auth_token: !<x {SECRET}}}]"),
        ({}, f"a: b: {SECRET}"),
        ({}, f"auth_token: '{SECRET}"),
        ({}, SECRET),
    ],
)  # fmt: skip
def test_no_error_shows_a_secret(environ: dict[str, str], document: str | None) -> None:
    """The report of wrong settings is safe to show."""
    flags = {}
    if document is not None:
        FILE.write_text(document)
        flags["config_file"] = str(FILE)
    with pytest.raises(SettingsError) as caught:
        load(flags, environ)
    assert SECRET not in str(caught.value) + repr(caught.value) + repr(caught.value.problems)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_settings_do_not_show_a_secret() -> None:
    """Settings are safe to log."""
    Path("secret").write_text(SECRET)
    for secret in ({"TWILIO_AUTH_TOKEN": SECRET}, {"TWILIO_AUTH_TOKEN_FILE": "secret"}):
        settings = load({}, {"TWILIO_ACCOUNT_SID": SID, **secret})
        (account,) = settings.accounts
        assert SECRET not in f"{settings} {settings!r} {account} {account!r} {account.credential()!r}"
        assert SECRET not in settings.model_dump_json()


# -- docs -------------------------------------------------------------------------------------------------


def test_settings_page_is_up_to_date() -> None:
    """The committed page matches the code; `make docs` generates it."""
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == settings_reference()


def test_main_writes_the_pages(tmp_path: Path) -> None:
    """One command writes every reference page."""
    main(tmp_path)
    assert (tmp_path / "settings.md").read_text(encoding="utf-8") == settings_reference()


def test_example_in_the_page_is_right() -> None:
    """The example of the page is valid."""
    example_file = SETTINGS_PAGE.split("```")[1].removeprefix("yaml\n")
    Path("secrets").mkdir()
    for name in ("shop", "newsletter"):
        Path("secrets", name).write_text("s")
    settings = loaded(document=example_file, accounts_required=True)
    assert [account.name for account in settings.accounts] == ["shop", "newsletter"]
    assert settings.alerts_of("newsletter").undelivered_ratio == 0.2
    assert len(settings.web.listen_address) == 2
