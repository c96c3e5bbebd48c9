"""A short soak, and whether it would notice: a ledger that was tampered with loses or invents mail."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.soak import Count, Measured, Result, limits, main, soak, summary
from exporter.ledger.ledger import Ledger
from exporter.ledger.saved import Row
from exporter.operation import Operation, Stats
from exporter.simulator.ids import new_id
from exporter.simulator.scenarios import Mix
from exporter.simulator.world import World
from tests.support.clock import SATURDAY
from tests.support.month import CAST, FAULTS, Cast, Plan, played, scenario
from tests.support.witness import Witness

HOUR = 3600.0
DAY_OF_ALL = Plan(days=1, interval=HOUR)
LIVELY = Cast("lively", replace(scenario(5.0), most_emails=300, mix=Mix(opened_share=0.1)))
DAY_OF_ONE = Plan(days=1, interval=HOUR / 2, cast=(LIVELY,), faults=())
FEW = ("delivered", "failed")


@pytest.mark.long
async def test_a_day_of_everything_loses_and_invents_nothing() -> None:
    """Every kind of fault, restarts, kills, rotations of accounts and secrets; and nothing grows."""
    result = await soak(DAY_OF_ALL)
    assert [each for each in limits(result) if not each.met] == []
    assert result.happened["scripted faults"] == len(FAULTS)
    assert result.happened["faults that met no request"] < len(FAULTS) / 2
    for what in ("clean restarts", "kills", "rotations of accounts", "secrets exchanged"):
        assert result.happened[what] >= 3
    assert len({each.account for each in result.counts}) == len(CAST)
    assert sum(each.counted for each in result.counts if each.stat in FEW) > 1000
    assert all(each.unsure == 0 for each in result.counts if each.stat != "delivered")


def drop_marks(restore: Callable[[Ledger, Iterable[Row], float], None]) -> Callable[..., None]:
    return lambda ledger, rows, at: restore(ledger, [row._replace(marks=None) for row in rows], at)


def cover_from_now(restore: Callable[[Ledger, Iterable[Row], float], None]) -> Callable[..., None]:
    def restored(ledger: Ledger, rows: Iterable[Row], at: float) -> None:
        restore(ledger, rows, at)
        ledger._coverage = at + 3 * HOUR

    return restored


def drop_some(restore: Callable[[Ledger, Iterable[Row], float], None]) -> Callable[..., None]:
    return lambda ledger, rows, at: restore(ledger, list(rows)[:-1], at)


@pytest.mark.long
@pytest.mark.parametrize(
    ("tampered", "lost", "invented"),
    [(drop_marks, False, True), (cover_from_now, True, False), (drop_some, False, True)],
)
async def test_it_notices(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tampered: Callable[..., Callable[..., None]],
    lost: bool,
    invented: bool,
) -> None:
    """Marks, coverage or an operation that do not survive a restart show as mail lost or invented."""
    monkeypatch.setattr(Ledger, "restore", tampered(Ledger.restore))
    async with played(DAY_OF_ONE, tmp_path) as month:
        await month.run()
    witnesses = [witness for _, witness in month.witnesses()]
    assert any(any(each.lost.values()) for each in witnesses) == lost
    assert any(any(each.invented.values()) for each in witnesses) == invented


def an_operation(created_at: float, **stats: int) -> Operation:
    return Operation(new_id(created_at, created_at), "completed", created_at, created_at, Stats(**stats))


def test_witness_knows_the_rule() -> None:
    """A baseline counts what it gains, others from zero; what fell or answers 404 takes nothing away."""
    world = World.empty()
    old = an_operation(SATURDAY - HOUR, failed=5, delivered=3)
    new = an_operation(SATURDAY + 60, failed=2, delivered=8)
    world.put(old, new)
    witness = Witness(world, SATURDAY, lag=0)
    for step, (operation, failed) in enumerate(((old, 5), (old, 7), (old, 4), (old, 7), (new, 0)), start=1):
        world.put(operation._replace(stats=Stats(failed=failed, delivered=3)))
        witness.began(SATURDAY + step * HOUR, SATURDAY + step * HOUR)
        witness.succeeded()
    world.remove(old.id)
    witness.began(SATURDAY + 9 * HOUR, SATURDAY + 9 * HOUR)
    witness.succeeded()
    counted = {stat: must for stat, must, unsure in witness.summary() if not unsure}
    assert (counted["failed"], counted["delivered"]) == (4, 8)
    witness.judge({"failed": 3.0, "delivered": 8.0})
    witness.judge({"failed": 4.0, "delivered": 10.0})
    assert (witness.lost["failed"], witness.invented["delivered"]) == (1, 2)


def test_witness_of_a_large_account_waits_for_the_sweep() -> None:
    """What one poll showed must be known only so many polls later; that it may be known holds at once."""
    world = World.empty()
    new = an_operation(SATURDAY + 60, failed=2)
    world.put(new)
    witness = Witness(world, SATURDAY, lag=2)
    seen = []
    for step in range(1, 5):
        witness.began(SATURDAY + step * 60, SATURDAY + step * 60)
        witness.succeeded()
        seen.append({stat: (must, unsure) for stat, must, unsure in witness.summary()}["failed"])
    assert seen == [(0, 2), (0, 2), (2, 0), (2, 0)]


def measured(**changes: float) -> Measured:
    calm = Measured(1.0, 80_000_000, 400_000, 20, 3, 12, 600_000, 4_000, 100, 1, 0, 0)
    return calm._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, []),
        ({"lost": 1}, ["emails lost"]),
        ({"invented": 1}, ["emails invented"]),
        ({"blocks": 490_000}, ["memory in use, to the first"]),
        ({"resident_bytes": 101_000_000}, ["resident memory, to the first"]),
        ({"state_bytes": 1_100_000}, ["state file, bytes an operation at the most"]),
        ({"handles": 60}, ["handles more than at first"]),
        ({"tasks": 60}, ["tasks more than at first"]),
        ({"threads": 12}, ["threads more than at first"]),
    ],
)
def test_growth_is_told(changes: dict[str, float], broken: list[str]) -> None:
    """Each figure has a limit of its own."""
    result = Result(Plan(), [measured(), measured(**changes)], [], Counter(), 0, 0)
    assert [each.what for each in limits(result) if not each.met] == broken
    assert summary(result).count("NO ") == len(broken)
    assert len(
        [each for each in limits(result._replace(handles_left=1, tasks_left=1)) if not each.met]
    ) == 2 + len(broken)


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (1, 1)])
def test_exit_code_tells_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lost: int, code: int
) -> None:
    """1 when a limit is broken; the table names account and status."""

    async def soaked(plan: Plan, tell: Callable[[Measured], None]) -> Result:
        tell(measured(lost=lost))
        count = Count("shop", "failed", 12, lost, 0, 0)
        return Result(plan, [measured(), measured(lost=lost)], [count], Counter(), 0, 0)

    monkeypatch.setattr("bench.soak.soak", soaked)
    monkeypatch.setattr("sys.argv", ["soak", "--days=3"])
    assert main() == code
    assert "shop        failed" in capsys.readouterr().out
