"""Which format and coding a client gets: the headers that real clients send, and nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.negotiation import (
    FORMATS,
    OPENMETRICS,
    OPENMETRICS_0,
    TEXT,
    Format,
    accepts_gzip,
    choose_format,
)

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    + PROMETHEUS_3
)
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"
)
CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
CURL = "*/*"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(PROMETHEUS_2_42, OPENMETRICS, id="Prometheus 2.42"),
        pytest.param(PROMETHEUS_3, OPENMETRICS, id="Prometheus 3"),
        pytest.param(PROMETHEUS_3_PROTOBUF, OPENMETRICS, id="Prometheus 3 with protobuf"),
        pytest.param(PROMETHEUS_3_TEXT_FIRST, TEXT, id="Prometheus 3 with another order"),
        pytest.param(CHROMIUM, TEXT, id="a browser"),
        pytest.param(CURL, TEXT, id="curl"),
        (None, TEXT),
        ("", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", OPENMETRICS_0),
        (
            "application/openmetrics-text; version=0.0.1; q=0.2, application/openmetrics-text; q=0.1",
            OPENMETRICS_0,
        ),
        ('Application/OpenMetrics-Text ; Version="1.0.0" ; Q=1.000', OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", TEXT),
        ("application/openmetrics-text; q=0", TEXT),
        ("application/openmetrics-text; q=0.000, */*; q=0.1", TEXT),
        ("text/plain; q=0.4, application/openmetrics-text; q=0.5", OPENMETRICS),
        ("text/plain; q=0.5, application/openmetrics-text; q=0.5", TEXT),
        ("text/*, application/openmetrics-text; q=0.9", TEXT),
        ("text/plain; version=1.0.0, application/openmetrics-text; q=0.1", OPENMETRICS),
        ("application/openmetrics-text; q=1.5", TEXT),
        ("application/openmetrics-text; q=high", TEXT),
        ("application/openmetrics-text; q=nan", TEXT),
        ("application/openmetrics-text; q=", TEXT),
        ("application/json", TEXT),
        (";;,,=;q", TEXT),
    ],
)
def test_format(accept: str | None, expected: Format) -> None:
    """Weights and versions decide, order among equals, and text 0.0.4 where nothing else fits."""
    assert choose_format(accept) == expected


@given(st.text())
def test_any_header_is_answered(header: str) -> None:
    """Nonsense is no error."""
    assert choose_format(header) in FORMATS
    assert accepts_gzip(header) in {True, False}


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        pytest.param("gzip", True, id="Prometheus"),
        pytest.param("gzip, deflate, br, zstd", True, id="a browser"),
        (None, False),
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip; q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("*;q=0, gzip", True),
        ("br;q=1, gzip;q=nonsense", False),
    ],
)
def test_gzip(accept_encoding: str | None, expected: bool) -> None:
    """Only who accepts it gets it; a wildcard stands for it where it is not named."""
    assert accepts_gzip(accept_encoding) is expected
