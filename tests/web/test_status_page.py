"""The status page in a real browser: on a desktop and on a phone, in light and dark mode."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.breakdown import Bad, Row
from exporter.errors import Malformed
from exporter.events import BreakdownFinished, PollFinished
from exporter.web.status_page import status_page
from tests.support.browser import Tab, browser
from tests.support.clock import SATURDAY
from tests.support.operations import operation
from tests.support.states import (
    BREAKDOWN,
    SHOP,
    State,
    before_the_first_poll,
    broken_down,
    failing,
    many_accounts,
    one_account,
    several_accounts,
)
from tests.support.web_service import opened

PHONE, DESK = 360, 1280

# WCAG 2, 1.4.3: the contrast of every text against what is behind it, as (ratio, text).
CONTRAST = """
(() => {
  const rgb = text => text.match(/[0-9.]+/g).map(Number);
  const light = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ground = node => {
    const color = rgb(getComputedStyle(node).backgroundColor);
    return color.length === 4 && color[3] === 0 ? ground(node.parentElement) : color;
  };
  let worst = 21;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    if (!walker.currentNode.data.trim()) continue;
    const node = walker.currentNode.parentElement;
    const colors = [rgb(getComputedStyle(node).color), ground(node)];
    const pair = colors.map(luminance).sort((a, b) => b - a);
    worst = Math.min(worst, (pair[0] + 0.05) / (pair[1] + 0.05));
  }
  return worst;
})()
"""


def empty() -> State:
    state = State("shop")
    state.succeed("shop", ())
    return state


def hostile() -> State:
    """Values from Twilio are validated earlier; the page must be safe without that."""
    state = State("<script>alert(1)</script>")
    bad = operation(0, failed=1)._replace(id="<img src=x onerror=alert(2)>", status='"><b>bold</b>')
    state.succeed("<script>alert(1)</script>", [])
    snapshot = state.statuses.accounts["<script>alert(1)</script>"].snapshot
    assert snapshot
    object.__setattr__(snapshot, "top_failing", (bad,))
    error = Malformed("<svg onload=alert(3)>")
    state.observe(PollFinished("<script>alert(1)</script>", SATURDAY + 60, 1.0, error))
    return state


STATES = (
    before_the_first_poll,
    one_account,
    several_accounts,
    failing,
    broken_down,
    empty,
    many_accounts,
    hostile,
)


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browser(tmp_path) as tab:
        yield tab


@pytest.mark.needs("chromium")
async def test_in_a_browser(tab: Tab) -> None:
    """In every state: no console message, no request to another host, no overflow, readable contrast."""
    for state in STATES:
        async with opened(state=state()) as web_service:
            for width in (PHONE, DESK):
                for scheme in ("light", "dark"):
                    await show(tab, f"{web_service.url}/", width, scheme)
                    seen = f"{state.__name__}, {width} px, {scheme}"
                    assert tab.complaints() == [], seen
                    assert set(tab.requested()) <= {
                        f"{web_service.url}/",
                        f"{web_service.url}/status.css",
                        "data:,",
                    }, seen
                    assert await tab.value("document.documentElement.scrollWidth") <= width, seen
                    assert await tab.value("document.scripts.length") == 0, seen
                    assert await tab.value(CONTRAST) >= 4.5, seen
                    assert (
                        await tab.value("getComputedStyle(document.querySelector('article')).borderStyle")
                        == "solid"
                    )


@pytest.mark.needs("chromium")
async def test_content_in_a_browser(tab: Tab) -> None:
    """Failing accounts are named first, with reason and time; the numbers and the pause are shown."""
    async with opened(state=failing()) as web_service:
        await show(tab, f"{web_service.url}/", PHONE, "light")
        text = " ".join((await tab.value("document.body.innerText")).split())
        title = await tab.value("document.title")
    assert title == "(2 failing) twilio-email-exporter"
    assert "2 of 2 accounts failing: shop, newsletter." in text
    assert (
        "Failing (unreachable): no reply within 30 s Failing since 2026-03-07 00:01:30 UTC (10 s ago)" in text
    )
    assert "hour day delivered 940 1,440 undelivered 43 43 failed 20 20 total 1,200 1,700" in text
    assert "at most 0.625 per second; paused until 2026-03-07 00:06:40 UTC (in 5 min)" in text
    assert "Failing (unauthorized): the credential was refused" in text


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("state", [several_accounts, broken_down])
async def test_page_is_accessible(tab: Tab, state: Callable[[], State]) -> None:
    """Landmarks, one top heading, named regions, headers in every table."""
    async with opened(state=state()) as web_service:
        await show(tab, f"{web_service.url}/", DESK, "light")
        tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
        roles = [node["role"]["value"] for node in tree if not node.get("ignored")]
        assert {"main", "banner", "contentinfo", "navigation", "article", "region"} <= set(roles)
        assert await tab.value("document.querySelectorAll('h1').length") == 1
        assert await tab.value("document.documentElement.lang") == "en"
        tables = await tab.value("document.querySelectorAll('table').length")
        for part in ("caption", "thead th[scope=col]:last-child", "tbody tr:first-child th[scope=row]"):
            assert await tab.value(f"document.querySelectorAll('table {part}').length") == tables
        assert await tab.value("document.querySelectorAll('.scroll:not([tabindex][aria-label])').length") == 0


async def show(tab: Tab, url: str, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    await tab.call("Emulation.setDeviceMetricsOverride", **size)
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    await tab.call("Emulation.setEmulatedMedia", features=[scheme_feature])
    await tab.open(url)


# -- without a browser --------------------------------------------------------------------------------------


def html(state: State) -> str:
    accounts = state.statuses.accounts.values()
    return status_page(
        accounts,
        version="1",
        telemetry_path="/metrics",
        now=SATURDAY + 100,
        rate_limits=state.rate_limiters,
    )


@pytest.mark.parametrize("raw", ["<script>", "<img", "<svg", "<b>"])
def test_hostile_data_is_escaped(raw: str) -> None:
    """Whatever its source."""
    assert raw not in html(hostile())
    assert "&lt;img src=x onerror=alert(2)&gt;" in html(hostile())


def waiting() -> State:
    return State("shop")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (before_the_first_poll, "First poll in progress: 7,000 operations on 7 pages so far"),
        (waiting, "Waiting for the first poll"),
        (one_account, "Polling successfully"),
        (failing, "Failing (unreachable): no reply within 30 s"),
        (State, "No accounts."),
    ],
)
def test_condition_in_words(state: Callable[[], State], said: str) -> None:
    """Each condition is shown in words, not by colour alone."""
    assert said in html(state())


def test_failing_accounts_come_first() -> None:
    """Then those that wait for their first poll, then the others."""
    state = State("fine", "new", "broken")
    state.succeed("fine", SHOP)
    state.observe(PollFinished("broken", SATURDAY, 1.0, Malformed("no JSON")))
    page = html(state)
    assert page.index(">broken<") < page.index(">new<") < page.index(">fine<")


def test_breakdown_is_shown_as_bars() -> None:
    """All have one scale, by which the longest has the whole width; both statuses are drawn and named."""
    page = html(broken_down())
    assert page.count('<svg viewBox="0 0 100.00 1"') == page.count("<svg") > 5
    assert 'aria-label="21 failed, 43 undelivered"><rect class="failed" width="32.81"' in page
    assert 'x="32.81" width="67.19"' in page
    assert "unknown" in page
    assert "say &#34;hi&#34; \\ …@x" in page
    assert "lower bounds" in page.partition("Why mail fails")[2]


def test_values_beyond_the_shown_ones_add_up_in_other() -> None:
    """The sum of a dimension's rows stays what it was."""
    rows = tuple(Row(f"d{n}.example", Bad(20 - n, n)) for n in range(10))
    state = State("shop", has_breakdown=True)
    state.succeed("shop", SHOP)
    dimensions = {"recipient_domain": (*rows, Row("other", Bad(1, 1)))}
    state.refresh("shop", replace(BREAKDOWN, emails=Bad(156, 46), dimensions=dimensions))
    shown = re.findall(r">(\S+)</th><td><svg.*?aria-label=\"(\d+) failed, (\d+) und", html(state))
    assert [value for value, *_ in shown] == [*(f"d{n}.example" for n in range(6)), "other"]
    assert shown[-1] == ("other", "51", "31")


def test_a_failed_refresh_is_shown() -> None:
    """With its outcome, beside the numbers of the one before."""
    state = broken_down()
    error = Malformed("no JSON")
    state.observe(BreakdownFinished("shop", SATURDAY, 1.0, 3, error, None))
    assert "The last refresh failed (malformed)" in html(state)


def test_the_command_that_explains_an_operation_can_be_copied() -> None:
    """For the top failing one, with its id."""
    assert f"twilio-email-exporter explain {SHOP[0].id}</code>" in html(one_account())
