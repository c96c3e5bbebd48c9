"""Secrets and page tokens: fed through every failure, and then looked for wherever something is told."""

import asyncio
import json
import logging
import traceback
from pathlib import Path

import pytest

from exporter.events import PollCrashed, PollFinished
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.negotiation import OPENMETRICS
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.reply import Reply
from exporter.simulator.world import World
from exporter.twilio.protocol import MAX_REPLY_BYTES
from tests.simulator.ask import an_operation
from tests.support.whole import Whole, whole

SECRET = "5ecre7d0n07te11anyone00000000000"
TOKEN = "c2VjcmV0LXRva2VuKy89"
"""What a page's `next` begins with; it may hold an account SID when decoded."""


def with_token(fault: Fault, status: int = 200) -> Fault:
    """A first page with an unlike token, and the fault on what is asked with it."""
    asked = iter(range(10**9))

    def change(reply: Reply) -> Reply:
        if next(asked) % 2 == 0:
            pagination = {"next": TOKEN + "+/==", "self": TOKEN}
            return Reply(reply.at).with_json({"operations": [], "pagination": pagination})
        return fault.change(Reply(reply.at, status).with_json({"operations": [], "pagination": {}}))

    return Fault(f"token, then {fault.name}", change)


def echo(code: int) -> Fault:
    """An error whose every part repeats what it should not."""

    def change(reply: Reply) -> Reply:
        headers = (("Retry-After", SECRET), ("Twilio-Request-Id", f"{SECRET} {TOKEN}"), ("Date", TOKEN))
        body = json.dumps({"errors": [{"code": 1, "message": SECRET, "context": TOKEN}]}).encode()
        return Reply(reply.at, code, body=body, headers=headers)

    return Fault(f"echo {code}", change)


FAILURES = [
    *(faults.status(code) for code in (400, 401, 403, 404, 429, 500, 502, 503)),
    *(echo(code) for code in (200, 302, 400, 401, 429, 500, 503)),
    faults.status(429, retry_after=400),
    faults.reset(),
    faults.cut(),
    faults.hang(),
    faults.cut_json(),
    faults.misspelt_json(),
    faults.without_operations(),
    faults.oversized(MAX_REPLY_BYTES + 1),
    faults.repeated_token(),
    faults.hostile_id(SECRET),
    faults.unknown_status(SECRET),
    faults.wrong_type(("operations",), SECRET),
    faults.wrong_type(("operations", 0, "createdAt"), SECRET),
    faults.wrong_type(("operations", 0, "stats", "total"), SECRET),
    faults.wrong_type(("pagination", "next"), [SECRET, TOKEN]),
    faults.redirect(f"http://127.0.0.1:1/{SECRET}"),
]
ROWLESS = [
    fault for fault in FAILURES if not fault.name.startswith(("wrong", "hostile", "unknown", "repeated"))
]
EVERY = [*FAILURES, *map(with_token, ROWLESS)]


def stumble(_: str, __: Snapshot) -> None:
    """A mistake of ours that quotes all it knows, with a cause that does so, too."""
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise ValueError(f"{SECRET} {TOKEN}") from error


def a_world() -> World:
    world = World.empty()
    world.put(an_operation())
    return world


def everything_told(exporter: Whole, pages: list[str]) -> str:
    errors = [
        each.error for each in exporter.events if isinstance(each, PollFinished) and each.error is not None
    ]
    return "\n".join(
        [
            exporter.log.getvalue(),
            *pages,
            *("".join(traceback.format_exception(error)) for error in errors),
            *(repr(error) + str(vars(error)) for error in errors),
            *(repr(each) for each in exporter.events if not isinstance(each, PollCrashed)),
            *(
                repr(part) + str(part)
                for wired in (exporter.hub, exporter.polling, exporter.supervisor, exporter.web_service)
                for part in (wired, *vars(wired).values())
            ),
            *map(repr, exporter.schedulers.values()),
            *(str(vars(credential)) for credential in exporter.polling._credentials),
        ]
    )


async def pages_of(exporter: Whole) -> list[str]:
    return [
        (await exporter.scrape()).text,
        (await exporter.web_service.exposition.page(OPENMETRICS)).decode(),
        exporter.web_service.status_page().text,
    ]


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
async def test_nothing_tells_a_secret_or_a_token(tmp_path: Path, log_format: str) -> None:
    """Through every failure at debug level: no line, metric, page, repr or traceback has them."""
    file = secret_file(tmp_path)
    async with whole(
        [a_world()],
        account=lambda _: {"auth_token_file": str(file)},
        api={"timeout": 0.5},
        level="debug",
        log_format=log_format,
    ) as exporter:
        logging.getLogger().setLevel(logging.DEBUG)  # libraries, too
        asyncio.get_running_loop().set_debug(True)
        exporter.simulator.rotate_credential(SECRET)
        told = ""
        for fault in EVERY:
            exporter.simulator.faults.add(fault, call="list", times=None)
            await exporter.poll()
            exporter.simulator.faults.clear()
            exporter.clock.advance(4000)
            told += everything_told(exporter, await pages_of(exporter))
        assert await exporter.poll()
        assert len(exporter.logged("poll failed")) >= 10
        tokens = [request.query.get("pageToken", "") for request in exporter.simulator.requests]
        assert sum(token.startswith(TOKEN) for token in tokens) > 10, "they were under way"
        assert SECRET not in told
        assert TOKEN not in told


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
async def test_mistake_of_ours_tells_none_either(log_format: str) -> None:
    """Its traceback says where and what kind, and leaves out the text."""
    async with whole([a_world()], on_publish=stumble, level="debug", log_format=log_format) as exporter:
        assert not await exporter.poll()
        told = everything_told(exporter, await pages_of(exporter))
        assert "stumble" in told
        assert "KeyError" in told
        assert SECRET not in told
        assert TOKEN not in told
        assert "ValueError" in exporter.web_service.status_page().text


async def test_lost_file_tells_its_name_and_not_what_was_in_it(tmp_path: Path) -> None:
    """Nor what is in it now, if that is no text."""
    file = secret_file(tmp_path)
    async with whole(
        [a_world()], account=lambda _: {"auth_token_file": str(file)}, level="debug"
    ) as exporter:
        file.write_bytes(SECRET.encode() + b"\xff")
        exporter.web_service.reload()
        told = everything_told(exporter, await pages_of(exporter))
        assert "is not a text file" in told
        assert str(file) in told
        assert SECRET not in told


def secret_file(folder: Path) -> Path:
    file = folder / "token"
    file.write_text(SECRET)
    return file


def test_the_test_would_notice() -> None:
    """What is looked for is what the simulated Twilio really says."""
    reply = Reply(0.0).with_json({"operations": [], "pagination": {}})
    assert SECRET.encode() in echo(500).change(reply).body
    assert TOKEN.encode() in with_token(faults.status(500)).change(reply).body
    assert len(EVERY) > 40
