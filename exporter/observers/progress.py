"""The progress of long listings, on one line of a terminal. Must not know how the log is written."""

from typing import Final, TextIO

from exporter.events import Event, ListingProgressed, PollFinished

_COLUMNS: Final = 79


class ProgressLine:
    """Writes the line again for each page of any account, and clears it when a poll ends."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    def observe(self, event: Event) -> None:
        if isinstance(event, ListingProgressed):
            self._write(f"\r{_text(event)[:_COLUMNS]:<{_COLUMNS}}")
        elif isinstance(event, PollFinished):  # a line of the log follows
            self._write(f"\r{'':<{_COLUMNS}}\r")

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()


def _text(event: ListingProgressed) -> str:
    return (
        f"{event.account}: {event.operations:,} operations on {event.pages:,} pages,"
        f" {event.operations_per_second:,.0f} per second"
    )
