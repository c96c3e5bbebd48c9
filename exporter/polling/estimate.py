"""The cost of polling an account, estimated from a sample of it: pure arithmetic.

Must not know how the sample was taken or how the estimate is shown.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from exporter.ledger.reading import NO_EVIDENCE, Evidence
from exporter.polling.fewest import FilteredListing
from exporter.polling.window import Listing

Way: TypeAlias = Literal["all", "fewest", "none"]
"""How unfinished operations are refreshed: a value of `poll.fetch`."""

WAYS: Final[tuple[Way, ...]] = get_args(Way)

FETCH_SHARE: Final = 0.8
"""Share of the interval that a poll may use: no fetch begins later."""

HIGHEST_RATE: Final = 100
"""The largest `api.requests_per_second` that the settings accept."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The operations created within the last `span_seconds`."""

    span_seconds: float
    operations: int
    scheduled: int
    processing: int
    request_seconds: float
    """Duration of one request."""
    complete: bool = True
    """Whether one page held all of them; if not, there are more."""
    evidence: Evidence = NO_EVIDENCE
    """Which reading of the stats all requested operations support."""


@dataclass(frozen=True, slots=True)
class Limits:
    interval: float
    requests_per_second: float
    concurrency: int

    @property
    def poll_seconds(self) -> float:
        """The longest duration of a poll."""
        return FETCH_SHARE * self.interval


@dataclass(frozen=True, slots=True)
class Estimate:
    operations: int
    unfinished: int
    list_requests: int
    """Without listings filtered by status."""
    filtered_requests: int
    """Listings filtered by status, if Twilio filters pages before it cuts them to their size."""
    filtered_requests_at_most: int
    """With the fetches that follow them, if it filters afterwards."""
    fetch_requests: int
    first_poll_requests: int
    poll_seconds: float
    request_seconds: float
    limits: Limits

    @property
    def poll_requests(self) -> int:
        return self.list_requests + self.filtered_requests + self.fetch_requests

    @property
    def poll_requests_at_most(self) -> int:
        return self.list_requests + max(
            self.filtered_requests_at_most, self.filtered_requests + self.fetch_requests
        )

    @property
    def requests_per_minute(self) -> float:
        return self.poll_requests * 60 / self.limits.interval

    @property
    def fits(self) -> bool:
        return self.poll_seconds <= self.limits.poll_seconds

    @property
    def overruns(self) -> bool:
        """Whether the listing alone takes longer than the interval."""
        seconds = max(
            self.list_requests / self.limits.requests_per_second, self.list_requests * self.request_seconds
        )
        return seconds > self.limits.interval

    @property
    def sufficient_interval(self) -> int:
        """Seconds."""
        return math.ceil(self.poll_seconds / FETCH_SHARE)

    @property
    def sufficient_rate(self) -> int | None:
        """Requests per second; `None`: no rate that the settings accept is sufficient."""
        seconds = self.limits.poll_seconds
        concurrency = self.limits.concurrency
        pages = self.list_requests + self.filtered_requests
        at_best = _seconds(pages, self.fetch_requests, self.request_seconds, concurrency)
        rate = math.ceil(self.poll_requests / seconds)
        return rate if at_best <= seconds and rate <= HIGHEST_RATE else None


def estimate(sample: Sample, listing: Listing, limits: Limits, way: Way = "all") -> Estimate:
    """The cost of a poll, if the traffic is as even as in the sample.

    Scheduled operations are assumed to be spread over the window, which gives too many rather than too few;
    processing ones are in its last minutes.
    """
    scale = max(1.0, listing.lookback / sample.span_seconds)
    operations = sample.operations * scale
    scheduled = round(sample.scheduled * scale)
    pages, listed_share = _listing(operations, listing, limits.interval)
    filtered = at_most = fetches = 0
    if way == "all":
        fetches = scheduled + sample.processing
    elif way == "fewest":
        stale = round(scheduled * (1 - listed_share))
        filtering = FilteredListing(stale, scheduled, round(operations), listing.page_size)
        if filtering.saves_requests(stale):
            filtered = filtering.pages(reads_all=False)
            at_most = min(filtering.pages(reads_all=True), stale + 1)  # one page, to find that out
        else:
            fetches = stale
    seconds = max(
        (pages + filtered + fetches) / limits.requests_per_second,
        _seconds(pages + filtered, fetches, sample.request_seconds, limits.concurrency),
    )
    first_fetches = fetches if way == "all" else 0  # the first poll lists every operation
    return Estimate(
        operations=round(operations),
        unfinished=scheduled + sample.processing,
        list_requests=pages,
        filtered_requests=filtered,
        filtered_requests_at_most=at_most,
        fetch_requests=fetches,
        first_poll_requests=max(1, math.ceil(operations / listing.page_size)) + first_fetches,
        poll_seconds=seconds,
        request_seconds=sample.request_seconds,
        limits=limits,
    )


class Recommendation(NamedTuple):
    way: Way
    reason: str


def recommend(costs: Mapping[Way, Estimate]) -> Recommendation:
    """The freshest way that fits; of equally fresh ones the one with the fewest requests."""
    every, fewest = costs["all"], costs["fewest"]
    saved = every.requests_per_minute - fewest.requests_per_minute
    if not fewest.fits and costs["none"].fits:
        return Recommendation("none", "only the listing fits the interval")
    if saved <= 0:
        return Recommendation("all", "the listing filtered by status would save no request")
    reason = f"as fresh as all, with {round(saved, 1):,} fewer requests per minute"
    return Recommendation("fewest", reason)


def _listing(operations: float, listing: Listing, interval: float) -> tuple[int, float]:
    """Pages of a poll's listing, and the share of the window that it lists."""
    recent_share = min(1.0, listing.recent / listing.lookback)
    recent = operations * recent_share
    slices = listing.slices(math.ceil(operations - recent), interval)
    if slices == 1:
        return max(1, math.ceil(operations / listing.page_size)), 1.0
    older = (operations - recent) / slices
    pages = max(1, math.ceil(recent / listing.page_size)) + math.ceil(older / listing.page_size)
    return pages, recent_share + (1 - recent_share) / slices


def _seconds(pages: int, fetches: int, request_seconds: float, concurrency: int) -> float:
    """Pages are requested one after the other, fetches concurrently."""
    return request_seconds * (pages + fetches / concurrency)
