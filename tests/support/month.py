"""A month of the whole exporter: accounts, faults, stops, kills and rotations, on a clock that jumps.

The exporter as `run` wires it (listener, state file, schedulers, counters that wait for a scrape) polls
seven simulated accounts over real HTTP. Every published counter is checked against `witness`.

Left out: signals, and the periodic maintenance of files and connections. A kill drops what is not committed;
test_restarts.py covers a kill during a commit.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import ClientSession
from aiohttp.web_app import _cached_build_middleware

from exporter.config.accounts import Account
from exporter.config.parsers import ListenAddress
from exporter.config.settings import Api, Poll, Settings, State, Web
from exporter.errors import StateError
from exporter.events import Event, PollFinished, PollStarted, RowsUnreadable
from exporter.ledger.counters import COUNTED
from exporter.ledger.saved import Changes, Progress
from exporter.ledger.snapshot import Snapshot
from exporter.observers.hub import Hub
from exporter.operation import Operation, Stats
from exporter.polling import resume
from exporter.polling.service import Polling
from exporter.simulator import faults
from exporter.simulator.faults import HOSTILE_IDS, Fault
from exporter.simulator.ids import new_id
from exporter.simulator.journal import Endpoint
from exporter.simulator.scenarios import SCENARIOS, Episode, Scenario
from exporter.simulator.server import Simulator
from exporter.simulator.world import RETENTION_SECONDS, World
from exporter.storage.sqlite import Storage
from exporter.supervisor import Supervisor
from exporter.twilio.protocol import MAX_REPLY_BYTES
from exporter.web.service import WebService
from tests.support.clock import SATURDAY, ManualClock
from tests.support.whole import Scrape, hold_credentials, sid, switchboard
from tests.support.witness import Witness

DAY: Final = 86400.0
SWEEP_POLLS: Final = 6
"""Polls in a sweep; enough for the three slices of the large account."""

TIMEOUT_SECONDS: Final = 1.0
"""Timeout of a request in real time: a hanging reply delays the soak by this."""

HELD_HOURS: Final = 8 * 24
"""Hours that each world keeps, so that the simulator does not grow."""

LOOPBACK: Final = Web(listen_address=(ListenAddress("127.0.0.1", 0),))


def scenario(operations_per_hour: float, trouble: Episode | None = None, kind: str = "steady") -> Scenario:
    usual = replace(SCENARIOS[kind], operations_per_hour=operations_per_hour, most_emails=40)
    return replace(usual, trouble_episode=trouble) if trouble else usual


class Cast(NamedTuple):
    """An account. `present`: from and until which parts of the month it is configured."""

    name: str
    scenario: Scenario
    present: tuple[tuple[float, float], ...] = ((0.0, 1.0),)

    @property
    def lag(self) -> int:
        """Polls until its whole window has been listed."""
        return 0 if self.scenario.operations_per_hour * RETENTION_SECONDS / 3600 < 900 else SWEEP_POLLS


CAST: Final = (
    Cast("quiet", scenario(2.0)),
    Cast("outage", scenario(2.0, Episode(3 * 3600.0, 2 * 3600.0, 30 * 3600.0), "outage")),
    Cast("throttled", scenario(2.0, Episode(5 * 3600.0, 3600.0, 20 * 3600.0), "rate-limited")),
    Cast("large", scenario(8.0)),
    Cast("away", scenario(2.0), ((0.0, 0.35), (0.45, 1.0))),
    Cast("long away", scenario(2.0), ((0.0, 0.4), (0.7, 1.0))),
    Cast("late", scenario(2.0), ((0.2, 0.9),)),
)


OLD: Final = Operation(
    new_id("old", SATURDAY - 60 * DAY), "completed", SATURDAY - 60 * DAY, SATURDAY, Stats(failed=1000)
)

FAULTS: Final[Mapping[str, tuple[Callable[[], Fault], Sequence[int]]]] = {
    "429": (lambda: faults.status(429), (1, 7)),
    "429, Retry-After": (lambda: faults.status(429, retry_after=20), (1, 7)),
    "429, Retry-After beyond the poll": (lambda: faults.status(429, retry_after=3000, as_date=True), (1,)),
    "500": (lambda: faults.status(500), (1, 7)),
    "502": (lambda: faults.status(502, body="html"), (1, 7)),
    "503": (lambda: faults.status(503, retry_after=7), (1, 7)),
    "400": (lambda: faults.status(400), (1,)),
    "401": (lambda: faults.status(401, body="flat"), (1, 3)),
    "403": (lambda: faults.status(403, body="flat"), (1,)),
    "404": (lambda: faults.status(404), (1,)),
    "204": (lambda: faults.status(204, body="empty"), (1,)),
    "redirect": (lambda: faults.redirect("http://127.0.0.1:9/"), (1,)),
    "reset": (faults.reset, (1, 7)),
    "cut": (faults.cut, (1, 7)),
    "hang": (faults.hang, (1,)),
    "slow": (lambda: faults.slow(45.0), (1, 7)),
    "empty page": (faults.empty_page, (1, 3)),
    "cut JSON": (faults.cut_json, (1, 3)),
    "misspelt JSON": (faults.misspelt_json, (1,)),
    "oversized": (lambda: faults.oversized(MAX_REPLY_BYTES + 1), (1,)),
    "wrong type": (lambda: faults.wrong_type((), []), (1,)),
    "no operations": (faults.without_operations, (1,)),
    "repeated token": (faults.repeated_token, (2,)),
    "endless tokens": (faults.endless_tokens, (20,)),
    "hostile id": (lambda: faults.hostile_id(HOSTILE_IDS[0]), (1,)),
    "extra rows": (lambda: faults.extra_rows(OLD), (1, 3)),
    "duplicated rows": (faults.duplicated_rows, (1, 3)),
    "unknown status": (faults.unknown_status, (1, 3)),
    "missing stat": (lambda: faults.missing_stat("queued"), (1, 3)),
    "unknown fields": (faults.unknown_fields, (1, 3)),
}
"""Each kind of fault, and the numbers of requests that it may affect."""

ONLY_LISTS: Final = {
    "empty page",
    "no operations",
    "repeated token",
    "endless tokens",
    "extra rows",
    "duplicated rows",
}


@dataclass(frozen=True)
class Plan:
    """`interval`: half an hour, so that a month is 1,440 polls of each account."""

    days: int = 30
    interval: float = 1800.0
    seed: int = 1
    cast: tuple[Cast, ...] = CAST
    faults: tuple[str, ...] = tuple(FAULTS)
    """Scripted faults; scenarios have their own."""


class Standstill:
    """The clock of a simulated Twilio: its world moves when a poll begins, so that a poll has one truth."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.at = clock.now()
        self.sleepers = 0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.sleepers += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self.sleepers -= 1


