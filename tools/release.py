"""`make release-check`: builds, installs and runs a release, and checks that all versions agree.

Rule of the changelog: while the first heading is `Unreleased`, the version in `exporter/__init__.py` is the
next one, and must be above the newest released one. A release replaces that word by version and date.
`--tag=v1.2.3` checks a release whose version must match the tag. Its section is the text of the release.
"""

import argparse
import email
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from exporter import __version__
from tests.support.program import ROOT, eventually, fetch, found_in

NAME: Final = "twilio-email-exporter"
CHART: Final = ROOT / "helm" / NAME
UNRELEASED: Final = "Unreleased"


class ReleaseError(Exception):
    """A problem that must be fixed before a release; the message names it."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks what would be released.")
    parser.add_argument("--tag", default="", help="the tag of the release, such as v1.2.3")
    parser.add_argument(
        "--out", type=Path, help="where sdist, wheel, chart and text are left; nowhere by default"
    )
    parser.add_argument("--image", default="", help="what the packaged chart names as image.repository")
    flags = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = flags.out or folder / "dist"
        try:
            sdist, wheel = build(out)
            held = {
                "exporter/__init__.py": __version__,
                **built_versions(sdist, wheel),
                **chart_versions(out, flags.image),
            }
            held["label of the image"] = image_version()
            installed_and_run(wheel, folder)
            changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
            (out / "notes.md").write_text(release_notes(changelog), encoding="utf-8")
            wrong = [*disagreements(held), *wrong_changelog(changelog, flags.tag)]
        except ReleaseError as error:
            print(error, file=sys.stderr)
            return 1
    for what, version in held.items():
        print(f"{what:<46} {version}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


# -- what must agree ----------------------------------------------------------------------------------------


def disagreements(held: Mapping[str, str]) -> list[str]:
    """A line for each version that differs from the program's."""
    return [
        f"{what} says {version}, not {__version__}"
        for what, version in held.items()
        if version != __version__
    ]


def wrong_changelog(text: str, tag: str, version: str = __version__) -> list[str]:
    """Violations of the changelog rule; `tag` is empty when nothing is released."""
    headings = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    newest, date = headings[0] if headings else ("", "")
    released = [number(name) for name, _ in headings if name != UNRELEASED]
    if tag and tag != f"v{version}":
        return [f"the tag is {tag}, the version is {version}"]
    if tag and newest == UNRELEASED:
        return ["CHANGELOG.md still has Unreleased on top"]
    if newest == UNRELEASED:
        above = not released or number(version) > released[0]
        return [] if above else [f"{version} is not above what CHANGELOG.md says was released"]
    if newest != version or not date:
        return [f"CHANGELOG.md has no heading [{version}] with a date on top"]
    return []


