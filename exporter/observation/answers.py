"""From the evidence to the answers: what an account shows about each open question of the reference. Pure.

Must not know how the evidence was gathered.

Rule: a question without enough evidence is not answered, and the reason is given. Absence of evidence is not
an answer.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from exporter.ledger import reading
from exporter.observation.evidence import SORTABLE_ROWS, Evidence, Share

ENOUGH: Final = 3
"""Observations that answer a question which each of them answers alone."""

CLOCKS_AGREE_SECONDS: Final = 2.0
"""A shorter absence of a new operation may be the difference between two clocks."""


class Question(NamedTuple):
    key: str
    text: str


class Answer(NamedTuple):
    """`answer` is `None` when the question is not answered; `note` then gives the reason."""

    question: Question
    answer: str | None
    observations: int
    note: str = ""


def answers(evidence: Evidence) -> list[Answer]:
    return [answer(evidence) for answer in _ANSWERS]


def _states(evidence: Evidence) -> Answer:
    against = [reading.speaks_against(each.stats) for each in evidence.operations.values()]
    found = reading.Evidence(*(sum(side) for side in zip(*against, strict=True)) if against else ())
    question = Question("states", "Are the eight states of an email exclusive or cumulative?")
    note = (
        f"{found.against_cumulative} operations speak against cumulative states, "
        f"{found.against_exclusive} against exclusive ones"
    )
    return Answer(question, None if found.reading == "undetermined" else found.reading, sum(found), note)


def _changes(evidence: Evidence) -> Answer:
    question = Question("stats_after_completed", "Do stats change after COMPLETED?")
    changed, watched = evidence.moved_after_final.of, len(evidence.finished_twice)
    note = f"{changed} changes in {watched} finished operations"
    return Answer(question, "yes" if changed else None, changed, note)


def _updated_after(evidence: Evidence) -> Answer:
    question = Question("updated_at_after_completed", "Does updatedAt move with changes after COMPLETED?")
    return _moves(question, evidence.moved_after_final)


def _updated_before(evidence: Evidence) -> Answer:
    question = Question("updated_at_before_completed", "Does updatedAt move with the stats before COMPLETED?")
    return _moves(question, evidence.moved_before_final)


def _moves(question: Question, moved: Share) -> Answer:
    note = f"it moved with {moved.positive} of {moved.of} changes"
    return Answer(question, _agreed(moved, "yes", "no", "sometimes"), moved.of, note)


def _agreed(share: Share, all_of_them: str, none: str, some: str) -> str | None:
    if share.of < ENOUGH:
        return None
    if share.positive == share.of:
        return all_of_them
    return some if share.positive else none


def _order(evidence: Evidence) -> Answer:
    question, listings = Question("order", "In which order are operations listed?"), evidence.sorted_listings
    if listings < ENOUGH:
        return Answer(
            question, None, listings, f"only {listings} listings had {SORTABLE_ROWS} operations or more"
        )
    held = [name for name, times in evidence.orders.items() if times == listings]
    if held:
        return Answer(question, held[0], listings)
    same = evidence.same_order
    note = f"{same.positive} of {same.of} listings had the order of the one before"
    arbitrary = _agreed(same, "arbitrary, the same each time", "arbitrary, changing", "arbitrary, changing")
    return Answer(question, arbitrary, listings, note)


def _start(evidence: Evidence) -> Answer:
    return _bound(Question("start_date", "Is startDate inclusive?"), evidence.start_included)


def _end(evidence: Evidence) -> Answer:
    return _bound(Question("end_date", "Is endDate inclusive?"), evidence.end_included)


def _bound(question: Question, included: Share) -> Answer:
    note = f"{included.positive} of {included.of} operations created at that instant were listed"
    found = _agreed(included, "inclusive", "exclusive", "sometimes inclusive")
    return Answer(question, found, included.of, note)


def _page_filters(evidence: Evidence) -> Answer:
    question = Question("page_filters", "Does a page token carry the filters of its listing?")
    words = {
        "carried": "yes",
        "required": "no, without them it is refused",
        "forgotten": "no, without them the page is not filtered",
    }
    seen = evidence.page_filters
    if not seen:
        return Answer(question, None, 0, "no listing with enough operations inside and outside its filters")
    note = ", ".join(f"{name} {times} times" for name, times in sorted(seen.items()))
    return Answer(question, words[max(seen)] if len(seen) == 1 else "contradictory", seen.total(), note)


def _listed_after(evidence: Evidence) -> Answer:
    question, new = Question("listed_after", "How soon is a new operation listed?"), evidence.new_operations
    if new < ENOUGH:
        return Answer(question, None, new, f"only {new} new operations were seen")
    missing, listed = evidence.missing_seconds, evidence.listed_seconds
    note = f"the oldest one that was not yet listed was {max(0.0, missing):.1f} s old"
    if missing <= CLOCKS_AGREE_SECONDS:
        return Answer(question, f"at once, or within {listed:.1f} s", new, note)
    return Answer(question, f"after more than {missing:.1f} s, within {listed:.1f} s", new, note)


def _errors(evidence: Evidence) -> Answer:
    question = Question("errors", "Does GET Emails/Operations/{operationId}/Errors exist?")
    call = evidence.errors_call
    note = ", ".join(f"status {status} {times} times" for status, times in sorted(call.statuses.items()))
    if not call.statuses:
        return Answer(question, None, 0, "no operation to ask for")
    if 200 in call.statuses:
        keys = ", ".join(sorted(call.keys)) or "none that is known"
        return Answer(question, "yes", call.statuses.total(), f"{note}; keys: {keys}")
    return Answer(question, "no" if set(call.statuses) == {404} else None, call.statuses.total(), note)


def _headers(evidence: Evidence) -> Answer:
    question = Question("headers", "Which headers come with replies?")
    names = ", ".join(sorted(evidence.headers))
    return Answer(question, names or None, evidence.replies, "" if names else "no reply was received")


_ANSWERS: Final[tuple[Callable[[Evidence], Answer], ...]] = (
    _states,
    _changes,
    _updated_after,
    _updated_before,
    _order,
    _start,
    _end,
    _page_filters,
    _listed_after,
    _errors,
    _headers,
)