@dataclass
class Player:
    """One account of the month, with its Twilio and its witness."""

    cast: Cast
    folder: Path
    clock: ManualClock
    number: int
    standstill: Standstill = field(init=False)
    simulator: Simulator = field(init=False)
    witness: Witness | None = None
    past: list[Witness] = field(default_factory=list)
    secrets: int = 0
    operations: int = 0
    last_seen_at: float = 0.0
    is_polled: bool = False
    """Whether a poll is running."""
    has_unreadable_rows: bool = False
    """Whether this poll has left out rows."""

    def __post_init__(self) -> None:
        self.standstill = Standstill(self.clock)
        scenario = self.cast.scenario
        held = int(scenario.operations_per_hour * HELD_HOURS)
        world = World(scenario, started=self.clock.now(), seed=self.number, held_operations=held)
        self.simulator = Simulator(world, self.standstill, credential=(sid(self.number), ""))
        self.exchange_secret()
        self.write_secret()

    def is_answering(self) -> bool:
        """Whether a request waits for something other than the clock, such as a hanging one."""
        return self.simulator.journal.in_flight > self.standstill.sleepers

    @property
    def account(self) -> Account:
        name = self.cast.name.replace(" ", "-")
        return Account.model_validate(
            {"name": name, "account_sid": sid(self.number), "auth_token_file": self.secret_file}
        )

    @property
    def secret_file(self) -> Path:
        return self.folder / f"secret-{self.number}"

    def exchange_secret(self) -> None:
        """Twilio's side of a rotation."""
        self.secrets += 1
        self.simulator.rotate_credential(f"secret-{self.number}-{self.secrets}")

    def write_secret(self) -> None:
        """The operator's side of a rotation."""
        self.secret_file.write_text(self.simulator.credential[1], encoding="utf-8")

    def leave(self) -> None:
        self.last_seen_at = self.clock.now()

    def come_back(self) -> None:
        """Its state is kept for the length of the window; then coverage begins again, without faults."""
        self.simulator.faults.clear()
        if self.witness and self.clock.now() - self.last_seen_at > RETENTION_SECONDS:
            self.past.append(self.witness)
            self.witness = None


