"""The rules of the changelog, and the packaged chart. `make release-check` covers the rest of a release."""

from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from exporter import __version__
from tests.packaging.chart.rendering import NAMESPACE, Rendered, read_rendered, render_scenario, scenario
from tests.support.program import ROOT
from tools.release import ReleaseError, disagreements, packaged_chart, release_notes, wrong_changelog
from tools.version import FILES, with_version

UNRELEASED = "# Changelog\n\n## [Unreleased]\n\n### Added\n"
FIRST = "## [1.2.0] - 2026-01-02\n"


@pytest.mark.parametrize(
    ("changelog", "tag", "version", "right"),
    [
        (UNRELEASED, "", "0.1.0", True),
        (UNRELEASED, "v0.1.0", "0.1.0", False),
        (UNRELEASED + FIRST, "", "1.3.0", True),
        (UNRELEASED + FIRST, "", "1.10.0", True),
        (UNRELEASED + FIRST, "", "1.2.0", False),
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
    """A release is the first entry and has a date; before it, the version is higher than the last release."""
    assert (wrong_changelog(changelog, tag, version) == []) is right


def test_changelog_of_the_repository() -> None:
    """CHANGELOG.md follows the rules."""
    assert wrong_changelog((ROOT / "CHANGELOG.md").read_text(), "") == []


def test_text_of_the_release() -> None:
    """It is the first section, with one line per paragraph and list item, and without links to files."""
    section = """\
The first
version.

### Added

- One thing, see [docs](docs/a.md#b)
  and [a page](https://example.com).
  - A detail.
- Another.
"""
    expected = """\
The first version.

### Added

- One thing, see docs and [a page](https://example.com).
  - A detail.
- Another.
"""
    assert (
        release_notes(f"# Changelog\n\n{FIRST}\n{section}\n## [1.1.0] - 2026-01-01\n\n- Old.\n") == expected
    )


@pytest.mark.parametrize(
    "changelog", ["# Changelog\n", FIRST, f"{FIRST}\n## [1.1.0] - 2026-01-01\n\n- Old.\n"]
)
def test_release_without_a_text_is_rejected(changelog: str) -> None:
    """A release needs an entry in the changelog."""
    with pytest.raises(ReleaseError, match="no text"):
        release_notes(changelog)


def test_disagreements_are_named() -> None:
    """The message contains the artifact and both versions."""
    assert disagreements({"wheel": __version__, "chart": "9.9.9"}) == [f"chart says 9.9.9, not {__version__}"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_chart_has_the_version_of_the_program(file: Path) -> None:
    """`make docs` writes the version; it is set in exporter/__init__.py only."""
    text = file.read_text()
    assert with_version(text) == text
    assert "9.8.7" in with_version(text, "9.8.7")


def rendered(package: Path, **values: Any) -> Rendered:
    with helm.Chart.load(package) as chart:
        values = {**scenario("operator"), **values}
        return read_rendered(chart.render(values, name="demo", namespace=NAMESPACE))


def test_published_chart_names_the_published_image(tmp_path: Path) -> None:
    """The default image is the published one; everything else is as in the source tree."""
    package = packaged_chart(tmp_path, "ghcr.io/example/exporter")
    there = rendered(package)
    assert there.container["image"] == f"ghcr.io/example/exporter:{__version__}"
    assert rendered(package, image=None) == there  # the default of an empty section
    mirrored = rendered(package, **{"global": {"imageRegistry": "mirror.example.com"}})
    assert mirrored.container["image"] == f"mirror.example.com/example/exporter:{__version__}"
    here = render_scenario("operator")
    there.container["image"] = there.one("Pod")["spec"]["containers"][0]["image"] = here.container["image"]
    assert there == here


def test_other_packages_name_the_image_of_the_source_tree(tmp_path: Path) -> None:
    """Without a published image, the package is the same as the source tree."""
    assert rendered(packaged_chart(tmp_path, "")) == render_scenario("operator")


@pytest.mark.parametrize("image", ["ghcr.io/example/exporter:1.2.3", "ghcr.io/Example/exporter", "a b"])
def test_invalid_repositories_are_rejected(tmp_path: Path, image: str) -> None:
    """A repository is in lower case and has no tag, because the tag is the chart's appVersion."""
    with pytest.raises(ReleaseError, match="is no repository"):
        packaged_chart(tmp_path, image)
