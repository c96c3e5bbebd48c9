"""Pages, commands and names around the code, checked against what they describe."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from exporter.config.settings import SETTINGS
from exporter.config.sources import ACCOUNT_VARIABLES, CONFIG_FILE_VARIABLE
from exporter.metrics.families import FAMILIES

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "helm").rglob("*.md")])
GUIDES: Final = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""All pages but the changelog, which also names what was removed."""

RECORDED: Final = set(re.findall(r"record: (\S+)", (ROOT / "grafana" / "alerts.yaml").read_text()))

# An absolute path to files of a user. `docs/work` and `https://host/home` do not match.
MACHINE_PATH: Final = re.compile(r"(?<![\w.~/-])/(?:home|root|Users|work)/\w")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its fenced code blocks."""
    return re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub generates for the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Files that a page links to, each with the anchor."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            yield (page.parent / name if name else page).resolve(), anchor


def makefile_targets() -> dict[str, str]:
    """Targets of the Makefile, each with its line."""
    lines = text(ROOT / "Makefile").splitlines()
    return {line.partition(":")[0]: line for line in lines if re.match(r"[a-z-]+:(?!=)", line)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_are_not_broken(page: Path) -> None:
    """Every file that a page links to exists and contains the linked heading."""
    dead = [
        f"{file.name}#{anchor}"
        for file, anchor in links(page)
        if not file.exists() or (anchor and anchor not in anchors(file))
    ]
    assert dead == []


def test_readme_starts_with_the_two_commands() -> None:
    """The first section of the README shows how to run the exporter and how to test it."""
    first_section = text(ROOT / "README.md").partition("\n## ")[0]
    assert re.findall(r"^make (\w+)", first_section, flags=re.MULTILINE) == ["demo", "test"]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_what_exists(page: Path) -> None:
    """Commands, metrics, settings and variables on a page exist."""
    content = text(page)
    commands = set(re.findall(r"(?:`|^)make ([a-z-]+)", content, flags=re.MULTILINE))
    metrics = {name.strip(":") for name in re.findall(r"[\w:]*\btwilio_email_[\w:]*", content)}
    settings = set(re.findall(r"`((?:api|log|metrics|poll|state|web)\.\w+)`", content))
    variables = set(re.findall(r"\b(?:EXPORTER|TWILIO)_[A-Z_]*[A-Z]\b", content))
    known_variables = {*ACCOUNT_VARIABLES.values(), CONFIG_FILE_VARIABLE, *(s.variable for s in SETTINGS)}
    assert commands <= makefile_targets().keys()
    families = {family.name for family in FAMILIES}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics} <= families | RECORDED
    assert settings - {"metrics.py", "web.py"} <= {setting.path for setting in SETTINGS}
    assert variables <= known_variables


def test_readme_links_to_every_page() -> None:
    """Every page can be reached from README.md."""
    assert set(PAGES) - {ROOT / "README.md"} <= {file for file, _ in links(ROOT / "README.md")}


@pytest.mark.parametrize(
    "module", sorted((ROOT / "tests" / "support").glob("[!_]*.py")), ids=lambda module: module.stem
)
def test_each_test_helper_is_documented_in_its_module(module: Path) -> None:
    """CONTRIBUTING.md points to the docstrings of tests/support instead of listing the modules."""
    assert ast.get_docstring(ast.parse(text(module)))


def test_status_page_names_files_that_exist() -> None:
    """The footer of the status page names the runbook."""
    template = text(ROOT / "exporter" / "web" / "templates" / "status.html")
    named = re.findall(r"<code>([^<]+)</code>", template.partition("<footer>")[2])
    assert "docs/runbook.md" in named
    assert all((ROOT / name).exists() for name in named)


@pytest.mark.parametrize("target", makefile_targets())
def test_command_of_the_makefile_has_help(target: str) -> None:
    """`make help` lists every command with a description."""
    assert re.search(r" ## \S", makefile_targets()[target])
    assert f".PHONY: {target}\n" in text(ROOT / "Makefile")


def test_each_dependency_has_a_reason() -> None:
    """docs/architecture.md gives a reason for every package in pyproject.toml, and lists no other."""
    pyproject = tomllib.loads(text(ROOT / "pyproject.toml"))
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    extras = project["optional-dependencies"]
    wanted = {requirement for extra in ("postgresql", "test", "lint") for requirement in extras[extra]}
    wanted |= {*project["dependencies"], *groups["sbom"]}
    wanted.discard("twilio-email-exporter[postgresql]")
    section = text(ROOT / "docs" / "architecture.md").partition("\n## Dependencies\n")[2]
    documented = re.findall(r"^\| ([\w-]+) \| \S", section, flags=re.MULTILINE)
    names = [re.split(r"[^\w-]", requirement)[0] for requirement in wanted]
    assert set(documented) - {"package"} == set(names)


def test_installed_packages_are_pinned_by_hash() -> None:
    """Every installation checks hashes or is offline, except that of uv, which writes the lock files."""
    commands = re.split(r"\n|&&", text(ROOT / "Makefile").replace("\\\n", " "))
    installs = [
        each
        for each in commands
        if re.search(r"pip (install|wheel)\b", each) and "install --quiet uv" not in each
    ]
    assert installs
    for each in installs:
        assert "--require-hashes" in each or {"--no-deps", "--no-index"} <= {*each.split()}, each


@pytest.mark.parametrize("lock", sorted(ROOT.glob("*.lock")), ids=lambda file: file.name)
def test_lock_pins_hashes(lock: Path) -> None:
    """`make lock` writes the file, and every entry is a version with hashes."""
    assert f"--output-file {lock.name}" in text(ROOT / "Makefile")
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", text(lock), flags=re.MULTILINE))
    pinned = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\S+ ")
    assert all(pinned.match(entry) and "--hash=sha256:" in entry for entry in entries)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_no_file_contains_a_path_of_a_developers_machine() -> None:
    """No committed file contains an absolute path to files of a user."""
    # git refuses a checkout of another user unless it is declared safe.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    found = [
        f"{name}:{number}"
        for name in listed.stdout.split("\0")
        if name and (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_bytes().splitlines(), start=1)
        if MACHINE_PATH.search(line.decode("utf-8", errors="ignore"))
    ]
    assert found == []


USER_FILE: Final = Path("/", "root", "notes")  # in parts, so that this file does not match


@pytest.mark.parametrize(
    ("line", "matches"),
    [(f"see {USER_FILE}", True), (f"docs{USER_FILE}", False), ("/metrics", False)],
)
def test_path_of_a_developers_machine_is_recognised(line: str, matches: bool) -> None:
    """An absolute path to files of a user matches; relative paths and URL paths do not."""
    assert bool(MACHINE_PATH.search(line)) is matches
