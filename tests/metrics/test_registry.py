"""The metrics: snapshots and events in, series out."""

import asyncio
import re

from prometheus_client import CollectorRegistry

from exporter import __version__
from exporter.breakdown import Bad, Breakdown
from exporter.config.alerts import Alerts
from exporter.errors import OUTCOMES, Throttled
from exporter.events import BreakdownCrashed, PollFinished, RequestFinished, RequestRetried
from exporter.ledger.ledger import Ledger
from exporter.ledger.snapshot import RECENT_AGES, Snapshot, summarise
from exporter.metrics.families import BREAKDOWN_GAUGES, FAMILIES, OWN, POLLED_GAUGES, SURVIVING, OwnGauge
from exporter.metrics.negotiation import TEXT
from exporter.metrics.registry import Metrics
from exporter.operation import EMAIL_STATUSES, STATUSES, Operation
from tests.metrics.golden import exposition_of
from tests.metrics.registries import own, polled, registry_of
from tests.support.clock import SATURDAY
from tests.support.operations import operation
from tools.reference import DOCS, LABELS, metrics_reference

OWN_NAMES = {family.name for family in OWN}
AT_SCRAPE = {family.name for family in OWN if isinstance(family, OwnGauge) and family.at_scrape}
COUNTERS = {family.name for family in SURVIVING}
BREAKDOWN = {family.name for family in BREAKDOWN_GAUGES}
POLLED = {family.name for family in POLLED_GAUGES}


def snapshot_of(*operations: Operation) -> Snapshot:
    ledger = Ledger(SATURDAY, 7 * 86400.0, RECENT_AGES, coverage=0.0)
    for each in operations:
        ledger.absorb(each, SATURDAY)
    return summarise(ledger, SATURDAY, top_failing=20, waiting_after=3600.0, counts=ledger.counts())


def metrics(*accounts: str) -> Metrics:
    return Metrics(accounts or ("a",), version=__version__, interval=60.0, alerts_of=lambda _: Alerts())


