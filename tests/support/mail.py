"""Emails for tests, and a Twilio without a network that lists scripted pages of them."""

from collections.abc import Collection, Mapping
from typing import Any

from exporter.email import Email, EmailPage, ErrorPage
from exporter.errors import TwilioError
from exporter.twilio.client import RequestBudget
from tests.support.clock import SATURDAY
from tests.support.operations import IDS


def an_email(number: int = 0, **changes: Any) -> Email:
    email = Email(
        id=f"comms_email_01k{number:023}",
        status="failed",
        created_at=SATURDAY - 600,
        updated_at=SATURDAY - 500,
        operation_id=IDS[0],
        sender_domain="shop.example",
        recipient_domains=("mail.example",),
        tags={},
    )
    return email._replace(**changes)


class ScriptedMail:
    """`pages`: by status or operation id, in order; an error is raised, `None` is a 404."""

    def __init__(self, pages: Mapping[str, list[EmailPage | ErrorPage | TwilioError | None]]) -> None:
        self.pages = {name: list(scripted) for name, scripted in pages.items()}
        self.asked: list[tuple[str, str | None]] = []
        """What each request asked for, and its page token."""
        self.ranges: set[tuple[float, float]] = set()
        self.tag_keys: set[Collection[str] | None] = set()

    def _next(self, name: str, token: str | None, budget: RequestBudget) -> Any:
        assert budget.left > 0, "the budget is respected"
        budget.left -= 1
        self.asked.append((name, token))
        page = self.pages[name].pop(0)
        if isinstance(page, TwilioError):
            raise page
        return page

    async def list_emails_page(
        self,
        status: str,
        start: float,
        end: float,
        page_token: str | None,
        *,
        budget: RequestBudget,
        give_up_at: float,
        operation_id: str | None = None,
        tag_keys: Collection[str] | None = None,
    ) -> EmailPage:
        self.ranges.add((start, end))
        self.tag_keys.add(tag_keys)
        page: EmailPage = self._next(status, page_token, budget)
        return page

    async def list_errors_page(
        self, operation_id: str, page_token: str | None, *, budget: RequestBudget, give_up_at: float
    ) -> ErrorPage | None:
        page: ErrorPage | None = self._next(operation_id, page_token, budget)
        return page
