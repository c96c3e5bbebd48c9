"""When a listing filtered by status is made in place of fetches, and when it ends."""

from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from exporter.operation import STATUSES
from exporter.polling.fewest import FilteredListing, is_filter_ignored
from tests.support.operations import operation

counts = st.builds(
    FilteredListing,
    stale=st.integers(0, 300),
    matching=st.integers(0, 50_000),
    in_range=st.integers(0, 1_000_000),
    page_size=st.sampled_from([1, 10, 1000]),
)


def test_forty_fetches_become_one_listing() -> None:
    """What fits on a page is listed with one request, unless one fetch does as well."""
    assert FilteredListing(40, 40, 5000, 1000).saves_requests(40)
    assert FilteredListing(2, 2, 5000, 1000).saves_requests(2)
    assert not FilteredListing(1, 1, 5000, 1000).saves_requests(1)
    assert not FilteredListing(0, 40, 5000, 1000).saves_requests(0)


def test_few_stale_operations_among_many_of_their_status_are_fetched() -> None:
    """Ten pages would replace five fetches."""
    assert not FilteredListing(5, 10_000, 20_000, 1000).saves_requests(5)
    assert FilteredListing(11, 10_000, 20_000, 1000).saves_requests(11)


def test_pages_cut_before_they_are_filtered_are_as_many_as_those_of_the_whole_range() -> None:
    """A million operations are not listed for 200 fetches, and 5,000 are for 40."""
    assert not FilteredListing(200, 200, 1_000_000, 1000).saves_requests(200, reads_all=True)
    assert FilteredListing(40, 40, 5000, 1000).saves_requests(40, reads_all=True)


@given(counts, st.booleans())
def test_predicted_cost_is_the_lower_one(counts: FilteredListing, reads_all: bool) -> None:
    """Of as many pages as expected and as many fetches as there are stale operations; fetches if equal."""
    lists = counts.saves_requests(counts.stale, reads_all=reads_all)
    assert lists == (counts.pages(reads_all=reads_all) < counts.stale)


pages = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=20)
"""Whether each page shows that all operations are read for it, and how many stale ones it shows."""


@given(counts, pages)
def test_cost_is_bounded_whatever_the_pages_show(
    counts: FilteredListing, pages: list[tuple[bool, int]]
) -> None:
    """Pages and the fetches after them are at most twice the fetches alone, even if no page is the last."""
    unseen, read = counts.stale, 0
    for reads_all, shown in cycle(pages):
        if not counts.saves_requests(unseen, read, reads_all=reads_all):
            break
        read += 1
        unseen -= min(unseen, shown)
    assert read + unseen <= 2 * counts.stale


def test_filter_is_ignored_if_most_rows_are_final() -> None:
    """Operations that have just been sent, or few rows, are no evidence."""
    rows = [operation(status=status) for status in STATUSES]
    final = [operation(status=status) for status in ("completed", "canceled")]
    processing = [operation(status="processing")] * 500
    assert is_filter_ignored(final * 10 + rows)
    assert not is_filter_ignored(final * 2)
    assert not is_filter_ignored(processing + final * 10)
    assert not is_filter_ignored([])
