"""The command `check`, for one account: tries the credential, samples the account, formats the verdict.

Requests one page of the whole window. If the window does not fit on it, shorter spans are requested: at most
three more pages. Must not contain HTTP, settings or output.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from exporter.clock import Clock
from exporter.errors import TwilioError, Unauthorized
from exporter.ledger.reading import Evidence, evidence_of
from exporter.operation import Stats
from exporter.polling.estimate import WAYS, Estimate, Limits, Sample, Way, estimate, recommend
from exporter.polling.reader import LARGEST_ROUNDING_SECONDS, ListApi
from exporter.polling.window import MARGIN_SECONDS, Listing

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


def clock_text(skews: Sequence[float]) -> str:
    """The local clock, compared with the `Date` of every reply; skews are local time minus Twilio's.

    A `Date` has whole seconds, and a reply is read some time after it was written: the smallest skew is the
    most exact one.
    """
    if not skews:
        return "local clock: not compared, because no reply has a date"
    skew = min(skews, key=abs)
    if abs(skew) <= LARGEST_ROUNDING_SECONDS:
        return f"local clock: within {LARGEST_ROUNDING_SECONDS:g} s of Twilio's"
    remedy = "; synchronise it" if abs(skew) > MARGIN_SECONDS else ""
    return f"local clock: {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} Twilio's{remedy}"


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
    lines = (tried, *_lines(sample, costs[way]), *_ways(costs, way), _reading(sample.evidence))
    return Verdict(good=costs[way].fits, lines=(f"account {account}: the credential works", *lines))


async def take_sample(api: ListApi, clock: Clock, lookback: float, patience: float) -> Sample:
    """A sample of the longest span that fits on a page; of the shortest span, if none does."""
    seen: dict[str, Stats] = {}
    for span in (lookback, *(shorter for shorter in SHORTER_SPANS.values() if shorter < lookback)):
        now, began = clock.now(), clock.monotonic()
        page = await api.list_page(now - span, now, None, give_up_at=began + patience)
        seen |= {operation.id: operation.stats for operation in page.operations}
        statuses = [operation.status for operation in page.operations]
        sample = Sample(
            span_seconds=span,
            operations=len(statuses),
            scheduled=statuses.count("scheduled") + statuses.count("unknown"),
            processing=statuses.count("processing"),
            request_seconds=clock.monotonic() - began,
            complete=page.next_token is None,
            evidence=evidence_of(seen.values()),
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


def _reading(evidence: Evidence) -> str:
    """What the operations of the sample say about Twilio's stats."""
    against = (
        f"{evidence.against_cumulative} operations against cumulative states,"
        f" {evidence.against_exclusive} against exclusive ones"
    )
    return f"  stats:      the reading is {evidence.reading}: {against}"
