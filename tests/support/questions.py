"""Asks `explain` of a whole exporter, without a process."""

from typing import Any

from exporter.cli.explanation import as_json, as_table
from exporter.polling.explain import Explanation, Question
from tests.support.whole import Whole

HOUR = 3600.0


async def explained(exporter: Whole, **changes: Any) -> list[Explanation]:
    """The answers for all accounts; `changes` are parts of the question."""
    usual: dict[str, Any] = {
        "lookback": HOUR,
        "operation_id": None,
        "max_requests": 20,
        "by": (),
        "top": 10,
        "patience": 30.0,
    }
    question = Question(**{**usual, **changes})
    return await exporter.polling.explain(question, lambda *_: None)


async def everything_explained(exporter: Whole, **changes: Any) -> str:
    """All that `explain` prints, in both formats."""
    answers = await explained(exporter, **changes)
    errors = "".join(f"{answer.error}" for answer in answers if answer.error)
    return as_table(answers) + as_json(answers) + errors
