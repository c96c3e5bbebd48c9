"""The page: its text, its parts, and that writing it does not block the event loop."""

import asyncio
import gzip
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from exporter.metrics.exposition import AHEAD_SECONDS, LATELY_SECONDS, SCRAPE_SECONDS, Exposition, Part
from exporter.metrics.negotiation import OPENMETRICS, TEXT, Format
from exporter.metrics.text_format import SLICE_LINES, head, slices
from tests.metrics import golden
from tests.metrics.registries import own, polled, registry_of
from tests.support.clock import ManualClock
from tests.support.states import STATES

cases = pytest.mark.parametrize(
    ("name", "format_"), golden.CASES, ids=[f"{n}-{golden.SUFFIXES[f]}" for n, f in golden.CASES]
)
formats = pytest.mark.parametrize("format_", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])


def part_of(*families: Metric) -> Part:
    return Part(lambda: families)


def official(registry: CollectorRegistry, format_: Format) -> bytes:
    """What prometheus_client makes of it."""
    if format_.openmetrics:
        return bytes(generate_openmetrics(registry))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def written(registry: CollectorRegistry, format_: Format) -> bytes:
    page = b"".join(
        head(family, openmetrics=format_.openmetrics) + b"".join(slices(family))
        for family in registry.collect()
    )
    return page + b"# EOF\n" if format_.openmetrics else page


# -- text ---------------------------------------------------------------------------------------------------


@cases
async def test_page_is_the_golden_one(name: str, format_: Format) -> None:
    """The text equals the golden pages; `python -m tests.metrics.golden` regenerates them."""
    assert (await golden.page(name, format_)).decode() == golden.path(name, format_).read_text(
        encoding="utf-8"
    )


def test_no_golden_page_is_left_over() -> None:
    """Each belongs to a state."""
    assert set(golden.FOLDER.iterdir()) == {golden.path(*case) for case in golden.CASES}


@cases
def test_official_parser_reads_the_golden_page(name: str, format_: Format) -> None:
    """Every sample comes back, of a family with type and help."""
    text = golden.path(name, format_).read_text(encoding="utf-8")
    families = list((read_openmetrics if format_.openmetrics else read_text)(text))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert sum(len(family.samples) for family in families) == len(lines)
    assert all(family.documentation and family.type != "unknown" for family in families)
    assert not any(sample.name.endswith("_created") for family in families for sample in family.samples)


@formats
@pytest.mark.parametrize("name", STATES)
def test_text_is_what_prometheus_client_writes(name: str, format_: Format) -> None:
    """Faster, and the same bytes, for everything that the exporter shows."""
    metrics = STATES[name]().metrics
    for registry in (polled(metrics), own(metrics)):
        assert written(registry, format_) == official(registry, format_)


@formats
def test_process_metrics_are_written_the_same(format_: Format) -> None:
    """Those of the process and of Python too, of which only the numbers vary."""
    registry = registry_of(part_of(*STATES["one_account"]().metrics.live.collect()))
    assert written(registry, format_) == official(registry, format_)


label_values = st.text() | st.sampled_from(['a"b', "a\\b", "a\nb", ""])
# Adding nothing turns the negative zero into the positive one, which shares its text here.
numbers = st.floats().map(lambda value: value + 0.0) | st.integers(-(10**18), 10**18) | st.booleans()


@formats
@given(help_=label_values, rows=st.lists(st.tuples(label_values, label_values, numbers)))
def test_any_text_and_number_is_written_the_same(
    format_: Format, help_: str, rows: list[tuple[str, str, float]]
) -> None:
    """Escapes, infinities and large numbers are those of the official writer."""
    gauge = GaugeMetricFamily("g", help_, labels=("b", "a"), unit="")
    counter = CounterMetricFamily("c_total", help_, labels=("x",))
    for first, second, value in rows:
        gauge.add_metric((first, second), value)
        counter.add_metric((first,), value)
    plain = GaugeMetricFamily("h_seconds", help_, value=1, unit="seconds")
    histogram = HistogramMetricFamily("i", help_, buckets=[("0.5", 1), ("+Inf", 2)], sum_value=0.7)
    registry = registry_of(part_of(gauge, counter, plain, histogram, Metric("u", help_, "unknown")))
    assert written(registry, format_) == official(registry, format_)


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, 0), (1, 1), (SLICE_LINES, 1), (SLICE_LINES + 1, 2), (10 * SLICE_LINES, 10)]
)
def test_slices_are_short(lines: int, expected: int) -> None:
    """A large family is written in slices."""
    pieces = list(slices(gauge_of("g", lines)))
    assert len(pieces) == expected
    assert all(piece.count(b"\n") <= SLICE_LINES for piece in pieces)


# -- parts --------------------------------------------------------------------------------------------------


def gauge_of(name: str, size: int, value: float = 0.0, source: str = "") -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, "Help.", labels=("source", "n"))
    for number in range(size):
        family.add_metric((source, str(number)), value)
    return family


class Source:
    """A part that counts how often it was read."""

    def __init__(self, *names: str, size: int = 1, source: str = "", is_live: bool = False) -> None:
        self.collections = 0
        self.families = [gauge_of(name, size, source=source) for name in names]
        self.part = Part(self.collect, is_live=is_live)

    def collect(self) -> Iterator[Metric]:
        self.collections += 1
        yield from self.families


def families_of(page: bytes) -> list[str]:
    return [line.split()[2] for line in page.decode().splitlines() if line.startswith("# TYPE")]


