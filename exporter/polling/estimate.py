"""The cost of polling an account, estimated from a sample of it: pure arithmetic.

Must not know how the sample was taken or how the estimate is shown.
"""

import math
from dataclasses import dataclass
from typing import Final

from exporter.polling.window import Listing

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
    fetch_requests: int
    first_poll_requests: int
    poll_seconds: float
    request_seconds: float
    limits: Limits

    @property
    def poll_requests(self) -> int:
        return self.list_requests + self.fetch_requests

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
        at_best = _seconds(self.list_requests, self.fetch_requests, self.request_seconds, concurrency)
        rate = math.ceil(self.poll_requests / seconds)
        return rate if at_best <= seconds and rate <= HIGHEST_RATE else None


def estimate(sample: Sample, listing: Listing, limits: Limits) -> Estimate:
    """The cost of a poll, if the traffic is as even as in the sample.

    Scheduled operations are assumed to be spread over the window, which gives too many rather than too few;
    processing ones are in its last minutes.
    """
    scale = max(1.0, listing.lookback / sample.span_seconds)
    operations = sample.operations * scale
    unfinished = round(sample.scheduled * scale) + sample.processing
    pages = _pages(operations, listing, limits.interval)
    seconds = max(
        (pages + unfinished) / limits.requests_per_second,
        _seconds(pages, unfinished, sample.request_seconds, limits.concurrency),
    )
    return Estimate(
        operations=round(operations),
        unfinished=unfinished,
        list_requests=pages,
        fetch_requests=unfinished,
        first_poll_requests=max(1, math.ceil(operations / listing.page_size)) + unfinished,
        poll_seconds=seconds,
        request_seconds=sample.request_seconds,
        limits=limits,
    )


def _pages(operations: float, listing: Listing, interval: float) -> int:
    recent = operations * min(1.0, listing.recent / listing.lookback)
    slices = listing.slices(math.ceil(operations - recent), interval)
    if slices == 1:
        return max(1, math.ceil(operations / listing.page_size))
    older = (operations - recent) / slices
    return max(1, math.ceil(recent / listing.page_size)) + math.ceil(older / listing.page_size)


def _seconds(pages: int, fetches: int, request_seconds: float, concurrency: int) -> float:
    """Pages are requested one after the other, fetches concurrently."""
    return request_seconds * (pages + fetches / concurrency)
