"""Nothing that identifies an account or its mail is in the report, the output or the log of `observe`."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.observation.harmless import OTHER, harmless_headers, harmless_keys
from exporter.simulator import faults
from exporter.simulator.faults import HOSTILE_IDS, Fault
from exporter.simulator.reply import Reply
from exporter.simulator.server import ACCOUNT_SID, CREDENTIAL, Simulator
from tests.observation.watched import Terminal, a_busy_world, watched
from tests.support.whole import logging_to

ADDRESS = "jane.doe@example.org"
KEY = "SK" + "fedcba9876543210" * 2
IP = "203.0.113.77"
HOST = "mail-gateway.corp.example"
IDENTIFYING = (ACCOUNT_SID, CREDENTIAL[1], KEY, ADDRESS, "jane", IP, HOST, "corp.example", "127.0.0.1")
HEADERS = (
    ("X-Account", ACCOUNT_SID),
    (f"X-{ACCOUNT_SID}", "1"),
    (f"X-{IP.replace('.', '-')}", "1"),
    ("X-RateLimit-Limit", "100"),
    ("X-RateLimit-Remaining", KEY),
    ("Retry-After", f"{ADDRESS} 30"),
    ("Set-Cookie", f"session={KEY}; Domain={HOST}"),
    ("Via", f"1.1 {HOST} ({IP})"),
    ("Content-Encoding", "identity"),
)


def hostile() -> Fault:
    """Every free part of a good reply identifies someone."""

    def change(reply: Reply) -> Reply:
        if reply.status != 200:
            error = {"code": 20001, "message": ADDRESS, "infoUrl": f"https://{HOST}/", "context": ACCOUNT_SID}
            return Reply(reply.at, reply.status, headers=HEADERS).with_json({"errors": [error]})
        value: dict[str, Any] = json.loads(reply.body)
        rows = value.get("operations", [])
        for row in rows:
            row.update({"from": ADDRESS, "subject": KEY, ADDRESS: IP})
            row["stats"][ADDRESS] = 1
        for row in rows[:5]:
            row["status"] = ADDRESS
        for row in rows[-1:] if len(rows) > 20 else ():
            row["id"] = HOSTILE_IDS[0]
        value[ADDRESS] = {"account": ACCOUNT_SID}
        spoilt = reply.with_json(value)
        return Reply(spoilt.at, 200, spoilt.body, headers=HEADERS)

    return Fault("hostile", change)


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_nothing_that_identifies_is_told(level: str, tmp_path: Path) -> None:
    """Ids, tokens, SIDs, secrets, addresses, IPs and hosts of hostile replies appear nowhere."""
    simulators: list[Simulator] = []

    def prepare(simulator: Simulator) -> None:
        simulators.append(simulator)
        simulator.faults.add(faults.status(503), times=1)
        simulator.faults.add(hostile(), times=None)

    with logging_to(level, "logfmt") as log:
        found = await watched(a_busy_world(), tmp_path, prepare=prepare, err=Terminal())
    assert found.code == 0
    told = (tmp_path / "report.json").read_text() + found.out + found.err + log.getvalue()
    (simulator,) = simulators
    tokens = {each.query.get("pageToken", "") for each in simulator.requests} - {""}
    assert tokens
    for secret in {*IDENTIFYING, *tokens, simulator.base_url}:
        assert secret not in told
        assert secret.lower() not in told.lower()
    assert "comms_operation_" not in told


async def test_the_report_is_useful_in_spite_of_it(tmp_path: Path) -> None:
    """Names of headers, limits, and the course of single operations remain."""
    found = await watched(
        a_busy_world(), tmp_path, prepare=lambda simulator: simulator.faults.add(hostile(), times=None)
    )
    headers = found.report["headers"]
    assert headers["x-ratelimit-limit"]["values"] == ["100"]
    assert headers["x-ratelimit-remaining"]["values"] == headers["retry-after"]["values"] == []
    assert headers["content-encoding"]["values"] == ["identity"]
    assert {"via", "set-cookie", "x-account", OTHER} <= headers.keys()
    names = {each["after"]["operation"] for each in found.report["changes"]}
    assert len(names) > 5
    assert all(each["before"]["operation"] == each["after"]["operation"] for each in found.report["changes"])
    assert found.report["api"] == "another address"


async def test_a_refused_credential_is_not_shown(tmp_path: Path) -> None:
    """The message of a 401 names neither the account nor the secret."""
    found = await watched(a_busy_world(), tmp_path, credential=(ACCOUNT_SID, "wrong-secret"))
    assert found.code == 1
    assert "the credential is refused" in found.err
    for secret in (ACCOUNT_SID, "wrong-secret"):
        assert secret not in found.out + found.err + json.dumps(found.report)


@given(st.text(max_size=60), st.text(max_size=60))
def test_headers_are_words_or_numbers(name: str, value: str) -> None:
    """A name is words with at most two digits, a value a known word or a small number."""
    for shown, kept in harmless_headers({name: value}):
        assert sum(each.isdigit() for each in shown) <= 2
        assert set(shown) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert len(shown) <= 40
        assert kept is None or len(kept) <= 40


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (b'{"errors": [{"code": 30007, "message": "to jane.doe@example.org"}], "pagination": {"next": null}}',
         {"errors", "code", "message", "pagination", "next"}),
        (b'{"jane.doe@example.org": 1, "data": []}', {"data"}),
        (b"[]", set()),
        (b"", set()),
        (b"<html>", set()),
        (b"\xff\xfe", set()),
        (b"[" * 100_000, set()),
    ],
)  # fmt: skip
def test_only_known_keys_are_kept(body: bytes, keys: set[str]) -> None:
    """Keys of a body without a schema are kept if Twilio's other replies have them; values never."""
    assert harmless_keys(body) == keys