def release_notes(changelog: str) -> str:
    """The first section as the text of a release on GitHub. Raises `ReleaseError` if it is missing or empty.

    GitHub shows every line break of the source there, and has no file that a relative link could name.
    """
    section = re.search(r"^## \[[^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    text = section[1].strip() if section else ""
    if not text:
        raise ReleaseError("CHANGELOG.md has no text for the release")
    text = re.sub(r"(?<=\S)\n *(?![-*#] |\n)(?=\S)", " ", text)
    return re.sub(r"\[([^]]+)\]\((?!\w+:)[^)]*\)", r"\1", text) + "\n"


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


# -- what is built ------------------------------------------------------------------------------------------


def run(*command: str, cwd: Path = ROOT, **variables: str) -> str:
    """Run a command without inherited settings; returns its output."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EXPORTER_", "TWILIO_", "PYTHON"))}
    done = subprocess.run(
        command, cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(out: Path) -> tuple[Path, Path]:
    """Build the sdist and the wheel; a wheel built from the checkout must be identical."""
    make = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    run(*make, str(out), ".")
    run(*make, str(out / "again"), "--wheel", ".")
    (sdist,), (wheel,), (again,) = out.glob("*.tar.gz"), out.glob("*.whl"), (out / "again").glob("*.whl")
    if digest(wheel) != digest(again):
        raise ReleaseError("the wheel made of the sdist differs from that made of the checkout")
    shutil.rmtree(out / "again")
    if (ROOT / ".git").exists():
        strange = {*files_of(sdist)} ^ {*committed()}
        if strange:
            raise ReleaseError("the sdist and what is committed differ in: " + ", ".join(sorted(strange)))
    else:
        print("This is no checkout: nothing tells what the sdist should hold.")
    return sdist, wheel


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def files_of(sdist: Path) -> Iterator[str]:
    with tarfile.open(sdist) as archive:
        names = (member.name.partition("/")[2] for member in archive if not member.isdir())
        yield from (name for name in names if name != "PKG-INFO")


def committed() -> list[str]:
    listed = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "-z")
    return [name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)]


def built_versions(sdist: Path, wheel: Path) -> dict[str, str]:
    with tarfile.open(sdist) as archive:
        (info,) = (each for each in archive if re.fullmatch("[^/]+/PKG-INFO", each.name))
        content = archive.extractfile(info)
        assert content is not None
        of_sdist = email.message_from_bytes(content.read())["Version"]
    with zipfile.ZipFile(wheel) as packed:
        (metadata,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        of_wheel = email.message_from_bytes(packed.read(metadata))["Version"]
    return {sdist.name: of_sdist, wheel.name: of_wheel}


def packaged_chart(out: Path, image: str) -> Path:
    """With `image` in place of the name that means something only where the image was built."""
    import helm_python

    if not image:
        return Path(helm_python.package(CHART, destination=out))
    if not re.fullmatch(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+", image):
        raise ReleaseError(f"{image} is no repository, such as registry.example.com/{NAME}")
    with tempfile.TemporaryDirectory() as name:
        chart = shutil.copytree(CHART, Path(name) / NAME)
        registry, _, repository = image.partition("/")
        for file in (chart / "values.yaml", chart / "files" / "defaults.yaml"):
            text = file.read_text(encoding="utf-8")
            for key, value in (("registry", registry), ("repository", repository)):
                text, count = re.subn(rf"(?m)^(  |image\.){key}: .*$", rf"\g<1>{key}: {value}", text)
                if count != 1:
                    raise ReleaseError(f"{file.name} has no image.{key} to put another one in the place of")
            file.write_text(text, encoding="utf-8")
        return Path(helm_python.package(chart, destination=out))


def chart_versions(out: Path, image: str) -> dict[str, str]:
    """Of the package of the chart."""
    if not CHART.exists():
        return {}
    import yaml

    package = packaged_chart(out, image)
    with tarfile.open(package) as archive:
        content = archive.extractfile(f"{NAME}/Chart.yaml")
        assert content is not None
        chart = yaml.safe_load(content.read())
    return {package.name: chart["version"], f"{package.name}, appVersion": chart["appVersion"]}


def image_version() -> str:
    """The version that `make image` passes to the Dockerfile for the label."""
    command = run("make", "--no-print-directory", "image", "IMAGE_BUILDER=echo")
    (version,) = re.findall(r"--build-arg VERSION=(\S+)", command)
    if 'org.opencontainers.image.version="$VERSION"' not in (ROOT / "Dockerfile").read_text():
        raise ReleaseError("the Dockerfile makes no label of its argument VERSION")
    return str(version)


# -- what is installed --------------------------------------------------------------------------------------


def installed_and_run(wheel: Path, folder: Path) -> None:
    """Install the wheel with the locked dependencies outside of the checkout, and run the demo."""
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    install = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
    run(*install, "--require-hashes", "--requirement", str(ROOT / "requirements.lock"))
    run(*install, "--no-index", str(wheel))
    run(python, "-m", "pip", "check")
    program = str(folder / "venv" / "bin" / NAME)
    printed = run(program, "--version", cwd=folder)
    if printed != f"{NAME} {__version__}\n":
        raise ReleaseError(f"the installed program prints {printed}")
    log = folder / "demo.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, "demo", "--web.listen_address=127.0.0.1:0"], cwd=folder, stdout=out, stderr=out
        )
        try:
            address = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)
            eventually(lambda: is_up(address), "a poll of the demo")
            run(program, "healthcheck", "--ready", f"--web.listen_address={address}", cwd=folder)
            process.send_signal(signal.SIGTERM)
            if process.wait(timeout=30) != 0:
                raise ReleaseError(f"the demo ended badly:\n{log.read_text()}")
        finally:
            process.kill()
            process.wait()


def is_up(address: str) -> bool | None:
    page = fetch(f"http://{address}/metrics") or ""
    return re.search(r"^twilio_email_up\{.*\} 1", page, re.MULTILINE) is not None or None


if __name__ == "__main__":
    sys.exit(main())
