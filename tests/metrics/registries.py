"""Parts of the page as registries of prometheus_client, which can be asked for single values."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from exporter.metrics.exposition import Part
from exporter.metrics.registry import Metrics


class _Parts(Collector):
    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = list(parts)

    def collect(self) -> Iterator[Metric]:
        """Families in one piece, as prometheus_client wants them."""
        families: dict[str, Metric] = {}
        for part in self._parts:
            for piece in part.collect():
                families.setdefault(piece.name, piece)
                if families[piece.name] is not piece:
                    families[piece.name].samples.extend(piece.samples)
        yield from families.values()


def registry_of(*parts: Part) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Parts(parts))
    return registry


def polled(metrics: Metrics) -> CollectorRegistry:
    return registry_of(*metrics.polled)


def own(metrics: Metrics) -> CollectorRegistry:
    """Without what is read at each scrape."""
    return registry_of(*metrics.own)
