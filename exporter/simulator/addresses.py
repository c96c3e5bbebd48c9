"""Who writes to whom, and with which tags: the sender, recipients and tags of an operation's emails.

Everything is derived from the operation's id and the number of the email, so that nothing is stored. During
the spike of a scenario with a culprit, bad emails have the culprit in common. It must not know of statuses
over time, JSON or HTTP.

The domains of the large providers are real, so that a demo looks familiar; the local parts are hashes, and
nothing is ever sent. All other domains are reserved by RFC 2606.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.simulator.scenarios import Culprit

PROVIDERS: Final = (
    *("gmail.com",) * 36,
    *("outlook.com",) * 12,
    *("yahoo.com",) * 10,
    *("icloud.com",) * 8,
    *("hotmail.com",) * 7,
    *("gmx.net",) * 4,
)
"""Of 100 emails, this many go to each; the others go to companies."""
COMPANIES: Final = 400
SENDERS: Final = (
    *("orders.shop.example",) * 4,
    *("news.shop.example",) * 3,
    *("account.shop.example", "support.shop.example") * 2,
)
CATEGORIES: Final = {
    "orders.shop.example": "receipt",
    "news.shop.example": "newsletter",
    "account.shop.example": "password-reset",
    "support.shop.example": "support",
    "offers.shop.example": "promotion",
}
CAMPAIGNS: Final = ("spring-sale", "weekly-digest", "new-arrivals", "loyalty")
UNTAGGED_SHARE: Final = 0.1
"""Share of the operations without any tag."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses and tags of one operation. `culprit`: of the spike in which it was created."""

    operation_id: str
    culprit: Culprit | None

    @property
    def sender(self) -> str:
        return f"hello@{self._of_operation('sender_domain', SENDERS)}"

    @property
    def tags(self) -> dict[str, str] | None:
        """`None`: the emails have none."""
        if self._culprit_of("tag:campaign") is None and self._draw("tags") < UNTAGGED_SHARE:
            return None
        category = CATEGORIES[self.sender.partition("@")[2]]
        return {"campaign": self._of_operation("tag:campaign", CAMPAIGNS), "category": category}

    def recipient(self, number: int, *, is_bad: bool) -> str:
        """`is_bad`: whether the email fails, or comes back, sooner or later."""
        draw = _hash(f"{self.operation_id}/{number}")
        return f"customer_{draw:08x}@{self._recipient_domain(draw, is_bad=is_bad)}"

    def _recipient_domain(self, draw: int, *, is_bad: bool) -> str:
        culprit = self._culprit_of("recipient_domain")
        place = draw % 100
        if culprit and is_bad and place < 100 * culprit.share:
            return culprit.value
        usual = PROVIDERS[place] if place < len(PROVIDERS) else f"company-{draw // 100 % COMPANIES}.example"
        return PROVIDERS[0] if culprit and usual == culprit.value else usual

    def _of_operation(self, dimension: str, usual: Sequence[str]) -> str:
        draw = self._draw(dimension)
        culprit = self._culprit_of(dimension)
        return culprit.value if culprit and draw < culprit.share else usual[int(draw * len(usual))]

    def _culprit_of(self, dimension: str) -> Culprit | None:
        return self.culprit if self.culprit and self.culprit.dimension == dimension else None

    def _draw(self, purpose: str) -> float:
        """From 0 to 1, the same for the same operation and purpose."""
        return _hash(f"{purpose}:{self.operation_id}") / 2**32


def _hash(text: str) -> int:
    """32 bits. A checksum would not do: those of similar texts depend on each other."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())
