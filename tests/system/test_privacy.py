"""No personal data of emails leaves the exporter, whatever addresses and tags they have."""

import asyncio
import logging
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.events import BreakdownFinished, PollFinished
from exporter.metrics.negotiation import OPENMETRICS
from exporter.simulator import faults
from exporter.simulator.world import World
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY
from tests.support.whole import Whole, whole
from tests.system.test_secrecy import EVERY, SECRET, TOKEN

MARK = "Zq7jane"
"""A part of every local part; no domain, tag or word of ours has it."""

texts = st.text(max_size=12)
locals_ = st.builds("{}{}{}".format, texts, st.just(MARK), texts) | st.builds(
    '"{}@{}"'.format, st.just(MARK), texts
)
domains = (
    st.sampled_from(["example.com", "EXAMPLE.com.", "bücher.example", "[192.0.2.1]", "", "a b.c", "x\n.com"])
    | texts
)
ats = st.sampled_from(["@"] * 5 + ["@@", "\uff20@", "\u202e@", "\n@", " @ ", '"@'])
addresses = st.builds("{}{}{}".format, locals_, ats, domains)
BY = ("recipient_domain", "sender_domain", "tag:campaign")


async def everything_shown(exporter: Whole, state: Path) -> str:
    """What the exporter shows, logs and saves."""
    errors = [each.error for each in exporter.emitted(BreakdownFinished) if each.error is not None]
    saved = b"".join(file.read_bytes() for file in state.parent.iterdir())
    return "\n".join(
        [
            (await exporter.scrape()).text,  # the official parser has read it
            (await exporter.web_service.exposition.page(OPENMETRICS)).decode(),
            exporter.web_service.status_page().text,
            exporter.log.getvalue(),
            *map(repr, exporter.events),
            *("".join(traceback.format_exception(error)) for error in errors),
            saved.decode(errors="replace"),
            repr(exporter.hub.statuses.accounts),
        ]
    )


async def shown_with(sender: str, recipients: list[str], tags: Any) -> str:
    """Two emails with these addresses and tags, polled and broken down with the log at debug."""
    world = World.empty()
    world.put(an_operation(0, SATURDAY - 60, failed=1, undelivered=1))
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state.sqlite"
        async with whole([world], breakdown={"by": BY}, state=state, level="debug") as exporter:
            logging.getLogger().setLevel(logging.DEBUG)
            spoil = faults.addresses(sender, recipients)
            again = faults.tags(tags)
            both = faults.Fault("both", lambda reply: again.change(spoil.change(reply)))
            exporter.simulator.faults.add(both, call="emails", times=None)
            assert await exporter.poll()
            await exporter.refresh()
            assert exporter.emitted(BreakdownFinished)
            assert exporter.emitted(PollFinished)[-1].outcome == "success"
            return await everything_shown(exporter, state)


@settings(max_examples=60)
@given(addresses, st.lists(addresses, max_size=3), st.dictionaries(st.just("campaign"), addresses | texts))
@example(f"{MARK}\uff20example.com", [f'"{MARK}@home"@example.com'], {"campaign": f"{MARK}%40example.com"})
@example(f"x@{'é' * 5000}", [f"{MARK}{'@' * 5000}example.com"], {"campaign": f"{MARK}@" * 2000})
@example("a@b", [f"{MARK}@example.com"], {"campaign": 'x"} 1\nforged_metric{a="b\\'})
def test_no_local_part_is_shown_logged_or_saved(
    sender: str, recipients: list[str], tags: dict[str, str]
) -> None:
    """Neither in metrics, log at debug, status page, events, errors nor state file."""
    shown = asyncio.run(shown_with(sender, recipients, tags))
    assert MARK not in shown
    assert "\nforged_metric" not in shown


@pytest.mark.parametrize("tags", [{"campaign": {MARK: MARK}}, [MARK], {MARK: 7}, MARK, {MARK: MARK}])
async def test_tags_of_wrong_types_are_not_shown(tags: object) -> None:
    """An error names the place of a wrong value, and never the value or a key."""
    assert MARK not in await shown_with(f"{MARK}@example.com", [f"{MARK}@example.com"], tags)


async def test_no_page_token_or_secret_is_shown() -> None:
    """Not through any failure of the two calls, with the log at debug."""
    world = World.empty()
    world.put(an_operation(0, SATURDAY - 60, failed=1, undelivered=1))
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state.sqlite"
        async with whole(
            [world],
            breakdown={"by": BY, "errors": True},
            api={"timeout": 0.5},
            state=state,
            level="debug",
        ) as exporter:
            logging.getLogger().setLevel(logging.DEBUG)
            for fault in EVERY:
                exporter.simulator.faults.add(fault, call="emails", times=None)
                exporter.simulator.faults.add(fault, call="errors", times=None)
                exporter.clock.advance(4000)
                assert await exporter.poll()
                await exporter.refresh()
                exporter.simulator.faults.clear()
            assert (
                len({each.error.outcome for each in exporter.emitted(BreakdownFinished) if each.error}) >= 5
            )
            shown = await everything_shown(exporter, state)
    assert SECRET not in shown
    assert TOKEN not in shown


async def test_series_are_bounded() -> None:
    """A thousand domains and tags, each as long as can be, give `breakdown.top` and `other`."""
    world = World.empty()
    world.put(an_operation(0, SATURDAY - 60, failed=3))
    async with whole([world], breakdown={"by": BY, "top": 3}) as exporter:
        recipients = [f"{MARK}@{'a.' * 100}{number}.example" for number in range(1000)]
        exporter.simulator.faults.add(
            faults.addresses(f"{MARK}@shop.example", recipients), call="emails", times=None
        )
        assert await exporter.poll()
        assert await exporter.refresh() is not None
        scrape = await exporter.scrape()
        series = scrape.values("twilio_email_recipient_domain_emails")
        assert len(series) == 2 * 4
        assert sum(series.values()) == 3 * 1000
        assert max(len(label) for labels in series for label in labels) <= 253


@pytest.mark.parametrize("name", ["domain_of", "clean"])
async def test_the_test_would_notice(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is looked for is in the replies, and appears if the decoder lets it through."""
    monkeypatch.setattr(f"exporter.twilio.emails.{name}", lambda text: text)
    assert MARK in await shown_with("a@b", [f"{MARK}@example.com"], {"campaign": f"{MARK}@example.com"})
