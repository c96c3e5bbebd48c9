"""Twilio's HTTP as data."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import Unreadable
from exporter.operation import STATS, Operation, Stats
from exporter.simulator.faults import HOSTILE_IDS
from exporter.twilio.protocol import (
    MAX_RETRY_AFTER_SECONDS,
    Page,
    fetch_request,
    list_request,
    read_error_code,
    read_http_date,
    read_operation,
    read_page,
    read_request_id,
    read_retry_after,
)

ID = "comms_operation_01kabcdefghjkmnpqrstvwxyz0"
NOW = 1_770_112_800.0  # 2026-02-03T10:00:00Z


def row(**changes: Any) -> dict[str, Any]:
    """The example of Twilio's reference."""
    stats = dict(zip(STATS, (40, 40, 41, 0, 0, 3, 30, 5, 1, 1, 0), strict=True))
    return {
        "id": ID,
        "status": "COMPLETED",
        "stats": stats,
        "createdAt": "2026-02-03T10:00:00Z",
        "updatedAt": "2026-02-03T10:04:10Z",
    } | changes


def page(*rows: Any, next_token: str | None = None) -> bytes:
    return json.dumps({"operations": rows, "pagination": {"next": next_token, "self": "c2VsZg=="}}).encode()


def test_documented_example_is_read() -> None:
    """Typed, with times as Unix seconds and the status in lower case."""
    expected = Operation(
        ID,
        "completed",
        NOW,
        NOW + 250,
        Stats(total=40, recipients=40, attempts=41, scheduled=0, queued=0, sent=3, delivered=30,
                 opened=5, undelivered=1, failed=1, canceled=0),
    )  # fmt: skip
    assert read_page(page(row())).operations == [expected]
    assert read_operation(json.dumps(row()).encode(), ID) == expected


@pytest.mark.parametrize("pagination", [{"next": None}, {}, {"next": ""}, {"next": None, "self": "x"}])
def test_listing_ends_without_a_next_token(pagination: dict[str, Any]) -> None:
    """Null, left out or empty: there is no further page."""
    body = json.dumps({"operations": [], "pagination": pagination}).encode()
    assert read_page(body) == Page([], None)


def test_empty_page_may_have_a_next_token() -> None:
    """Twilio filters after reading."""
    assert read_page(page(next_token="bmV4dA==")) == Page([], "bmV4dA==")


def test_missing_stat_is_absent_and_unknown_field_ignored() -> None:
    """One sample of Twilio's leaves stats out, previews carry further ones."""
    operation = read_page(page(row(stats={"total": 3, "clicked": 1}, tags=["a"]))).operations[0]
    assert operation.stats == Stats(total=3)


@pytest.mark.parametrize("word", ["PAUSED", "completed", "", "UNKNOWN", 'x"}\n', "é" * 10_000])
def test_unknown_status_becomes_our_own_word(word: str) -> None:
    """Nothing of it gets further."""
    assert read_page(page(row(status=word))).operations[0].status == "unknown"


ENVELOPES: Mapping[str, tuple[bytes, str]] = {
    "html": (b"<html>oops SECRET</html>", "HTML or XML"),
    "empty": (b"", "is empty"),
    "text": (b"oops SECRET", "invalid character"),
    "cut": (page(row())[:-9], "truncated"),
    "array": (b"[]", "Expected `object`"),
    "no operations": (b'{"pagination": {"next": null}}', "`operations`"),
    "null operations": (b'{"operations": null, "pagination": {}}', "$.operations"),
    "no pagination": (b'{"operations": []}', "`pagination`"),
    "token of another type": (b'{"operations": [], "pagination": {"next": 5}}', "$.pagination.next"),
    "odd row and odd token": (page(row(id=5)).replace(b"null", b"5"), "$.pagination.next"),
    "odd row and no end": (page(row(id=5))[:-9], "truncated"),
    "deep": (page(row(x=0)).replace(b'"x": 0', b'"x": ' + b"[" * 10**5 + b"]" * 10**5), "RecursionError"),
}


@pytest.mark.parametrize(("body", "said"), ENVELOPES.values(), ids=ENVELOPES.keys())
def test_odd_envelope_is_malformed(body: bytes, said: str) -> None:
    """The message names the JSON path and what was expected, never what was there."""
    with pytest.raises(Unreadable) as caught:
        read_page(body)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None, "nor does the traceback show it"


