"""What a process shows while it is active, stands by, or has lost the database."""

import io
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest

from exporter.config.alerts import Alerts
from exporter.events import PollFinished
from exporter.observers.activity import GAUGES_STAY_SECONDS, Activity, Role, Standing
from exporter.observers.watchdog import Watchdog
from tests.support.clock import SATURDAY, ManualClock
from tests.support.operations import operation
from tests.support.states import BREAKDOWN, SHOP, State, snapshot_of
from tests.support.whole import Scrape, logging_to

FAILED = {"account": "shop", "status": "failed"}


class Revocable:
    """A mandate that the test takes away."""

    is_held = True
    since = SATURDAY - 5

    async def confirm(self) -> None:
        raise AssertionError("nothing asks for it here")


class Shown:
    """An account that has been polled by this process, whose state is in a database."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.state = State("shop", has_breakdown=True)
        self.watchdog = Watchdog(["shop"], self.clock, interval=60.0, patience=30.0)
        self.activity = Activity(self.state.metrics, self.state.statuses, self.watchdog, self.clock)
        self.activity.await_database()
        self.mandate = Revocable()

    def begin(self) -> None:
        self.mandate = Revocable()
        self.activity.begin(self.mandate)

    def poll(self) -> None:
        self.state.succeed("shop", SHOP)
        self.state.refresh("shop", BREAKDOWN)

    def scrape(self) -> Scrape:
        scrape = self.activity.scrape()
        metrics = self.state.metrics
        parts = (*metrics.polled, *metrics.own, metrics.live)
        text = b"".join(generate_latest(each) for each in parts)
        metrics.note_seen(scrape)
        return Scrape(text.decode())

    def shows(self) -> tuple[float, bool, bool]:
        """Active, counters, gauges."""
        page = self.scrape()
        counters = bool(page.values("twilio_email_outcomes_total"))
        gauges = {bool(page.values(f"twilio_email_{name}_emails")) for name in ("window", "tag")}
        assert len(gauges) == 1
        return page.value("twilio_email_exporter_active"), counters, gauges.pop()


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    with logging_to("info", "logfmt") as stream:
        yield stream


def test_with_a_state_file_a_process_is_active() -> None:
    """From the start, and there is nothing to tell."""
    state = State("shop")
    clock = ManualClock()
    activity = Activity(
        state.metrics, state.statuses, Watchdog(["shop"], clock, interval=1, patience=1), clock
    )
    assert activity.is_active
    assert activity.standing is None
    assert activity.scrape().term == 0


def test_before_the_database_answers_nothing_of_accounts_is_shown(shown: Shown) -> None:
    """The exporter's own metrics are."""
    assert shown.shows() == (0, False, False)
    assert shown.scrape().value("twilio_email_exporter_poll_interval_seconds") == 60
    assert not shown.activity.is_active


def test_active_process_shows_everything(shown: Shown) -> None:
    """Counters at zero or as restored until the first scrape of this term has seen them."""
    shown.begin()
    shown.state.metrics.restore("shop", snapshot_of([operation(failed=3)]))
    shown.poll()
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 3
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 20
    assert shown.shows() == (1, True, True)
    assert shown.activity.standing == Standing(Role.ACTIVE, SATURDAY - 5)


def test_standby_shows_its_own_metrics_only(shown: Shown, log: io.StringIO) -> None:
    """Who is active is told once."""
    shown.begin()
    shown.poll()
    for _ in range(3):
        shown.activity.stand_by("pod-2/1", SATURDAY)
    assert shown.shows() == (0, False, False)
    assert shown.state.statuses.accounts["shop"].snapshot is None
    assert shown.activity.standing == Standing(Role.STANDBY, SATURDAY, "pod-2/1")
    lines = [text for text in log.getvalue().splitlines() if "standing by" in text]
    assert len(lines) == 1
    assert "active=pod-2/1" in lines[0]


def test_lost_database_hides_counters_at_once_and_gauges_later(shown: Shown, log: io.StringIO) -> None:
    """After five minutes somebody would take them for the present."""
    shown.begin()
    shown.poll()
    shown.scrape()
    for _ in range(3):
        shown.activity.cut_off("no answer in time")
        shown.clock.advance(1)
    assert shown.shows() == (0, False, True)
    shown.clock.advance(GAUGES_STAY_SECONDS - 4)
    assert shown.shows() == (0, False, True)
    shown.clock.advance(2)
    assert shown.shows() == (0, False, False)
    (line,) = [text for text in log.getvalue().splitlines() if "no connection" in text]
    assert "level=error" in line
    assert "no answer in time" in line


