"""A hundred thousand spoilt replies: only typed errors come out, and the sums stay what they are sums of."""

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest

from exporter.errors import Malformed
from exporter.ledger.ledger import Ledger
from exporter.ledger.snapshot import RECENT_AGES
from exporter.ledger.totals import Totals
from exporter.operation import STATS, STATUSES
from exporter.simulator.faults import HOSTILE_IDS
from exporter.twilio.protocol import read_operation, read_page
from tests.support.clock import SATURDAY
from tests.support.operations import IDS

SEEDS: Final = 4
MUTATIONS: Final = 100_000 // SEEDS
WEEK: Final = 7 * 86400.0

VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 255, 2**31, 2**53, 2**53 + 1, 2**64, 10**400, 0.5, 1e308, "", "0", "x" * 300,
    "\x00", "\ud800", "é", [], {}, [[]], {"a": {}}, "COMPLETED", "PROCESSING", "PAUSED", IDS[3], *HOSTILE_IDS,
    "2026-03-06T23:50:00Z", "2026-03-06T23:50:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-03-06T23:50:00+23:59", "1970-01-01T00:00:00.000000001Z",
)  # fmt: skip


def row(number: int) -> dict[str, Any]:
    return {
        "id": IDS[number],
        "status": ("COMPLETED", "PROCESSING")[number % 2],
        "stats": {stat: 10 + index for index, stat in enumerate(STATS)},
        "createdAt": f"2026-03-06T2{number}:00:00Z",
        "updatedAt": f"2026-03-06T2{number}:30:00.123Z",
    }


PAGE: Final = json.dumps(
    {"operations": [row(0), row(1)], "pagination": {"next": "bmV4dA==", "self": "c2VsZg=="}}
)


def spoil_bytes(draw: random.Random) -> bytes:
    """Some bytes changed, left out, put in, or the end cut off."""
    body = bytearray(PAGE.encode())
    for _ in range(draw.randint(1, 4)):
        if len(body) < 20:
            break
        at = draw.randrange(len(body))
        match draw.randrange(5):
            case 0:
                body[at] = draw.randrange(256)
            case 1:
                body[at] ^= 1 << draw.randrange(8)
            case 2:
                del body[at : at + draw.randint(1, 9)]
            case 3:
                body[at:at] = draw.choice((b'"', b"{", b"]", b",", b"\\u0000", b"\xff", b"9" * 30, b"-"))
            case _:
                del body[max(at, 1) :]
    return bytes(body)


def spoil_types(draw: random.Random) -> bytes:
    """Some values replaced by others of any type."""
    page = json.loads(PAGE)
    for _ in range(draw.randint(1, 3)):
        holder, key = draw.choice(places(page))
        holder[key] = copy.deepcopy(draw.choice(VALUES))
    return json.dumps(page).encode()


def spoil_structure(draw: random.Random) -> bytes:
    """Values left out, renamed, wrapped, moved elsewhere or counted on."""
    page = json.loads(PAGE)
    for _ in range(draw.randint(1, 3)):
        spots = places(page)
        if spots:
            misplace(draw, *draw.choice(spots), *draw.choice(spots))
    return json.dumps(page).encode()


def misplace(draw: random.Random, holder: Any, key: Any, other: Any, other_key: Any) -> None:
    value = copy.deepcopy(holder[key])  # a copy: nothing may come to hold itself
    match draw.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[draw.choice((f"{key}x", "id", "stats", "next"))] = holder.pop(key)
        case 2:
            holder[key] = draw.choice(([value], {"value": value}, [value, value]))
        case 3 if isinstance(value, int):
            holder[key] = draw.choice((value + 1, value * 300, value - 1, 2**53 - 3))
        case _:
            other[other_key] = value


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every holder and key in a document."""
    keys: Any = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    here = [(node, key) for key in keys]
    return here + [place for key in keys for place in places(node[key])]


SPOILERS: Final[tuple[Callable[[random.Random], bytes], ...]] = (spoil_bytes, spoil_types, spoil_structure)


def take_in(body: bytes, ledger: Ledger) -> str:
    """As a poll would; says what came of it."""
    try:
        page = read_page(body)
    except Malformed as error:
        assert len(str(error)) < 300
        return "malformed"
    for operation in page.operations:
        ledger.absorb(operation, SATURDAY)
    return "absorbed"


def sums_are_those_of_the_operations(ledger: Ledger) -> None:
    operations = list(ledger)
    assert len(operations) == len(ledger)
    for status, sums in ledger.window_totals().items():
        mine = [[value or 0 for value in each.stats] for each in operations if each.status == status]
        assert sums == Totals(
            len(mine), tuple(map(sum, zip(*mine, strict=True))) if mine else (0,) * len(STATS)
        )
    assert set(ledger.window_totals()) == set(STATUSES)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_spoilt_pages(seed: int) -> None:
    """Bytes, types and structure, in turn; time passes now and then."""
    draw = random.Random(seed)
    ledger = Ledger(SATURDAY, WEEK, RECENT_AGES, coverage=SATURDAY)
    outcomes: Counter[str] = Counter()
    for number in range(MUTATIONS):
        outcomes[take_in(SPOILERS[number % 3](draw), ledger)] += 1
        if number % 500 == 499:
            ledger.advance(SATURDAY + number)
            sums_are_those_of_the_operations(ledger)
    assert outcomes.total() == MUTATIONS
    assert min(outcomes["absorbed"], outcomes["malformed"]) > MUTATIONS / 10, "both ways are taken"


def test_spoilt_operations() -> None:
    """A fetch meets the same."""
    draw = random.Random("fetch")
    body = json.dumps(row(0)).encode()
    for _ in range(2000):
        spoilt = bytearray(body)
        spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
        try:
            assert read_operation(bytes(spoilt), IDS[0]).id == IDS[0]
        except Malformed as error:
            assert IDS[0] not in str(error)
