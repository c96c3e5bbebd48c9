"""Thresholds of alerts, from the files in docs/tuning.md through the running program to /metrics."""

import re
import signal
from pathlib import Path

import pytest

from exporter.config.alerts import Alerts
from tests.support.program import ROOT, eventually, fetch, finish, found_in, started
from tests.system.test_program import metrics_url

PAGE = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
ONE_ACCOUNT, ALL_ACCOUNTS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
(SHOWN,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
SERIES = re.compile(
    r'^twilio_email_exporter_alert_threshold\{account="(.+)",setting="(.+)"\} (.+)$', re.MULTILINE
)
OWN_ENTRY = "unknown setting; write the thresholds of an account in its entry of accounts"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings file of the page, with its secrets."""
    (tmp_path / "secrets").mkdir()
    for name in ("shop", "newsletter"):
        (tmp_path / "secrets" / name).write_text("a-secret")
    file = tmp_path / "exporter.yaml"
    file.write_text(ONE_ACCOUNT + ALL_ACCOUNTS)
    return file


def thresholds(page: str) -> dict[tuple[str, str], float]:
    return {(account, setting): float(value) for account, setting, value in SERIES.findall(page)}


def test_files_of_the_page_do_what_it_says(file: Path, tmp_path: Path) -> None:
    """Before any poll succeeds, each account has its thresholds; neither a flag nor SIGHUP replaces them."""
    log = tmp_path / "log"
    variables = {
        "EXPORTER_CONFIG_FILE": str(file),
        "EXPORTER_API__BASE_URL": "http://127.0.0.1:1",
        "EXPORTER_WEB__LISTEN_ADDRESS": "127.0.0.1:0",
    }
    with started(log, "--alerts.undelivered_ratio=0.1", "--alerts.late-ratio=0.3", **variables) as process:
        page = eventually(lambda: fetch(f"{metrics_url(log)}/metrics"), "the metrics")
        assert set(SHOWN.splitlines()) <= set(page.splitlines())
        common = Alerts(stuck_after=14400, late_ratio=0.3)
        tuned = {"shop": common, "newsletter": common.model_copy(update={"undelivered_ratio": 0.2})}
        expected = {(account, name): value for account, own in tuned.items() for name, value in own}
        assert thresholds(page) == expected

        file.write_text(file.read_text().replace("0.2", "0.4"))
        process.send_signal(signal.SIGHUP)
        eventually(found_in(log, "reloaded|reload"), "the reload")
        assert thresholds(eventually(lambda: fetch(f"{metrics_url(log)}/metrics"), "the metrics")) == expected


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        (
            ("undelivered_ratio: 0.2", "undelivered_ratio: 1.2"),
            ['accounts[1].alerts.undelivered_ratio: {file}: "1.2" must be a number, more than 0, at most 1'],
        ),
        (
            ("stuck_after: 4h", "stuck_afer: 4h\n  gone: {failed_ratio: 0.1}"),
            [
                "alerts.stuck_afer: {file}: unknown setting; did you mean alerts.stuck_after?",
                f"alerts.gone: {{file}}: {OWN_ENTRY}",
            ],
        ),
    ],
)
def test_wrong_thresholds_end_the_start(file: Path, changed: tuple[str, str], problems: list[str]) -> None:
    """The program exits with code 2 and one line for each problem."""
    file.write_text(file.read_text().replace(*changed))
    done = finish("run", f"--config-file={file}")
    assert (done.returncode, done.stderr.splitlines()) == (2, [each.format(file=file) for each in problems])


def test_page_names_every_threshold_and_its_alert() -> None:
    """The table lists each setting once, with the alert that help names for it."""
    rows = re.findall(r"^\| `(TwilioEmail\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    settings = {name: alert for alert, names in rows for name in re.findall(r"`alerts\.(\w+)`", names)}
    assert settings.keys() == Alerts.model_fields.keys()
    for name, field in Alerts.model_fields.items():
        assert settings[name] in (field.description or "")
