"""The format of the log: an entry is one line, as logfmt or JSON."""

import json
from logging import INFO

import pytest

from exporter.logs import LOG, line
from tests.support.whole import logging_to


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("word", "word"),
        ("two words", '"two words"'),
        ('quo"te', '"quo\\"te"'),
        ("a=b", '"a=b"'),
        ("new\nline", '"new\\nline"'),
        ("", '""'),
        ("back\\slash", '"back\\\\slash"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("naïve", "naïve"),
    ],
)
def test_line_stays_a_line(value: str, written: str) -> None:
    """Any value of a field stays on one line."""
    with logging_to("info", "logfmt") as log:
        line(INFO, "message", field=value, nothing=None)
    assert log.getvalue().endswith(f" level=info msg=message field={written}\n")


def test_traceback_is_a_field() -> None:
    """An internal error is logged with its traceback and type, without its text, which may quote a secret."""
    with logging_to("info", "json") as log:
        try:
            raise RuntimeError("oops")
        except RuntimeError:
            LOG.exception("crashed")
    entry = json.loads(log.getvalue())
    assert str(entry["traceback"]).endswith("\nRuntimeError")
    assert "test_traceback_is_a_field" in str(entry["traceback"])
