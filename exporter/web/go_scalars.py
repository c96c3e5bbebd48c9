"""Scalars of the web config as exporter-toolkit reads them: with Go's YAML 1.1 and `time.ParseDuration`.

Text in, a value out. Every error is a `ValueError` that names what would be right.
https://pkg.go.dev/go.yaml.in/yaml/v2 and https://pkg.go.dev/time#ParseDuration
"""

import re
from typing import Final

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"), False),
}
_NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NANOSECONDS: Final = {"ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 6e10, "h": 3.6e12}
_AMOUNT: Final = r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION: Final = re.compile(rf"([-+]?)((?:{_AMOUNT})+)")
_LIMIT: Final = 2.0**63
"""Go keeps both kinds of number in 64 bits."""


def parse_boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise ValueError("must be true or false") from None


def parse_whole_number(text: str) -> int:
    """Fractions are cut off, as in Go."""
    if not _NUMBER.fullmatch(text) or abs(float(text)) >= _LIMIT:
        raise ValueError("must be a whole number")
    return int(float(text))


def parse_seconds(text: str) -> float:
    """A number without a unit counts nanoseconds, as in Go."""
    nanoseconds = _nanoseconds(text)
    if nanoseconds is None or nanoseconds >= _LIMIT:
        raise ValueError("is not a duration; write 100ms, 1s or 1m30s, or 0 for no limit")
    if nanoseconds < 0:
        raise ValueError("must not be negative; write 0 for no limit")
    return nanoseconds / 1e9


def _nanoseconds(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    duration = _DURATION.fullmatch(text)
    if not duration:
        return None
    amount = sum(float(each) * _NANOSECONDS[unit] for each, unit in re.findall(_AMOUNT, duration[2]))
    return -amount if duration[1] == "-" else amount
