"""The flags of commands that are no settings: their defaults, and how their text is read."""

from pathlib import Path
from typing import Final

from exporter.cli.command import Flag
from exporter.config.parsers import ListenAddress, duration_text, parse_duration, parse_listen_address
from exporter.config.values import MAX_LOOKBACK
from exporter.simulator.scenarios import SCENARIOS

DEFAULT_SCENARIO: Final = "steady"
DEFAULT_ADDRESS: Final = ListenAddress("127.0.0.1", 10588)
DEFAULT_LAST: Final = 3600.0
DEFAULT_REQUESTS: Final = 20
MOST_REQUESTS: Final = 500
DEFAULT_WATCH: Final = 600.0
WATCH_BOUNDS: Final = (60.0, 86400.0)


def _last(text: str) -> float:
    seconds = parse_duration(text)
    if not 0 < seconds <= MAX_LOOKBACK:
        raise ValueError("is not between 1s and 7d, for which Twilio keeps emails")
    return seconds


def _requests(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_REQUESTS):
        raise ValueError(f"is not a whole number from 1 to {MOST_REQUESTS}")
    return int(text)


def _watch(text: str) -> float:
    seconds = parse_duration(text)
    shortest, longest = WATCH_BOUNDS
    if not shortest <= seconds <= longest:
        raise ValueError(f"is not between {duration_text(shortest)} and {duration_text(longest)}")
    return seconds


def _address(text: str) -> ListenAddress:
    try:
        return parse_listen_address(text)
    except ValueError:
        raise ValueError(f'"{text}" is not an address; write host:port') from None


def _file(text: str) -> Path:
    path = Path(text)
    if not path.name:
        raise ValueError(f'"{text}" is not a file')
    return path


PAGE_FORMAT: Final = Flag("format", "Prometheus text, or a table to read (default: text)", ("text", "table"))
ANSWER_FORMAT: Final = Flag("format", "a table to read, or JSON (default: table)", ("table", "json"))
LAST: Final = Flag("last", "emails created within this time (default: 1h)", metavar="DURATION", read=_last)
MAX_REQUESTS: Final = Flag(
    "max_requests",
    f"maximum number of requests per account (default: {DEFAULT_REQUESTS})",
    metavar="COUNT",
    read=_requests,
)
SCENARIO: Final = Flag(
    "scenario",
    f"what happens to the simulated account: {', '.join(SCENARIOS)} (default: {DEFAULT_SCENARIO})",
    tuple(SCENARIOS),
    "NAME",
)
LISTEN_ADDRESS: Final = Flag(
    "listen_address",
    f"address to listen on (default: {DEFAULT_ADDRESS})",
    metavar="HOST:PORT",
    read=_address,
)
WATCH: Final = Flag("for", "how long to watch, 1m to 1d (default: 10m)", metavar="DURATION", read=_watch)
REPORT: Final = Flag("output", "write a JSON report without identifying values", metavar="FILE", read=Path)
ACCOUNT: Final = Flag("account", "the account to watch, if several are configured", metavar="NAME")
COPY: Final = Flag("output", "file to create; it must not exist", metavar="FILE", read=_file)
SOURCE: Final = Flag("input", "state file, such as a backup", metavar="FILE", read=Path)
