"""Dashboards and recipes: committed as generated, by the conventions, and answered by a real Prometheus."""

import asyncio
import itertools
import json
import math
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.models.common import GraphFieldConfig, TableFieldOptions
from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter.clock import SystemClock
from exporter.metrics.families import FAMILIES
from exporter.simulator.scenarios import SCENARIOS, Episode, Mix
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from grafana import thresholds
from grafana.chosen import EACH, NAME, of_chosen, of_process
from grafana.files import FOLDER, FOLDERS, encoded, files
from grafana.panels import COLOURS
from grafana.thresholds import duration
from tests.support.monitoring import CONFIG, prometheus, query
from tests.support.program import eventually, found_in, started

DASHBOARDS: Final[dict[str, dict[str, Any]]] = {
    path: json.loads(text) for path, text in files().items() if path.startswith("dashboards/")
}
PANELS: Final[list[dict[str, Any]]] = [
    panel for board in DASHBOARDS.values() for panel in board["panels"] if panel["type"] != "row"
]
INSTALLED: Final = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job"'
CHOSEN: Final = f'{INSTALLED}, instance=~"$instance"'
OF_ACCOUNT: Final = 'account=~"$account"'
OF_ALERT: Final = re.sub(r"(\$\w+)", r"\1|", f"{CHOSEN}, {OF_ACCOUNT}")
"""An alert without a label concerns all of its values."""

each_board = pytest.mark.parametrize("board", DASHBOARDS.values(), ids=list(DASHBOARDS))
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])

RED: Final = ("red", "orange")
RECORDED: Final = re.findall(r"record: (\S+)", files()["alerts.yaml"])
RECIPES: Final = re.findall(
    r"^```promql\n(.*?)^```",
    (FOLDER.parent / "docs" / "queries.md").read_text(encoding="utf-8"),
    flags=re.MULTILINE | re.DOTALL,
)


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def words(value: object) -> Iterator[str]:
    """Every text in a tree of JSON."""
    match value:
        case str():
            yield value
        case dict():
            yield from itertools.chain.from_iterable(map(words, value.values()))
        case list():
            yield from itertools.chain.from_iterable(map(words, value))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("path", files())
def test_committed_files_are_what_the_sources_say(path: str, folder: Path) -> None:
    """`make docs` writes the same again; there is no other dashboard, and the chart's copies are no links."""
    assert (folder / path).read_text(encoding="utf-8") == files()[path]
    assert not (folder / path).is_symlink()
    assert {str(each.relative_to(folder)) for each in (folder / "dashboards").iterdir()} == set(DASHBOARDS)


@each_board
def test_dashboard_survives_reading_and_writing(board: dict[str, Any]) -> None:
    """Grafana's types know every key and keep it: none is mistyped."""
    again = json.loads(encoded(Dashboard.from_json(board)))
    for link in again["links"]:
        link["placement"] = ""  # the SDK reads its own constant, whatever is written
    assert again == board


def test_dashboards_have_the_uids_that_alerts_link_to() -> None:
    """Alerts, bookmarks and the dashboards themselves name them."""
    uids = [board["uid"] for board in DASHBOARDS.values()]
    assert uids == [thresholds.OPERATIONS_DASHBOARD, thresholds.EXPORTER_DASHBOARD]


