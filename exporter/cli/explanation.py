"""The answers of `explain`: as a table for people, and as JSON.

Rule: it shows counts by domain and tag, ids of operations and nothing else.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from exporter.breakdown import OTHER, Bad, Breakdown, Row
from exporter.config.parsers import duration_text
from exporter.polling.explain import Explanation

BAR_CHARACTERS: Final = 20


def as_table(answers: Sequence[Explanation]) -> str:
    """The accounts one after the other."""
    return "\n".join("".join(f"{line}\n" for line in _lines(answer)) for answer in answers)


def as_json(answers: Sequence[Explanation]) -> str:
    return json.dumps({"accounts": [_account(answer) for answer in answers]}, indent=2) + "\n"


def _lines(answer: Explanation) -> Iterator[str]:
    breakdown = answer.breakdown
    if breakdown is None:
        return
    if answer.operation is not None:
        total = answer.operation.stats.total
        of = "" if total is None else f", {total:,} emails"
        yield f"account {answer.account}, operation {answer.operation.id} ({answer.operation.status}{of})"
    else:
        yield f"account {answer.account}, emails created in the last {_ago(breakdown)}"
    emails, at_least = breakdown.emails, "" if breakdown.complete else "at least "
    if not emails.total and breakdown.complete:
        yield "No email failed or was undelivered."
        return
    yield f"{at_least}{emails.failed:,} failed, {at_least}{emails.undelivered:,} undelivered"
    if not breakdown.complete:
        yield (
            f"All numbers are lower bounds: listing ended after {answer.question.max_requests} requests."
            " Use a larger --max-requests or a shorter --last."
        )
    for dimension, rows in breakdown.dimensions.items():
        yield ""
        yield from _dimension(dimension, _shown(rows), emails)


def _dimension(name: str, rows: Sequence[Row], emails: Bad) -> Iterator[str]:
    title = name.replace("_", " ").replace("tag:", "tag ")
    width = max(len(title), *(len(row.value) for row in rows), 20) if rows else len(title)
    yield f"{title:<{width}}  {'failed':>9}  {'undelivered':>11}  {'share':>6}"
    for value, bad in rows:
        bar = "#" * round(BAR_CHARACTERS * _share(bad, emails))
        line = (
            f"{value:<{width}}  {bad.failed:>9,}  {bad.undelivered:>11,}  {_share(bad, emails):>6.1%}  {bar}"
        )
        yield line.rstrip()


def _account(answer: Explanation) -> dict[str, Any]:
    named: dict[str, Any] = {"account": answer.account}
    if answer.error is not None:
        return {**named, "error": answer.error.outcome}
    if answer.breakdown is None:
        return {**named, "error": "not_found"}
    if answer.operation is not None:
        named["operation"] = {
            "id": answer.operation.id,
            "status": answer.operation.status,
            "total": answer.operation.stats.total,
        }
    breakdown = answer.breakdown
    return {
        **named,
        "as_of": datetime.fromtimestamp(breakdown.as_of, UTC).isoformat(timespec="seconds"),
        "last_seconds": breakdown.lookback_seconds,
        "complete": breakdown.complete,
        **breakdown.emails._asdict(),
        "by": {
            dimension: [
                {
                    "value": row.value,
                    **row.bad._asdict(),
                    "share": round(_share(row.bad, breakdown.emails), 4),
                }
                for row in _shown(rows)
            ]
            for dimension, rows in breakdown.dimensions.items()
        },
    }


def _value(row: Row, emails: Bad) -> dict[str, Any]:
    return {"value": row.value, **row.bad._asdict(), "share": round(_share(row.bad, emails), 4)}


def _shown(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.bad.total or row.value != OTHER]


def _share(bad: Bad, emails: Bad) -> float:
    """Of the failed and undelivered emails; those with several recipients count in several domains."""
    return bad.total / emails.total if emails.total else 0.0


def _ago(breakdown: Breakdown) -> str:
    until = datetime.fromtimestamp(breakdown.as_of, UTC)
    return f"{duration_text(breakdown.lookback_seconds)} before {until:%Y-%m-%d %H:%M:%S} UTC"
