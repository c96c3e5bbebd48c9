"""Scalars as exporter-toolkit reads them."""

from collections.abc import Callable

import pytest

from exporter.web.go_scalars import parse_boolean, parse_seconds, parse_whole_number


@pytest.mark.parametrize("true", ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"])
def test_booleans_that_are_true(true: str) -> None:
    """YAML 1.1 has more of them than YAML 1.2."""
    assert parse_boolean(true) is True


@pytest.mark.parametrize(
    "false", ["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"]
)
def test_booleans_that_are_false(false: str) -> None:
    """The same forms."""
    assert parse_boolean(false) is False


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), ("0", 0), ("+5", 5), ("-5", -5), ("5.0", 5), ("5.9", 5), ("1e3", 1000), (".5e1", 5)],
)
def test_whole_numbers(text: str, number: int) -> None:
    """YAML's floats are taken, without their fraction."""
    assert parse_whole_number(text) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("100ms", 0.1),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("1.5s", 1.5),
        ("1.s", 1.0),
        (".5s", 0.5),
        ("+1s", 1.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("250μs", 0.00025),
        ("1ns", 1e-9),
        ("1000", 1e-6),
        ("1.5", 1.5e-9),
        ("0", 0.0),
        ("-0s", 0.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """As Go writes them; a plain number counts nanoseconds."""
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_boolean, text) for text in ("", "1", "tRue", "maybe", "true ")),
        *((parse_whole_number, text) for text in ("", "many", "1_000", "0x10", "010", "5 ", ".", "1e99")),
        *((parse_seconds, text) for text in ("", "s", "1 s", "1d", "-1s", "-1", "9999999h", "1e99", ".s")),
    ],
)
def test_anything_else_is_refused(parse: Callable[[str], object], text: str) -> None:
    """With what would be right; hexadecimal, octal and grouped numbers are not read."""
    with pytest.raises(ValueError, match=r"must be|must not be|is not a duration"):
        parse(text)
