"""`explain` for one account against the simulator, and its table and JSON."""

import json
from dataclasses import replace

from exporter.breakdown import Bad, Breakdown, Row
from exporter.cli.explanation import as_json, as_table
from exporter.errors import Unauthorized
from exporter.operation import Operation, Stats
from exporter.polling.explain import Explanation, Question, explain_account
from exporter.simulator import faults
from exporter.simulator.ids import new_id
from exporter.simulator.world import World
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import ACCOUNT, Rig, rigged

QUESTION = Question(3600.0, None, 20, (), 10, 30.0)
DOMAINS = ("recipient_domain", "sender_domain")


def bad_world(**stats: int) -> World:
    world = World.empty()
    world.put(*(an_operation(n, SATURDAY - 1700 * (n + 1), **stats) for n in range(4)))
    return world


async def asked(rig: Rig, question: Question = QUESTION) -> Explanation:
    return await explain_account(ACCOUNT, rig.client, rig.clock, question, lambda *_: None)


async def test_the_last_hour_and_one_operation() -> None:
    """Only emails created in the time, or of the operation, are counted."""
    async with rigged(bad_world(failed=3, undelivered=2), ManualClock()) as rig:
        answer = await asked(rig)
        assert answer.breakdown
        assert answer.breakdown.emails == Bad(6, 4)
        wanted = new_id(3, SATURDAY - 6800)
        answer = await asked(rig, replace(QUESTION, operation_id=wanted, lookback=86_400.0))
        assert answer.breakdown
        assert answer.breakdown.emails == Bad(3, 2)
        assert answer.operation
        assert answer.operation.id == wanted


async def test_an_operation_that_does_not_exist() -> None:
    """It has no breakdown, and no email is listed for it."""
    async with rigged(bad_world(), ManualClock()) as rig:
        answer = await asked(rig, replace(QUESTION, operation_id=new_id("nobody")))
        assert answer == Explanation(ACCOUNT, answer.question)
        assert "emails" not in rig.requests()


async def test_tags_are_counted_unasked_and_bounded() -> None:
    """Without dimensions, both domains and the ten most frequent tags are counted."""
    async with rigged(bad_world(failed=3), ManualClock()) as rig:
        many = {f"key{number:02}": "value" for number in range(12)}
        rig.simulator.faults.add(faults.tags(many), call="emails", times=None)
        answer = await asked(rig)
        assert answer.breakdown
        assert list(answer.breakdown.dimensions) == [*DOMAINS, *(f"tag:key{n:02}" for n in range(10))]
        answer = await asked(rig, replace(QUESTION, by=("tag:key11",)))
        assert answer.breakdown
        assert answer.breakdown.dimensions == {"tag:key11": (Row("value", Bad(6, 0)), Row("other", Bad()))}


async def test_the_budget_ends_the_listing() -> None:
    """Retries count as well; what is counted until then is a lower bound."""
    world = bad_world(failed=2500, undelivered=2500)
    async with rigged(world, ManualClock()) as rig:
        answer = await asked(rig, replace(QUESTION, max_requests=3))
        assert rig.requests()["emails"] == 3
        assert answer.breakdown
        assert not answer.breakdown.complete
        assert answer.breakdown.emails == Bad(2000, 1000)
        assert "All numbers are lower bounds" in as_table([answer])
        rig.simulator.faults.add(faults.status(503), call="emails", times=2)
        answer = await asked(rig, replace(QUESTION, max_requests=3))
        assert rig.requests()["emails"] == 3
        assert answer.breakdown
        assert answer.breakdown.emails == Bad(1000, 0)


async def test_an_error_is_an_answer() -> None:
    """A refused credential, or a spoilt page, is reported for its account."""
    async with rigged(bad_world(failed=1), ManualClock(), secret="wrong") as rig:
        answer = await asked(rig)
        assert isinstance(answer.error, Unauthorized)
        assert answer.breakdown is None
        assert json.loads(as_json([answer])) == {"accounts": [{"account": ACCOUNT, "error": "unauthorized"}]}


async def test_progress_is_told_after_each_request() -> None:
    """With the emails so far and the requests so far."""
    told: list[tuple[str, int, int]] = []
    async with rigged(bad_world(failed=2500), ManualClock()) as rig:
        await explain_account(
            ACCOUNT, rig.client, rig.clock, QUESTION, lambda *progress: told.append(progress)
        )
    assert [requests for _, _, requests in told] == list(range(1, len(told) + 1))
    assert told[-1][1] <= 5000


async def test_nothing_is_bad() -> None:
    """It says so."""
    async with rigged(bad_world(), ManualClock()) as rig:
        lines = as_table([await asked(rig)]).splitlines()
    assert lines == [
        f"account {ACCOUNT}, emails created in the last 1h before 2026-03-07 00:00:00 UTC",
        "No email failed or was undelivered.",
    ]


BREAKDOWN = Breakdown(
    SATURDAY,
    3600.0,
    True,
    Bad(1200, 300),
    {
        "sender_domain": (
            Row("a.example", Bad(1100, 100)),
            Row("b.example", Bad(100, 200)),
            Row("other", Bad()),
        ),
        "tag:campaign": (Row("none", Bad(1200, 300)), Row("other", Bad())),
    },
)
OPERATION = Operation(new_id(1), "completed", SATURDAY - 60, SATURDAY, Stats(total=5000))


def test_the_table() -> None:
    """Shares are of the failed and undelivered emails; a bar shows them; an empty `other` is left out."""
    answer = Explanation("shop", QUESTION, OPERATION, BREAKDOWN)
    assert (
        as_table([answer])
        == f"""\
account shop, operation {OPERATION.id} (completed, 5,000 emails)
1,200 failed, 300 undelivered

sender domain            failed  undelivered   share
a.example                 1,100          100   80.0%  ################
b.example                   100          200   20.0%  ####

tag campaign             failed  undelivered   share
none                      1,200          300  100.0%  ####################
"""
    )


def test_the_json() -> None:
    """The same as data, with the dimensions as the settings write them."""
    (account,) = json.loads(as_json([Explanation("shop", QUESTION, OPERATION, BREAKDOWN)]))["accounts"]
    assert account["operation"] == {"id": OPERATION.id, "status": "completed", "total": 5000}
    assert (account["failed"], account["undelivered"], account["complete"]) == (1200, 300, True)
    assert account["by"]["sender_domain"][0] == {
        "value": "a.example",
        "failed": 1100,
        "undelivered": 100,
        "share": 0.8,
    }
