"""The page: its text, its parts, and that writing it does not block the event loop."""

import asyncio
import gzip
import zlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector

from exporter.metrics.exposition import Exposition, Part
from exporter.metrics.negotiation import OPENMETRICS, TEXT, Format
from exporter.metrics.text_format import SLICE_LINES, slices
from tests.metrics import golden
from tests.support.states import STATES

cases = pytest.mark.parametrize(
    ("name", "format_"), golden.CASES, ids=[f"{n}-{golden.SUFFIXES[f]}" for n, f in golden.CASES]
)
formats = pytest.mark.parametrize("format_", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])


class Families(Collector):
    """The whole content of a registry, as text."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def registry_of(*families: Metric) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Families(families))
    return registry


def official(registry: CollectorRegistry, format_: Format) -> bytes:
    """What prometheus_client makes of it."""
    if format_.openmetrics:
        return bytes(generate_openmetrics(registry))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def written(registry: CollectorRegistry, format_: Format) -> bytes:
    page = b"".join(slices(registry.collect(), openmetrics=format_.openmetrics))
    return page + b"# EOF\n" if format_.openmetrics else page


def whole(registry: CollectorRegistry) -> CollectorRegistry:
    """The same with families in one piece, as prometheus_client wants them."""
    families: dict[str, Metric] = {}
    for piece in registry.collect():
        if piece.name in families:
            families[piece.name].samples.extend(piece.samples)
        else:
            families[piece.name] = piece
    return registry_of(*families.values())


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
    for registry in (metrics.polled, metrics.own):
        assert written(registry, format_) == official(whole(registry), format_)


@formats
def test_process_metrics_are_written_the_same(format_: Format) -> None:
    """Those of the process and of Python too, of which only the numbers vary."""
    families = list(STATES["one_account"]().metrics.live.collect())
    registry = registry_of(*families)
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
    registry = registry_of(gauge, counter, plain, histogram, Metric("u", help_, "unknown"))
    assert written(registry, format_) == official(registry, format_)


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, 1), (1, 1), (SLICE_LINES - 1, 2), (10 * SLICE_LINES, 11)]
)
def test_slices_are_short(lines: int, expected: int) -> None:
    """A large family is written in slices as well."""
    family = GaugeMetricFamily("g", "Help.", labels=("n",))
    for number in range(lines):
        family.add_metric((str(number),), number)
    pieces = list(slices([family], openmetrics=False))
    assert len(pieces) == expected
    assert all(piece.count(b"\n") <= SLICE_LINES + 1 for piece in pieces)


# -- parts --------------------------------------------------------------------------------------------------


class Source(Collector):
    """A part that counts how often it was read."""

    def __init__(self, name: str, size: int = 1) -> None:
        self.collections = 0
        self.version = 0
        self._family = GaugeMetricFamily(name, "Help.", labels=("n",))
        for number in range(size):
            self._family.add_metric((str(number),), number)

    def collect(self) -> Iterator[Metric]:
        self.collections += 1
        yield self._family

    @property
    def part(self) -> Part:
        registry = CollectorRegistry()
        registry.register(self)
        self.collections = 0
        return Part(registry, lambda: self.version)


@formats
async def test_part_is_written_once_per_version_and_format(format_: Format) -> None:
    """However many scrapes ask, at once or later, as text or gzipped."""
    still, lively = Source("still"), Source("lively")
    exposition = Exposition([still.part, Part(lively.part.registry, object)])
    await asyncio.gather(*(exposition.page(format_) for _ in range(5)))
    await exposition.gzipped_page(format_)
    assert (still.collections, lively.collections) == (1, 6)
    still.version += 1
    await exposition.gzipped_page(format_)
    assert still.collections == 2


async def test_change_while_written_makes_the_text_stale() -> None:
    """What is published during a render is in the next page."""
    source = Source("g", size=3 * SLICE_LINES)
    exposition = Exposition([source.part])
    task = asyncio.create_task(exposition.page(TEXT))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.version += 1
    await task
    await exposition.page(TEXT)
    assert source.collections == 2


@formats
@pytest.mark.parametrize("size", [1, 5000], ids=["small", "large"])
async def test_gzipped_page_is_one_stream(format_: Format, size: int) -> None:
    """Clients that read only the first of several streams see the whole page; level 1, and no file name."""
    sources = [Source("a", size), Source("b"), Source("c", size)]
    exposition = Exposition([source.part for source in sources])
    for _ in range(2):
        compressed = await exposition.gzipped_page(format_)
        page = await exposition.page(format_)
        reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
        assert reader.decompress(compressed) == page == gzip.decompress(compressed)
        assert reader.eof
        assert reader.unused_data == b""
        sources[0].version += 1


async def test_others_get_their_turn() -> None:
    """A large page is written in slices; other tasks run in between."""
    exposition = Exposition([Source("g", size=10 * SLICE_LINES).part])
    task = asyncio.create_task(exposition.page(TEXT))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


async def test_openmetrics_ends_once() -> None:
    """The end mark stands behind the last part only."""
    page = await Exposition([Source("a").part, Source("b").part]).page(OPENMETRICS)
    assert page.count(b"# EOF") == 1
    assert page.endswith(b"# EOF\n")
