"""Generates the golden manifests, the chart's file of defaults, and the table of values in its README.

`python -m tests.packaging.chart.reference` writes them; tests check that the committed files are up to date.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.packaging.chart.rendering import CHART, SCENARIOS, Manifest, Rendered, render_scenario

GOLDEN: Final = Path(__file__).parent / "golden"
README: Final = CHART / "README.md"
DEFAULTS: Final = CHART / "files" / "defaults.yaml"
_TABLE: Final = re.compile(r"(?<=<!-- values -->\n).*?(?=<!-- end of values -->)", flags=re.DOTALL)


class _Dumper(yaml.SafeDumper):
    """Writes text with several lines as a block, so that differences are readable."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def golden(rendered: Rendered) -> str:
    """All manifests of a scenario with sorted keys, followed by the notes as comments."""
    manifests = (*rendered.manifests, *rendered.extra)
    documents = [yaml.dump(_without_files(each), Dumper=_Dumper, width=120) for each in manifests]
    notes = "".join(f"# {line}".rstrip() + "\n" for line in rendered.notes.splitlines())
    return "---\n".join([*documents, notes])


def _without_files(manifest: Manifest) -> Manifest:
    """Replace dashboards and rules by their names: they have their own tests and change independently."""
    match manifest:
        case {"kind": "PrometheusRule", "spec": {"groups": groups}}:
            names = [group["name"] for group in groups]
            return {**manifest, "spec": {"groups": f"as in grafana/alerts.yaml: {', '.join(names)}"}}
        case {"kind": "ConfigMap", "data": data} if all(name.endswith(".json") for name in data):
            return {**manifest, "data": {name: f"as in grafana/dashboards/{name}" for name in data}}
    return manifest


def described_values() -> dict[str, str]:
    """Description of each value by its path, for values with a `# --` comment in values.yaml."""
    found: dict[str, str] = {}
    sections: list[tuple[int, str]] = []
    description: list[str] = []
    for line in (CHART / "values.yaml").read_text(encoding="utf-8").splitlines():
        if comment := re.fullmatch(r" *# -- (.*)", line):
            description = [comment[1]]
        elif key := re.match(r"( *)(\w+):", line):
            indent = len(key[1])
            sections = [section for section in sections if section[0] < indent] + [(indent, key[2])]
            if description:
                found[".".join(name for _, name in sections)] = description.pop()
    return found


def defaults(
    values: Mapping[str, Any], described: Mapping[str, str], above: str = ""
) -> Iterator[tuple[str, Any]]:
    """Path and default of each described value, and of each value inside a mapping without a description."""
    for key, value in values.items():
        path = f"{above}{key}"
        if path in described or not isinstance(value, dict):
            yield path, value
        else:
            yield from defaults(value, described, f"{path}.")


def rows() -> dict[str, Any]:
    """The default of each value that the README's table lists, by its path."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return dict(defaults(values, described_values()))


def values_table() -> str:
    described = described_values()
    lines = [
        f"| `{path}` | `{json.dumps(default)}` | {described[path]} |" for path, default in rows().items()
    ]
    return "\n".join(["| value | default | |", "|---|---|---|", *lines, ""])


def defaults_file() -> str:
    """Templates cannot read values.yaml itself."""
    lines = [f"{path}: {json.dumps(default)}\n" for path, default in rows().items()]
    return "".join(["# Generated from values.yaml by `make docs`; templates/_values.tpl reads it.\n", *lines])


def readme() -> str:
    """The chart's README with an up-to-date table."""
    return _TABLE.sub(lambda _: values_table(), README.read_text(encoding="utf-8"))


def main() -> None:
    DEFAULTS.write_text(defaults_file(), encoding="utf-8")
    GOLDEN.mkdir(exist_ok=True)
    for name in SCENARIOS:
        (GOLDEN / f"{name}.yaml").write_text(golden(render_scenario(name)), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    main()