ODD_ROWS: Mapping[str, tuple[Any, str]] = {
    "text as a stat": (row(stats={"failed": "SECRET"}), ".stats.failed"),
    "digits as a stat": (row(stats={"failed": "5"}), ".stats.failed"),
    "fraction as a stat": (row(stats={"failed": 1.5}), ".stats.failed"),
    "float that may have lost units": (row(stats={"failed": 2.0**53 + 2}), ".stats.failed"),
    "truth as a stat": (row(stats={"failed": True}), ".stats.failed"),
    "negative stat": (row(stats={"failed": -1}), ".stats.failed"),
    "negative stat as a float": (row(stats={"failed": -1.0}), ".stats.failed"),
    "huge stat": (row(stats={"failed": 2**63}), ".stats.failed"),
    "stats of another type": (row(stats=[1, 2]), ".stats"),
    "no stats": ({k: v for k, v in row().items() if k != "stats"}, ""),
    "no date": (row(createdAt="SECRET"), ".createdAt"),
    "null date": (row(updatedAt=None), ".updatedAt"),
    "date without a zone": (row(updatedAt="2026-02-03T10:00:00"), ".updatedAt"),
    "second that is none": (row(updatedAt="2026-02-03T10:00:61Z"), ".updatedAt"),
    "leap second of no day": (row(updatedAt="2026-02-31T23:59:60Z"), ".updatedAt"),
    "leap second without a zone": (row(updatedAt="2026-02-03T23:59:60"), ".updatedAt"),
    "leap second after time": (row(updatedAt="9999-12-31T23:59:60Z"), ".updatedAt"),
    "upper-case id": (row(id=ID.upper()), ".id"),
    "id of another type": (row(id=5), ".id"),
    "null": (None, ""),
    "text": ("SECRET", ""),
    "list": ([], ""),
}


@pytest.mark.parametrize(("odd", "path"), ODD_ROWS.values(), ids=ODD_ROWS.keys())
def test_odd_row_is_left_out(odd: Any, path: str) -> None:
    """The others are read; what is kept of it is where it was."""
    read = read_page(page(row(), odd, row(), next_token="bmV4dA=="))
    assert [operation.id for operation in read.operations] == [ID, ID]
    assert read.unreadable == (f"$.operations[1]{path}",)
    assert read.next_token == "bmV4dA=="


def test_row_that_is_not_utf_8_is_left_out() -> None:
    """What cannot be read as text is in one row, and the others can."""
    read = read_page(page(row(), row(status="HERE")).replace(b"HERE", b"\xff\xfe"))
    assert len(read.operations) == 1
    assert read.unreadable == ("$.operations[1]",)


@pytest.mark.parametrize(
    ("rows", "odd", "good"),
    [(1, 1, True), (2, 1, True), (2, 2, False), (100, 1, True), (199, 2, False), (200, 2, True),
     (1000, 10, True), (1000, 11, False), (1000, 1000, False)],
)  # fmt: skip
def test_page_with_too_many_odd_rows_is_malformed(rows: int, odd: int, good: bool) -> None:
    """More than one, and more than one in a hundred: then it is the page that is odd."""
    body = page(*[row(updatedAt=None)] * odd, *[row()] * (rows - odd))
    if good:
        read = read_page(body)
        assert (len(read.operations), len(read.unreadable)) == (rows - odd, odd)
        return
    with pytest.raises(Unreadable, match=f"{odd} of {rows} rows") as caught:
        read_page(body)
    assert "at `$.operations[0].updatedAt`" in str(caught.value)


def test_whole_number_as_a_float_is_read() -> None:
    """In a listing and in a fetch, for every row of a page, and up to what a float holds exactly."""
    stats = {"total": 1.0, "failed": 2.0**53, "sent": -0.0, "queued": 7}
    expected = Stats(total=1, failed=2**53, sent=0, queued=7)
    read = read_page(page(*[row(stats=stats)] * 3))
    assert [operation.stats for operation in read.operations] == [expected] * 3
    assert all(type(value) in {int, type(None)} for value in read.operations[0].stats)
    assert read_operation(json.dumps(row(stats=stats)).encode(), ID).stats == expected


@pytest.mark.parametrize(
    ("text", "after"),
    [("2026-02-03T09:59:60Z", 0.0), ("2026-02-03T09:59:60.5Z", 0.5), ("2026-02-03T11:59:60+02:00", 0.0)],
)
def test_leap_second_is_the_begin_of_the_next_minute(text: str, after: float) -> None:
    """As Unix time has it."""
    (operation,) = read_page(page(row(createdAt=text))).operations
    assert operation.created_at == NOW + after
    assert operation.updated_at == NOW + 250


def test_count_up_to_what_the_state_holds_is_read() -> None:
    """2^63 - 1, whatever a float makes of it later."""
    (operation,) = read_page(page(row(stats={"total": 2**63 - 1}))).operations
    assert operation.stats == Stats(total=2**63 - 1)


@pytest.mark.parametrize("tail", ["a" * 9, "A" * 9, "_-Z", "a" * 22])
def test_longer_id_is_read(tail: str) -> None:
    """Twilio's pattern has no end anchor."""
    (operation,) = read_page(page(row(id=ID + tail))).operations
    assert operation.id == ID + tail
    assert fetch_request(operation.id).path.endswith(ID + tail)


