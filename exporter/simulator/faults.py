"""Faults between Twilio and a client, as changes to a correct reply.

A fault is a name and a pure function from reply to reply; the constructors below create all kinds. Faults
that break JSON change only replies with status 200. It must not know sockets, worlds or the exporter.
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

LISTS: Final = ("operations", "emails", "errors")

HOSTILE_IDS: Final = (
    'comms_operation_0"} 1\nforged_metric{a="',
    "comms_operation_01kabcdefghjkmnpqrstvwxyz0\n",
    "comms_operation_/../../Accounts",
    "comms_operation_0" + "a" * 10_000,
    "",
)
"""Ids that are dangerous in labels, URLs and logs; none matches Twilio's pattern."""


@dataclass(frozen=True, slots=True)
class Fault:
    """With `empty_page` the listing returns an empty page with `next`, and the rows on the page after it."""

    name: str
    change: Callable[[Reply], Reply]
    empty_page: bool = False


def status(
    code: int, *, body: Body = "errors", retry_after: str | float | None = None, as_date: bool = False
) -> Fault:
    """`retry_after` is in seconds, sent as an HTTP date if `as_date`; text is sent unchanged."""

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
    """The correct reply after a delay by the simulator's clock."""
    return Fault("slow", lambda reply: replace(reply, delay_seconds=seconds))


def empty_page() -> Fault:
    return Fault("empty page", lambda reply: reply, empty_page=True)


def cut_json() -> Fault:
    """The first half of the JSON, with a matching Content-Length."""
    return Fault("cut JSON", lambda reply: replace(reply, body=reply.body[: len(reply.body) // 2]))


def misspelt_json() -> Fault:
    return Fault("misspelt JSON", lambda reply: replace(reply, body=b"{'operations': [}"))


def oversized(least_bytes: int) -> Fault:
    """Correct JSON, padded with spaces to at least this many bytes."""
    return Fault("oversized", lambda reply: replace(reply, body=reply.body.ljust(least_bytes)))


def wrong_type(path: tuple[str | int, ...], value: object) -> Fault:
    """Replaces the JSON at a path like `("operations", 0, "stats", "total")`; an empty path replaces all."""

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
    """Status 200 with JSON without `operations`, or without `emails` or `errors`."""
    return _spoilt("no operations", lambda page: [page.pop(name, None) for name in LISTS])


def repeated_token() -> Fault:
    """`next` is the token of the same page."""
    return _spoilt("repeated token", lambda page: page["pagination"].update(next=page["pagination"]["self"]))


def endless_tokens() -> Fault:
    """Empty pages, each with a new token; add it with `times=None`."""
    number = count(1)

    def change(reply: Reply) -> Reply:
        pagination = {"next": f"ZW5kbGVzcw+/{next(number)}==", "self": "c2VsZg=="}
        listed = "emails" if b'"emails"' in reply.body[:20] else "operations"
        return replace(reply, status=200).with_json({listed: [], "pagination": pagination})

    return Fault("endless tokens", change)


def hostile_id(operation_id: str) -> Fault:
    """The first row gets this id."""
    return _spoilt("hostile id", lambda page: _rows(page)[0].update(id=operation_id))


def extra_rows(*operations: Operation) -> Fault:
    """Adds rows that were not requested, such as rows outside the requested dates."""
    return _spoilt("extra rows", lambda page: _rows(page).extend(map(operation_json, operations)))


def duplicated_rows() -> Fault:
    return _spoilt("duplicated rows", lambda page: _rows(page).extend(list(_rows(page))))


def addresses(sender: str, recipient: object) -> Fault:
    """Every email is from this address and to this one, or to this list of them, or anything else."""

    def change(row: dict[str, Any]) -> None:
        listed = recipient if isinstance(recipient, list) else [recipient]
        row.update({"from": {"address": sender}, "to": [{"address": each} for each in listed]})

    return _each_row("addresses", change)


def tags(value: object) -> Fault:
    """Every email has these tags, which may be of a wrong type."""
    return _each_row("tags", lambda row: row.update(tags=value))


def single_recipient() -> Fault:
    """`to` is one object instead of a list, as in one sample of Twilio's guide."""
    return _each_row("single recipient", lambda row: row.update(to=row["to"][0]))


def wrapped_in_data() -> Fault:
    """The page is within `data`, as in one sample of Twilio's guide."""

    def change(reply: Reply) -> Reply:
        return reply.with_json({"data": json.loads(reply.body)}) if reply.status == 200 else reply

    return Fault("wrapped in data", change)


def unknown_status(word: str = "PAUSED") -> Fault:
    return _each_row("unknown status", lambda row: row.update(status=word))


def missing_stat(stat: str) -> Fault:
    return _each_row(f"no {stat}", lambda row: row.get("stats", {}).pop(stat, None))


def unknown_fields() -> Fault:
    """Adds fields that Twilio may introduce, to every row, its stats and the envelope."""

    def change(row: dict[str, Any]) -> None:
        row["audience"] = {"campaign": ["spring"]}
        if "stats" in row:
            row["stats"]["clicked"] = 7

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
    """The rows of a page, or the single operation or email of a fetch."""
    rows: list[dict[str, Any]] = next((value[name] for name in LISTS if name in value), [value])
    return rows
