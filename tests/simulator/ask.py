"""A bare client of the simulator: asks over the socket and holds what comes against the schema."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from exporter.operation import Operation, Stats
from exporter.simulator.ids import new_id
from exporter.simulator.readings import DEFAULT, Readings
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from tests.simulator.schema import validate_email_page, validate_error, validate_operation, validate_page
from tests.support.clock import SATURDAY


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Ask:
    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url

    async def raw(self, path: str = "", params: Any = None, **headers: str) -> Answer:
        """A path that begins with `/Emails` is a whole one, any other one belongs to the operations."""
        url = (
            f"{self._base_url}{path}"
            if path.startswith("/Emails")
            else f"{self._base_url}/Emails/Operations{path}"
        )
        async with self._session.get(url, params=params, headers=headers, allow_redirects=False) as response:
            body = await response.read()
            return Answer(response.status, response.headers, body)

    async def page(self, **params: str) -> dict[str, Any]:
        answer = await self.raw(params=params)
        assert answer.status == 200, answer.body
        validate_page(answer.json)
        page: dict[str, Any] = answer.json
        return page

    async def pages(self, **params: str) -> AsyncIterator[list[dict[str, Any]]]:
        """The rows of each page until `next` is null."""
        page = await self.page(**params)
        yield page["operations"]
        while token := page["pagination"]["next"]:
            page = await self.page(**params, pageToken=token)
            yield page["operations"]

    async def ids(self, **params: str) -> list[str]:
        return [row["id"] async for rows in self.pages(**params) for row in rows]

    async def email_page(self, **params: str) -> dict[str, Any]:
        answer = await self.raw("/Emails", params)
        assert answer.status == 200, answer.body
        validate_email_page(answer.json)
        page: dict[str, Any] = answer.json
        return page

    async def email_pages(self, **params: str) -> AsyncIterator[list[dict[str, Any]]]:
        """The rows of each page until `next` is null."""
        page = await self.email_page(**params)
        yield page["emails"]
        while token := page["pagination"]["next"]:
            page = await self.email_page(**params, pageToken=token)
            yield page["emails"]

    async def emails(self, **params: str) -> list[dict[str, Any]]:
        return [row async for rows in self.email_pages(**params) for row in rows]

    async def operation(self, operation_id: str) -> dict[str, Any]:
        answer = await self.raw(f"/{operation_id}")
        assert answer.status == 200, answer.body
        validate_operation(answer.json)
        operation: dict[str, Any] = answer.json
        return operation

    async def refusal(self, path: str = "", **params: str) -> tuple[int, str | None]:
        """Status and the context of an error in the API's own shape."""
        answer = await self.raw(path, params)
        validate_error(answer.json)
        return answer.status, answer.json["errors"][0]["context"]


class BrokenError(Exception):
    """The connection broke before a reply."""


async def _ask_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp repeats a broken GET by itself, unseen, and would use up a second fault: it must not know."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise BrokenError from error


async def in_flight(simulator: Simulator, count: int) -> None:
    """Returns when that many requests are inside."""
    while simulator.journal.in_flight != count:  # the product needs no event for this
        await asyncio.sleep(0)


@asynccontextmanager
async def asking(simulator: Simulator, credential: tuple[str, str] = CREDENTIAL) -> AsyncIterator[Ask]:
    """Starts the simulator, too."""
    headers = {"Authorization": aiohttp.encode_basic_auth(*credential)}
    async with simulator, aiohttp.ClientSession(headers=headers, middlewares=[_ask_once]) as session:
        yield Ask(session, simulator.base_url)


def an_operation(
    seed: object = "an operation", created_at: float = SATURDAY - 600, **stats: int
) -> Operation:
    """A completed one, finished half a minute after its creation."""
    names = dict.fromkeys(("total", "recipients", "attempts", "delivered"), 3)
    rest = dict.fromkeys(("scheduled", "queued", "sent", "opened", "undelivered", "failed", "canceled"), 0)
    every = Stats(**{**names, **rest, **stats})
    return Operation(new_id(seed, created_at), "completed", created_at, created_at + 30, every)


def a_world(
    count: int = 1,
    *,
    first_at: float = SATURDAY - 7200,
    step_seconds: float = 60.0,
    readings: Readings = DEFAULT,
) -> World:
    """`count` operations, the first one the oldest, with seeds 0, 1, 2, …"""
    world = World.empty(readings)
    world.put(*(an_operation(number, first_at + number * step_seconds) for number in range(count)))
    return world