@each_board
def test_dashboard_is_chosen_by_the_same_variables(board: dict[str, Any]) -> None:
    """One data source, then the labels from cluster to account: several at once, or all of them."""
    datasource, *others = board["templating"]["list"]
    assert (datasource["name"], datasource["type"], datasource["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert [each["name"] for each in others] == ["cluster", "namespace", "job", "instance", "account"]
    for each in others:
        assert (each["multi"], each["includeAll"], each["allValue"]) == (True, True, ".*")
        assert each["current"]["value"] == "$__all"
        assert each["datasource"]["uid"] == "${datasource}"


@each_board
def test_dashboard_leads_to_the_others(board: dict[str, Any]) -> None:
    """With the time and the variables that are chosen; to the runbook; and all are found by one tag."""
    assert "twilio-email" in board["tags"]
    targets = {link["url"] for link in board["links"]}
    others = {f"/d/{other['uid']}" for other in DASHBOARDS.values() if other is not board}
    assert targets == {*others, "docs/runbook.md"}
    for link in board["links"]:
        assert (link["keepTime"], link["includeVars"]) == (link["url"] in others,) * 2


@each_board
def test_panels_have_numbers_and_places_of_their_own(board: dict[str, Any]) -> None:
    """No two share an id or a cell of the grid, and none reaches beyond its edge."""
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        xs, ys = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = set(itertools.product(xs, ys))
        assert cells
        assert xs.stop <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@each_panel
def test_panel_explains_itself(panel: dict[str, Any]) -> None:
    """Title, unit, a description that begins with a question; and what it means when nothing is shown."""
    assert panel["title"]
    assert re.match(r"[A-Z][^.?]+\? [A-Z].*\.$", panel["description"])
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["noValue"]


@each_panel
def test_nothing_known_is_not_green(panel: dict[str, Any]) -> None:
    """Without a number a panel has the colour of its first step, so that one says neither good nor bad."""
    assert panel["type"] != "stat" or "thresholds" in panel["fieldConfig"]["defaults"]
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {"steps": []})["steps"]
    assert {step["color"] for step in steps[:1]} <= {"text", "transparent"}
    if panel["type"] == "stat":
        assert steps[1]["value"] == 0
        assert steps[1]["color"] != "text"


@each_panel
def test_overrides_name_options_that_exist(panel: dict[str, Any]) -> None:
    """The SDK takes any name there; Grafana ignores one that it does not know."""
    options = {*vars(GraphFieldConfig()), *vars(TableFieldOptions())}
    known = {
        "color",
        "unit",
        "decimals",
        *(f"custom.{re.sub(r'_(.)', lambda m: m[1].upper(), option)}" for option in options),
    }
    overrides = panel["fieldConfig"]["overrides"]
    assert {each["id"] for override in overrides for each in override["properties"]} <= known


@each_panel
def test_panel_asks_only_what_is_chosen(panel: dict[str, Any]) -> None:
    """The chosen data source, and in each query the chosen values of all variables."""
    sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
    assert sources == {"${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for expression in expressions(panel):
        for selector in re.findall(r"ALERTS\w*\{([^}]*)\}", expression):
            assert selector.startswith(f'alertname=~"TwilioEmail.*", {OF_ALERT}')
        assert re.search(r'account=~"\$account\|?"', expression)
        for selector in re.findall(r"(?<![\w:])(?:twilio_email|process)_\w+(\{[^}]*\})?", expression):
            assert selector.startswith(f"{{{CHOSEN}")
        for name, selector in re.findall(r"\b(account:[\w:]+)(\{[^}]*\})?", expression):
            assert name in RECORDED
            assert selector == f"{{{INSTALLED}, {OF_ACCOUNT}}}"


@each_panel
def test_accounts_of_two_installations_stay_apart(panel: dict[str, Any]) -> None:
    """Each is grouped and matched as in the alerts, and its name tells namespace and cluster."""
    for target in panel["targets"]:
        lists = re.findall(r"\b(?:by|on) \(([^)]*)\)", target["expr"])
        assert all(labels.startswith(EACH) for labels in lists if "account" in labels)
        assert target["legendFormat"] == NAME or "{{account}}" not in target["legendFormat"]


@each_panel
def test_lines_of_an_account_share_its_colour(panel: dict[str, Any]) -> None:
    """Style tells apart what has the same name; one line of an account is in the legend."""
    by_query = {
        each["matcher"]["options"]: {option["id"]: option["value"] for option in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
        if each["matcher"]["id"] == "byFrameRefID"
    }
    of_accounts = [each for each in panel["targets"] if each["legendFormat"] == NAME]
    if panel["type"] != "timeseries" or not of_accounts:
        return
    assert panel["fieldConfig"]["defaults"]["color"]["mode"] == "palette-classic-by-name"
    looks = [by_query.get(each["refId"], {}) for each in of_accounts]
    assert not any("color" in look for look in looks)
    styles = [json.dumps(look.get("custom.lineStyle")) for look in looks]
    assert len(set(styles)) == len(styles)
    assert ["custom.hideFrom" in look for look in looks] == [place > 0 for place in range(len(looks))]
    if len(looks) > 1:
        assert panel["fieldConfig"]["defaults"]["custom"]["axisLabel"]


@each_board
def test_alerts_and_starts_are_marked_on_all_graphs(board: dict[str, Any]) -> None:
    """Of what is chosen only."""
    alerts, starts = board["annotations"]["list"]
    assert all(each["enable"] and each["datasource"]["uid"] == "${datasource}" for each in (alerts, starts))
    assert OF_ALERT in alerts["expr"]
    assert 'alertstate="firing"' in alerts["expr"]
    for selector in re.findall(r"(?:twilio_email|process)_\w+\{([^}]*)\}", starts["expr"]):
        assert selector.startswith(CHOSEN)


@each_panel
def test_rates_fit_the_scrape_interval(panel: dict[str, Any]) -> None:
    """A rate, in graphs, is taken over Grafana's own range."""
    for expression in expressions(panel):
        assert all(
            window == "$__rate_interval" for window in re.findall(r"rate\([^[]*\[([^]]+)\]", expression)
        )


@each_panel
def test_red_is_kept_for_mail(panel: dict[str, Any]) -> None:
    """Who sees red or orange sees failed or undelivered mail."""
    overrides = {each["matcher"]["options"]: each for each in panel["fieldConfig"]["overrides"]}
    for name, colour in (("failed", "red"), ("undelivered", "orange")):
        found = set(words(overrides.pop(name, {}))) & set(RED)
        assert found <= {colour}
    rest = {**panel, "fieldConfig": {**panel["fieldConfig"], "overrides": list(overrides.values())}}
    alarming = {word for word in words(rest) if any(colour in word.split("-") for colour in RED)}
    about_mail = {"red": "Failed", "orange": "Undelivered"}
    assert {about_mail[colour] for colour in alarming} <= {panel["title"].partition(",")[0]}


@each_panel
def test_each_name_on_a_panel_has_a_colour_of_its_own(panel: dict[str, Any]) -> None:
    """Whoever reads a legend finds the line."""
    colours = [
        each["value"]["fixedColor"]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if override["matcher"]["id"] == "byName" and each["id"] == "color"
    ]
    assert len(set(colours)) == len(colours)


def test_failures_of_different_remedies_differ_in_hue() -> None:
    """Bad answers, no answers and being told to wait, beside success: no shades of one colour."""
    hues = {word: colour.rpartition("-")[2] for word, colour in COLOURS.items()}
    assert len({hues[word] for word in ("success", "throttled", "unavailable", "unreachable")}) == 4
    assert hues["unreachable"] == hues["timeout"] == hues["connection"]


def test_dashboards_query_metrics_of_the_table() -> None:
    """Every metric on a dashboard is one of ours, or of any Python process."""
    named = {
        name
        for panel in PANELS
        for expression in expressions(panel)
        for name in re.findall(r"\b(?!process_)[a-z]+_\w+(?=\{)", expression)
    }
    parts = {"gauge": [""], "counter": [""], "histogram": ["_bucket", "_sum", "_count"]}
    ours = {family.name + part for family in FAMILIES for part in parts[family.kind]}
    assert named
    assert named <= ours


@pytest.mark.parametrize(
    ("expression", "narrowed"),
    [
        (
            'rate(twilio_email_outcomes_total{status="failed"}[5m])',
            f'rate(twilio_email_outcomes_total{{{CHOSEN}, {OF_ACCOUNT}, status="failed"}}[5m])',
        ),
        (
            "twilio_email_operation_duration_seconds_bucket",
            f"twilio_email_operation_duration_seconds_bucket{{{CHOSEN}, {OF_ACCOUNT}}}",
        ),
        (
            of_process("process_max_fds"),
            (
                f"(process_max_fds{{{CHOSEN}}} and on (cluster, namespace, job, instance) "
                f"twilio_email_up{{{CHOSEN}, {OF_ACCOUNT}}})"
            ),
        ),
        (
            "min by (account) (account:twilio_email_data:fresh)",
            f"min by (account) (account:twilio_email_data:fresh{{{INSTALLED}, {OF_ACCOUNT}}})",
        ),
    ],
)
def test_queries_are_narrowed_to_what_is_chosen(expression: str, narrowed: str) -> None:
    """What has no account goes by the exporters that poll the chosen ones; the recorded has no instance."""
    assert of_chosen(expression) == narrowed


def test_query_of_an_unknown_metric_is_refused() -> None:
    """Whoever writes a panel learns of a mistyped name at once."""
    with pytest.raises(KeyError, match="twilio_email_outcome_total"):
        of_chosen("rate(twilio_email_outcome_total[5m])")


@pytest.mark.parametrize(
    ("seconds", "text"), [(900, "15m"), (5400, "90m"), (6 * 3600, "6h"), (86400, "1d"), (61, "61s")]
)
def test_durations_read_as_promql_has_them(seconds: int, text: str) -> None:
    """In the largest unit that fits."""
    assert duration(seconds) == text


LIVELY: Final = replace(
    SCENARIOS["steady"],
    operations_per_hour=2.0,
    most_emails=60,
    spike=Episode(after_seconds=0.0, for_seconds=3600.0, every_seconds=7200.0),
    spike_operations_per_hour=7200.0,
    spike_mix=Mix(failed_share=0.2, undelivered_share=0.2, bounce_within_seconds=4.0, scheduled_share=0.0),
)
"""Something is created, in processing, failing and bouncing at any instant."""


@contextmanager
def twilio() -> Iterator[str]:
    """The lively one in a thread; gives its base URL."""
    base_url: Future[str] = Future()
    over = threading.Event()

    async def serve() -> None:
        clock = SystemClock()
        async with Simulator(World(LIVELY, started=clock.now()), clock) as simulator:
            base_url.set_result(simulator.base_url)
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        yield base_url.result(timeout=30)
    finally:
        over.set()
        thread.join(timeout=30)


FIRING: Final = """
groups:
  - name: always
    interval: 1s
    rules: [{alert: TwilioEmailFailedSpike, expr: twilio_email_up == 1, labels: {severity: critical}}]
"""


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus that scrapes the program, which polls a lively Twilio."""
    folder = tmp_path_factory.mktemp("scraped")
    with ExitStack() as stack:
        sid, token = CREDENTIAL
        variables = {
            "TWILIO_ACCOUNT_SID": sid,
            "TWILIO_AUTH_TOKEN": token,
            "EXPORTER_API__BASE_URL": stack.enter_context(twilio()),
            "EXPORTER_API__REQUESTS_PER_SECOND": "50",
            "EXPORTER_POLL__INTERVAL": "1s",
            "EXPORTER_BREAKDOWN__BY": "recipient_domain,sender_domain,tag:campaign",
            "EXPORTER_BREAKDOWN__ERRORS": "true",
            "EXPORTER_BREAKDOWN__MAX_REQUESTS": "60",
            "EXPORTER_STATE__PATH": str(folder / "state.sqlite"),
            "EXPORTER_WEB__LISTEN_ADDRESS": "127.0.0.1:0",
        }
        log = folder / "exporter.log"
        stack.enter_context(started(log, "run", **variables))
        target = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)
        (folder / "rules.yaml").write_text(FIRING)
        config = f"rule_files: [{folder}/rules.yaml]\n{CONFIG.format(target=target)}"
        yield stack.enter_context(prometheus(folder, config))


def as_filled_in_by_grafana(expression: str) -> str:
    """All of everything, as a dashboard opens; the range suits a scrape a second."""
    for variable in ("$cluster", "$namespace", "$job", "$instance", "$account"):
        expression = expression.replace(variable, ".*")
    return expression.replace("$__rate_interval", "10s")


def want_data(url: str, wanted: set[str]) -> None:
    """Ask until each has given a number; what is asked for rises with every poll."""
    missing = set(wanted)

    def all_answered() -> bool | None:
        for expression in sorted(missing):
            values = query(url, expression)
            if values and not all(map(math.isnan, values.values())):
                missing.discard(expression)
        return True if not missing else None

    try:
        eventually(all_answered, "data")
    except AssertionError:
        pytest.fail("no data: " + "\n".join(sorted(missing)))


THRESHOLD: Final = "twilio_email_exporter_alert_threshold"


def of(account: str, setting: str) -> str:
    return f'account="{account}", setting="{setting}"'


def pass_promtool(folder: Path, test: dict[str, Any], rule_files: Sequence[str] = ()) -> None:
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": list(rule_files), "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def answer(expression: str, time: str, wanted: dict[str, float]) -> dict[str, Any]:
    """What a query of a panel gives, by the labels of the series."""
    samples = [{"labels": labels, "value": value} for labels, value in wanted.items()]
    return {"expr": as_filled_in_by_grafana(expression), "eval_time": time, "exp_samples": samples}


@pytest.mark.needs("promtool")
def test_one_name_in_two_namespaces_is_two_accounts(tmp_path: Path) -> None:
    """All mail of production fails, none of staging: no panel shows the mean of both."""
    shares = expressions(panel_of("Failed, share of attempts"))[:2]
    _, worse = expressions(panel_of("Failed, last 1h"))
    labels = 'account="default", job="mail", namespace="%s"'
    prod, staging = labels % "prod", labels % "staging"
    test = {
        "interval": "1m",
        "input_series": [
            *(
                {"series": f"{name}{{{each}}}", "values": values}
                for each in (prod, staging)
                for name, values in (("twilio_email_up", "1x120"), ("twilio_email_attempts_total", "0+2x120"))
            ),
            {"series": f'twilio_email_outcomes_total{{status="failed", {prod}}}', "values": "0+2x120"},
            {"series": f'twilio_email_outcomes_total{{status="failed", {staging}}}', "values": "0x120"},
        ],
        "promql_expr_test": [
            *(answer(share, "2h", {f"{{{prod}}}": 1, f"{{{staging}}}": 0}) for share in shares),
            answer(worse, "2h", {f"{{{prod}}}": 1}),
        ],
    }
    pass_promtool(tmp_path, test)


@pytest.mark.needs("promtool")
def test_share_of_a_failing_operation_follows_the_reading_of_its_account(tmp_path: Path) -> None:
    """20 failed, 60 delivered, 20 opened: of 100 emails, or of 80, or of it is not known how many."""
    shown = expressions(panel_of("Top failing operations"))
    share, listed = shown[1], shown[2]
    operation = 'operation_id="o", operation_status="completed"'

    def of_operation(account: str) -> str:
        return f'account="{account}", job="mail", {operation}'

    known = {"exclusive": 0.2, "cumulative": 0.25}
    test = {
        "interval": "1m",
        "input_series": [
            *(
                {
                    "series": "twilio_email_top_operation_emails"
                    f'{{status="{status}", {of_operation(account)}}}',
                    "values": f"_x60 {emails}x60",
                }
                for account in (*known, "undetermined")
                for status, emails in (("failed", 20), ("undelivered", 0), ("delivered", 60), ("opened", 20))
            ),
            *(
                {
                    "series": f'twilio_email_exporter_stats_reading{{account="{account}", job="mail", '
                    f'reading="{reading}"}}',
                    "values": f"{int(account == reading)}x120",
                }
                for account in (*known, "undetermined")
                for reading in ("exclusive", "cumulative", "undetermined")
            ),
            *(
                {
                    "series": f'twilio_email_window_arrived_emails{{account="{account}", job="mail"}}',
                    "values": "80x120",
                }
                for account in known
            ),
        ],
        "promql_expr_test": [
            answer(share, "2h", {f"{{{of_operation(account)}}}": value for account, value in known.items()}),
            answer(
                listed,
                "2h",
                {f"{{{of_operation(account)}}}": 3600 for account in (*known, "undetermined")},
            ),
        ],
    }
    pass_promtool(tmp_path, test)


@pytest.mark.needs("promtool")
def test_alerts_that_fire_are_listed_with_their_age(tmp_path: Path) -> None:
    """Not those that are pending, nor those of other projects."""
    rules = tmp_path / "rules.yaml"
    names = {"TwilioEmailFailedSpike": "1m", "TwilioEmailDataStale": "1h", "SomebodyElse": "1m"}
    alerts = [{"alert": name, "expr": "twilio_email_up == 0", "for": wait} for name, wait in names.items()]
    rules.write_text(yaml.safe_dump({"groups": [{"name": "alerts", "rules": alerts}]}))
    (listed,) = {*expressions(panel_of("Firing alerts"))}
    found = '{alertname="TwilioEmailFailedSpike", account="shop"}'
    test = {
        "interval": "1m",
        "input_series": [{"series": 'twilio_email_up{account="shop"}', "values": "1x10 0x20"}],
        "promql_expr_test": [answer(listed, "10m", {}), answer(listed, "20m", {found: 540})],
    }
    pass_promtool(tmp_path, test, [str(rules)])


@pytest.mark.needs("promtool")
def test_old_operations_are_compared_with_the_setting_of_their_account(tmp_path: Path) -> None:
    """Yellow is the account above its own `alerts.stuck_after`; an older exporter has the default."""
    stat, drawn = panel_of("Oldest in processing", "stat"), panel_of("Oldest in processing", "timeseries")
    target = 'job="mail", instance="exporter:10587"'
    oldest = "twilio_email_oldest_processing_timestamp_seconds"
    accounts = ("slow", "quick", "older")
    test = {
        "interval": "1m",
        "input_series": [
            *(
                {"series": f'{name}{{account="{account}", {target}}}', "values": value}
                for account in accounts
                for name, value in (("twilio_email_up", "1x300"), (oldest, "0x300"))
            ),
            {"series": f"{THRESHOLD}{{{of('slow', 'stuck_after')}, {target}}}", "values": "43200x300"},
            {"series": f"{THRESHOLD}{{{of('quick', 'stuck_after')}, {target}}}", "values": "3600x300"},
        ],
        "promql_expr_test": [
            {
                "expr": as_filled_in_by_grafana(expression),
                "eval_time": "90m",
                "exp_samples": [
                    {"labels": f'{{account="{account}", job="mail"}}', "value": value}
                    for account, value in wanted.items()
                ],
            }
            for expression, wanted in zip(
                (*expressions(stat), *expressions(drawn)),
                (
                    {},
                    {"quick": 5400},
                    dict.fromkeys(accounts, 5400),
                    {"slow": 43200, "quick": 3600, "older": 7200},
                ),
                strict=True,
            )
        ],
    }
    pass_promtool(tmp_path, test)


RULE_FILES: Final = [str(FOLDER / "alerts.yaml")]
LOSSY: Final = "0+8x1560"
"""Of 100 attempts a minute: over 26 hours, as always."""
SPIKING: Final = "0+1x1500 1507+7x59"
"""In the last hour seven times its normal, and still less than the other."""


FRESH: Final = {
    "twilio_email_exporter_last_success_timestamp_seconds": "0+60x1560",
    "twilio_email_exporter_poll_interval_seconds": "60x1560",
}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("rule_files", "tuned", "hour", "within", "over", "thresholds"),
    [
        (RULE_FILES, {}, 25, {"lossy": 0.08}, {}, {"lossy": 0.24, "spiking": 0.05}),
        (RULE_FILES, {}, 26, {}, {"spiking": 0.07}, {"lossy": 0.24, "spiking": 0.05}),
        ([], {}, 25, {}, {"lossy": 0.08}, {"lossy": 0.05, "spiking": 0.05}),
        ([], {"lossy": 0.1}, 25, {"lossy": 0.08}, {}, {"lossy": 0.1, "spiking": 0.05}),
    ],
    ids=["before the spike", "in the spike", "without rules", "without rules, tuned"],
)
def test_share_is_held_against_the_threshold_of_its_own_account(
    tmp_path: Path,
    rule_files: list[str],
    tuned: dict[str, float],
    hour: int,
    within: dict[str, float],
    over: dict[str, float],
    thresholds: dict[str, float],
) -> None:
    """Who always loses much is not red and hides nobody; without the rules the lower bounds are used."""
    stat, drawn = panel_of("Failed, last 1h"), panel_of("Failed, share of attempts")
    (colour,) = stat["fieldConfig"]["overrides"]
    assert colour["matcher"] == {"id": "byFrameRefID", "options": stat["targets"][1]["refId"]}
    assert [each["value"]["fixedColor"] for each in colour["properties"]] == ["red"]
    answers = zip((*expressions(stat), expressions(drawn)[-1]), (within, over, thresholds), strict=True)
    target = 'job="mail", instance="exporter:10587"'
    series = {
        "twilio_email_attempts_total": dict.fromkeys(("lossy", "spiking"), "0+100x1560"),
        "twilio_email_outcomes_total": {"lossy": LOSSY, "spiking": SPIKING},
    }
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [
            {"series": f'{name}{{account="{account}", status="failed", {target}}}', "values": values}
            for name, accounts in series.items()
            for account, values in accounts.items()
        ]
        + [
            {"series": f'twilio_email_up{{account="{account}", {target}}}', "values": "1x1560"}
            for account in ("lossy", "spiking")
        ]
        + [
            {"series": f"{THRESHOLD}{{{of(account, 'failed_ratio')}, {target}}}", "values": f"{ratio}x1560"}
            for account, ratio in tuned.items()
        ],
        "promql_expr_test": [
            {
                "expr": f"round({as_filled_in_by_grafana(expression)}, 0.01)",
                "eval_time": f"{hour}h",
                "exp_samples": [
                    {"labels": f'{{account="{account}", job="mail"}}', "value": value}
                    for account, value in wanted.items()
                ],
            }
            for expression, wanted in answers
        ],
    }
    for account in ("lossy", "spiking"):
        labels = f'{{account="{account}", {target}}}'
        for name, values in FRESH.items():
            test["input_series"].append({"series": f"{name}{labels}", "values": values})
    pass_promtool(tmp_path, test, rule_files)


def panel_of(title: str, kind: str | None = None) -> dict[str, Any]:
    """A panel; those of both dashboards with one title are the same but for the place."""
    found, *_ = [panel for panel in PANELS if panel["title"] == title and kind in {None, panel["type"]}]
    return found


@pytest.mark.needs("prometheus")
def test_every_panel_has_data(scraped: str) -> None:
    """Each query of a panel or annotation is answered with numbers; of a stat, one of its queries is."""
    wanted = {
        expression
        for panel in PANELS
        for expression in (
            [" or ".join(expressions(panel))] if panel["type"] == "stat" else expressions(panel)
        )
    }
    wanted |= {each["expr"] for board in DASHBOARDS.values() for each in board["annotations"]["list"]}
    want_data(scraped, set(map(as_filled_in_by_grafana, wanted)))


@pytest.mark.needs("prometheus")
def test_every_recipe_has_data(scraped: str) -> None:
    """Each query of docs/queries.md is answered with numbers."""
    assert len(RECIPES) >= 12
    # There is no last week in a Prometheus that was started a moment ago.
    want_data(scraped, {re.sub(r"offset \w+", "offset 3s", recipe) for recipe in RECIPES})
