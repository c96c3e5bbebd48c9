"""What asks Twilio, built from the settings: a credential, a client, a poller and a loop for each account.

Must not know what becomes of what they tell: metrics, pages, the server.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from logging import WARNING

from exporter.clock import Clock
from exporter.config.settings import Settings
from exporter.logs import line
from exporter.observers.hub import Watchers
from exporter.polling import resume as revival
from exporter.polling.check import Verdict, check_account
from exporter.polling.estimate import Limits
from exporter.polling.poller import FETCH_SHARE, Poller, PollSettings
from exporter.polling.scheduler import Loop, first_poll_after
from exporter.polling.window import Listing
from exporter.storage.sqlite import Storage
from exporter.twilio.client import Client
from exporter.twilio.credentials import Credential
from exporter.twilio.protocol import PAGE_SIZE
from exporter.twilio.rate_limiter import Pace
from exporter.twilio.transport import TransportSettings, open_transport


class Polling:
    """Of all accounts that fall to this process."""

    def __init__(self, settings: Settings, clock: Clock, watchers: Watchers) -> None:
        self._settings = settings
        self._clock = clock
        self._watchers = watchers
        accounts = settings.own_accounts
        if not accounts:
            line(WARNING, "no account falls to this shard; nothing is polled", shard=settings.shard)
        self._paces = {account.name: Pace(settings.api.requests_per_second) for account in accounts}
        for name, pace in self._paces.items():
            watchers.watch_pace(name, pace)
        self._credentials = [Credential(each.name, each.credential, watchers.report) for each in accounts]
        self.reloads = [credential.reload for credential in self._credentials]
        """Each reads a secret again, or raises `CredentialError` and leaves the old one in use."""

    @asynccontextmanager
    async def loops(self, storage: Storage | None = None) -> AsyncIterator[list[Loop]]:
        """A loop for each account, which go on where `storage` says; saved at the end."""
        async with self._clients() as clients:
            pollers = [self._poller(client, storage) for client in clients]
            if storage is not None:
                await self._resume(pollers, storage)
            try:
                yield [self._loop(index, poller) for index, poller in enumerate(pollers)]
            finally:
                await asyncio.gather(*(poller.close() for poller in pollers))

    async def check(self) -> list[Verdict]:
        """Whether each account's credential works, and what polling it will cost."""
        poll, api = self._settings.poll, self._settings.api
        listing = Listing(poll.lookback, poll.recent, poll.sweep_interval, PAGE_SIZE)
        limits = Limits(poll.interval, api.requests_per_second, api.concurrency, FETCH_SHARE)
        async with self._clients() as clients:
            return await asyncio.gather(
                *(
                    check_account(client.account, client, self._clock, listing, limits, api.timeout)
                    for client in clients
                )
            )

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[list[Client]]:
        """One for each account, with a session of its own."""
        api = self._settings.api
        settings = TransportSettings(
            base_url=api.base_url, timeout=api.timeout, concurrency=api.concurrency, ca_file=api.ca_file
        )
        async with AsyncExitStack() as sessions:
            yield [
                Client(
                    credential.account,
                    await sessions.enter_async_context(open_transport(settings)),
                    credential,
                    self._paces[credential.account],
                    self._clock,
                    self._watchers.report,
                    concurrency=api.concurrency,
                )
                for credential in self._credentials
            ]

    def _poller(self, client: Client, storage: Storage | None) -> Poller:
        poll, watchers = self._settings.poll, self._watchers
        settings = PollSettings(
            interval=poll.interval,
            lookback=poll.lookback,
            recent=poll.recent,
            sweep_interval=poll.sweep_interval,
            concurrency=self._settings.api.concurrency,
            worst=self._settings.metrics.top_operations,
        )
        return Poller(
            client.account, client, self._clock, settings, watchers.report, watchers.publish, storage
        )

    async def _resume(self, pollers: Sequence[Poller], storage: Storage) -> None:
        self._watchers.watch_state(storage.bytes_on_disk)
        for account, snapshot in await revival.resume(pollers, storage, self._clock):
            self._watchers.restore(account, snapshot)

    def _loop(self, index: int, poller: Poller) -> Loop:
        credential, interval = self._credentials[index], self._settings.poll.interval
        return Loop(
            poller.account,
            poller.poll,
            credential.renewed,
            self._clock,
            self._watchers.report,
            interval=interval,
            first_after=first_poll_after(index, len(self._credentials), interval),
        )