class Exporter:
    """One process of the exporter, seen from outside."""

    def __init__(self, url: str, storage: Storage, clock: ManualClock) -> None:
        self.is_dead = False
        self.saving: set[str] = set()
        self.state_bytes = storage.bytes_on_disk
        self._url = url
        self._clock = clock
        self._save = storage.save
        storage.save = self._save_alive  # type: ignore[method-assign]

    async def scrape(self) -> Scrape:
        async with ClientSession() as session, session.get(self._url) as reply:
            return Scrape(await reply.text())

    async def _save_alive(self, account: str, changes: Changes, progress: Progress) -> None:
        if self.is_dead:
            raise StateError("this process was killed")
        self.saving.add(account)
        try:
            with self._clock.held():
                await self._save(account, changes, progress)
        finally:
            self.saving.discard(account)


@asynccontextmanager
async def exporting(
    settings: Settings,
    clock: ManualClock,
    on_event: Callable[[Event], None],
    on_publish: Callable[[str, Snapshot], None],
) -> AsyncIterator[Exporter]:
    supervisor = Supervisor()
    hub = Hub(settings, clock)
    hub.observers.append(on_event)
    hub.snapshot_observers.append(on_publish)
    polling = Polling(settings, clock, hub)
    hold_credentials(clock, polling)
    web_service = WebService(settings, clock, hub, supervisor, polling.reloads)
    async with (
        web_service.opened() as bound,
        resume.open_storage(settings, hub.statuses.accounts, clock) as storage,
        polling.schedulers(storage) as schedulers,
        web_service.counters_released_in_time(),
        supervisor.running({each.account: each.run() for each in schedulers}),
    ):
        assert storage is not None
        web_service.health.loaded = web_service.health.ready = True
        yield Exporter(f"http://127.0.0.1:{bound[0][1]}/metrics", storage, clock)
    # aiohttp keeps the handlers of up to 1,024 applications; a real process has one.
    _cached_build_middleware.cache_clear()


class Happening(NamedTuple):
    """Something to do at an instant of the clock."""

    at: float
    what: Callable[[], Awaitable[None]]


