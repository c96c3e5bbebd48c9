"""The issue forms of GitHub: their ids, and the commands that they name. test_schemas.py validates them."""

import re
from typing import Any, Final

import pytest
import yaml

from exporter.cli.commands import COMMANDS
from tests.support.program import ROOT

FORMS: Final = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def form(name: str) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text())
    return value


@pytest.mark.parametrize("name", [file.name for file in FORMS])
def test_ids_do_not_repeat(name: str) -> None:
    """GitHub shows no form whose ids repeat."""
    inputs = [field for field in form(name)["body"] if field["type"] != "markdown"]
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
