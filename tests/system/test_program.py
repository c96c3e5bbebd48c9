"""The program as a user starts it: commands, exit codes, signals, pages."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from exporter import __version__
from exporter.simulator.server import ACCOUNT_SID, CREDENTIAL
from tests.support.program import (
    command,
    environment,
    eventually,
    fetch,
    finish,
    found_in,
    free_port,
    running,
    silent_server,
    started,
)

ANY_PORT = "127.0.0.1:0"
ACCOUNT = {
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": CREDENTIAL[1],
    "EXPORTER_API__REQUESTS_PER_SECOND": "100",  # the simulator does not mind, and the test is shorter
}


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[str]:
    """Base URL of a simulated Twilio in a separate process."""
    log = tmp_path / "simulator.log"
    with started(log, "simulator", "--listen-address", ANY_PORT):
        yield eventually(found_in(log, r"BASE_URL=(\S+)"), "the simulator").group(1)


def metrics_url(log: Path) -> str:
    address = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)
    return f"http://{address}"


def up(url: str) -> str | None:
    page = fetch(f"{url}/metrics")
    return page if page and re.search(r"^twilio_email_up\{.*\} 1", page, re.MULTILINE) else None


def test_demo_shows_a_living_account(tmp_path: Path) -> None:
    """Within a minute `up` is 1 and emails are counted; the URLs to open are printed."""
    log = tmp_path / "demo.log"
    with started(log, "demo", "--web.listen_address", ANY_PORT):
        url = metrics_url(log)
        page = eventually(lambda: up(url), "the first poll")
        emails = re.findall(r"^twilio_email_window_emails\{.*\} ([0-9.e+]+)$", page, re.MULTILINE)
        assert sum(map(float, emails)) > 1000
        said = log.read_text()
        assert f"Status page: {url}/" in said
        assert f"Metrics:     {url}/metrics" in said


def test_pages_of_a_running_exporter(tmp_path: Path, simulator: str) -> None:
    """Both formats are read by the official parsers, probes answer, the status page names the account."""
    log = tmp_path / "run.log"
    settings = {**ACCOUNT, "EXPORTER_API__BASE_URL": simulator, "TWILIO_ACCOUNT_NAME": "marketing"}
    with started(log, "--web.listen_address", ANY_PORT, **settings) as process:
        url = metrics_url(log)
        text = eventually(lambda: up(url), "the first poll")
        openmetrics = fetch(f"{url}/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert openmetrics
        assert openmetrics.endswith("# EOF\n")
        families = {each.name for each in read_openmetrics(openmetrics)}  # type: ignore[no-untyped-call]
        assert {each.name for each in read_text(text)} <= families
        assert fetch(f"{url}/-/healthy") == fetch(f"{url}/-/ready") == "OK\n"
        assert "marketing" in (fetch(f"{url}/") or "")
        assert "_created" not in text.replace("oldest_created", "").replace("created_within", "")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        said = log.read_text()
        assert "msg=stopping" in said
        started_with = f" msg=starting version={__version__} accounts=1 interval=60s state=none\n"
        assert started_with in said
        assert 'level=warning msg="no state: counters start at zero' in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_it_cleanly_in_mid_poll(tmp_path: Path, number: signal.Signals) -> None:
    """The exit code is 0, even during a request that is never answered."""
    log = tmp_path / "run.log"
    with (
        silent_server() as url,
        started(log, "--web.listen_address", ANY_PORT, EXPORTER_API__BASE_URL=url, **ACCOUNT) as process,
    ):
        metrics_url(log)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        assert "Traceback" not in log.read_text()


def test_wrong_settings_have_a_line_each_and_exit_code_2() -> None:
    """All problems are reported at once, with exit code 2."""
    wrong = {"EXPORTER_API__BASE_URL": "http://example.com", "EXPORTER_NONSENSE": "1"}
    done = finish("run", "--poll.interval=soon", **wrong)
    assert done.returncode == 2
    told = {line.partition(":")[0] for line in done.stderr.splitlines()}
    assert {"poll.interval", "api.base_url", "accounts"} <= told
    assert len(done.stderr.splitlines()) == 4
    assert done.stdout == ""


def test_once_prints_one_poll(simulator: str) -> None:
    """Standard output has the exposition text only, or a table with `--format=table`."""
    done = finish("once", EXPORTER_API__BASE_URL=simulator, **ACCOUNT)
    assert done.returncode == 0, done.stderr
    names = {family.name for family in read_text(done.stdout)}
    assert "twilio_email_window_emails" in names
    assert not any(name.startswith(("process_", "python_")) for name in names)
    table = finish("once", "--format=table", EXPORTER_API__BASE_URL=simulator, **ACCOUNT)
    assert table.returncode == 0
    assert table.stdout.startswith("default: mail is fine: ")
    assert re.search(r"^default +completed +\d{4}", table.stdout, re.MULTILINE)


def test_explain_prints_a_table_or_json(simulator: str) -> None:
    """Standard output has the counts only, and nothing shows progress where there is no terminal."""
    variables = {**ACCOUNT, "EXPORTER_API__BASE_URL": simulator}
    table = finish("explain", "--last=1d", **variables)
    assert (table.returncode, table.stderr) == (0, "")
    assert re.search(r"^gmail\.com +\d+ +\d+ +\d+\.\d% +#+$", table.stdout, re.MULTILINE)
    assert re.search(r"^tag category ", table.stdout, re.MULTILINE)
    assert "@" not in table.stdout
    done = finish("explain", "--last=1d", "--format=json", EXPORTER_BREAKDOWN__BY="tag:campaign", **variables)
    (account,) = json.loads(done.stdout)["accounts"]
    assert account["by"].keys() == {"tag:campaign"}
    assert account["complete"] is True


def test_explain_of_one_operation(simulator: str) -> None:
    """A known id is explained; an unknown one ends with 1, and anything else, or too much, with 2."""
    variables = {**ACCOUNT, "EXPORTER_API__BASE_URL": simulator}
    page = finish("once", **variables).stdout
    (found, *_) = re.findall(r'top_operation_emails\{.*operation_id="(\w+)"', page)
    done = finish("explain", found, **variables)
    assert done.returncode == 0
    assert f"operation {found} (" in done.stdout
    unknown = "comms_operation_" + "0" * 26
    for arguments, code, said in (
        ((unknown,), 1, "no account has this operation"),
        (("nonsense",), 2, "not the id of an operation"),
        ((found, "--last=1h"), 2, "not both"),
        (("--last=8d",), 2, "between 1s and 7d"),
        (("--max-requests=0",), 2, "from 1 to 500"),
    ):
        done = finish("explain", *arguments, **variables)
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_explain_fails_when_emails_cannot_be_listed(simulator: str) -> None:
    """Exit code 1, with one line that names the account and the reason."""
    wrong = {**ACCOUNT, "TWILIO_AUTH_TOKEN": "not-the-right-one", "EXPORTER_API__BASE_URL": simulator}
    done = finish("explain", **wrong)
    assert done.returncode == 1
    assert "account default: its emails cannot be listed: " in done.stderr
    assert "not-the-right-one" not in done.stderr


def test_once_fails_when_the_poll_fails(simulator: str) -> None:
    """Exit code 1, with the reason on standard error, without a secret and without a page of zeros."""
    wrong = {**ACCOUNT, "TWILIO_AUTH_TOKEN": "not-the-right-one", "EXPORTER_API__BASE_URL": simulator}
    done = finish("once", **wrong)
    assert done.returncode == 1
    assert 'msg="poll failed" account=default outcome=unauthorized' in done.stderr
    assert "not-the-right-one" not in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_port_in_use(tmp_path: Path, simulator: str) -> None:
    """Exit code 1, with the address on standard error."""
    log = tmp_path / "run.log"
    settings = {**ACCOUNT, "EXPORTER_API__BASE_URL": simulator}
    with started(log, "--web.listen_address", ANY_PORT, **settings):
        address = metrics_url(log).removeprefix("http://")
        done = finish("--web.listen_address", address, **settings)
        assert done.returncode == 1
        assert "cannot listen" in done.stderr
        assert address in done.stderr


def test_help_shows_every_flag_with_its_default() -> None:
    """Help shows every flag, command and exit code within 80 columns."""
    done = finish("--help", COLUMNS="80")
    assert done.returncode == 0
    for flag, default in (("--poll.interval", "60s"), ("--web.listen_address", ":10587")):
        assert re.search(rf"{re.escape(flag)}[^-]*\(default: {default}", done.stdout.replace("\n", " "))
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\w", done.stdout, re.MULTILINE)
    assert "0 success, 1 runtime failure, 2 invalid configuration" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert finish("--version").stdout == f"twilio-email-exporter {__version__}\n"


COMMANDS = (
    "run",
    "once",
    "check",
    "explain",
    "demo",
    "simulator",
    "observe",
    "backup",
    "restore",
    "healthcheck",
)


@pytest.mark.parametrize(
    ("arguments", "shown", "hidden"),
    [
        (("run", "--help"), {"--web.listen_address", "--state.path"}, {"--scenario", "--format"}),
        (("--help", "once"), {"--format", "--poll.lookback"}, {"--scenario", "--web.listen_address"}),
        (("check", "-h"), {"--api.base_url"}, {"--format", "--state.path", "--metrics.top_operations"}),
        (
            ("explain", "-h"),
            {"--last", "--max-requests", "--breakdown.by"},
            {"--scenario", "--poll.interval"},
        ),
        (("observe", "-h"), {"--for", "--output", "--account"}, {"--api.concurrency", "--poll.interval"}),
        (("demo", "--help"), {"--scenario", "--web.listen_address"}, {"--api.base_url", "--shard"}),
        (("simulator", "--help"), {"--scenario", "--listen-address"}, {"--format", "--poll.interval"}),
        (("healthcheck", "--help"), {"--ready", "--web.listen_address"}, {"--poll.interval"}),
    ],
)
def test_help_of_a_command(arguments: tuple[str, ...], shown: set[str], hidden: set[str]) -> None:
    """`COMMAND --help` shows its own flags and the settings that it uses, and no others."""
    done = finish(*arguments, COLUMNS="80")
    flags = set(re.findall(r"^  (--[a-z._-]+)", done.stdout, re.MULTILINE))
    assert (done.returncode, shown - flags, hidden & flags) == (0, set(), set())
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("rnu",), 'unknown command "rnu"; did you mean run?'),
        (("--poll.interval=5s", "simulate"), 'unknown command "simulate"; did you mean simulator?'),
        (("help",), 'unknown command "help"; did you mean --help?'),
        (("xyz",), f'unknown command "xyz"; the commands are {", ".join(COMMANDS)}'),
        (("5ec2e70000005ec2e7",), f"unknown command; the commands are {', '.join(COMMANDS)}"),
        (("run", "--scenario=steady"), "--scenario is not a flag of run, only of demo and simulator"),
        (
            ("once", "--listen-address=:1"),
            "--listen-address is not a flag of once, only of simulator; did you mean --web.listen_address?",
        ),
        (
            ("simulator", "--listen-address=x"),
            '--listen-address: "x" is not an address; write host:port; see --help',
        ),
        (("--poll.interval",), "--poll.interval: expected one argument; see --help"),
        (("--poll.nap=1s",), "poll.nap: --poll.nap: unknown setting"),
        (
            ("run", "once"),
            "arguments: command line: more than one command; settings are written --name=value",
        ),
        (("--web.listen-address=:1", "healthcheck"), "write healthcheck first, before its flags"),
    ],
)
def test_wrong_command_line(arguments: tuple[str, ...], line: str) -> None:
    """Exit code 2, with one line that names the mistake."""
    done = finish(*arguments, **ACCOUNT)
    assert (done.returncode, done.stderr, done.stdout) == (2, f"{line}\n", "")


def test_help_of_demo_shows_its_own_defaults() -> None:
    """The defaults of `demo` differ from those of `run`."""
    text = " ".join(finish("demo", "--help").stdout.split())
    assert "next (default: 5s)" in text
    assert "request rate per account (default: 50)" in text
    assert "address to listen on (default: 127.0.0.1:10587; repeatable)" in text


def test_word_behind_an_unknown_flag_is_not_shown() -> None:
    """The word may be a secret."""
    done = finish("--auth-token", "opensesame", **ACCOUNT)
    assert (done.returncode, done.stderr) == (2, "auth-token: --auth-token: unknown setting\n")


@pytest.mark.parametrize("how", ["signal", "post"])
def test_reload_reads_the_secret_again(tmp_path: Path, simulator: str, how: str) -> None:
    """SIGHUP and POST /-/reload do the same; a missing file is logged, and the old secret stays in use."""
    log, secret = tmp_path / "run.log", tmp_path / "secret"
    secret.write_text(f" {CREDENTIAL[1]}\n")
    settings = {
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN_FILE": str(secret),
        "EXPORTER_API__BASE_URL": simulator,
    }
    with started(log, "--web.listen_address", ANY_PORT, **settings) as process:
        url = metrics_url(log)
        secret.unlink()
        if how == "signal":
            process.send_signal(signal.SIGHUP)
        else:
            with pytest.raises(HTTPError, match="500"):
                urlopen(Request(f"{url}/-/reload", method="POST"), timeout=10)
        told = eventually(found_in(log, r".*the old one stays in use.*"), "the log line").group(0)
        assert str(secret) in told
        assert process.poll() is None


def test_reload_names_the_changes_that_need_a_restart(tmp_path: Path, simulator: str) -> None:
    """In the log and in the reply, without a value; a file that is invalid by now fails the reload."""
    log, file = tmp_path / "run.log", tmp_path / "settings.yml"
    account = f"accounts: [{{name: shop, account_sid: {ACCOUNT_SID}, auth_token: %s}}]\n"
    file.write_text(account % CREDENTIAL[1])
    settings = {
        "EXPORTER_CONFIG_FILE": str(file),
        "EXPORTER_API__BASE_URL": simulator,
        "EXPORTER_STATE__PATH": str(tmp_path / "state.sqlite"),
    }
    with started(log, "--web.listen_address", ANY_PORT, "--poll.interval=90s", **settings):
        reload = Request(f"{metrics_url(log)}/-/reload", method="POST")
        assert f" interval=90s state={tmp_path}/state.sqlite\n" in log.read_text()
        assert "level=warning" not in log.read_text()
        assert urlopen(reload, timeout=10).read() == b"OK\n"
        file.write_text(account % "another-token" + "poll: {interval: 30s, recent: 1h}\n")
        assert urlopen(reload, timeout=10).read() == b"OK\nrestart to apply: poll.recent, accounts.shop\n"
        said = log.read_text()
        assert 'msg="changed settings need a restart" settings="poll.recent, accounts.shop"' in said
        assert "another-token" not in said
        file.write_text(account % CREDENTIAL[1] + "poll: {recent: soon}\n")
        with pytest.raises(HTTPError, match="500"):
            urlopen(reload, timeout=10)
        assert f'reload failed, keeping the previous configuration" problem="poll.recent: {file}:' in (
            log.read_text()
        )


def test_check(simulator: str) -> None:
    """Exit code 0 with a good credential, 1 with a wrong one, 2 with none."""
    good = finish("check", EXPORTER_API__BASE_URL=simulator, **ACCOUNT)
    assert (good.returncode, good.stderr) == (0, "")
    assert "account default: the credential works" in good.stdout
    wrong = finish("check", EXPORTER_API__BASE_URL=simulator, **{**ACCOUNT, "TWILIO_AUTH_TOKEN": "wrong-one"})
    assert wrong.returncode == 1
    assert "does not work" in wrong.stdout
    assert "wrong-one" not in wrong.stdout + wrong.stderr
    assert finish("check").returncode == 2


HASH = "$2b$04$/YskwvSTSs8.LLHddnSZguwGWkGqhok08aTCdtE6n6sM6F0xXsLP2"
GUARDED = f"basic_auth_users: {{alice: {HASH}}}\n"
ALICE = "Basic YWxpY2U6c2VjcmV0"  # alice:secret
RELOADED = "twilio_email_exporter_config_last_reload_successful"


def guarded(log: Path) -> str | None:
    """The metrics page, requested with the password."""
    return fetch(f"{metrics_url(log)}/metrics", Authorization=ALICE)


def test_web_config_is_read_again(tmp_path: Path, simulator: str) -> None:
    """The file is reloaded when it changes and on SIGHUP; a broken file is logged and not used."""
    log, web_config = tmp_path / "run.log", tmp_path / "web.yml"
    web_config.write_text(GUARDED)
    settings = {**ACCOUNT, "EXPORTER_API__BASE_URL": simulator, "EXPORTER_WEB__CONFIG_FILE": str(web_config)}
    with started(log, "--web.listen_address", ANY_PORT, **settings) as process:
        page = eventually(lambda: guarded(log), "the listener")
        assert f"{RELOADED} 1.0" in page
        assert fetch(f"{metrics_url(log)}/metrics") is None
        web_config.write_text("basic_auth_users: {alice: secret}\n")
        told = eventually(found_in(log, "reload failed.*"), "the problem").group()
        assert f"{web_config}: must be a bcrypt hash" in told
        assert f"{RELOADED} 0.0" in (guarded(log) or "")
        web_config.write_text("")
        process.send_signal(signal.SIGHUP)
        page = eventually(lambda: fetch(f"{metrics_url(log)}/metrics"), "a page without a password")
        assert f"{RELOADED} 1.0" in page


def test_broken_web_config_is_a_wrong_setting(tmp_path: Path) -> None:
    """Exit code 2, with a line with file, key and reason."""
    web_config = tmp_path / "web.yml"
    web_config.write_text("tls_server_config: {cert_file: none.pem, key_file: none.key}")
    done = finish(EXPORTER_WEB__CONFIG_FILE=str(web_config), **ACCOUNT)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"tls_server_config.{kind}_file: {web_config}: {tmp_path}/none.{suffix} does not exist"
        for kind, suffix in (("cert", "pem"), ("key", "key"))
    ]


# -- environment of the process -----------------------------------------------------------------------------


SILENT = {**ACCOUNT, "EXPORTER_LOG__LEVEL": "error"}


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command line; the word `exporter` in it is the program."""
    line = line.replace("exporter", shlex.join(command()))
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
def test_closed_streams_change_nothing(simulator: str, closed: str) -> None:
    """`once` works without standard error or standard input."""
    done = shell(f"exporter once {closed}", EXPORTER_API__BASE_URL=simulator, **SILENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "twilio_email_window_emails" in done.stdout


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        *(
            (f"{line} >/dev/full", "No space left on device")
            for line in ("once", "check", "-h", "--version", "healthcheck -h")
        ),
        ("once --format=table >&-", "it is closed"),
    ],
)
def test_output_that_cannot_be_written(simulator: str, line: str, reason: str) -> None:
    """Exit code 1, and one line."""
    done = shell(f"exporter {line}", EXPORTER_API__BASE_URL=simulator, **SILENT)
    assert (done.returncode, done.stderr) == (1, f"cannot write to standard output: {reason}\n")