async def test_part_is_written_once_per_change() -> None:
    """However many scrapes ask, at once or later, in whatever format, and whatever else changes."""
    still, changed = Source("g", source="still"), Source("g", source="changed")
    exposition = Exposition([still.part, changed.part])
    await asyncio.gather(*(exposition.page(each) for each in (TEXT, OPENMETRICS) for _ in range(5)))
    await exposition.gzipped_page(TEXT)
    assert (still.collections, changed.collections) == (1, 1)
    changed.families = [gauge_of("g", 1, value=7.0, source="changed")]
    changed.part.changes += 1
    assert b'source="changed"} 7.0' in await exposition.page(TEXT)
    assert (still.collections, changed.collections) == (1, 2)


async def test_families_are_in_one_piece_and_in_order() -> None:
    """Whichever parts have them, and whenever these appear; a family without samples has its head."""
    first, second = Source("b", source="1"), Source("b", "c", source="2")
    exposition = Exposition([first.part, second.part, Source("z", "y").part], ["a", "b", "c"])
    assert families_of(await exposition.page(TEXT)) == ["b", "c", "z", "y"]
    first.families = [gauge_of("c", 1, source="1"), gauge_of("a", 0)]
    first.part.changes += 1
    page = await exposition.page(TEXT)
    assert families_of(page) == ["a", "b", "c", "z", "y"]
    assert [line for line in page.splitlines() if b"1" in line] == [b'c{n="0",source="1"} 0.0']


async def test_change_while_written_makes_the_text_stale() -> None:
    """What is published during a render is in the next page."""
    source = Source("g", size=3 * SLICE_LINES)
    exposition = Exposition([source.part])
    task = asyncio.create_task(exposition.page(TEXT))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.part.changes += 1
    await task
    await exposition.page(TEXT)
    assert source.collections == 2


async def test_minor_changes_are_seconds_late_at_most() -> None:
    """With the next change they are not late at all."""
    clock = ManualClock()
    minor, live = Source("g"), Source("h", is_live=True)
    exposition = Exposition([minor.part, live.part], monotonic=clock.monotonic)
    await exposition.page(TEXT)
    minor.part.minor_changes += 1
    await exposition.page(TEXT)
    assert (minor.collections, live.collections) == (1, 1)
    clock.advance(SCRAPE_SECONDS)
    await exposition.page(TEXT)
    assert (minor.collections, live.collections) == (2, 2)
    clock.advance(SCRAPE_SECONDS)
    await exposition.page(TEXT)
    assert (minor.collections, live.collections) == (2, 3), "nothing has changed in the first"
    minor.part.minor_changes += 1
    minor.part.changes += 1
    await exposition.page(TEXT)
    assert minor.collections == 3


async def test_rendering_ahead_leaves_nothing_to_the_scrape() -> None:
    """But only of what was asked for lately: nobody may ever scrape."""
    clock = ManualClock()
    source, live = Source("g"), Source("h", is_live=True)
    exposition = Exposition([source.part, live.part], monotonic=clock.monotonic)
    await exposition.render_ahead()
    assert source.collections == 0, "nobody has asked yet"
    page = await exposition.gzipped_page(TEXT)
    source.families = [gauge_of("g", 1, value=7.0)]
    source.part.changes += 1
    clock.advance(AHEAD_SECONDS)
    await exposition.render_ahead()
    assert (source.collections, live.collections) == (2, 2)
    assert await exposition.gzipped_page(TEXT) != page
    assert (source.collections, live.collections) == (2, 2)
    clock.advance(LATELY_SECONDS)
    source.part.changes += 1
    await exposition.render_ahead()
    assert source.collections == 2


@formats
@pytest.mark.parametrize("size", [1, 10_000], ids=["small", "large"])
async def test_gzipped_page_is_one_stream(format_: Format, size: int) -> None:
    """Clients that read only the first of several streams see the whole page."""
    sources = [Source("a", size=size), Source("b"), Source("c", size=size)]
    exposition = Exposition([source.part for source in sources])
    for value in range(2):
        compressed = await exposition.gzipped_page(format_)
        page = await exposition.page(format_)
        reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
        assert reader.decompress(compressed) == page == gzip.decompress(compressed)
        assert reader.eof
        assert reader.unused_data == b""
        sources[0].families = [gauge_of("a", size, value=value)]
        sources[0].part.changes += 1


changes = st.lists(
    st.tuples(st.integers(0, 24), st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), max_size=3))
)


@formats
@pytest.mark.parametrize("padding", ["", 50_000 * "x"], ids=["compressed whole", "compressed in blocks"])
@given(changes=changes)
async def test_page_after_any_changes_is_the_page_of_their_result(
    format_: Format, padding: str, changes: list[tuple[int, list[tuple[str, int]]]]
) -> None:
    """Nothing is left of what was, as text and gzipped; more parts than are compressed together."""
    sources = [Source() for _ in range(25)]
    order = ["d", "a", "b"]
    exposition = Exposition([each.part for each in sources], order)
    for value, (number, names) in enumerate(changes):
        families = {name: gauge_of(name, size, value, source=f"{number}{padding}") for name, size in names}
        sources[number].families = list(families.values())
        sources[number].part.changes += 1
        await exposition.gzipped_page(format_)
    expected = await Exposition([each.part for each in sources], [*order, "c"]).page(format_)
    assert (
        await exposition.page(format_) == gzip.decompress(await exposition.gzipped_page(format_)) == expected
    )


async def test_others_get_their_turn() -> None:
    """A large page is written in slices; other tasks run in between."""
    exposition = Exposition([Source("g", size=10 * SLICE_LINES).part])
    task = asyncio.create_task(exposition.page(TEXT))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 5


async def test_openmetrics_ends_once() -> None:
    """The end mark stands behind the last part only."""
    page = await Exposition([Source("a").part, Source("b").part]).page(OPENMETRICS)
    assert page.count(b"# EOF") == 1
    assert page.endswith(b"# EOF\n")
