"""The stored specification agrees with the exporter, and a published one that differs is found."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tools.specification import STORED, changes, main, problems

SPECIFICATION: Final[dict[str, Any]] = json.loads(STORED.read_bytes())
LIST: Final = "/Emails/Operations"


def edited(edit: Callable[[dict[str, Any], dict[str, Any]], object]) -> dict[str, Any]:
    """A copy after `edit`, which receives its calls and its schemas."""
    published = copy.deepcopy(SPECIFICATION)
    edit(published["paths"], published["components"]["schemas"])
    return published


def test_the_exporter_agrees_with_the_stored_specification() -> None:
    """The exporter sends published parameters only, and reads everything that it uses."""
    assert list(problems(SPECIFICATION)) == []
    assert changes(SPECIFICATION, SPECIFICATION) == []


def rename_created_at(schema: dict[str, Any]) -> None:
    schema["properties"]["created_at"] = schema["properties"].pop("createdAt")
    schema["required"].remove("createdAt")


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (
            lambda calls, _: calls[LIST]["get"]["parameters"].pop(0),
            "GET /Emails/Operations: the exporter sends startDate, which is no parameter",
        ),
        (
            lambda calls, _: calls.pop("/Emails"),
            "GET /Emails: the exporter sends endDate, which is no parameter",
        ),
        (
            lambda _, schemas: schemas["PageSize"].update(maximum=500),
            "GET /Emails: the exporter asks for 1000 rows, which is above the maximum",
        ),
        (
            lambda _, schemas: schemas["Stats"]["required"].remove("opened"),
            "an operation may lack the stat opened",
        ),
        (
            lambda _, schemas: (
                schemas["Stats"]["properties"].update(bounced={"type": "integer"}),
                schemas["Stats"]["required"].append("bounced"),
            ),
            "the exporter does not know the stat bounced",
        ),
        (
            lambda _, schemas: schemas["OperationStatus"]["enum"].append("FAILED"),
            "the exporter does not know the operation status FAILED",
        ),
        (
            lambda _, schemas: schemas["OperationStatus"]["enum"].remove("CANCELED"),
            "the operation status canceled is not published",
        ),
        (
            lambda _, schemas: rename_created_at(schemas["EmailOperation"]),
            "the exporter cannot read a reply: ",
        ),
        (
            lambda _, schemas: schemas["OperationId"].update(example="operation_1"),
            "the exporter cannot read a reply: ",
        ),
        (
            lambda _, schemas: schemas["Pagination"]["required"].remove("next"),
            "the exporter cannot read a reply: 'next'",
        ),
        (
            lambda _, schemas: schemas["Address"]["properties"].update(address={"type": "string"}),
            "the exporter does not find the domains of an email",
        ),
        (
            lambda _, schemas: schemas["Related"]["properties"]["name"]["enum"].remove("OPERATION"),
            "the exporter does not find the operation or the tags of an email",
        ),
        (
            lambda _, schemas: schemas["EmailStatus"]["enum"].remove("UNDELIVERED"),
            "the exporter asks for the email status UNDELIVERED, which is not published",
        ),
        (
            lambda _, schemas: schemas["Errors"]["properties"].update(errors={"type": "string"}),
            "the exporter finds no code in an error",
        ),
    ],
)
def test_a_problem_of_the_exporter_is_found(
    edit: Callable[[dict[str, Any], dict[str, Any]], object], problem: str
) -> None:
    """A change that the exporter cannot cope with is named."""
    published = edited(edit)
    assert any(each.startswith(problem) for each in problems(published)), list(problems(published))


@pytest.mark.parametrize(
    ("edit", "change"),
    [
        (
            lambda calls, _: calls.update({f"{LIST}/{{operationId}}/Errors": calls[LIST]}),
            "+ GET /Emails/Operations/{operationId}/Errors is published",
        ),
        (
            lambda calls, _: calls[LIST]["get"]["parameters"].append(
                {"in": "query", "name": "sender", "schema": {"type": "string"}}
            ),
            '+ GET /Emails/Operations ?sender: type "string"',
        ),
        (
            lambda _, schemas: schemas["EmailOperation"]["properties"].update(
                tags={"$ref": "#/components/schemas/Tags"}
            ),
            '+ GET /Emails/Operations/{operationId} 200 $.tags: type "object", optional',
        ),
    ],
)
def test_a_new_possibility_is_found(
    edit: Callable[[dict[str, Any], dict[str, Any]], object], change: str
) -> None:
    """New calls, parameters and fields are listed although the exporter does not need them."""
    published = edited(edit)
    assert list(problems(published)) == []
    assert change in changes(SPECIFICATION, published)


def test_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 if nothing differs, otherwise 1 after a line for each difference."""
    assert main([str(STORED)]) == 0
    other = tmp_path / "published.json"
    other.write_text(json.dumps({**SPECIFICATION, "servers": [{"url": "https://comms.twilio.com/v2"}]}))
    capsys.readouterr()
    assert main([str(other)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "- server https://comms.twilio.com/v1",
        "+ server https://comms.twilio.com/v2",
    ]