def test_reader_that_closes_the_pipe(simulator: str) -> None:
    """`once | head` ends without a message."""
    line = "{ exporter once; echo $? >&2; } | true"
    done = shell(line, EXPORTER_API__BASE_URL=simulator, **SILENT)
    assert done.stderr == "1\n"


@pytest.mark.parametrize("err", ["2>/dev/full", "2>&-"])
def test_exit_code_does_not_depend_on_standard_error(err: str) -> None:
    """Invalid configuration is exit code 2, even when the reason cannot be written."""
    assert shell(f"exporter run {err}").returncode == 2
    assert shell(f"exporter rnu {err}").returncode == 2
    assert shell(f"exporter --format=xml {err}").returncode == 2
    assert shell(f"exporter healthcheck --web.listen-address=:0 {err}").returncode == 2


def test_run_without_standard_error(tmp_path: Path, simulator: str) -> None:
    """`run` works, and no file is opened in place of standard error."""
    port, state = free_port(), tmp_path / "state.db"
    settings = {**SILENT, "EXPORTER_API__BASE_URL": simulator, "EXPORTER_STATE__PATH": str(state)}
    line = ["/bin/sh", "-c", f"exec {shlex.join(command())} --web.listen_address=127.0.0.1:{port} 2>&-"]
    with running(tmp_path / "out", line, environment(**settings)) as process:
        eventually(lambda: up(f"http://127.0.0.1:{port}"), "the first poll")
        if Path("/proc/self/fd").exists():
            assert Path(f"/proc/{process.pid}/fd/2").readlink() == Path("/dev/null")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_output_that_knows_no_unicode(simulator: str) -> None:
    """A locale without Unicode causes no error."""
    for arguments in (("once",), ("once", "--format=table"), ("check",), ("--help",)):
        done = finish(*arguments, EXPORTER_API__BASE_URL=simulator, PYTHONIOENCODING="ascii", **SILENT)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("variable", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_multiprocess_mode_of_prometheus_client_has_no_influence(
    tmp_path: Path, simulator: str, variable: str
) -> None:
    """The variables that switch it on cause no file and no error."""
    folder = tmp_path / "multiproc"
    folder.mkdir()
    log = tmp_path / "run.log"
    settings = {**SILENT, "EXPORTER_API__BASE_URL": simulator}
    for place in (folder, tmp_path / "not-there"):
        done = finish("once", **settings, **{variable: str(place)})
        assert (done.returncode, done.stderr) == (0, "")
        assert 'twilio_email_exporter_polls_total{account="default",outcome="success"} 1.0' in done.stdout
    with started(
        log, "--web.listen_address", ANY_PORT, "--log.level=info", **settings, **{variable: str(folder)}
    ) as process:
        eventually(lambda: up(metrics_url(log)), "the first poll")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("command_name", "further"),
    [
        ("run", signal.SIGTERM),
        ("run", signal.SIGINT),
        ("run", signal.SIGHUP),
        ("simulator", signal.SIGTERM),
        ("simulator", signal.SIGINT),
    ],
)
def test_further_signals_during_the_stop(
    tmp_path: Path, simulator: str, command_name: str, further: signal.Signals
) -> None:
    """Repeated signals do not change the exit code 0."""
    log = tmp_path / "run.log"
    address = ("--web.listen_address" if command_name == "run" else "--listen-address", ANY_PORT)
    with started(log, command_name, *address, EXPORTER_API__BASE_URL=simulator, **ACCOUNT) as process:
        eventually(found_in(log, "msg=listening|BASE_URL"), "the start")
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            process.send_signal(further)
        assert process.returncode == 0
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    "content",
    [
        CREDENTIAL[1].encode("utf-8-sig"),
        CREDENTIAL[1].encode("utf-16"),
        b"\xfe\xff" + f"{CREDENTIAL[1]}\r\n".encode("utf-16-be"),
        f"\r\n{CREDENTIAL[1]}\r\n".encode(),
        f"{CREDENTIAL[1]}\0".encode(),
    ],
)
def test_secret_file_as_editors_and_shells_write_it(tmp_path: Path, simulator: str, content: bytes) -> None:
    """What they add is not part of the secret."""
    secret = tmp_path / "secret"
    secret.write_bytes(content)
    settings = {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN_FILE": str(secret)}
    done = finish("check", EXPORTER_API__BASE_URL=simulator, **settings)
    assert done.returncode == 0, done.stdout


def test_placeholders_in_the_settings_file(tmp_path: Path) -> None:
    """Exit code 2, with a line for each placeholder."""
    file = tmp_path / "settings.yml"
    file.write_text(
        "poll: {interval: '${INTERVAL}'}\n"
        f"accounts: [{{name: shop, account_sid: {ACCOUNT_SID}, auth_token: '${{TOKEN}}'}}]\n"
    )
    done = finish("once", EXPORTER_CONFIG_FILE=str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f'poll.interval: {file}: "${{INTERVAL}}" {NOT_EXPANDED}',
        f"accounts[0].auth_token: {file}: {NOT_EXPANDED}",
    ]


NOT_EXPANDED = "contains a placeholder such as ${NAME}, which is not expanded; write the value itself"
