"""The settings of the breakdown: dimensions from each source, and a line for each wrong one."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.breakdown import parse_dimension
from exporter.config.loading import load
from exporter.config.problems import SettingsError
from exporter.config.settings import Settings

RIGHT = "write recipient_domain, sender_domain or tag:KEY"
KEY = "write a key of at most 128 printable characters without @"
PLACEHOLDER = "contains a placeholder such as ${NAME}, which is not expanded; write the value itself"


def loaded(
    folder: Path,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    document: str = "",
) -> Settings:
    (folder / "exporter.yaml").write_text(document)
    return load(
        {"config_file": str(folder / "exporter.yaml"), **(flags or {})},
        environ or {},
        accounts_required=False,
    )


def lines(by: str) -> list[str]:
    """The problems of a flag, without the place."""
    with pytest.raises(SettingsError) as caught:
        load({"breakdown.by": [by]}, {}, accounts_required=False)
    return [str(problem).partition('" ')[2] for problem in caught.value.problems]


def test_dimensions_from_each_source(tmp_path: Path) -> None:
    """With commas between them, repeated as flags, or as a list in the file; without any, no breakdown."""
    by = ("recipient_domain", "tag:campaign", "tag:a:b c")
    text = "recipient_domain, tag:campaign,tag:a:b c"
    document = 'breakdown: {by: [recipient_domain, "tag:campaign", "tag:a:b c"]}'
    for settings in (
        loaded(tmp_path, {"breakdown.by": [text]}),
        loaded(tmp_path, {"breakdown.by": list(by)}),
        loaded(tmp_path, environ={"EXPORTER_BREAKDOWN__BY": text}),
        loaded(tmp_path, document=document),
        loaded(tmp_path, document=f"breakdown: {{by: '{text}'}}"),
    ):
        assert settings.breakdown.by == by
    for document in ("", "breakdown: {by: []}", "breakdown: {by: }", "breakdown: {by: ' '}", "breakdown:"):
        assert loaded(tmp_path, document=document).breakdown.by == ()


@pytest.mark.parametrize(
    ("by", "problems"),
    [
        ("recipient", ['contains "recipient"; write recipient_domain']),
        ("recipient-domain", ['contains "recipient-domain"; write recipient_domain']),
        ("Sender_Domain", ['contains "Sender_Domain"; write sender_domain']),
        ("campaign", [f'contains "campaign"; {RIGHT}']),
        ("sender_domain,", [f"contains an empty item; {RIGHT}"]),
        ("tag:", ['contains "tag:"; write the tag\'s key after the colon, such as tag:campaign']),
        ("tag: a", ['contains "tag: a"; write the tag\'s key after the colon, such as tag:campaign']),
        ("tag:\x00", [f'contains "tag:\\x00"; {KEY}']),
        ("tag:a\u202eb", [f'contains "tag:a\\u202eb"; {KEY}']),
        (f"tag:{'x' * 129}", [f'contains "tag:{"x" * 55}…"; {KEY}']),
        ("tag:a,tag:a,sender_domain", ['contains "tag:a" twice; write it once']),
        ("x,sender_domain,y", [f'contains "x"; {RIGHT}', f'contains "y"; {RIGHT}']),
        ("tag:${KEY}", [PLACEHOLDER]),
    ],
)  # fmt: skip
def test_wrong_dimensions(by: str, problems: list[str]) -> None:
    """One line for each wrong item, with what would be right."""
    assert lines(by) == problems


@pytest.mark.parametrize("item", ["[a]", "{tag: campaign}"])
def test_item_of_a_list_that_is_not_text(tmp_path: Path, item: str) -> None:
    """YAML reads `tag: campaign` as a mapping."""
    with pytest.raises(SettingsError, match="without a space after the colon"):
        loaded(tmp_path, document=f"breakdown: {{by: [sender_domain, {item}]}}")


@given(st.text())
def test_any_text_is_a_dimension_or_a_problem(text: str) -> None:
    """Nothing else is raised, and no message breaks its line."""
    try:
        assert parse_dimension(text) == text
    except ValueError as error:
        assert "write " in str(error)


@pytest.mark.parametrize("text", ["true", "yes", "on", "1", "True"])
def test_a_switch_is_on(tmp_path: Path, text: str) -> None:
    """The usual words for true, in the file and in variables."""
    assert loaded(tmp_path, environ={"EXPORTER_BREAKDOWN__ERRORS": text}).breakdown.errors
    assert loaded(tmp_path, document=f"breakdown: {{errors: {text}}}").breakdown.errors


def test_wrong_values_are_reported_together() -> None:
    """Every setting of the section has bounds."""
    wrong = {
        "interval": "59s",
        "lookback": "8d",
        "top": "101",
        "max_requests": "501",
        "errors": "maybe",
    }
    with pytest.raises(SettingsError) as caught:
        load({f"breakdown.{name}": value for name, value in wrong.items()}, {}, accounts_required=False)
    assert [str(problem).rpartition(" must be ")[2] for problem in caught.value.problems] == [
        "a duration, at least 60s",
        "a duration, more than 0s, at most 7d",
        "a whole number, at least 1, at most 100",
        "a whole number, at least 1, at most 500",
        "true or false",
    ]
