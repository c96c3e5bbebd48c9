"""The status page in a real browser: on a desktop and on a phone, in light and dark mode."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.breakdown import Bad, Row
from exporter.errors import Malformed
from exporter.events import BreakdownFinished, PollFinished
from tests.support.browser import Tab, browser
from tests.support.clock import SATURDAY
from tests.support.operations import IDS, operation
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
from tests.support.web_service import opened, pages_of

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
    object.__setattr__(snapshot, "top_failing_of_day", (bad,))
    error = Malformed("<svg onload=alert(3)>")
    state.observe(PollFinished("<script>alert(1)</script>", SATURDAY + 60, 1.0, error))
    return state


def spike() -> State:
    """One account that has just begun to fail."""
    state = State("shop")
    old = [
        operation(age=7200.0 + n, total=100, attempts=100, delivered=40, opened=60, failed=0)._replace(
            id=f"comms_operation_01j{n:023}"
        )
        for n in range(1, 21)
    ]
    state.succeed("shop", old)
    new = operation(
        total=1000, attempts=1000, delivered=300, opened=200, queued=12, failed=480, undelivered=8
    )
    state.succeed("shop", [*old, new])
    return state


def steady() -> State:
    state = State("shop")
    state.succeed("shop", [operation(0, total=1000, attempts=1000, delivered=995, failed=5)])
    return state


def accounts(number: int) -> State:
    state = State(*(f"account-{each:03}" for each in range(number)))
    for each in state.statuses.accounts:
        state.succeed(each, [operation(0, total=1000, attempts=1000, delivered=900, opened=95, failed=5)])
    return state


def mixed() -> State:
    """One account fails, one has not been polled, and the polls of a fine one fail."""
    state = State("small", "big", "broken", "new")
    state.succeed("small", [operation(0, total=10, attempts=10, delivered=10)])
    state.succeed("big", [operation(0, total=9000, attempts=9000, delivered=8999, undelivered=1)])
    state.succeed("broken", [operation(0, total=900, attempts=900, failed=400, undelivered=50)])
    state.observe(PollFinished("big", SATURDAY + 60, 1.0, Malformed("no JSON")))
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
                    assert await tab.value("getComputedStyle(document.body).maxWidth") == "1280px", seen


@pytest.mark.needs("chromium")
async def test_failing_mail_in_a_browser(tab: Tab) -> None:
    """The verdict is the title and the heading; the figures, the shares and the worst operation follow."""
    async with opened(state=spike()) as web_service:
        await show(tab, f"{web_service.url}/", PHONE, "light")
        title, heading = await tab.value("document.title"), await words(tab, "h1")
        article = await words(tab, "article")
        id_ends_at = await tab.value("document.querySelector('th.id').getBoundingClientRect().right")
    assert heading == "Mail is failing: 48 % of attempts in the last hour"
    assert title == f"{heading} \N{EN DASH} twilio-email-exporter"
    assert "Threshold: 5 %. Since 2026-03-07 00:00:00 UTC (1 min ago)." in article
    assert (
        "total 1,000 3,000 3,000 attempts 1,000 3,000 3,000 arrived 500 50 % 2,500 83 % 2,500 83 %" in article
    )
    assert "queued 12 1.2 % 12 0.40 % 12 0.40 %" in article
    assert f"{IDS[0]} 49 % 480 8 1,000 completed 11 min ago" in article
    assert id_ends_at <= PHONE


@pytest.mark.needs("chromium")
async def test_failing_polls_in_a_browser(tab: Tab) -> None:
    """The reason, since when, and the pause are shown; the verdict has the age of its numbers."""
    async with opened(state=failing()) as web_service:
        await show(tab, f"{web_service.url}/?account=shop", PHONE, "light")
        heading, article = await words(tab, "h1"), await words(tab, "article")
        await show(tab, f"{web_service.url}/", DESK, "light")
        overview = await words(tab, "main")
    assert heading.startswith("shop: Mail is failing")
    assert heading.endswith(", as of 1 min ago")
    assert (
        "Polls fail (unreachable): no reply within 30 s Failing since 2026-03-07 00:01:30 UTC (10 s ago)"
        in article
    )
    assert "at most 0.625 per second; paused until 2026-03-07 00:06:40 UTC (in 5 min)" in article
    assert "Polls or saves fail for 2 of 2 accounts" in overview
    assert "newsletter unknown Twilio refuses the credential" in overview


@pytest.mark.needs("chromium")
async def test_picture_in_a_browser(tab: Tab) -> None:
    """It has a name and a description with the numbers, and its bars have the colors of the legend."""
    async with opened(state=spike()) as web_service:
        await show(tab, f"{web_service.url}/", DESK, "light")
        tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
        (image,) = [
            node
            for node in tree
            if node["role"]["value"] in {"image", "img"} and "Emails by hour" in node["name"]["value"]
        ]
        height = await tab.value("document.querySelector('.picture .failed').getBoundingClientRect().height")
        fill, legend = [
            await tab.value(f"getComputedStyle(document.querySelector('{selector}')).{name}")
            for selector, name in ((".picture .failed", "fill"), (".swatch.failed", "backgroundColor"))
        ]
    assert image["name"]["value"] == "Emails by hour, shop"
    assert (
        "3,000 in all, 480 failed, 8 undelivered; at most 2,000 in one hour." in image["description"]["value"]
    )
    assert "Highest share: 49 % of 1,000 attempts" in image["description"]["value"]
    assert height > 5
    assert fill == legend


@pytest.mark.needs("chromium")
async def test_sort_order_in_a_browser(tab: Tab) -> None:
    """The worst comes first; a click on a column sorts by it, one on a name opens the account."""
    async with opened(state=mixed()) as web_service:
        await show(tab, f"{web_service.url}/", DESK, "light")
        assert await names(tab) == ["broken", "new", "big", "small"]
        assert await words(tab, "h1") == "Mail of 1 of 4 accounts is failing"
        assert await tab.value("document.querySelector('th[aria-sort]').innerText") == "mail ▲"
        for column, order in (
            ("emails", ["big", "broken", "small", "new"]),
            ("undelivered", ["broken", "big", "small", "new"]),
            ("account", ["big", "broken", "new", "small"]),
        ):
            await tab.open(await tab.value(f"document.querySelector('thead a[href*={column}]').href"))
            assert await names(tab) == order, column
        await tab.open(await tab.value("document.querySelector('tbody tr:last-child th a').href"))
        assert await words(tab, "h2") == "small"
        await tab.open(await tab.value("document.querySelector('main > p a').href"))
        assert await names(tab) == ["big", "broken", "new", "small"], "the order is kept"


@pytest.mark.needs("chromium")
async def test_sixty_accounts_fit_two_screens(tab: Tab) -> None:
    """At 1280 by 800 pixels; on a phone the names and the verdicts are visible without scrolling sideways."""
    async with opened(state=accounts(60)) as web_service:
        await show(tab, f"{web_service.url}/", DESK, "light")
        assert await tab.value("document.documentElement.scrollHeight") <= 2 * 1000
        await show(tab, f"{web_service.url}/", 390, "light")
        verdicts = "document.querySelector('tbody .state').getBoundingClientRect().right"
        assert await tab.value(verdicts) <= 390


@pytest.mark.needs("chromium")
async def test_printed_page(tab: Tab) -> None:
    """Tables are not cut off on paper, and links to endpoints are left out."""
    async with opened(state=spike()) as web_service:
        await show(tab, f"{web_service.url}/", DESK, "light")
        await tab.call("Emulation.setEmulatedMedia", media="print")
        assert await tab.value("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
        assert await tab.value("getComputedStyle(document.querySelector('nav')).display") == "none"
        await tab.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.needs("chromium")
async def test_page_is_accessible(tab: Tab) -> None:
    """Landmarks, one top heading, named regions, headers in every table."""
    for query, landmark in (("", "region"), ("?account=shop", "article")):
        async with opened(state=several_accounts()) as web_service:
            await show(tab, f"{web_service.url}/{query}", DESK, "light")
            tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
            roles = {node["role"]["value"] for node in tree if not node.get("ignored")}
            assert {"main", "banner", "contentinfo", "navigation", landmark} <= roles
            assert await tab.value("document.querySelectorAll('h1').length") == 1
            assert await tab.value("document.documentElement.lang") == "en"
            tables = await tab.value("document.querySelectorAll('table').length")
            for part in ("caption", "thead th[scope=col]:last-child", "tbody tr:first-child th[scope=row]"):
                found = (
                    f"[...document.querySelectorAll('table')].filter(t => t.querySelector('{part}')).length"
                )
                assert await tab.value(found) == tables
            assert (
                await tab.value("document.querySelectorAll('.scroll:not([tabindex][aria-label])').length")
                == 0
            )


async def words(tab: Tab, selector: str) -> str:
    """The text of an element, with single spaces."""
    return " ".join((await tab.value(f"document.querySelector('{selector}').innerText")).split())


async def names(tab: Tab) -> list[str]:
    """The accounts in the order of the table."""
    listed = await tab.value("[...document.querySelectorAll('tbody th')].map(th => th.innerText).join(' ')")
    return str(listed).split()


async def show(tab: Tab, url: str, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    await tab.call("Emulation.setDeviceMetricsOverride", **size)
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    await tab.call("Emulation.setEmulatedMedia", features=[scheme_feature])
    await tab.open(url)


# -- without a browser --------------------------------------------------------------------------------------


def html(state: State, **query: str) -> str:
    return pages_of(state)["/"](query).text


@pytest.mark.parametrize("raw", ["<script>", "<img", "<svg onload", "<b>"])
def test_hostile_data_is_escaped(raw: str) -> None:
    """Whatever its source."""
    page = html(hostile())
    assert raw not in page
    assert "&lt;img src=x onerror=alert(2)&gt;" in page


@pytest.mark.parametrize("query", [
    {"sort": "<script>"}, {"account": "<script>alert(1)</script>"}, {"sort": "", "account": ""},
    {"sort": "key"}, {"sort": "__class__", "account": "x" * 5000}, {"other": "1"},
])  # fmt: skip
def test_other_values_of_the_query_are_ignored(query: dict[str, str]) -> None:
    """They are not shown, and the page is the same as without."""
    assert html(mixed(), **query) == html(mixed())


def test_hostile_name_among_others() -> None:
    """It is escaped as text and in the link to its details, which work."""
    name = '"><script>&sort=x</script>'
    state = State(name, "shop")
    state.succeed("shop", SHOP)
    page = html(state)
    assert "<script>" not in page
    assert "?account=%22%3E%3Cscript%3E%26sort%3Dx%3C/script%3E&amp;sort=mail" in page
    assert "Waiting for the first poll" in html(state, account=name)


def waiting() -> State:
    return State("shop")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (before_the_first_poll, "Mail is unknown: the first poll has not finished"),
        (before_the_first_poll, "First poll in progress: 7,000 operations on 7 pages so far"),
        (waiting, "Waiting for the first poll"),
        (steady, "Mail is fine: 0.50 % of attempts failed, 0 % undelivered in the last 24 hours"),
        (spike, "Mail is failing: 48 % of attempts in the last hour"),
        (empty, "Mail is unknown: no mail in the last 24 hours"),
        (State, "No accounts"),
    ],
)
def test_verdict_in_words(state: Callable[[], State], said: str) -> None:
    """Each verdict is shown in words, not by colour alone."""
    assert said in html(state())


def test_arrived_emails_are_undetermined_until_the_reading_is_known() -> None:
    """The page says so instead of showing a number that may be wrong."""
    assert "undetermined" in html(one_account())
    assert "It is not known yet whether an email is counted in its latest state only." in html(one_account())
    assert "Each email is counted in its latest state only" in html(spike())


def test_small_trouble_of_today_is_not_hidden_by_a_large_one_of_tuesday() -> None:
    """The worst operations are those of the last 24 hours."""
    state = State("shop")
    state.succeed(
        "shop", (operation(0, age=4 * 86400.0, total=9000, failed=9000), operation(1, total=9, failed=2))
    )
    page = html(state)
    assert IDS[1] in page
    assert IDS[0] not in page


@pytest.mark.parametrize(("number", "kilobytes"), [(60, 80), (500, 500)])
def test_size_of_a_page_with_many_accounts(number: int, kilobytes: int) -> None:
    """It grows by a row for each account; details are on a page of their own."""
    state = accounts(number)
    assert len(html(state).encode()) <= kilobytes * 1000
    assert len(html(state, account="account-001").encode()) <= 60_000


def test_accounts_whose_polls_fail_come_before_fine_ones() -> None:
    """Worst first: trouble, unknown, failing polls, fine."""
    page = html(mixed())
    order = [page.index(f">{name}<") for name in ("broken", "new", "big", "small")]
    assert order == sorted(order)


def test_breakdown_is_shown_as_bars() -> None:
    """All have one scale, by which the longest has the whole width; both statuses are drawn and named."""
    page = html(broken_down(), account="shop")
    assert (
        page.count('<svg viewBox="0 0 100.00 1"') == page.count('preserveAspectRatio="none" role="img"') > 5
    )
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
    assert "The last refresh failed (malformed)" in html(state, account="shop")


def test_the_command_that_explains_an_operation_can_be_copied() -> None:
    """For the top failing one, with its id."""
    assert f"twilio-email-exporter explain {SHOP[0].id}</code>" in html(one_account())
