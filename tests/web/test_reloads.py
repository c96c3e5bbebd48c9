"""Reloads over HTTP: who may cause one, and how often one happens."""

import asyncio

import pytest

from exporter.web.reloads import RELOAD_INTERVAL_SECONDS, SpacedReloads, is_cross_site
from tests.support.clock import ManualClock
from tests.support.web_service import ask, opened

ELSEWHERE = "http://attacker.example"


@pytest.mark.parametrize(
    ("headers", "cross_site"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://exporter:10587"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"}, False),
        ({"Origin": "http://exporter:10587"}, False),
        ({"Origin": "https://Exporter:10587"}, False),
        ({"Origin": "http://exporter:9090"}, True),
        ({"Origin": ELSEWHERE}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Origin": "http://["}, True),
    ],
)
def test_is_cross_site(headers: dict[str, str], cross_site: bool) -> None:
    """A browser names the site; curl and config reloaders send no such header."""
    assert is_cross_site({"Host": "exporter:10587", **headers}) is cross_site


@pytest.mark.parametrize("header", ["Sec-Fetch-Site: cross-site", f"Origin: {ELSEWHERE}"])
async def test_pages_of_other_sites_cannot_reload(header: str) -> None:
    """Also without users: the form of any web page can send a POST."""
    async with opened() as web_service:
        reply = await ask(web_service.port, "/-/reload", method="POST", headers=[header])
        assert reply.status == 403
        assert web_service.reloads == 0
        assert (await ask(web_service.port, "/-/reload", method="POST")).status == 200
        assert web_service.reloads == 1


async def test_many_requests_cause_few_reloads() -> None:
    """Each gets the result of a reload that began after it was sent."""
    async with opened() as web_service:
        web_service.problems = ["broken"]
        for _ in range(5):
            replies = await asyncio.gather(
                *(ask(web_service.port, "/-/reload", method="POST") for _ in range(20))
            )
            assert {(each.status, each.body) for each in replies} == {(500, b"broken\n")}
        elapsed = web_service.clock.monotonic()
        assert web_service.reloads <= 1 + elapsed / RELOAD_INTERVAL_SECONDS


async def test_change_after_a_reload_is_read() -> None:
    """The next request does not get the result of the reload before it."""
    clock, found = ManualClock(), [["old"], ["new"], ["newest"]]
    reload = SpacedReloads(lambda: found.pop(0), clock)
    assert list(await asyncio.gather(reload(), reload())) == [["old"], ["old"]]
    assert clock.monotonic() == 0
    assert list(await asyncio.gather(reload(), reload())) == [["new"], ["new"]]
    assert clock.monotonic() == RELOAD_INTERVAL_SECONDS
    clock.advance(10)
    assert await reload() == ["newest"]


async def test_client_that_leaves_does_not_cancel_the_reload_of_others() -> None:
    """They share it."""
    reload = SpacedReloads(lambda: ["done"], ManualClock())
    first, second = asyncio.create_task(reload()), asyncio.create_task(reload())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["done"]
