"""The check of the prose: what it finds, what it leaves alone, and which texts it reads."""

import pytest

from tools.prose import (
    ROOT,
    SOURCES,
    Finding,
    Text,
    annotations,
    comments,
    findings,
    markdown_prose,
    messages,
    report,
    template_prose,
)


def found(prose: str) -> list[tuple[int, bool]]:
    return [(each.line, each.never) for each in findings(prose)]


def test_a_planted_idiom_is_found() -> None:
    """It is reported with its line and a better phrase, in any case and over the end of a line."""
    (never, avoid) = findings("The alert\nRings at night.\nThe old file is\nin\nforce.\n")
    assert (never.line, never.phrase, never.never) == (2, "Rings", True)
    assert "fires" in never.better
    assert (avoid.phrase, avoid.never) == ("in force", False)


@pytest.mark.parametrize(
    "prose",
    [
        "The alert fires at most once.",
        "What do the alerts cover?",
        "It is no longer read, and there is no file.",
        "The strings are long, and the boundary is checked.",
        "| what it does | by default |",
        "Standby processes stand by.",
        "A well-formed id is well known.",
    ],
)
def test_plain_english_passes(prose: str) -> None:
    """Words that only look like an idiom are none."""
    assert findings(prose) == []


def test_code_is_not_prose() -> None:
    """Code spans, code blocks, comments and link targets are left out; lines keep their numbers."""
    page = "`anew`\n```console\nmend\n```\n[text](docs/anew.md)\n<!-- whoever -->\nmended\n"
    assert found(markdown_prose(page)) == [(7, True)]


def test_paragraphs_and_list_items_end() -> None:
    """A phrase does not continue in the next paragraph, list item or table row."""
    assert found("- what is in\n- force\n\n| in |\n| force |\n\nin\n\nforce\n") == []


def test_values_yaml_is_read_in_its_comments() -> None:
    """Settings, also commented-out ones, are no prose."""
    assert found(comments("# -- Written anew.\nanew: 1\n  # anew:\n")) == [(1, True)]


def test_alerts_are_read_in_their_annotations() -> None:
    """Only summaries and descriptions, without template code."""
    rule = (
        "      - alert: Anew\n"
        "        expr: anew\n"
        "        annotations:\n"
        "          description: >-\n"
        "            {{ anew }} << anew >>\n"
        "            Nobody knows.\n"
        "          runbook_url: anew\n"
    )
    assert found(annotations(rule)) == [(6, True)]


def test_templates_are_read_without_tags() -> None:
    """Tags, attributes and template code are left out."""
    assert found(template_prose('<p title="anew">{{ anew }}\n<b>Anew</b></p>')) == [(2, True)]


def test_messages_are_the_strings_of_a_module() -> None:
    """Constants and f-strings of several words; no docstring, no name."""
    module = '"""Anew."""\nA = "anew"\nB = "begun anew"\nC = f"begun {A} anew"\n'
    assert found(messages(module)) == [(3, True), (4, True)]


def test_each_source_exists() -> None:
    """A pattern that matches no file would hide its texts from the check."""
    assert [pattern for pattern, _ in SOURCES if not any(ROOT.glob(pattern))] == []


@pytest.mark.parametrize(
    ("words", "idioms", "never", "passes"),
    [(1000, 0, False, True), (1001, 1, False, True), (1000, 1, False, False), (100_000, 1, True, False)],
)
def test_verdict(words: int, idioms: int, never: bool, passes: bool) -> None:
    """Fails from one idiom per 1,000 words on, and for a single forbidden one."""
    assert report([Text("page", words, [Finding(1, "x", "y", never)] * idioms)]) is passes
