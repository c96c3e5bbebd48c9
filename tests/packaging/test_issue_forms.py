"""The issue forms of GitHub: their structure, and the commands that they name.

Source of the structure: https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests/syntax-for-githubs-form-schema
"""

import re
from typing import Any, Final

import jsonschema
import pytest
import yaml

from exporter.cli.commands import COMMANDS
from tests.support.program import ROOT

FORMS: Final = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
FORM: Final = {
    "type": "object",
    "required": ["name", "description", "body"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 3},
        "description": {"type": "string", "minLength": 3, "maxLength": 200},
        "title": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "body": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "attributes"],
                "additionalProperties": False,
                "properties": {
                    "type": {"enum": ["markdown", "textarea", "input", "dropdown", "checkboxes"]},
                    "id": {"type": "string", "pattern": "^[a-z-]+$"},
                    "attributes": {"type": "object"},
                    "validations": {"type": "object", "properties": {"required": {"type": "boolean"}}},
                },
            },
        },
    },
}


def form(name: str) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text())
    return value


@pytest.mark.parametrize("name", [file.name for file in FORMS])
def test_a_form_is_valid(name: str) -> None:
    """GitHub shows no form whose structure is wrong or whose ids repeat."""
    value = form(name)
    jsonschema.validate(value, FORM)
    inputs = [field for field in value["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in inputs)
    ids = [field["id"] for field in inputs]
    assert len(set(ids)) == len(ids)
    assert any(field.get("validations", {}).get("required") for field in inputs)


def test_the_report_of_observe_is_asked_for() -> None:
    """The form names the command with flags that exist, and has a field for the report."""
    value = form("api-observation.yml")
    (text,) = [field["attributes"]["value"] for field in value["body"] if field["type"] == "markdown"]
    command = re.search(r"twilio-email-exporter (\w+) (.*)", text)
    assert command
    flags = {flag.spelling for flag in COMMANDS[command[1]].flags}
    assert {each.partition("=")[0] for each in command[2].split()} <= flags
    (report,) = [field for field in value["body"] if field.get("id") == "report"]
    assert report["attributes"]["render"] == "json"
    assert report["validations"]["required"]
