"""The two calls of Twilio's Email Operations API, from a parsed request to a reply.

Sans I/O: the server passes the time and sends the reply. It is strict where Twilio is lenient, so that an
error of a client fails a test. It must not know sockets, faults or the exporter's client.
"""

from collections.abc import Iterable
from dataclasses import replace

from exporter.operation import ID_PATTERN
from exporter.simulator.listing import Cursor, Tokens, read_page
from exporter.simulator.query import BadQueryError, ListQuery, read_list_query
from exporter.simulator.reply import Reply, error_reply, operation_json
from exporter.simulator.world import World


class Api:
    """`at` is the time in the reply, `now` the time of the world."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self._world = world
        self._tokens = tokens

    def list_operations(
        self, pairs: Iterable[tuple[str, str]], now: float, at: float, *, empty_page: bool = False
    ) -> Reply:
        try:
            query = read_list_query(pairs)
            cursor = self._cursor(query, now)
        except BadQueryError as error:
            return error_reply(at, 400, str(error), error.parameter)
        every = self._world.readings.empty_page_every
        if empty_page or (every and cursor.page % every == 0):
            return self._page(at, now, [], query, cursor, replace(cursor, page=cursor.page + 1))
        operations, last = read_page(self._world, cursor, query.page_size, now)
        following = replace(cursor, page=cursor.page + 1, after=last) if last else None
        rows = [operation_json(operation) for operation in operations]
        return self._page(at, now, rows, query, cursor, following)

    def fetch_operation(self, operation_id: str, now: float, at: float) -> Reply:
        operation = self._world.find(operation_id, now)
        if operation is not None:
            return Reply(at).with_json(operation_json(operation))
        if not ID_PATTERN.fullmatch(operation_id):
            return error_reply(at, 400, "This is not the id of an operation.", "operationId")
        return error_reply(at, 404, "The operation was not found.", "operationId")

    def _cursor(self, query: ListQuery, now: float) -> Cursor:
        if query.page_token is None:
            return Cursor(query.filters, listed_at=now)
        cursor = self._tokens.redeem(query.page_token, now)
        if cursor is None:
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
        rows: list[dict[str, object]],
        query: ListQuery,
        cursor: Cursor,
        following: Cursor | None,
    ) -> Reply:
        pagination = {
            "next": self._tokens.issue(following, now) if following else None,
            "self": query.page_token or self._tokens.issue(cursor, now),
        }
        return Reply(at).with_json({"operations": rows, "pagination": pagination})
