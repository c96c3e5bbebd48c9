"""What the chart does with empty sections, parent charts and damaged copies of its files."""

import re
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import pytest
import yaml

from tests.packaging.chart.reference import DEFAULTS, defaults_file, rows
from tests.packaging.chart.rendering import (
    ACCOUNT,
    CHART,
    NAMESPACE,
    read_rendered,
    render,
    render_text,
    scenario,
)

EVERYTHING: Final = {
    **scenario("operator"),
    **{name: {"enabled": True} for name in ("networkPolicy", "podDisruptionBudget")},
    "ingress": {"enabled": True, "hosts": [{"host": "mail.example.com"}]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
}
"""Values that enable every template."""


def changed(values: Mapping[str, Any], path: str, *, empty: bool) -> dict[str, Any]:
    """The values with null at a dotted path, or without anything there."""
    name, _, rest = path.partition(".")
    if not empty and name not in values:
        return dict(values)
    if rest:
        return {**values, name: changed(values.get(name, {}), rest, empty=empty)}
    others = {key: value for key, value in values.items() if key != name}
    return {**others, name: None} if empty else others


def outcome(values: Mapping[str, Any]) -> dict[str, str] | str:
    """The files of the release, or the chart's message."""
    try:
        return render_text(values)
    except helm.HelmRenderError as error:
        return str(error)


@cache
def everything() -> dict[str, str] | str:
    return outcome(EVERYTHING)


SECTIONS: Final = sorted({path[: dot.start()] for path in rows() for dot in re.finditer("[.]", path)})


def test_file_of_defaults_is_up_to_date() -> None:
    """`make docs` writes it from values.yaml."""
    assert DEFAULTS.read_text(encoding="utf-8") == defaults_file()


@pytest.mark.parametrize("path", [*SECTIONS, *(path for path in rows() if path != "accounts")])
def test_empty_values_are_as_if_not_given(path: str) -> None:
    """A section or value that is null, such as one whose keys are all commented out, has its default."""
    without = changed(EVERYTHING, path, empty=False)
    expected = everything() if without == EVERYTHING else outcome(without)
    assert outcome(changed(EVERYTHING, path, empty=True)) == expected


@pytest.mark.parametrize("path", [path for path in (*SECTIONS, *rows()) if path.startswith("state")])
def test_empty_values_of_the_database_are_as_if_not_given(path: str) -> None:
    """The same for values that have an effect only together with others."""
    values = scenario("postgresql")
    expected = outcome(changed(values, path, empty=False))
    assert outcome(changed(values, path, empty=True)) == expected


@pytest.mark.parametrize(
    "config", [{"poll": None}, {"web": {"listen_address": None}}, {"api": {"base_url": None}}]
)
def test_empty_settings_are_as_if_not_given(config: Mapping[str, Any]) -> None:
    """The chart derives ports and policies from settings, which may be null as well."""
    assert render_text({**EVERYTHING, "config": config}) == everything()


def test_null_inside_a_value_removes_a_part_of_it() -> None:
    """The default of a mapping that is one value, such as resources, can be reduced."""
    limits = render({"resources": {"limits": None}}).container["resources"]
    assert limits.keys() == {"requests"}


# -- parent charts ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart with this one as a dependency, under its own name and under an alias."""
    folder: Path = tmp_path_factory.mktemp("parent")
    dependency = {"name": CHART.name, "version": ">=0"}
    metadata = {
        "apiVersion": "v2",
        "name": "parent",
        "version": "1.0.0",
        "dependencies": [
            {**dependency, "condition": f"{CHART.name}.enabled"},
            {**dependency, "alias": "mail", "condition": "mail.enabled"},
        ],
    }
    (folder / "Chart.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")
    shutil.copytree(CHART, folder / "charts" / CHART.name)
    return folder


def rendered_by(parent: Path, values: dict[str, Any]) -> dict[str, str]:
    with helm.Chart.load(parent) as chart:
        return dict(chart.render(values, name="demo", namespace=NAMESPACE))


@pytest.mark.parametrize("name", [CHART.name, "mail"])
def test_parents_switch_the_chart_on_and_off(parent: Path, name: str) -> None:
    """A parent's `condition` is a value of the chart, also under an alias."""
    other = {CHART.name: "mail", "mail": CHART.name}[name]
    values = {"accounts": [ACCOUNT], "enabled": True}
    files = rendered_by(parent, {name: values, other: {"enabled": False}})
    assert {path.split("/")[2] for path in files} == {name}
    expected = f"demo-{name}"
    assert read_rendered(files).one("StatefulSet")["metadata"]["name"] == expected


def test_parents_use_the_chart_twice(parent: Path) -> None:
    """Both have names and selectors of their own, and share the parent's `global`."""
    values = {"accounts": [ACCOUNT], "enabled": True}
    files = rendered_by(
        parent, {CHART.name: values, "mail": values, "global": {"imageRegistry": "registry.example.com"}}
    )
    first, second = (
        read_rendered({path: text for path, text in files.items() if path.split("/")[2] == name})
        for name in (CHART.name, "mail")
    )
    names = [{(each["kind"], each["metadata"]["name"]) for each in it.manifests} for it in (first, second)]
    assert not names[0] & names[1]
    assert first.one("StatefulSet")["spec"]["selector"] != second.one("StatefulSet")["spec"]["selector"]
    assert first.container["image"] == second.container["image"]
    assert first.container["image"].startswith("registry.example.com/twilio-email-exporter:")


def test_sections_of_a_parent_may_be_empty(parent: Path) -> None:
    """A parent's null is as one's own."""
    values = {"accounts": [ACCOUNT], "enabled": True}
    plain, empty = (
        rendered_by(parent, {CHART.name: values | more, "mail": {"enabled": False}})
        for more in ({}, {"persistence": None, "serviceMonitor": None, "resources": None})
    )
    assert plain == empty


# -- damaged copies of the chart ----------------------------------------------------------------------------

LINK: Final = "../../../grafana/alerts.yaml"
"""The text that some archives leave of a link."""


@pytest.mark.parametrize("content", [None, "", LINK, "groups: null\n", "groups: []\n", "[]\n"])
@pytest.mark.parametrize("path", ["alerts.yaml", "dashboards/twilio-email-operations.json", "defaults.yaml"])
def test_damaged_copies_of_the_chart_do_not_render(path: str, content: str | None, tmp_path: Path) -> None:
    """A file that is missing, empty or damaged ends the release, instead of leaving out alerts."""
    copy = shutil.copytree(CHART, tmp_path / CHART.name)
    if content is None:
        (copy / "files" / path).unlink()
    else:
        (copy / "files" / path).write_text(content, encoding="utf-8")
    with (
        helm.Chart.load(copy) as chart,
        pytest.raises(
            helm.HelmError, match=rf"files/{path} is missing, empty or damaged: install the packaged"
        ),
    ):
        chart.render(scenario("operator"), name="demo", namespace=NAMESPACE)
