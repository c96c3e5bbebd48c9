"""Detects a listing that never ends. Pure; must not contain requests."""

from collections.abc import Iterable
from typing import Final, Protocol

from exporter.errors import Truncated

STALE_PAGES: Final = 10
"""Pages in a row without a new row. Some are normal: Twilio may filter a page after reading it."""

_SLOTS: Final = 2**22
"""Four megabytes. After a million operations, one new id in five is treated as known, but no full page is."""


class Page(Protocol):
    """A page of a listing of anything."""

    @property
    def ids(self) -> Iterable[str]: ...

    @property
    def next_token(self) -> str | None: ...


class ListingGuard:
    """Checks the pages of one listing in their order."""

    def __init__(self, max_pages: int) -> None:
        self._max_pages = max_pages
        self._pages = 0
        self._stale_pages = 0
        self._tokens: set[str] = set()
        self._seen = bytearray()

    def check(self, page: Page) -> None:
        """Raises `Truncated` for a page after which the listing would not end."""
        token = page.next_token
        if token is None:
            return
        self._pages += 1
        self._stale_pages = 0 if self._note(page.ids) else self._stale_pages + 1
        if token in self._tokens:
            raise Truncated("the listing does not end: a page token was repeated")
        if self._stale_pages >= STALE_PAGES:
            raise Truncated(f"the listing does not end: {STALE_PAGES} pages in a row without a new row")
        if self._pages >= self._max_pages:
            raise Truncated(f"the listing does not end: it has more than {self._max_pages} pages")
        self._tokens.add(token)

    def _note(self, ids: Iterable[str]) -> bool:
        """Whether one of the ids is new to this listing."""
        self._seen = self._seen or bytearray(_SLOTS)  # most listings have one page, and need none
        seen, is_new = self._seen, False
        for each in ids:
            slot = hash(each) % _SLOTS
            if not seen[slot]:
                seen[slot] = is_new = True
        return is_new