@pytest.mark.parametrize(
    "hostile", [*HOSTILE_IDS, "", ID + "\n", ID.upper(), "../" + ID, ID + "a" * 23, ID + "/.."]
)
def test_hostile_id_is_left_out_and_never_enters_a_url(hostile: str) -> None:
    """Ids are checked when they are read, and again when they are used."""
    assert read_page(page(row(id=hostile))) == Page([], None, ("$.operations[0].id",))
    with pytest.raises(Unreadable, match=r"at `\$\.id`") as caught:
        read_operation(json.dumps(row(id=hostile)).encode(), ID)
    assert not hostile or hostile not in str(caught.value)
    with pytest.raises(ValueError, match="not an operation id"):
        fetch_request(hostile)


def test_reply_about_another_operation_is_malformed() -> None:
    """A cache or proxy that mixes up replies must not move numbers."""
    with pytest.raises(Unreadable, match="another operation"):
        read_operation(json.dumps(row()).encode(), ID[:-1] + "1")


def test_requests_repeat_every_parameter() -> None:
    """Twilio does not say whether a token carries the filters."""
    request = list_request(NOW, NOW + 0.5, "a+/=")
    assert request.path == "/Emails/Operations"
    assert dict(request.query) == {
        "startDate": "2026-02-03T10:00:00.000Z",
        "endDate": "2026-02-03T10:00:00.500Z",
        "pageSize": "1000",
        "pageToken": "a+/=",
    }
    assert fetch_request(ID).path == f"/Emails/Operations/{ID}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("17", 17.0),
        (" 17 ", 17.0),
        ("Tue, 03 Feb 2026 10:00:30 GMT", 30.0),
        ("Tue, 03 Feb 2026 09:00:00 GMT", 0.0),
        ("999999", MAX_RETRY_AFTER_SECONDS),
        ("1234567890", MAX_RETRY_AFTER_SECONDS),
        ("9" * 5000, MAX_RETRY_AFTER_SECONDS),
        ("Tue, 03 Feb 2099 10:00:30 GMT", MAX_RETRY_AFTER_SECONDS),
        ("-5", None),
        ("1.5", None),
        ("١٢", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(value: str | None, seconds: float | None) -> None:
    """Nonsense counts as nothing said."""
    assert read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"errors": [{"code": 20001, "message": "x", "infoUrl": "y", "context": null}]}', 20001),
        (b'{"code": 20003, "message": "x", "more_info": "y", "status": 401}', 20003),
        (b'{"errors": [{"message": "x"}, {"code": 20404}]}', 20404),
        (b'{"errors": []}', None),
        (b'{"code": "20003"}', None),
        (b'{"code": -1}', None),
        (b'{"code": 1000000}', None),
        (b'{"code": 12345678901234567890}', None),
        (b'{"code": true}', None),
        (b"[20001]", None),
        (b"20001", None),
        (b"<html>", None),
        (b"\xff", None),
        (b"[" * 10**5, None),
        (b"", None),
        (None, None),
    ],
)
def test_code_of_an_error_is_a_bounded_number(body: bytes | None, code: int | None) -> None:
    """Of both shapes; nothing else of a body is read."""
    assert read_error_code(body) == code


@given(st.integers(0, 4_000_000_000))
def test_http_date_is_read_back(at: int) -> None:
    """As `Date` headers are written."""
    assert read_http_date(format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)) == at


@given(st.text())
def test_http_date_of_nonsense_is_none_or_a_number(text: str) -> None:
    """Never an exception."""
    assert isinstance(read_http_date(text), float | None)
    assert isinstance(read_retry_after(text, NOW), float | None)


@pytest.mark.parametrize("value", ["", "x" * 65, 'a"b', "a b", "a\nb", "é"])
def test_strange_request_id_is_not_passed_on(value: str) -> None:
    """It would go to the log."""
    assert read_request_id({"Twilio-Request-Id": value}) is None


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(
    field=st.sampled_from(["id", "status", "stats", "createdAt", "updatedAt"]),
    stat=st.none() | st.sampled_from(STATS),
    value=json_values,
)
def test_any_value_anywhere_is_read_or_malformed(field: str, stat: str | None, value: Any) -> None:
    """No other exception gets out."""
    spoilt = row(**{field: value}) if stat is None else row(stats={stat: value})
    try:
        read_page(page(spoilt))
    except Unreadable as error:
        assert len(str(error)) < 200


@settings(max_examples=300)
@given(position=st.integers(0, len(page(row())) - 1), byte=st.integers(0, 255))
def test_any_byte_anywhere_is_read_or_malformed(position: int, byte: int) -> None:
    """A flipped byte is no crash."""
    body = bytearray(page(row()))
    body[position] = byte
    try:
        read_page(bytes(body))
    except Unreadable as error:
        assert len(str(error)) < 200
