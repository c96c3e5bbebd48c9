"""The rule of the changelog; the rest of the release check is `make release-check` itself."""

import pytest

from exporter import __version__
from tests.program import ROOT
from tests.release import disagreements, wrong_changelog

TO_COME = "# Changelog\n\n## [Unreleased]\n\n### Added\n"
FIRST = "## [1.2.0] - 2026-01-02\n"


@pytest.mark.parametrize(
    ("changelog", "tag", "version", "right"),
    [
        (TO_COME, "", "0.1.0", True),
        (TO_COME, "v0.1.0", "0.1.0", False),
        (TO_COME + FIRST, "", "1.3.0", True),
        (TO_COME + FIRST, "", "1.10.0", True),
        (TO_COME + FIRST, "", "1.2.0", False),
        (FIRST, "", "1.2.0", True),
        (FIRST, "v1.2.0", "1.2.0", True),
        (FIRST, "v1.2.1", "1.2.0", False),
        (FIRST, "1.2.0", "1.2.0", False),
        (FIRST, "", "1.3.0", False),
        ("## [1.2.0]\n", "v1.2.0", "1.2.0", False),
        ("nothing", "", "1.2.0", False),
    ],
)
def test_changelog(changelog: str, tag: str, version: str, right: bool) -> None:
    """A release has its heading, with a date, on top; before it the version is above what was released."""
    assert (wrong_changelog(changelog, tag, version) == []) is right


def test_ours() -> None:
    """The changelog of now follows the rule."""
    assert wrong_changelog((ROOT / "CHANGELOG.md").read_text(), "") == []


def test_disagreements_are_named() -> None:
    """What, and both versions."""
    assert disagreements({"wheel": __version__, "chart": "9.9.9"}) == [f"chart says 9.9.9, not {__version__}"]