def test_page_of_a_long_outage_is_rendered_once(shown: Shown) -> None:
    """Its term changes when the gauges go, and not with each look."""
    shown.begin()
    shown.poll()
    before = shown.activity.scrape().term
    shown.activity.cut_off("no answer in time")
    shown.clock.advance(GAUGES_STAY_SECONDS + 1)
    terms = {shown.activity.scrape().term for _ in range(5)}
    assert len(terms) == 1
    assert terms != {before}


def test_mandate_is_looked_at_before_anything_is_shown(shown: Shown) -> None:
    """A process that was suspended finds out by itself, whatever it does first."""
    shown.begin()
    shown.poll()
    shown.scrape()
    shown.mandate.is_held = False
    standing = shown.activity.standing
    assert standing is not None
    assert standing.role is Role.CUT_OFF
    assert shown.shows() == (0, False, True)
    assert not shown.activity.is_active


def test_new_term_is_a_new_first_scrape(shown: Shown) -> None:
    """Another process may have counted on meanwhile: the counters start where the state has them now."""
    shown.begin()
    shown.poll()
    shown.scrape()
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 20
    shown.activity.cut_off("gone")
    shown.begin()
    shown.state.metrics.restore("shop", snapshot_of([operation(failed=90)]))
    shown.state.publish("shop", snapshot_of([operation(failed=95)]))
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 90
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 95


def test_counters_of_one_of_several_start_at_zero(shown: Shown) -> None:
    """After the first scrape they show what was counted since a scrape last saw them, in whatever process."""
    shown.begin()
    saved = snapshot_of([operation(failed=90)])
    shown.state.metrics.restore("shop", saved, {**saved.counts, ("stat", "failed"): 84})
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 0
    assert shown.activity.seen["shop"]["stat", "failed"] == 84
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 6
    assert shown.activity.seen["shop"]["stat", "failed"] == 90
    shown.state.publish("shop", snapshot_of([operation(failed=95)]))
    assert shown.activity.seen["shop"]["stat", "failed"] == 90, "no scrape has seen it"
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 11


def test_each_scrape_that_has_seen_more_is_told(shown: Shown) -> None:
    """It is kept for the next process."""
    told: list[float] = []
    shown.begin()
    shown.activity.on_seen(lambda: told.append(shown.activity.seen["shop"]["stat", "failed"]))
    shown.scrape()
    shown.poll()
    shown.scrape()
    shown.scrape()
    assert told == [0, 20]


def test_process_that_retires_shows_nothing_any_more(shown: Shown) -> None:
    """Before it lets another one be active; what was seen of it is kept."""
    shown.begin()
    shown.poll()
    shown.scrape()
    shown.scrape()
    shown.activity.retire()
    assert shown.shows() == (0, False, True)
    assert shown.activity.seen["shop"]["stat", "failed"] == 20


def test_scrape_of_a_former_term_is_not_the_first_of_this_one(shown: Shown) -> None:
    """Its page was written before."""
    shown.begin()
    before = shown.activity.scrape()
    shown.activity.cut_off("gone")
    shown.begin()
    shown.poll()
    shown.state.metrics.note_seen(before)
    assert shown.scrape().value("twilio_email_outcomes_total", **FAILED) == 0


def test_timer_of_a_former_term_shows_no_counters(shown: Shown) -> None:
    """`metrics.first_scrape_timeout` may pass in a process that is no longer active."""
    shown.begin()
    shown.poll()
    shown.activity.cut_off("gone")
    assert not shown.state.metrics.release_counters()
    assert shown.shows() == (0, False, True)


def test_watchdog_expects_polls_of_the_active_process_only(shown: Shown) -> None:
    """A standby is healthy for as long as it stands by."""
    shown.activity.stand_by("pod-2/1", SATURDAY)
    shown.clock.advance(86400)
    assert shown.watchdog.reason() is None
    shown.begin()
    assert shown.watchdog.reason() is None
    shown.clock.advance(86400)
    assert shown.watchdog.reason() is not None
    shown.watchdog.observe(PollFinished("shop", SATURDAY, 1.0, None))
    assert shown.watchdog.reason() is None


def test_process_that_does_not_poll_is_not_up(shown: Shown) -> None:
    """Its last success must not hide that polls of the active process fail."""
    shown.begin()
    shown.poll()
    assert shown.scrape().value("twilio_email_up") == 1
    shown.activity.cut_off("gone")
    assert shown.scrape().value("twilio_email_up") == 0


def test_thresholds_stay(shown: Shown) -> None:
    """The rules read them from a standby as well."""
    shown.activity.stand_by("pod-2/1", SATURDAY)
    thresholds = shown.scrape().values("twilio_email_exporter_alert_threshold")
    assert len(thresholds) == len(Alerts.model_fields)
