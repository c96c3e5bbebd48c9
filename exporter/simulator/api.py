"""The calls of Twilio's Email API, from a parsed request to a reply.

Sans I/O: the server passes the time and sends the reply. It is strict where Twilio is lenient, so that an
error of a client fails a test. It must not know sockets, faults or the exporter's client.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from exporter.operation import ID_PATTERN
from exporter.simulator.email_listing import read_email_page
from exporter.simulator.emails import find_email
from exporter.simulator.ids import EMAIL_PATTERN
from exporter.simulator.listing import Cursor, Position, Tokens, read_page
from exporter.simulator.query import (
    BadQueryError,
    ListQuery,
    read_email_query,
    read_error_query,
    read_list_query,
)
from exporter.simulator.reply import Reply, email_error_json, email_json, error_reply, operation_json
from exporter.simulator.world import World

T = TypeVar("T")
Pairs: TypeAlias = Iterable[tuple[str, str]]
ReadPage: TypeAlias = Callable[[World, Cursor, int, float], tuple[Sequence[T], Position | None]]


class Api:
    """`at` is the time in the reply, `now` the time of the world."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self._world = world
        self._tokens = tokens

    def list_operations(self, pairs: Pairs, now: float, at: float, *, empty_page: bool = False) -> Reply:
        def read() -> ListQuery:
            return read_list_query(pairs)

        return self._listing(read, read_page, operation_json, now, at, empty_page=empty_page)

    def list_emails(self, pairs: Pairs, now: float, at: float, *, empty_page: bool = False) -> Reply:
        def read() -> ListQuery:
            return read_email_query(pairs)

        return self._listing(read, read_email_page, email_json, now, at, empty_page=empty_page)

    def list_errors(
        self, operation_id: str, pairs: Pairs, now: float, at: float, *, empty_page: bool = False
    ) -> Reply:
        def read() -> ListQuery:
            return read_error_query(pairs, operation_id)

        operation = self.fetch_operation(operation_id, now, at)
        if operation.status != 200:
            return operation
        if not self._world.readings.errors:
            return error_reply(at, 404, "The resource was not found.")
        return self._listing(read, read_email_page, email_error_json, now, at, empty_page=empty_page)

    def fetch_operation(self, operation_id: str, now: float, at: float) -> Reply:
        operation = self._world.find(operation_id, now)
        if operation is not None:
            return Reply(at).with_json(operation_json(operation))
        if not ID_PATTERN.fullmatch(operation_id):
            return error_reply(at, 400, "This is not the id of an operation.", "operationId")
        return error_reply(at, 404, "The operation was not found.", "operationId")

    def fetch_email(self, email_id: str, now: float, at: float) -> Reply:
        email = find_email(self._world, email_id, now)
        if email is not None:
            return Reply(at).with_json(email_json(email))
        if not EMAIL_PATTERN.fullmatch(email_id):
            return error_reply(at, 400, "This is not the id of an email.", "emailId")
        return error_reply(at, 404, "The email was not found.", "emailId")

    def _listing(
        self,
        read_query: Callable[[], ListQuery],
        read_rows: ReadPage[T],
        as_json: Callable[[T], dict[str, Any]],
        now: float,
        at: float,
        *,
        empty_page: bool,
    ) -> Reply:
        try:
            query = read_query()
            cursor = self._cursor(query, now)
        except BadQueryError as error:
            return error_reply(at, 400, str(error), error.parameter)
        following = replace(cursor, page=cursor.page + 1)
        every = self._world.readings.empty_page_every
        if empty_page or (every and cursor.page % every == 0):
            return self._page(at, now, [], query, cursor, following)
        found, last = read_rows(self._world, cursor, query.page_size, now)
        rows = [as_json(each) for each in found]
        return self._page(at, now, rows, query, cursor, replace(following, after=last) if last else None)

    def _cursor(self, query: ListQuery, now: float) -> Cursor:
        if query.page_token is None:
            return Cursor(query.filters, listed_at=now)
        cursor = self._tokens.redeem(query.page_token, now)
        if cursor is None or cursor.filters.call != query.filters.call:
            raise BadQueryError("pageToken", "pageToken is invalid or has expired.")
        match self._world.readings.page_filters:
            case "carried":
                return cursor
            case "forgotten":
                return replace(cursor, filters=query.filters)
        if cursor.filters != query.filters:
            raise BadQueryError("pageToken", "pageToken belongs to a listing with other filters.")
        return cursor

    def _page(
        self,
        at: float,
        now: float,
        rows: list[dict[str, Any]],
        query: ListQuery,
        cursor: Cursor,
        following: Cursor | None,
    ) -> Reply:
        pagination = {
            "next": self._tokens.issue(following, now) if following else None,
            "self": query.page_token or self._tokens.issue(cursor, now),
        }
        return Reply(at).with_json({query.filters.call: rows, "pagination": pagination})
