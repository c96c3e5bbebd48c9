"""The command `check`, for one account: tries the credential, samples the account, formats the verdict.

Requests one page of the whole window. If the window does not fit on it, shorter spans are requested: at most
three more pages. Must not contain HTTP, settings or output.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from exporter.clock import Clock
from exporter.errors import TwilioError, Unauthorized
from exporter.polling.estimate import WAYS, Estimate, Limits, Sample, Way, estimate, recommend
from exporter.polling.reader import ListApi
from exporter.polling.window import Listing

SHORTER_SPANS: Final = {"day": 86400.0, "hour": 3600.0, "5 minutes": 300.0}
"""Requested one after the other, until one fits on a page."""


class Verdict(NamedTuple):
    good: bool
    lines: tuple[str, ...]


class Access(NamedTuple):
    """Which credential is tried where; neither part is a secret."""

    credential_id: str
    """Account SID or API key SID."""
    base_url: str


async def check_account(
    account: str,
    api: ListApi,
    clock: Clock,
    access: Access,
    listing: Listing,
    limits: Limits,
    way: Way,
    patience: float,
) -> Verdict:
    """`way`: the configured one. `patience`: seconds for each request, with its retries."""
    tried = f"  credential: {access.credential_id} at {access.base_url}"
    try:
        sample = await take_sample(api, clock, listing.lookback, patience)
    except Unauthorized as error:
        refused = f"account {account}: the credential does not work: {error}"
        return Verdict(good=False, lines=(refused, tried))
    except TwilioError as error:
        failed = f"account {account}: the credential could not be tested: {error} ({error.outcome})"
        return Verdict(good=False, lines=(failed, tried))
    costs = {each: estimate(sample, listing, limits, each) for each in WAYS}
    lines = (tried, *_lines(sample, costs[way]), *_ways(costs, way))
    return Verdict(good=costs[way].fits, lines=(f"account {account}: the credential works", *lines))


async def take_sample(api: ListApi, clock: Clock, lookback: float, patience: float) -> Sample:
    """A sample of the longest span that fits on a page; of the shortest span, if none does."""
    for span in (lookback, *(shorter for shorter in SHORTER_SPANS.values() if shorter < lookback)):
        now, began = clock.now(), clock.monotonic()
        page = await api.list_page(now - span, now, None, give_up_at=began + patience)
        statuses = [operation.status for operation in page.operations]
        sample = Sample(
            span_seconds=span,
            operations=len(statuses),
            scheduled=statuses.count("scheduled") + statuses.count("unknown"),
            processing=statuses.count("processing"),
            request_seconds=clock.monotonic() - began,
            complete=page.next_token is None,
        )
        if sample.complete:
            break
    return sample


def _lines(sample: Sample, cost: Estimate) -> Iterator[str]:
    limits = cost.limits
    about = "at least" if not sample.complete else "about"
    spans = {seconds: f", estimated from the last {name}" for name, seconds in SHORTER_SPANS.items()}
    basis = spans.get(sample.span_seconds, "")
    unfinished = f"at most {cost.unfinished} unfinished{basis}"
    yield f"  operations: {about} {cost.operations} in the window, {unfinished}"
    lists = cost.list_requests + cost.filtered_requests
    yield (
        f"  requests:   {cost.poll_requests} per poll ({lists} to list, {cost.fetch_requests} to fetch),"
        f" {round(cost.requests_per_minute, 1):,} per minute; first poll {cost.first_poll_requests}"
    )
    takes = f"a poll takes about {cost.poll_seconds:.1f} s of the {limits.interval:g} s interval"
    rate = f"at {limits.requests_per_second:g} requests per second"
    if cost.fits:
        yield f"  time:       {takes} {rate}: it fits"
        return
    but = "polls would overrun" if cost.overruns else "some operations would be fetched in later polls"
    yield f"  time:       {takes} {rate}: it does not fit, {but}"
    change = f"set poll.interval to {cost.sufficient_interval}s or more"
    if cost.sufficient_rate is not None:
        change += f", or api.requests_per_second to {cost.sufficient_rate} or more"
    yield f"  to change:  {change}"


def _ways(costs: Mapping[Way, Estimate], way: Way) -> Iterator[str]:
    """What each value of `poll.fetch` would cost, and which one is best."""
    for each, cost in costs.items():
        at_most = cost.poll_requests_at_most
        bound = f" (at most {at_most})" if at_most > cost.poll_requests else ""
        counts = f"{cost.poll_requests}{bound} per poll, {round(cost.requests_per_minute, 1):,} per minute"
        fits = "fits" if cost.fits else "does not fit"
        yield f"  poll.fetch: {each}: {counts}, {fits}{'; in use' if each == way else ''}"
    best = recommend(costs)
    yield f"  recommended: poll.fetch={best.way}: {best.reason}"
