"""Polling, built from the settings: a credential, a client, a poller and a scheduler for each account.

Must not contain what is done with events and snapshots: metrics, pages, the web service.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from logging import WARNING

from exporter.clock import Clock
from exporter.config.settings import Settings
from exporter.ledger.snapshot import Snapshot
from exporter.logs import line
from exporter.observers.activity import ALWAYS, Mandate
from exporter.observers.hub import Hub
from exporter.polling import resume
from exporter.polling.check import Access, Verdict, check_account
from exporter.polling.estimate import Limits
from exporter.polling.explain import Explanation, Question, explain_account
from exporter.polling.poller import Poller
from exporter.polling.precedence import PollPrecedence
from exporter.polling.reader import listing_of
from exporter.polling.refresher import BreakdownRefresher
from exporter.polling.scheduler import Scheduler, first_poll_after
from exporter.storage.store import StateStore
from exporter.twilio.client import Client
from exporter.twilio.credentials import Credential
from exporter.twilio.rate_limiter import RateLimiter
from exporter.twilio.transport import open_transport


class Polling:
    """Builds what is needed to poll the accounts of this process."""

    def __init__(self, settings: Settings, clock: Clock, hub: Hub) -> None:
        self._settings = settings
        self._clock = clock
        self._hub = hub
        accounts = settings.own_accounts
        if not accounts:
            line(WARNING, "no account is assigned to this shard; nothing is polled", shard=settings.shard)
        self._rate_limiters = {
            account.name: RateLimiter(settings.api.requests_per_second) for account in accounts
        }
        for name, rate_limiter in self._rate_limiters.items():
            hub.watch_rate_limiter(name, rate_limiter)
        self._credentials = [Credential(each.name, each.credential, hub.emit) for each in accounts]
        self.reloads = [credential.reload for credential in self._credentials]
        """Functions that read a secret again, or raise `CredentialError` and keep the old one in use."""
        self.refreshers: list[BreakdownRefresher] = []
        """One for each account that `schedulers` yields, if a breakdown is configured."""

    @asynccontextmanager
    async def schedulers(
        self, storage: StateStore | None = None, mandate: Mandate = ALWAYS
    ) -> AsyncIterator[list[Scheduler]]:
        """A scheduler for each account. Accounts resume from `storage`, and are saved at the end.

        After an error, such as the loss of the mandate, nothing is saved. Without `mandate`, the process is
        active for as long as it runs.
        """
        self.refreshers.clear()
        async with self._clients(mandate) as clients:
            pollers = [self._poller(client, storage) for client in clients]
            known = await resume.resume_pollers(pollers, storage, self._clock) if storage else []
            self._show(known, storage, mandate)
            yield [
                self._scheduler(index, poller, client)
                for index, (poller, client) in enumerate(zip(pollers, clients, strict=True))
            ]
            await asyncio.gather(*(poller.close() for poller in pollers))

    async def check(self) -> list[Verdict]:
        """Check the credential of each account and estimate the cost of polling it."""
        poll, api = self._settings.poll, self._settings.api
        listing = listing_of(poll)
        limits = Limits(poll.interval, api.requests_per_second, api.concurrency)
        ids = {each.name: each.api_key or each.account_sid or "" for each in self._settings.own_accounts}
        async with self._clients() as clients:
            return await asyncio.gather(
                *(
                    check_account(
                        client.account,
                        client,
                        self._clock,
                        Access(ids[client.account], api.base_url),
                        listing,
                        limits,
                        poll.fetch,
                        api.timeout,
                    )
                    for client in clients
                )
            )

    async def explain(
        self, question: Question, on_progress: Callable[[str, int, int], None]
    ) -> list[Explanation]:
        """Count the bad mail of each account."""
        async with self._clients() as clients:
            return await asyncio.gather(
                *(
                    explain_account(client.account, client, self._clock, question, on_progress)
                    for client in clients
                )
            )

    @asynccontextmanager
    async def _clients(self, mandate: Mandate = ALWAYS) -> AsyncIterator[list[Client]]:
        """A client for each account, each with its own session."""
        api = self._settings.api
        async with AsyncExitStack() as sessions:
            yield [
                Client(
                    credential.account,
                    await sessions.enter_async_context(open_transport(api)),
                    credential,
                    self._rate_limiters[credential.account],
                    self._clock,
                    self._hub.emit,
                    concurrency=api.concurrency,
                    confirm=mandate.confirm,
                )
                for credential in self._credentials
            ]

    def _poller(self, client: Client, storage: StateStore | None) -> Poller:
        settings, hub = self._settings, self._hub
        return Poller(
            client.account,
            client,
            self._clock,
            settings.poll,
            hub.emit,
            hub.publish,
            storage,
            concurrency=settings.api.concurrency,
            top_failing=settings.metrics.top_operations,
            alerts=settings.alerts_of(client.account),
        )

    def _show(self, known: Sequence[resume.Known], storage: StateStore | None, mandate: Mandate) -> None:
        """Be active, with what the state holds; between two scrapes, or counters would fall to zero."""
        self._hub.activity.begin(mandate)
        for each in known:
            self._hub.restore(*each)
        if storage is not None:
            self._hub.watch_state(storage.bytes_on_disk)

    def _scheduler(self, index: int, poller: Poller, client: Client) -> Scheduler:
        credential, interval = self._credentials[index], self._settings.poll.interval
        return Scheduler(
            poller.account,
            self._with_breakdown(poller, client) if self._settings.breakdown.by else poller.poll,
            credential.renewed,
            self._clock,
            self._hub.emit,
            interval=interval,
            first_after=first_poll_after(index, len(self._credentials), interval),
        )

    def _with_breakdown(self, poller: Poller, client: Client) -> Callable[[], Awaitable[Snapshot]]:
        """The account's poll, with precedence over a refresher that is added here."""
        precedence = PollPrecedence(
            self._clock, self._rate_limiters[client.account], interval=self._settings.poll.interval
        )
        self.refreshers.append(
            BreakdownRefresher(
                client.account,
                client,
                precedence,
                self._clock,
                self._settings.breakdown,
                self._hub.emit,
                self._hub.publish_breakdown,
            )
        )
        return partial(precedence.run_poll, poller.poll)
