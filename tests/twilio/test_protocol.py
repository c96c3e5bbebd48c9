"""Twilio's HTTP as data."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import Malformed
from exporter.operation import STATS, Operation, stats_of
from exporter.simulator.faults import HOSTILE_IDS
from exporter.twilio.protocol import (
    MAX_RETRY_AFTER_SECONDS,
    fetch_request,
    list_request,
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
        stats_of(total=40, recipients=40, attempts=41, scheduled=0, queued=0, sent=3, delivered=30,
                 opened=5, undelivered=1, failed=1, canceled=0),
    )  # fmt: skip
    assert read_page(page(row())).operations == [expected]
    assert read_operation(json.dumps(row()).encode(), ID) == expected


@pytest.mark.parametrize("pagination", [{"next": None}, {}, {"next": ""}, {"next": None, "self": "x"}])
def test_listing_ends_without_a_next_token(pagination: dict[str, Any]) -> None:
    """Null, left out or empty: there is no further page."""
    body = json.dumps({"operations": [], "pagination": pagination}).encode()
    assert read_page(body) == ([], None)


def test_empty_page_may_have_a_next_token() -> None:
    """Twilio filters after reading."""
    assert read_page(page(next_token="bmV4dA==")) == ([], "bmV4dA==")


def test_missing_stat_is_absent_and_unknown_field_ignored() -> None:
    """One sample of Twilio's leaves stats out, previews carry further ones."""
    operation = read_page(page(row(stats={"total": 3, "clicked": 1}, tags=["a"]))).operations[0]
    assert operation.stats == stats_of(total=3)


@pytest.mark.parametrize("word", ["PAUSED", "completed", "", "UNKNOWN", 'x"}\n', "é" * 10_000])
def test_unknown_status_becomes_our_own_word(word: str) -> None:
    """Nothing of it gets further."""
    assert read_page(page(row(status=word))).operations[0].status == "unknown"


MALFORMED: Mapping[str, tuple[bytes, str]] = {
    "html": (b"<html>oops SECRET</html>", "invalid character"),
    "empty": (b"", "truncated"),
    "cut": (page(row())[:-9], "truncated"),
    "array": (b"[]", "Expected `object`"),
    "no operations": (b'{"pagination": {"next": null}}', "`operations`"),
    "null operations": (b'{"operations": null, "pagination": {}}', "$.operations"),
    "no pagination": (b'{"operations": []}', "`pagination`"),
    "token of another type": (b'{"operations": [], "pagination": {"next": 5}}', "$.pagination.next"),
    "text as a stat": (page(row(stats={"failed": "SECRET"})), "$.operations[0].stats.failed"),
    "fraction as a stat": (page(row(stats={"failed": 1.5})), "$.operations[0].stats.failed"),
    "truth as a stat": (page(row(stats={"failed": True})), "$.operations[0].stats.failed"),
    "negative stat": (page(row(stats={"failed": -1})), "$.operations[0].stats.failed"),
    "huge stat": (page(row(stats={"failed": 2**60})), "$.operations[0].stats.failed"),
    "stats of another type": (page(row(stats=[1, 2])), "$.operations[0].stats"),
    "no stats": (page({k: v for k, v in row().items() if k != "stats"}), "`stats` - at `$.operations[0]`"),
    "no date": (page(row(createdAt="SECRET")), "$.operations[0].createdAt"),
    "date without a zone": (page(row(updatedAt="2026-02-03T10:00:00")), "$.operations[0].updatedAt"),
    "second row": (page(row(), row(id=5)), "$.operations[1].id"),
    "not UTF-8": (page(row()).replace(b"COMPLETED", b"\xff\xfe"), "UnicodeDecodeError"),
    "deep": (page(row(x=0)).replace(b'"x": 0', b'"x": ' + b"[" * 10**5 + b"]" * 10**5), "RecursionError"),
}


@pytest.mark.parametrize(("body", "said"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_documented_is_malformed(body: bytes, said: str) -> None:
    """The message names the JSON path and what was expected, never what was there."""
    with pytest.raises(Malformed) as caught:
        read_page(body)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None, "nor does the traceback show it"


@pytest.mark.parametrize("hostile", [*HOSTILE_IDS, "", ID + "\n", ID.upper(), "../" + ID, ID + "a" * 20])
def test_hostile_id_is_malformed_and_never_enters_a_url(hostile: str) -> None:
    """Ids are checked when they are read, and again when they are used."""
    with pytest.raises(Malformed, match=r"at `\$\.operations\[0\]\.id`") as caught:
        read_page(page(row(id=hostile)))
    assert not hostile or hostile not in str(caught.value)
    with pytest.raises(ValueError, match="not an operation id"):
        fetch_request(hostile)


def test_reply_about_another_operation_is_malformed() -> None:
    """A cache or proxy that mixes up replies must not move numbers."""
    with pytest.raises(Malformed, match="another operation"):
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


@settings(max_examples=300, deadline=None)
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
    except Malformed as error:
        assert len(str(error)) < 200


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, len(page(row())) - 1), byte=st.integers(0, 255))
def test_any_byte_anywhere_is_read_or_malformed(position: int, byte: int) -> None:
    """A flipped byte is no crash."""
    body = bytearray(page(row()))
    body[position] = byte
    try:
        read_page(bytes(body))
    except Malformed as error:
        assert len(str(error)) < 200
