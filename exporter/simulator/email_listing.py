"""Pages of single emails: in the order of their operations, then by number.

Unlike the listing of operations, filters apply before a page is cut, so that pages of failed emails are full:
Twilio documents neither. It must not know HTTP, JSON or clocks.
"""

from collections.abc import Iterator
from itertools import islice

from exporter.simulator.emails import Email, emails_of
from exporter.simulator.listing import Cursor, Position, hours_of, rows_of
from exporter.simulator.traffic import HOUR_SECONDS
from exporter.simulator.world import Row, World


def read_email_page(
    world: World, cursor: Cursor, size: int, now: float
) -> tuple[list[Email], Position | None]:
    """At most `size` emails, and the position of the last one if there are more."""
    found = list(islice(_emails(world, cursor, now), size + 1))
    return [email for email, _ in found[:size]], found[size - 1][1] if len(found) > size else None


def _emails(world: World, cursor: Cursor, now: float) -> Iterator[tuple[Email, Position]]:
    filters = cursor.filters
    for row, place in _rows(world, cursor):
        after = cursor.after.number if cursor.after and cursor.after.key == place.key else -1
        for email in emails_of(world, row, now, filters.status, after=after):
            if set(filters.tags) <= (email.tags or {}).items():
                yield email, Position(place.hour, place.key, email.number)


def _rows(world: World, cursor: Cursor) -> Iterator[tuple[Row, Position]]:
    """The operations that may have more emails."""
    wanted, after = cursor.filters.operation_id, cursor.after
    hours = hours_of(world.readings, cursor)
    if wanted is not None:
        operation = world.row(wanted, cursor.listed_at)
        hours = [hour for hour in hours if operation and hour == operation.created_at // HOUR_SECONDS]
    for hour in hours:
        for row, place in rows_of(world, cursor, hour):
            if wanted in {None, row.id} and (after is None or hour != after.hour or place.key >= after.key):
                yield row, place
