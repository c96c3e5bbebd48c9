"""Writes families as exposition text: text 0.0.4 and OpenMetrics 1.0.

prometheus_client's `generate_latest` writes a whole page at once, which blocks the event loop for 0.2 s at
25,000 series. This module writes a family in slices, so that other tasks run in between. A test checks that
both write the same bytes.

Rule 1: the formats differ in the heads of the families only, so the lines are written once for both.
Rule 2: timestamps, exemplars, native histograms and `_created` are not supported: our families have none.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from prometheus_client import Metric  # noqa: TID251 - home of prometheus_client
from prometheus_client.samples import Sample  # noqa: TID251 - home of prometheus_client
from prometheus_client.utils import floatToGoString  # noqa: TID251 - home of prometheus_client

SLICE_LINES: Final = 500
"""Lines per slice: about 4 ms of work."""

EOF: Final = b"# EOF\n"

_TEXT_TYPES: Final = {"unknown": "untyped"}


def head(family: Metric, *, openmetrics: bool) -> bytes:
    """The lines before the samples."""
    return (_head_openmetrics(family) if openmetrics else _head_text(family)).encode()


def slices(family: Metric) -> Iterator[bytes]:
    """The lines of the samples; nothing if there are none."""
    samples = iter(family.samples)
    while some := list(islice(samples, SLICE_LINES)):
        yield "".join(map(_line, some)).encode()


def _head_text(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    help_ = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {help_}\n# TYPE {name} {_TEXT_TYPES.get(family.type, family.type)}\n"


def _head_openmetrics(family: Metric) -> str:
    unit = f"# UNIT {family.name} {family.unit}\n" if family.unit else ""
    help_ = _escaped(family.documentation)
    return f"# HELP {family.name} {help_}\n# TYPE {family.name} {family.type}\n{unit}"


def _line(sample: Sample) -> str:
    value = _number(sample.value)
    if not sample.labels:
        return f"{sample.name} {value}\n"
    labels = ",".join([f'{name}="{_escaped(text)}"' for name, text in sorted(sample.labels.items())])
    return f"{sample.name}{{{labels}}} {value}\n"


@lru_cache(maxsize=4096)
def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


# The cache treats equal numbers as one: negative zero may be written as zero, which does no harm.
_number: Final = lru_cache(maxsize=4096)(floatToGoString)