class Month:
    """Drives the accounts, the faults and the process, and records the results."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        origin: str,
        clock: ManualClock,
        on_day: Callable[["Month"], None],
    ) -> None:
        self._seconds = plan.days * DAY
        self._interval = plan.interval
        self._faults = plan.faults
        self._dice = random.Random(plan.seed)
        self._folder = folder
        self._origin = origin
        self._on_day = on_day
        self.clock = clock
        self.players = {
            player.account.name: player
            for player in (Player(each, folder, clock, n) for n, each in enumerate(plan.cast))
        }
        self._exporter: Exporter
        self._configured: list[Player] = []
        self._process = AsyncExitStack()
        self._is_standing = False
        self._events_to_kill = 0
        self._killing = asyncio.Event()
        self.polls = self.failed_polls = self._published = 0
        self.happened: Counter[str] = Counter()

    # Observers of the exporter.

    def _observe(self, event: Event) -> None:
        player = self.players[event.account]
        if isinstance(event, PollStarted):
            player.is_polled, player.has_unreadable_rows = True, False
            if not self._is_standing:
                player.standstill.at = event.started_at
            if player.witness:
                player.witness.began(player.standstill.at, event.started_at)
        elif isinstance(event, RowsUnreadable):
            player.has_unreadable_rows = True
        elif isinstance(event, PollFinished):
            player.is_polled = False
            self.polls += 1
            if event.error:
                self.failed_polls += 1
                if player.witness and event.listed_operations:
                    player.witness.failed()
        if self._events_to_kill:
            self._events_to_kill -= 1
            if not self._events_to_kill:
                self._killing.set()

    def _on_publish(self, account: str, snapshot: Snapshot) -> None:
        self._published += 1
        player = self.players[account]
        player.operations = snapshot.tracked_operations
        if player.witness is None:
            player.witness = Witness(player.simulator.world, player.standstill.at, player.cast.lag)
        elif player.has_unreadable_rows:
            player.witness.left_rows_out()
        else:
            player.witness.succeeded()
        player.witness.judge({stat: snapshot.counts["stat", stat] for stat in COUNTED})

    # The plan.

    async def run(self) -> None:
        started = self.clock.now()
        await self._start()
        try:
            await self._play(started)
        finally:
            await self._stop()

    async def _play(self, started: float) -> None:
        for happening in sorted(self._happenings(started), key=lambda each: each.at):
            await self.clock.sleep(happening.at - self.clock.now())
            await happening.what()
        await self._come_to_rest()
        await self._end_day()

    def _happenings(self, started: float) -> Iterator[Happening]:
        end = started + self._seconds
        downtimes = (0.0, 0.5 * self._interval, 1.5 * self._interval, 2.2 * 3600.0)
        days = round(self._seconds / DAY)
        calm = started + 4 * self._interval  # coverage begins without trouble
        step = min(DAY, self._seconds / 4)
        for number in range(1, round(self._seconds / step)):
            yield Happening(started + number * step, self._end_day)
        for number in range(max(4, days)):
            at = self._dice.uniform(calm, end)
            down = downtimes[number % 4]
            yield Happening(at, partial(self._restart, down))
            yield Happening(self._dice.uniform(calm, end), partial(self._kill, downtimes[3 - number % 4]))
        for name in islice(cycle(self._faults), max(len(self._faults), 4 * days)):
            yield Happening(self._dice.uniform(calm, end), partial(self._spoil, name))
        spells = [spell for player in self.players.values() for spell in player.cast.present]
        for moment in {moment for spell in spells for moment in spell} - {0.0, 1.0}:
            yield Happening(started + moment * self._seconds, self._rotate)
        for _ in range(max(3, days // 2)):
            at = self._dice.uniform(calm, end)
            player = self._dice.choice(list(self.players.values()))
            yield Happening(at, partial(self._exchange, player))
            yield Happening(self._dice.uniform(calm, end), self._vanish)

    def is_busy(self) -> bool:
        """Whether a request is being answered that takes no simulated time."""
        return any(player.is_answering() for player in self.players.values())

    def witnesses(self) -> Iterator[tuple[str, Witness]]:
        """With the names of their accounts; one that was restarted without state has several."""
        for name, player in self.players.items():
            for witness in (*player.past, player.witness):
                if witness:
                    yield name, witness

    def state_bytes(self) -> int:
        return self._exporter.state_bytes()

    def tracked_operations(self) -> int:
        return sum(player.operations for player in self._configured)

    def _present(self) -> list[Player]:
        part = min(self.clock.monotonic() / self._seconds, 1.0)
        return [
            player
            for player in self.players.values()
            if any(begin <= part < end or part == end == 1.0 for begin, end in player.cast.present)
        ]

    async def _start(self) -> None:
        before, self._configured = self._configured, self._present()
        for player in self._configured:
            if player not in before:
                player.come_back()
        for player in before:
            if player not in self._configured:
                player.leave()
        settings = Settings(
            api=Api(base_url=f"{self._origin}/v1", timeout=TIMEOUT_SECONDS, requests_per_second=100),
            poll=Poll(interval=self._interval, sweep_interval=SWEEP_POLLS * self._interval),
            state=State(path=self._folder / "state.sqlite"),
            web=LOOPBACK,
            accounts=tuple(player.account for player in self._configured),
        )
        self._exporter = await self._process.enter_async_context(
            exporting(settings, self.clock, self._observe, self._on_publish)
        )

    async def _stop(self) -> None:
        for player in self._configured:
            if player.witness and player.account.name in self._exporter.saving:
                player.witness.failed()  # what is being saved may yet be safe
            player.is_polled = False
        await self._process.aclose()

    async def _start_again(self, down: float) -> None:
        await self._stop()
        await self.clock.sleep(down)
        await self._start()

    async def _coverage(self) -> None:
        """Wait until coverage has begun for every account, which is with its first success."""
        while any(player.witness is None for player in self._configured):
            await self.clock.sleep(self._interval / 10)

    async def _restart(self, down: float) -> None:
        await self._coverage()
        self.happened["clean restarts"] += 1
        await self._start_again(down)

    async def _kill(self, down: float) -> None:
        """Kill the process after a random event of a poll."""
        await self._coverage()
        self.happened["kills"] += 1
        self._killing.clear()
        self._events_to_kill = self._dice.randint(1, 60)
        await self._killing.wait()
        self._exporter.is_dead = True
        await self._start_again(down)

    async def _rotate(self) -> None:
        """Restart the process with changed accounts."""
        await self._coverage()
        self.happened["rotations of accounts"] += 1
        await self._start_again(0.0)

    async def _spoil(self, name: str) -> None:
        await self._coverage()
        self.happened["scripted faults"] += 1
        fault, times = FAULTS[name]
        player = self._dice.choice(self._configured)
        call: Endpoint | None = "list" if name in ONLY_LISTS else self._dice.choice((None, "list", "fetch"))
        player.simulator.faults.add(fault(), call=call, times=self._dice.choice(times))

    async def _exchange(self, player: Player) -> None:
        """Rotate a secret: Twilio accepts the new one at once, the file has it then or some polls later."""
        self.happened["secrets exchanged"] += 1
        player.exchange_secret()
        await self.clock.sleep(self._dice.choice((0.0, 2.5)) * self._interval)
        player.write_secret()

    async def _vanish(self) -> None:
        """An operation answers 404 for a while and is then restored; both happen between polls."""
        self.happened["operations that answered 404"] += 1
        player = next(iter(self.players.values()))
        world = player.simulator.world
        await self._between_polls(player)
        visible = world.visible(player.standstill.at)
        vanished = self._dice.choice([each for each in visible if not each.is_final] or visible)
        world.remove(vanished.id)
        await self.clock.sleep(2.5 * self._interval)
        await self._between_polls(player)
        world.restore(vanished.id)

    async def _between_polls(self, player: Player) -> None:
        while player.is_polled:
            await self.clock.sleep(1.0)

    async def _come_to_rest(self) -> None:
        """Clear all faults, and stop the worlds until the whole of each has been listed."""
        for player in self.players.values():
            self.happened["faults that met no request"] += len(player.simulator.faults)
            player.simulator.faults.clear()
            player.simulator.world.scenario = replace(player.cast.scenario, trouble=None)
        await self.clock.sleep(3 * self._interval)  # longer than any pause
        self._is_standing = True
        await self.clock.sleep((SWEEP_POLLS + 2) * self._interval)

    async def _end_day(self) -> None:
        await self._exporter.scrape()  # releases the counters after a start
        published = -1
        while published != self._published:  # otherwise the page is older than the witnesses
            published = self._published
            page = await self._exporter.scrape()
        for player in self._configured:
            if player.witness:
                player.witness.judge(shown(page, player.account.name))
        for player in self.players.values():
            player.simulator.journal.clear()
        self._on_day(self)


def shown(page: Scrape, account: str) -> dict[str, float]:
    """The counters of an account, by stat."""
    outcomes = page.values("twilio_email_outcomes_total", account=account)
    emails = {"total": "emails", "recipients": "recipients", "attempts": "attempts"}
    return {
        **{stat: page.value(f"twilio_email_{name}_total", account=account) for stat, name in emails.items()},
        **{labels[1]: value for labels, value in outcomes.items()},
    }


@asynccontextmanager
async def played(
    plan: Plan, folder: Path, on_day: Callable[[Month], None] = lambda _: None
) -> AsyncIterator[Month]:
    """Everything but the exporter, which `Month.run` starts."""
    clock = ManualClock(settle_turns=40)
    simulators: dict[str, Simulator] = {}
    async with switchboard(simulators) as origin:
        month = Month(plan, folder, origin, clock, on_day)
        simulators |= {each.simulator.credential[0]: each.simulator for each in month.players.values()}
        clock.is_busy = month.is_busy
        yield month
