"""Sends a reply, or breaks the connection as the reply specifies.

This is the only module that breaks connections. It must not know the content of a reply.
"""

import asyncio
import socket
import struct
from typing import Final

from aiohttp import hdrs, web  # noqa: TID251 - home of aiohttp

from exporter.clock import Clock
from exporter.simulator.reply import Reply, http_date

# On, 0 seconds: close sends RST instead of FIN (man 7 socket, SO_LINGER).
_RESET: Final = struct.pack("ii", 1, 0)


async def deliver(
    request: web.Request, reply: Reply, number: int, *, clock: Clock, closing: asyncio.Event
) -> web.StreamResponse:
    """`number` becomes the request id; `closing` ends a hanging request."""
    if reply.delay_seconds:
        await clock.sleep(reply.delay_seconds)
    if reply.delivery == "hang":
        await closing.wait()
    if reply.delivery == "cut":
        return await _deliver_half(request, reply, _headers(reply, number))
    if not reply.is_sent:
        _break(request)
    return web.Response(body=reply.body, status=reply.status, headers=_headers(reply, number))


def _headers(reply: Reply, number: int) -> dict[str, str]:
    return {
        hdrs.CONTENT_TYPE: reply.content_type,
        hdrs.DATE: http_date(reply.at),
        "Twilio-Request-Id": f"RQ{number:032x}",
        **dict(reply.headers),
    }


async def _deliver_half(request: web.Request, reply: Reply, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport:
        request.transport.close()
    return response


def _break(request: web.Request) -> None:
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request.transport.abort()
