"""What `ct lint` of chart-testing checks, and what Artifact Hub shows."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.packaging.chart.rendering import CHART, SCENARIOS
from tests.packaging.chart.validity import METADATA
from tests.support.program import ROOT

RULES: Final = Path(__file__).parent / "lintconf.yaml"
REQUIRED: Final = {"apiVersion", "name", "version", "description", "home"}
OPTIONAL: Final = {"appVersion", "icon", "kubeVersion", "type"}
"""Texts in Chart.yaml, as `etc/chart_schema.yaml` in helm/chart-testing has them."""


def test_yamllint_finds_nothing() -> None:
    """`ct lint` runs yamllint with these rules on these files."""
    files = [CHART / "Chart.yaml", CHART / "values.yaml", *SCENARIOS.values()]
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "--config-file", RULES, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_chart_yaml_has_the_form_that_ct_expects() -> None:
    """`ct lint` validates Chart.yaml and requires maintainers; Helm recommends an icon."""
    texts = {name for name, value in METADATA.items() if isinstance(value, str)}
    assert {*REQUIRED, "icon"} <= texts <= REQUIRED | OPTIONAL
    assert METADATA.keys() - texts == {"annotations", "keywords", "maintainers", "sources"}
    for name in ("keywords", "sources"):
        assert all(isinstance(each, str) for each in METADATA[name])
    assert all({"name"} <= each.keys() <= {"name", "email", "url"} for each in METADATA["maintainers"])
    assert all(isinstance(each, str) for each in METADATA["annotations"].values())


def test_addresses_lead_to_files() -> None:
    """Icon, pictures and links of Artifact Hub are files of the repository, below its home."""
    addresses = re.findall(r"https://[^\s\]]+", (CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert {METADATA["home"], METADATA["icon"]} < set(addresses)
    for address in addresses:
        assert (ROOT / address.removeprefix(METADATA["home"]).lstrip("/")).exists()
