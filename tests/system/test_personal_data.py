"""Addresses: fed in many forms, and then looked for wherever something is shown, logged or saved."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exporter.simulator.faults import Fault
from exporter.simulator.reply import Reply
from exporter.simulator.world import World
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY
from tests.support.questions import everything_explained
from tests.support.whole import whole
from tests.system.test_secrecy import pages_of

MARK = "l0calpart"
"""A part of every local part; nothing else contains it."""
BY = ("recipient_domain", "sender_domain", "tag:campaign")

texts = st.text(max_size=12) | st.sampled_from(
    ["", '"', "\n", "\\", " ", "@", "@@", "%40", "\uff20", "\u202e", "x" * 10_000]
)
domains = st.sampled_from(
    [
        "example.com",
        "EXAMPLE.com.",
        "m\u00fcnchen.example",
        "xn--mnchen-3ya.example",
        "\u0440aypal.example",  # Cyrillic
        "[192.0.2.1]",
        "",
        "a b",
        '"}',
    ]
)
whole_addresses = st.builds(
    lambda before, after, domain: f"{before}{MARK}{after}@{domain}", texts, texts, domains
)
addresses = whole_addresses | texts.filter(lambda text: "@" not in text).map(lambda text: text + MARK)
mails = st.fixed_dictionaries(
    {"from": addresses, "to": st.lists(addresses, min_size=1, max_size=3), "tag": whole_addresses}
)


def with_addresses(given_mails: list[dict[str, Any]], spoilt: bool) -> Fault:
    """Rows get these addresses in turn; a spoilt page has a row of a wrong type as well."""

    def change(reply: Reply) -> Reply:
        page = json.loads(reply.body)
        for number, row in enumerate(page["emails"]):
            mail = given_mails[number % len(given_mails)]
            row["from"] = {"address": mail["from"], "name": MARK}
            row["to"] = [{"address": each, "name": MARK} for each in mail["to"]]
            row["subject"] = row["text"] = MARK
            row["tags"] = {"campaign": mail["tag"]}
        if spoilt:
            page["emails"].append({"id": MARK, "from": MARK, "to": {MARK: MARK}})
        return reply.with_json(page)

    return Fault("addresses", change)


async def everything_shown(folder: Path, given_mails: list[dict[str, Any]], *, spoilt: bool) -> str:
    """Metrics, status page, debug log of ours and of libraries, state file, `explain`, after a refresh."""
    world = World.empty()
    world.put(*(an_operation(n, SATURDAY - 600 * (n + 1), failed=4, undelivered=4) for n in range(3)))
    state = folder / "state.sqlite"
    async with whole(
        [world], level="debug", state=state, breakdown={"by": BY, "errors": True, "max_requests": 50}
    ) as exporter:
        logging.getLogger().setLevel(logging.DEBUG)
        exporter.simulator.faults.add(with_addresses(given_mails, spoilt), call="emails", times=None)
        await exporter.poll()
        breakdown = await exporter.refresh()
        assert (breakdown is None) == spoilt
        told = [*await pages_of(exporter), await everything_explained(exporter, lookback=7 * 86_400.0)]
        told += [repr(breakdown), *map(repr, exporter.events), exporter.log.getvalue()]
    told += [file.read_bytes().decode(errors="replace") for file in folder.iterdir()]
    return "\n".join(told)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example starts an exporter
)
@given(given_mails=st.lists(mails, min_size=1, max_size=8), spoilt=st.booleans())
def test_no_local_part_is_shown(tmp_path: Path, given_mails: list[dict[str, Any]], spoilt: bool) -> None:
    """Not in metrics, status page, log at debug, state file or `explain`, whatever the addresses are."""
    for file in tmp_path.iterdir():
        file.unlink()
    told = asyncio.run(everything_shown(tmp_path, given_mails, spoilt=spoilt))
    assert MARK not in told


async def test_the_test_would_notice(tmp_path: Path) -> None:
    """The mark is looked for in what is really shown: a domain that holds it is found everywhere."""
    mail = {"from": f"a@{MARK}.example", "to": [f"a@{MARK}.example"], "tag": f"a@{MARK}.example"}
    told = await everything_shown(tmp_path, [mail], spoilt=False)
    assert told.count(f"{MARK}.example") > 10
    assert told.count(f"…@{MARK}.example") > 2