def families(registry: CollectorRegistry) -> dict[str, list[dict[str, str]]]:
    """Label sets by the family's name as it is in the table."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        found.setdefault(name, []).extend(sample.labels for sample in family.samples)
    return found


def test_own_metrics_are_there_from_the_first_scrape() -> None:
    """With every known label value, and at 0; polled data is not."""
    fresh = metrics()
    assert families(own(fresh)).keys() | families(registry_of(fresh.live)).keys() >= OWN_NAMES
    assert families(polled(fresh)).keys() == COUNTERS, "counters are there, polled gauges are not"
    for outcome in OUTCOMES:
        labels = {"account": "a", "outcome": outcome}
        assert own(fresh).get_sample_value("twilio_email_exporter_polls_total", labels) == 0
    assert own(fresh).get_sample_value("twilio_email_up", {"account": "a"}) == 0
    last_success = "twilio_email_exporter_last_success_timestamp_seconds"
    assert own(fresh).get_sample_value(last_success, {"account": "a"}) == 0


def test_thresholds_of_each_account_are_there_from_the_first_scrape() -> None:
    """Every setting of `alerts` has its value: ratios as they are, durations in seconds."""
    tuned = {"a": Alerts(), "b": Alerts(failed_ratio=0.25, stuck_after=21600)}
    tuned_own = own(Metrics(tuned, version="1", interval=60.0, alerts_of=tuned.__getitem__))
    for account, alerts in tuned.items():
        for setting in Alerts.model_fields:
            labels = {"account": account, "setting": setting}
            value = tuned_own.get_sample_value("twilio_email_exporter_alert_threshold", labels)
            assert value == getattr(alerts, setting)


def test_polled_data_appears_with_every_known_label_value() -> None:
    """For the account that was published, and no other."""
    published = metrics("a", "b")
    published.publish("a", snapshot_of())
    found = families(polled(published))
    assert found.keys() == POLLED | COUNTERS
    emails = found["twilio_email_window_emails"]
    assert {(each["operation_status"], each["status"]) for each in emails} == {
        (operation_status, status) for operation_status in STATUSES for status in EMAIL_STATUSES
    }
    assert {each["account"] for each in emails} == {"a"}
    assert found["twilio_email_top_operation_emails"] == []
    assert found["twilio_email_window_oldest_created_timestamp_seconds"] == []


def test_values_are_those_of_the_snapshot() -> None:
    """Each family shows the stat that it is named after."""
    published = metrics()
    top_failing = operation(0, status="processing", total=9, recipients=8, attempts=7, failed=2, age=5000)
    published.publish("a", snapshot_of(top_failing, operation(1, delivered=4)))
    value = polled(published).get_sample_value
    processing = {"account": "a", "operation_status": "processing"}
    assert value("twilio_email_window_operations", processing) == 1
    assert value("twilio_email_window_emails", processing | {"status": "failed"}) == 2
    assert value("twilio_email_window_total_emails", processing) == 9
    assert value("twilio_email_window_recipients", processing) == 8
    assert value("twilio_email_window_attempts", processing) == 7
    oldest = "twilio_email_window_oldest_created_timestamp_seconds"
    assert value(oldest, processing) == SATURDAY - 5000
    hours = {"account": "a", "created_within": "6h"}
    assert value("twilio_email_recent_emails", hours | {"status": "delivered"}) == 4
    assert value("twilio_email_recent_total_emails", hours) == 9
    assert value("twilio_email_recent_attempts", hours) == 7
    assert value("twilio_email_recent_attempts", {"account": "a", "created_within": "1h"}) == 0
    top = processing | {"operation_id": top_failing.id}
    assert value("twilio_email_top_operation_emails", top | {"status": "failed"}) == 2
    missing = value("twilio_email_top_operation_emails", top | {"status": "delivered"})
    assert missing is None, "a stat that no reply named is absent, not zero"
    tracked = own(published).get_sample_value("twilio_email_exporter_tracked_operations", {"account": "a"})
    assert tracked == 2


def test_age_of_the_numbers_is_that_of_the_snapshot() -> None:
    """Not of when the poll ended, which may have been long after it began."""
    seen = metrics()
    seen.publish("a", snapshot_of())
    last_success = "twilio_email_exporter_last_success_timestamp_seconds"
    assert own(seen).get_sample_value(last_success, {"account": "a"}) == SATURDAY


def test_events_are_counted() -> None:
    """A good poll, a bad one, requests and retries."""
    seen = metrics()
    seen.observe(RequestFinished("a", "list", "200", 0.2, clock_skew_seconds=-3.0))
    seen.observe(RequestFinished("a", "fetch", "timeout", 30.0, clock_skew_seconds=None))
    seen.observe(RequestRetried("a", "timeout", 1.0))
    seen.observe(PollFinished("a", SATURDAY, 1.5, None, skipped_fetches=3))
    seen.observe(PollFinished("a", SATURDAY + 60, 0.1, Throttled("429")))

    def value(name: str, **labels: str) -> float | None:
        return own(seen).get_sample_value(f"twilio_email_{name}", {"account": "a", **labels})

    assert value("exporter_requests_total", call="list", code="200") == 1
    assert value("exporter_requests_total", call="fetch", code="timeout") == 1
    assert value("exporter_request_duration_seconds_sum", call="fetch") == 30
    assert value("exporter_retries_total", reason="timeout") == 1
    assert value("exporter_clock_skew_seconds") == -3
    assert value("exporter_polls_total", outcome="success") == 1
    assert value("exporter_polls_total", outcome="throttled") == 1
    assert value("exporter_poll_duration_seconds_count") == 2
    assert value("exporter_skipped_fetches_total") == 3
    assert value("exporter_poll_interval_seconds") == 60
    assert value("up") == 0


def test_breakdown_appears_with_its_first_refresh() -> None:
    """Before it there is only its timestamp at 0, account by account; without dimensions there is nothing."""
    off, on = (
        metrics(),
        Metrics(("a", "b"), version="1", interval=60.0, alerts_of=lambda _: Alerts(), has_breakdown=True),
    )
    assert not BREAKDOWN & families(polled(off)).keys()
    timestamp = "twilio_email_exporter_breakdown_last_success_timestamp_seconds"
    assert {name for name in BREAKDOWN if families(polled(on))[name]} == {timestamp}
    assert polled(on).get_sample_value(timestamp, {"account": "a"}) == 0
    on.publish_breakdown("a", Breakdown(SATURDAY, 86400.0, complete=True, emails=Bad(), dimensions={}))
    assert polled(on).get_sample_value(timestamp, {"account": "a"}) == SATURDAY
    assert polled(on).get_sample_value(timestamp, {"account": "b"}) == 0
    assert families(polled(on))["twilio_email_exporter_breakdown_complete"] == [{"account": "a"}]


def test_crashed_refresh_is_an_internal_error_and_no_failed_poll() -> None:
    """The last poll may well have succeeded."""
    seen = metrics()
    seen.observe(PollFinished("a", SATURDAY, 1.5, None))
    seen.observe(BreakdownCrashed("a", SATURDAY, KeyError("x")))
    assert own(seen).get_sample_value("twilio_email_exporter_internal_errors_total", {"account": "a"}) == 1
    assert own(seen).get_sample_value("twilio_email_up", {"account": "a"}) == 1


def test_help_of_polled_data_says_as_of_when() -> None:
    """So that nobody takes it for live."""
    as_of = {family.name for family in FAMILIES if family.help.endswith("as of the last successful poll.")}
    assert as_of == POLLED | COUNTERS


def test_reference_is_written_from_the_table() -> None:
    """docs/metrics.md is what the code says, and explains every label."""
    assert (DOCS / "metrics.md").read_text(encoding="utf-8") == metrics_reference()
    assert LABELS.keys() == {label for family in FAMILIES for label in family.labels}


async def test_page_is_polled_data_and_own_metrics_in_one() -> None:
    """Each family is written once for all accounts; a publish and an event show on the next page."""
    filled = metrics("a", "b")
    exposition = exposition_of(filled)
    filled.publish("a", snapshot_of(operation(failed=1)))
    filled.publish("b", snapshot_of())
    text = await exposition.page(TEXT)
    for name in (OWN_NAMES | POLLED | COUNTERS) - AT_SCRAPE:
        assert text.decode().count(f"# TYPE {name} ") == 1
    assert await exposition.page(TEXT) == text
    filled.publish("a", snapshot_of())
    published = await exposition.page(TEXT)
    assert published != text
    filled.observe(RequestRetried("a", "timeout", 1.0))
    assert await exposition.page(TEXT) != published


def failed(shown: Metrics) -> float | None:
    labels = {"account": "a", "status": "failed"}
    return polled(shown).get_sample_value("twilio_email_outcomes_total", labels)


def test_counters_wait_for_the_first_scrape() -> None:
    """They stand at zero until one has seen that; the gauges do not wait."""
    started = metrics()
    started.publish("a", snapshot_of(operation(failed=3)))
    assert failed(started) == 0
    gauge = {"account": "a", "operation_status": "completed", "status": "failed"}
    assert polled(started).get_sample_value("twilio_email_window_emails", gauge) == 3
    assert started.release_counters()
    assert failed(started) == 3
    assert not started.release_counters(), "once is enough"
    started.publish("a", snapshot_of(operation(failed=5)))
    assert failed(started) == 5


def test_restored_counters_are_what_the_first_scrape_sees() -> None:
    """With the age of the restored gauges; what the first polls find comes after."""
    started = metrics()
    started.restore("a", snapshot_of(operation(failed=7)))
    started.publish("a", snapshot_of(operation(failed=9)))
    assert failed(started) == 7
    last_success = "twilio_email_exporter_last_success_timestamp_seconds"
    assert own(started).get_sample_value(last_success, {"account": "a"}) == SATURDAY
    started.release_counters()
    assert failed(started) == 9


async def test_page_that_is_rendered_during_publishes_waits_too() -> None:
    """The first scrape sees where the counters of all accounts start, however long its page takes."""
    names = [f"account-{number}" for number in range(30)]
    started = metrics(*names)
    exposition = exposition_of(started)
    rendering = asyncio.create_task(exposition.page(TEXT))
    publishes = 0
    while not rendering.done():
        for name in names:
            started.publish(name, snapshot_of(operation(failed=3)))
        publishes += 1
        await asyncio.sleep(0)
    assert publishes > 3
    assert failed_shown(await rendering) == dict.fromkeys(names, "0.0")
    assert failed_shown(await exposition.page(TEXT)) == dict.fromkeys(names, "0.0")
    started.release_counters()
    assert failed_shown(await exposition.page(TEXT)) == dict.fromkeys(names, "3.0")


def failed_shown(page: bytes) -> dict[str, str]:
    pattern = r'^twilio_email_outcomes_total{account="(.*)",status="failed"} (.*)$'
    return dict(re.findall(pattern, page.decode(), re.MULTILINE))


def test_histogram_of_durations_is_cumulative() -> None:
    """As Prometheus wants it, with a sum and a count."""
    shown = metrics()
    shown.publish("a", snapshot_of(operation(0, updated_after=20), operation(1, updated_after=4000)))
    shown.release_counters()
    value = polled(shown).get_sample_value
    name = "twilio_email_operation_duration_seconds"
    assert value(f"{name}_bucket", {"account": "a", "le": "15.0"}) == 0
    assert value(f"{name}_bucket", {"account": "a", "le": "30.0"}) == 1
    assert value(f"{name}_bucket", {"account": "a", "le": "+Inf"}) == 2
    assert value(f"{name}_count", {"account": "a"}) == 2
    assert value(f"{name}_sum", {"account": "a"}) == 4020
