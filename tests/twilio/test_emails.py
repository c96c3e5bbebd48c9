"""Pages of emails and of errors: what is read, what is refused, and that no personal data comes out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.email import Email, EmailPage, ErrorPage
from exporter.errors import Unreadable
from exporter.twilio.emails import emails_request, errors_request, read_emails, read_errors
from tests.support.clock import SATURDAY
from tests.support.operations import IDS

SECRET = "s3cret-local-part"


def row(**changes: Any) -> dict[str, Any]:
    """An email as Twilio's reference shows it."""
    return {
        "id": "comms_email_01k0000000000000000000000a",
        "status": "UNDELIVERED",
        "from": {"address": f"{SECRET}@news.shop.example", "name": SECRET},
        "to": [{"address": f"{SECRET}@Gmail.com", "name": SECRET, "variables": {"a": SECRET}}],
        "subject": SECRET,
        "related": [{"name": "operation", "id": IDS[0], "uri": f"/v1/Emails/Operations/{IDS[0]}"}],
        "tags": {"campaign": "spring", "category": "receipt"},
        "scheduledFor": None,
        "createdAt": "2026-03-07T00:00:00Z",
        "updatedAt": "2026-03-07T00:00:30.5Z",
        "deletedAt": None,
        **changes,
    }


def page(*rows: Any, **changes: Any) -> bytes:
    return json.dumps({"emails": rows, "pagination": {"next": None, "self": "x"}, **changes}).encode()


def without(key: str) -> dict[str, Any]:
    changed = row()
    del changed[key]
    return changed


EMAIL = Email(
    id="comms_email_01k0000000000000000000000a",
    status="undelivered",
    created_at=SATURDAY,
    updated_at=SATURDAY + 30.5,
    operation_id=IDS[0],
    sender_domain="news.shop.example",
    recipient_domains=("gmail.com",),
    tags={"campaign": "spring"},
)


def read(body: bytes) -> EmailPage:
    return read_emails(body, {"campaign"})


def test_email_of_the_reference() -> None:
    """Domains, chosen tags, status, ids and times are kept."""
    assert read(page(row())) == EmailPage((EMAIL,), None)
    assert read(page(row(), pagination={"next": "t+/="})).next_token == "t+/="
    assert read_emails(page(row()), None).emails[0].tags == {"campaign": "spring", "category": "receipt"}
    assert read_emails(page(row()), ()).emails[0].tags == {}
    assert list(read(page(row())).ids) == [EMAIL.id]


TOLERATED: Mapping[str, tuple[bytes, Mapping[str, Any]]] = {
    "to is one object": (page(row(to={"address": "a@x.example"})), {"recipient_domains": ("x.example",)}),
    "several recipients": (
        page(row(to=[{"address": "a@x.example"}, {"address": "b@y.example"}, {"address": "c@X.example"}])),
        {"recipient_domains": ("x.example", "y.example")},
    ),
    "no recipient": (page(row(to=[])), {"recipient_domains": ("unknown",)}),
    "to is null": (page(row(to=None)), {"recipient_domains": ("unknown",)}),
    "to is absent": (page(without("to")), {"recipient_domains": ("unknown",)}),
    "no address": (page(row(to=[{"name": SECRET}])), {"recipient_domains": ("unknown",)}),
    "address is null": (page(row(to=[{"address": None}])), {"recipient_domains": ("unknown",)}),
    "from is absent": (page(without("from")), {"sender_domain": "unknown"}),
    "from is null": (page(row(**{"from": None})), {"sender_domain": "unknown"}),
    "tags are absent": (page(without("tags")), {"tags": {}}),
    "tags are null": (page(row(tags=None)), {"tags": {}}),
    "another tag": (page(row(tags={"category": SECRET})), {"tags": {}}),
    "related is absent": (page(without("related")), {"operation_id": None}),
    "related in capitals": (
        page(row(related=[{"name": "OPERATION", "id": IDS[1]}])),
        {"operation_id": IDS[1]},
    ),
    "related to another": (page(row(related=[{"name": "x", "id": IDS[1]}])), {"operation_id": None}),
    "related to no id": (page(row(related=[{"name": "operation", "id": SECRET}])), {"operation_id": None}),
    "unknown status": (page(row(status="BOUNCED")), {"status": "unknown"}),
    "wrapped in data": (json.dumps({"data": json.loads(page(row()))}).encode(), {}),
    "wrapped, pagination outside": (
        json.dumps({"data": {"emails": [row()]}, "pagination": {"next": None}}).encode(),
        {},
    ),
    "unknown fields": (page(row(clicks=7), meta={"a": 1}), {}),
    "empty token": (page(row(), pagination={"next": ""}), {}),
}


@pytest.mark.parametrize(("body", "changes"), TOLERATED.values(), ids=TOLERATED.keys())
def test_tolerated_form(body: bytes, changes: Mapping[str, Any]) -> None:
    """Forms that Twilio shows somewhere, and fields that it may add."""
    assert read(body) == EmailPage((EMAIL._replace(**changes),), None)


