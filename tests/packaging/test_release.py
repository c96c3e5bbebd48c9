"""The rules of the changelog, and the packaged chart. `make release-check` covers the rest of a release."""

from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from exporter import __version__
from tests.packaging.chart.rendering import NAMESPACE, Rendered, read_rendered, render_scenario, scenario
from tests.support.program import ROOT
from tools.release import ReleaseError, disagreements, packaged_chart, wrong_changelog

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


def test_disagreements_are_named() -> None:
    """The message contains the artifact and both versions."""
    assert disagreements({"wheel": __version__, "chart": "9.9.9"}) == [f"chart says 9.9.9, not {__version__}"]


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
