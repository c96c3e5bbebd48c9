"""Validates manifests against the schemas of Kubernetes and of operators."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Final

import kubernetes_validate  # type: ignore[import-untyped] # has types, but no py.typed
import yaml
from jsonschema import Draft202012Validator

from tests.packaging.chart.rendering import CHART, Manifest

METADATA: Final = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
VERSIONS: Final = (
    re.sub(r".*?(\d+\.\d+).*", r"\1", METADATA["kubeVersion"]),
    kubernetes_validate.latest_version(),
)
"""The oldest and the newest version of Kubernetes."""
SCHEMAS: Final = {file.stem: file for file in (Path(__file__).parent / "schemas").glob("*.json")}
"""Of kinds that are not Kubernetes' own, by name in lower case."""


@cache
def operator_schema(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMAS[kind.lower()].read_text(encoding="utf-8")))


def validate(manifest: Manifest, version: str = VERSIONS[-1]) -> None:
    """Unknown keys, which Kubernetes drops silently, are errors as well."""
    if manifest["kind"].lower() in SCHEMAS:
        operator_schema(manifest["kind"]).validate(manifest)
    else:
        kubernetes_validate.validate(manifest, version, strict=True)
