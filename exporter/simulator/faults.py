"""What can go wrong between Twilio and a client, as changes to a reply that would have been right.

A fault is a name and a pure function from reply to reply; the constructors below are the table of them.
Those that spoil JSON leave replies other than 200 alone. Must not know: sockets, worlds, the exporter.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final, Literal, TypeAlias

from exporter.operation import Operation
from exporter.simulator.reply import Reply, error_json, flat_error_json, http_date, operation_json

Body: TypeAlias = Literal["errors", "flat", "html", "empty"]

GATEWAY_PAGE: Final = b"<html>\r\n<head><title>Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"

HOSTILE_IDS: Final = (
    'comms_operation_0"} 1\nforged_metric{a="',
    "comms_operation_01kabcdefghjkmnpqrstvwxyz0\n",
    "comms_operation_/../../Accounts",
    "comms_operation_0" + "a" * 10_000,
    "",
)
"""For labels, URLs and logs; none matches Twilio's pattern."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`empty_page`: the list gives an empty page with `next`, and the rows on the page after it."""

    name: str
    change: Callable[[Reply], Reply]
    empty_page: bool = False


def status(
    code: int, *, body: Body = "errors", retry_after: str | float | None = None, as_date: bool = False
) -> Fault:
    """`retry_after`: seconds from now, sent as an HTTP date if `as_date`; text is sent as it stands."""

    def change(reply: Reply) -> Reply:
        spoilt = replace(_bodies(reply, code)[body], status=code)
        if retry_after is None:
            return spoilt
        is_date = as_date and not isinstance(retry_after, str)
        value = http_date(reply.at + float(retry_after)) if is_date else str(retry_after)
        return replace(spoilt, headers=(("Retry-After", value),))

    return Fault(f"status {code}", change)


def _bodies(reply: Reply, code: int) -> dict[Body, Reply]:
    blank = Reply(reply.at)
    return {
        "errors": blank.with_json(error_json(code)),
        "flat": blank.with_json(flat_error_json(code)),
        "html": replace(blank, body=GATEWAY_PAGE, content_type="text/html"),
        "empty": blank,
    }


def redirect(location: str, code: int = 302) -> Fault:
    return Fault(f"redirect {code}", lambda reply: Reply(reply.at, code, headers=(("Location", location),)))


def reset() -> Fault:
    """The connection is reset before a reply."""
    return Fault("reset", lambda reply: replace(reply, delivery="reset"))


def cut() -> Fault:
    """The connection closes in the middle of the body that Content-Length promised."""
    return Fault("cut", lambda reply: replace(reply, delivery="cut"))


def hang() -> Fault:
    """No reply until the client leaves or the simulator closes."""
    return Fault("hang", lambda reply: replace(reply, delivery="hang"))


def slow(seconds: float) -> Fault:
    """The right reply after that long by the simulator's clock."""
    return Fault("slow", lambda reply: replace(reply, delay_seconds=seconds))


def empty_page() -> Fault:
    return Fault("empty page", lambda reply: reply, empty_page=True)


def cut_json() -> Fault:
    """Half of the JSON, with a Content-Length that fits it."""
    return Fault("cut JSON", lambda reply: replace(reply, body=reply.body[: len(reply.body) // 2]))


def misspelt_json() -> Fault:
    return Fault("misspelt JSON", lambda reply: replace(reply, body=b"{'operations': [}"))


def oversized(least_bytes: int) -> Fault:
    """Right JSON, followed by so many blanks that the body has at least that many bytes."""
    return Fault("oversized", lambda reply: replace(reply, body=reply.body.ljust(least_bytes)))


def wrong_type(path: tuple[str | int, ...], value: object) -> Fault:
    """Puts any JSON at a place, as `("operations", 0, "stats", "total")`; no path: instead of everything."""

    def change(reply: Reply) -> Reply:
        if not path or reply.status != 200:
            return reply.with_json(value) if reply.status == 200 else reply
        whole = inner = json.loads(reply.body)
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        return reply.with_json(whole)

    return Fault(f"wrong type at {path}", change)


def without_operations() -> Fault:
    """200 with JSON that has no `operations`."""
    return _spoilt("no operations", lambda page: page.pop("operations", None))


def repeated_token() -> Fault:
    """`next` is the token of this very page."""
    return _spoilt("repeated token", lambda page: page["pagination"].update(next=page["pagination"]["self"]))


def endless_tokens() -> Fault:
    """Empty pages, each with a token never seen before; add it with `times=None`."""
    number = count(1)

    def change(reply: Reply) -> Reply:
        pagination = {"next": f"ZW5kbGVzcw+/{next(number)}==", "self": "c2VsZg=="}
        return replace(reply, status=200).with_json({"operations": [], "pagination": pagination})

    return Fault("endless tokens", change)


def hostile_id(operation_id: str) -> Fault:
    """The first row has that id."""
    return _spoilt("hostile id", lambda page: _rows(page)[0].update(id=operation_id))


def extra_rows(*operations: Operation) -> Fault:
    """Rows nobody asked for, as of dates outside the listing's."""
    return _spoilt("extra rows", lambda page: _rows(page).extend(map(operation_json, operations)))


def duplicated_rows() -> Fault:
    return _spoilt("duplicated rows", lambda page: _rows(page).extend(list(_rows(page))))


def unknown_status(word: str = "PAUSED") -> Fault:
    return _each_row("unknown status", lambda row: row.update(status=word))


def missing_stat(stat: str) -> Fault:
    return _each_row(f"no {stat}", lambda row: row["stats"].pop(stat))


def unknown_fields() -> Fault:
    """Fields that Twilio may add one day, in every row, its stats, and beside them."""

    def change(row: dict[str, Any]) -> None:
        row["stats"]["clicked"] = 7
        row["tags"] = {"campaign": ["spring"]}

    return _each_row("unknown fields", change)


def _spoilt(name: str, spoil: Callable[[dict[str, Any]], object]) -> Fault:
    def change(reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        value = json.loads(reply.body)
        spoil(value)
        return reply.with_json(value)

    return Fault(name, change)


def _each_row(name: str, spoil: Callable[[dict[str, Any]], object]) -> Fault:
    return _spoilt(name, lambda value: [spoil(row) for row in _rows(value)])


def _rows(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a page, or the one operation of a fetch."""
    rows: list[dict[str, Any]] = value.get("operations", [value])
    return rows
