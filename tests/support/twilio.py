"""A Twilio without a network, for properties that need thousands of polls: pages in, no sockets.

The simulator is the one for everything else; this one only answers a poller, and fails when told to.
"""

from collections.abc import Iterable

from exporter.errors import TwilioError
from exporter.operation import Operation
from exporter.twilio.protocol import Page


class PlainTwilio:
    """`operations` is the truth; `replies` is all that was ever told of it, in order."""

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        self.hidden: set[str] = set()
        self.stale: dict[str, Operation] = {}
        """What the next replies say instead, once each."""
        self.failures: list[TwilioError] = []
        self.replies: list[Operation] = []

    def tell(self, operations: Iterable[Operation]) -> list[Operation]:
        told = [self.stale.pop(each.id, each) for each in operations]
        self.replies += told
        return told

    async def list_page(self, start: float, end: float, page_token: str | None, *, give_up_at: float) -> Page:
        inside = [
            each
            for each in self.operations.values()
            if start <= each.created_at <= end and each.id not in self.hidden
        ]
        half = len(inside) // 2
        if page_token is None and half:
            return Page(self.tell(inside[:half]), "next")
        if self.failures:
            raise self.failures.pop()
        return Page(self.tell(inside[half:] if page_token else inside), None)

    async def fetch_operation(self, operation_id: str, *, give_up_at: float) -> Operation | None:
        if self.failures:
            raise self.failures.pop()
        if operation_id in self.hidden or operation_id not in self.operations:
            return None
        (told,) = self.tell([self.operations[operation_id]])
        return told
