"""The result of a watch: a table for the terminal, and a report that can be published. Pure.

Rule: a report is built from answers, numbers and known words, never by copying a reply. Operations have
pseudonyms, and times are relative.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from exporter import __version__
from exporter.ledger import reading
from exporter.observation.answers import Answer, answers
from exporter.observation.evidence import Change, Evidence
from exporter.operation import STATS, Operation

FORMAT: Final = 1
"""Version of the report's format."""

SAMPLES: Final = 10
"""Operations shown for each side of the evidence about states."""


class Course(NamedTuple):
    """How a watch went."""

    base_url: str | None
    """`None`: another one than Twilio's public one."""
    seconds: float
    interrupted: bool
    codes: Mapping[str, int]
    """Requests by HTTP status, or by `timeout` or `connection`; retries included."""
    failures: Mapping[str, int]


class Pseudonyms:
    """The same name for the same id, in the order of appearance."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __getitem__(self, operation_id: str) -> str:
        return self._names.setdefault(operation_id, f"operation-{len(self._names) + 1}")


def table(evidence: Evidence, course: Course) -> str:
    """How the watch went, then two lines for each question, unless nothing was listed."""
    return "".join(_lines(answers(evidence) if evidence.listings else [], course))


def _lines(found: list[Answer], course: Course) -> Iterator[str]:
    yield f"watched for {course.seconds:.0f} s with {sum(course.codes.values())} requests\n"
    if course.failures:
        yield f"failed: {', '.join(f'{outcome} {times}' for outcome, times in course.failures.items())}\n"
    for each in found:
        counted = f"{each.observations} observation{'' if each.observations == 1 else 's'}"
        note = f"; {each.note}" if each.note else ""
        yield f"{each.question.text}\n  {each.answer or 'not answered'} ({counted}{note})\n"


def report(evidence: Evidence, course: Course) -> dict[str, Any]:
    """Values for JSON, none of which identifies the account or its mail."""
    names = Pseudonyms()
    return {
        "format": FORMAT,
        "version": __version__,
        "api": course.base_url or "another address",
        "seconds": round(course.seconds),
        "interrupted": course.interrupted,
        "requests": dict(sorted(course.codes.items())),
        "failures": dict(sorted(course.failures.items())),
        "listings": evidence.listings,
        "operations": dict(Counter(each.status for each in evidence.operations.values())),
        "answers": {each.question.key: _answer(each) for each in answers(evidence)},
        "headers": {
            name: {"replies": times, "values": sorted(evidence.header_values.get(name, ()))}
            for name, times in sorted(evidence.headers.items())
        },
        "changes": [_change(each, names) for each in evidence.changes],
        "samples": [_operation(each, names) for each in _samples(evidence)],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {**answer._asdict(), "question": answer.question.text}


def _samples(evidence: Evidence) -> Iterator[Operation]:
    """Some operations that speak against each reading of the states."""
    for side in range(2):
        speaking = (each for each in evidence.operations.values() if reading.speaks_against(each.stats)[side])
        yield from (each for each, _ in zip(speaking, range(SAMPLES), strict=False))


def _operation(operation: Operation, names: Pseudonyms) -> dict[str, Any]:
    return {
        "operation": names[operation.id],
        "status": operation.status,
        "updated_after_seconds": round(operation.updated_at - operation.created_at, 3),
        "stats": _stats(operation),
    }


def _change(change: Change, names: Pseudonyms) -> dict[str, Any]:
    return {
        "before": _operation(change.before, names),
        "after": _operation(change.after, names),
        "updated_at_moved": change.updated_at_moved,
    }


def _stats(operation: Operation) -> dict[str, int]:
    named = zip(STATS, operation.stats, strict=False)
    return {stat: value for stat, value in named if value is not None}
