"""Renders the chart with Helm's own engine, and prepares the files and variables of its pods.

Must not need a cluster. Scheduling, DNS and file modes are therefore not tested.
"""

import argparse
import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import helm_python as helm
import yaml

from exporter.config.loading import add_flags, load
from exporter.config.settings import Settings
from tests.support.program import ROOT

CHART: Final = ROOT / "helm" / "twilio-email-exporter"
SCENARIOS: Final = {
    file.name.removesuffix("-values.yaml"): file for file in sorted((CHART / "ci").glob("*-values.yaml"))
}
ACCOUNT: Final = {
    "name": "default",
    "account_sid": "AC" + "0" * 32,
    "existingSecret": {"name": "twilio"},
}
NAMESPACE: Final = "mail"
URL: Final = "postgresql://exporter@postgresql:5432/exporter"
"""Of a database."""

Manifest: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """Manifests and notes of a release."""

    manifests: tuple[Manifest, ...]
    extra: tuple[Manifest, ...]
    """Those of `extraObjects`."""
    notes: str

    def all(self, kind: str) -> list[Manifest]:
        return [each for each in self.manifests if each["kind"] == kind]

    def one(self, kind: str) -> Manifest:
        (found,) = self.all(kind)
        return found

    @property
    def workload(self) -> Manifest:
        """The StatefulSet, or with a database the Deployment."""
        (found,) = (*self.all("StatefulSet"), *self.all("Deployment"))
        return found

    @property
    def pod(self) -> Manifest:
        """The template of the exporter's pods."""
        template: Manifest = self.workload["spec"]["template"]
        return template

    @property
    def container(self) -> Manifest:
        (found,) = [each for each in self.pod["spec"]["containers"] if each["name"] == "exporter"]
        container: Manifest = found
        return container

    @property
    def config_map(self) -> Manifest:
        """The ConfigMap with the settings; dashboards are ConfigMaps as well."""
        (found,) = [each for each in self.all("ConfigMap") if "config.yaml" in each["data"]]
        return found


def scenario(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(SCENARIOS[name].read_text(encoding="utf-8"))
    return values


def render(
    values: Mapping[str, Any] | None = None, *, name: str = "demo", namespace: str = NAMESPACE
) -> Rendered:
    """Render with one account, unless `values` contain some. Raises `helm.HelmError` with Helm's message."""
    return read_rendered(render_text(values, name=name, namespace=namespace))


def render_text(
    values: Mapping[str, Any] | None = None, *, name: str = "demo", namespace: str = NAMESPACE
) -> dict[str, str]:
    """The same as text, by file of the chart. Reading it as YAML takes ten times as long as rendering it."""
    return dict(_chart().render({"accounts": [ACCOUNT], **(values or {})}, name=name, namespace=namespace))


@cache
def render_scenario(name: str) -> Rendered:
    return render(scenario(name))


@cache
def _chart() -> helm.Chart:
    return helm.Chart.load(CHART)


def read_rendered(files: Mapping[str, str]) -> Rendered:
    texts = {path.partition("/templates/")[2]: text for path, text in sorted(files.items())}
    notes = texts.pop("NOTES.txt")
    extra = _documents(texts.pop("extra-objects.yaml"))
    return Rendered(tuple(_documents("\n---\n".join(texts.values()))), tuple(extra), notes)


def _documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def selects(selector: Manifest, manifest: Manifest) -> bool:
    """As Kubernetes does, for the two kinds of selectors that the chart uses."""
    labels = manifest["metadata"]["labels"]
    excluded = [
        labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
        if each["operator"] == "NotIn"
    ]
    return selector["matchLabels"].items() <= labels.items() and not any(excluded)


# -- a pod ------------------------------------------------------------------------------------------------


def environment(rendered: Rendered, root: Path, index: int = 0) -> dict[str, str]:
    """Environment variables of the container in the pod with this index, with its files below `root`."""
    variables = {"POD_INDEX": str(index)}
    for each in rendered.container["env"]:
        if "value" in each:
            variables[each["name"]] = re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], each["value"])
        else:
            assert (
                each["valueFrom"]["fieldRef"]["fieldPath"]
                == "metadata.labels['apps.kubernetes.io/pod-index']"
            )
            assert each["name"] == "POD_INDEX"
    variables["EXPORTER_CONFIG_FILE"] = f"{root}{variables['EXPORTER_CONFIG_FILE']}"
    return variables


def environment_on_loopback(rendered: Rendered, root: Path) -> dict[str, str]:
    """The same variables for a program on this machine, which listens on loopback at the pod's port."""
    (port,) = rendered.container["ports"]
    here = {"EXPORTER_WEB__LISTEN_ADDRESS": f"127.0.0.1:{port['containerPort']}"}
    return environment(rendered, root) | here


def mount(rendered: Rendered, root: Path) -> None:
    """Write the container's mounted files below `root`, and adapt the paths in the settings file."""
    folders = {
        each["name"]: root / each["mountPath"].lstrip("/") for each in rendered.container["volumeMounts"]
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for volume in rendered.pod["spec"]["volumes"]:
        for name, content in _files(rendered, volume):
            (folders[volume["name"]] / name).write_bytes(content)
    settings = folders["config"] / "config.yaml"
    text = re.sub(r"(?<=[ =])/(?=(?:etc|var|vault)/)", f"{root}/", settings.read_text(encoding="utf-8"))
    settings.write_text(text, encoding="utf-8")


def settings_of(rendered: Rendered, root: Path, index: int = 0) -> Settings:
    """Settings that the program loads in the pod with this index. Raises `SettingsError`."""
    mount(rendered, root)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    flags, unrecognized = parser.parse_known_args(rendered.container.get("args", []))
    return load(flags, environment(rendered, root, index), unrecognized=unrecognized)


def _files(rendered: Rendered, volume: Manifest) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a volume."""
    if "projected" in volume:
        for source in volume["projected"]["sources"]:
            yield from _items(rendered, "Secret", source["secret"])
    elif "secret" in volume:
        yield from _items(rendered, "Secret", {"name": volume["secret"]["secretName"], **volume["secret"]})
    elif "configMap" in volume:
        yield from _items(rendered, "ConfigMap", volume["configMap"])


def _items(rendered: Rendered, kind: str, source: Manifest) -> Iterator[tuple[str, bytes]]:
    """One that the release does not contain is assumed to exist, with the requested keys."""
    keys = {item["key"]: item["path"] for item in source.get("items", [])}
    pem = (ROOT / "tests" / "support" / "ca" / "a.pem").read_bytes()
    data = {key: pem if key.endswith((".pem", ".crt")) else b"an-existing-secret" for key in keys}
    for each in (*rendered.manifests, *rendered.extra):
        if each["kind"] == kind and each["metadata"]["name"] == source["name"]:
            data = _data(each)
    for key, path in (keys or {key: key for key in data}).items():
        yield path, data[key]


def _data(manifest: Manifest) -> dict[str, bytes]:
    """The keys of a Secret or ConfigMap."""
    texts = manifest.get("data", {}) if manifest["kind"] == "ConfigMap" else manifest.get("stringData", {})
    coded = manifest.get("data", {}) if manifest["kind"] == "Secret" else {}
    return {key: text.encode() for key, text in texts.items()} | {
        key: base64.b64decode(text, validate=True) for key, text in coded.items()
    }
