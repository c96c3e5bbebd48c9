"""A Twilio without a network, for property tests with thousands of polls.

It answers the calls of a poller directly, and fails on request. All other tests use the simulator.
"""

from collections.abc import Iterable

from exporter.errors import TwilioError
from exporter.operation import Operation
from exporter.twilio.protocol import Page


class PlainTwilio:
    """`operations` are the current states; `replies` are all states that were sent, in order."""

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        self.hidden: set[str] = set()
        self.stale: dict[str, Operation] = {}
        """Older states that the next replies contain instead, once each."""
        self.failures: list[TwilioError] = []
        self.replies: list[Operation] = []

    def reply(self, operations: Iterable[Operation]) -> list[Operation]:
        sent = [self.stale.pop(each.id, each) for each in operations]
        self.replies += sent
        return sent

    async def list_page(
        self,
        start: float,
        end: float,
        page_token: str | None,
        *,
        give_up_at: float,
        status: str | None = None,
    ) -> Page:
        inside = [
            each
            for each in self.operations.values()
            if start <= each.created_at <= end and each.id not in self.hidden
            if status in {None, each.status}
        ]
        half = len(inside) // 2
        if page_token is None and half:
            return Page(self.reply(inside[:half]), "next")
        if self.failures:
            raise self.failures.pop()
        return Page(self.reply(inside[half:] if page_token else inside), None)

    async def fetch_operation(self, operation_id: str, *, give_up_at: float) -> Operation | None:
        if self.failures:
            raise self.failures.pop()
        if operation_id in self.hidden or operation_id not in self.operations:
            return None
        (sent,) = self.reply([self.operations[operation_id]])
        return sent