REFUSED = {
    "HTML": (b"<html>nginx</html>", "HTML or XML"),
    "nothing": (b"", "is empty"),
    "cut": (page(row())[:-20], "truncated"),
    "no JSON": (b"{nope}", "malformed"),
    "no UTF-8": (page(row()).replace(b"Gmail", b"\xff\xfe"), "UnicodeDecodeError"),
    "a list": (b"[]", "Expected `object`"),
    "no emails": (b'{"pagination": {}}', "`emails` or `pagination` is missing"),
    "no pagination": (b'{"emails": []}', "`emails` or `pagination` is missing"),
    "emails null": (page(emails=None), "is missing"),
    "emails an object": (page(emails={}), r"\$\.emails"),
    "row a number": (page(row(), 7), r"\$\.emails\[1\]"),
    "token a number": (page(pagination={"next": 7}), r"\$\.pagination\.next"),
    "id a number": (page(row(id=7)), r"\$\.emails\[0\]\.id"),
    "id empty": (page(row(id="")), r"\$\.emails\[0\]\.id"),
    "id long": (page(row(id="x" * 129)), r"\$\.emails\[0\]\.id"),
    "no id": (page(without("id")), "`id`"),
    "status null": (page(row(status=None)), r"\$\.emails\[0\]\.status"),
    "no time zone": (page(row(createdAt="2026-03-07T00:00:00")), r"createdAt"),
    "no time": (page(row(updatedAt=SECRET)), r"updatedAt"),
    "no updatedAt": (page(without("updatedAt")), "`updatedAt`"),
    "from a text": (page(row(**{"from": SECRET})), r"\$\.emails\[0\]\.from"),
    "address a number": (page(row(to=[{"address": 7}])), r"\$\.emails\[0\]\.to\[0\]\.address"),
    "to a text": (page(row(to=SECRET)), r"\$\.emails\[0\]\.to"),
    "tags a list": (page(row(tags=[SECRET])), r"\$\.emails\[0\]\.tags"),
    "tag a number": (page(row(tags={SECRET: 7})), r"\$\.emails\[0\]\.tags"),
    "deep": (b'{"emails":' + b"[" * 100_000, "truncated|malformed|RecursionError|Expected"),
    "lone surrogate": (page(row()).replace(b"Gmail", b"\\ud800"), "."),
}  # fmt: skip


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_page(body: bytes, message: str) -> None:
    """One wrong row refuses the page; the message has its path and never a value."""
    with pytest.raises(Unreadable, match=message) as caught:
        read(body)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) < 200


ADDRESS = st.builds("{}{}@{}".format, st.just(SECRET), st.text(max_size=20), st.text(max_size=40))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ADDRESS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ADDRESS, inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(ADDRESS, max_size=4), ADDRESS, st.dictionaries(st.sampled_from(["campaign", "x"]), ADDRESS))
def test_no_address_leaves_the_decoder(to: list[str], sender: str, tags: dict[str, str]) -> None:
    """Neither in a field nor in a tag, in whatever way an address is written."""
    listed = [{"address": each, "name": each} for each in to]
    try:
        read_page = read_emails(page(row(to=listed, tags=tags, **{"from": {"address": sender}})), None)
    except Unreadable as error:  # a lone surrogate
        assert SECRET not in repr(error)
    else:
        assert SECRET not in repr(read_page)


@given(st.sampled_from(sorted(row())), JSON)
def test_any_value_of_any_field_is_read_or_refused(key: str, value: Any) -> None:
    """Nothing else is raised, and no value is quoted."""
    try:
        (email,) = read(page(row(**{key: value}))).emails
    except Unreadable as error:
        assert SECRET not in repr(error)
    else:
        assert SECRET not in repr(email._replace(id=""))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing else is raised."""
    readers: tuple[Callable[[bytes], object], ...] = (read, read_errors)
    for read_any in readers:
        try:
            read_any(body)
        except Unreadable as error:
            assert len(str(error)) < 200


def test_errors_of_an_operation() -> None:
    """The code of each error, in the form of Twilio's other errors."""
    error = {"code": 30007, "message": SECRET, "infoUrl": "https://x", "context": {"to": SECRET}}
    body = {"errors": [error, {"code": 30003}], "pagination": {"next": "t"}}
    assert read_errors(json.dumps(body).encode()) == ErrorPage((30007, 30003), "t")
    assert read_errors(b'{"errors": []}') == ErrorPage((), None)


@pytest.mark.parametrize(
    "body",
    [
        "<html>", "", "[]", "{}", '{"errors": null}', '{"errors": {}}', '{"errors": [{}]}', '{"errors": [7]}',
        '{"errors": [{"code": "30007"}]}', '{"errors": [{"code": 0}]}', '{"errors": [{"code": 1000000}]}',
        '{"errors": [{"code": null}]}', '{"errors": [], "pagination": 7}', '{"errors": [',
    ],
)  # fmt: skip
def test_refused_errors(body: str) -> None:
    """Any other form is unreadable."""
    with pytest.raises(Unreadable):
        read_errors(body.encode())


def test_requests() -> None:
    """Every page repeats every parameter; an id is checked before it enters a URL."""
    request = emails_request("failed", SATURDAY, SATURDAY + 0.5, "t", IDS[0])
    assert (request.call, request.path) == ("emails", "/Emails")
    assert dict(request.query) == {
        "status": "FAILED",
        "startDate": "2026-03-07T00:00:00.000Z",
        "endDate": "2026-03-07T00:00:00.500Z",
        "operationId": IDS[0],
        "pageSize": "1000",
        "pageToken": "t",
    }
    assert {"operationId", "pageToken"}.isdisjoint(dict(emails_request("failed", 0, 1, None).query))
    errors = errors_request(IDS[0], None)
    assert (errors.call, errors.path) == ("errors", f"/Emails/Operations/{IDS[0]}/Errors")
    assert dict(errors.query) == {"pageSize": "1000"}
    assert dict(errors_request(IDS[0], "t").query) == {"pageSize": "1000", "pageToken": "t"}
    with pytest.raises(ValueError, match="not an operation id"):
        emails_request("failed", 0, 1, None, "x/../y")
    with pytest.raises(ValueError, match="not an operation id"):
        errors_request("?", None)
