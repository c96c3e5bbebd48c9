"""An HTTP listener on one address, open until it is closed.

It must not know what is served.
"""

from collections.abc import Iterable
from typing import Final

from aiohttp import web  # noqa: TID251 - home of aiohttp

STOP_SECONDS: Final = 0.1
"""How long requests may continue after the simulator stops."""


class Listener:
    """With `port` 0 it chooses a free port and keeps it when it is opened again."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def open(self, routes: Iterable[web.RouteDef]) -> None:
        app = web.Application()
        app.add_routes(routes)
        # Without cancellation a hanging request would stay in flight after the client has disconnected.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=STOP_SECONDS
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()
        host, port, *_ = self._runner.addresses[0]
        self._address = (host, port)

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
