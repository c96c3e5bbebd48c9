"""The CI and release workflows: rights, pinned actions, and what a release publishes.

Must not repeat the workflows line by line: a step may change without a change here.
"""

import re
import tomllib
from typing import Any, Final

import pytest
import yaml

from tests.packaging.test_repository import makefile_targets
from tests.support.program import ROOT

FILES: Final = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
WORKFLOWS: Final[dict[str, dict[str, Any]]] = {
    file.stem: yaml.load(file.read_text(), yaml.BaseLoader) for file in FILES
}
JOBS: Final = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]
PUBLISHES: Final = {
    "rehearsal": {"id-token"},
    "draft": {"attestations", "contents", "id-token"},
    "image-and-chart": {"id-token", "packages"},
    "pypi": {"id-token"},
    "publish": {"contents"},
}
MAY_WRITE: Final = {
    **{("release", job): rights for job, rights in PUBLISHES.items()},
    ("security", "codeql"): {"security-events"},
    ("security", "scorecard"): {"id-token", "security-events"},
}


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    """Steps of a job; empty if the job calls another workflow."""
    return list(WORKFLOWS[workflow]["jobs"][job].get("steps", []))


def needed(workflow: str, job: str) -> set[str]:
    """Names of the jobs that must succeed before this one starts."""
    needs = WORKFLOWS[workflow]["jobs"][job].get("needs", [])
    first = {needs} if isinstance(needs, str) else set(needs)
    return first.union(*(needed(workflow, each) for each in first))


def test_nothing_untested_is_published() -> None:
    """Jobs that publish wait for the jobs that run on every commit: the gate and the image test."""
    jobs = WORKFLOWS["release"]["jobs"]
    (tests,) = [name for name, job in jobs.items() if job.get("uses") == "./.github/workflows/ci.yaml"]
    assert {"gate", "image"} <= WORKFLOWS["ci"]["jobs"].keys()
    for job in PUBLISHES:
        assert {tests, "check"} <= needed("release", job)
    # always() would start a job after a failure
    conditions = {name: job["if"] for name, job in jobs.items() if "if" in job}
    assert conditions == {"rehearsal": "github.ref_type != 'tag'", "draft": "github.ref_type == 'tag'"}


def test_release_is_a_draft_until_everything_is_published() -> None:
    """The last job publishes the draft, whose text is the section of the changelog; a rehearsal has none."""
    assert {"draft", "image-and-chart", "pypi"} <= needed("release", "publish")
    commands = {job: " ".join(step.get("run", "") for step in steps("release", job)) for job in PUBLISHES}
    assert "--draft --" in commands["draft"]
    assert "--notes-file notes/notes.md" in commands["draft"]
    assert "--draft=false" in commands["publish"]
    attested = [step["with"] for step in steps("release", "draft") if "attest@" in step.get("uses", "")]
    assert [each["subject-path"].split() for each in attested] == [["python/*", "chart-and-sbom/*"]]


def test_only_a_rehearsal_publishes_to_the_test_index() -> None:
    """The rehearsal uploads the same files, in the same way, to another index."""
    (rehearsal,), (release,) = (
        [step for step in steps("release", job) if "pypi-publish@" in step["uses"]]
        for job in ("rehearsal", "pypi")
    )
    assert rehearsal["uses"] == release["uses"]
    assert rehearsal["with"]["repository-url"] == "https://test.pypi.org/legacy/"
    assert "with" not in release


def test_release_does_not_share_a_concurrency_group_with_its_tests() -> None:
    """A workflow that calls another one of its own group would wait forever."""
    assert WORKFLOWS["ci"]["concurrency"]["group"] != WORKFLOWS["release"]["concurrency"]["group"]


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_workflows_are_read_only(workflow: str) -> None:
    """By default, the token of a workflow has no write permission."""
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_job_is_restricted(workflow: str, job: str) -> None:
    """A job has a time limit, only the listed write permissions, and no credential in its checkout."""
    definition = WORKFLOWS[workflow]["jobs"][job]
    assert "uses" in definition or int(definition["timeout-minutes"]) <= 60  # called workflows have their own
    granted = definition.get("permissions", {})
    assert {name for name, right in granted.items() if right == "write"} == MAY_WRITE.get(
        (workflow, job), set()
    )
    for step in steps(workflow, job):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_commands_exist_and_contain_no_expressions(workflow: str, job: str) -> None:
    """Scripts and `make` targets exist; `${{ }}` in a command would allow injection by a branch name."""
    for step in steps(workflow, job):
        command = step.get("run", "")
        assert set(re.findall(r"\bmake ([a-z-]+)", command)) <= makefile_targets().keys()
        assert "${{" not in command
        for script in re.findall(r"^\.\S+", command, re.MULTILINE):
            assert (ROOT / script).is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned(file: Any) -> None:
    """Actions are pinned to a commit, with the version in a comment, which dependabot updates."""
    used = re.findall(r"uses: (?!\./)(\S+)(.*)", file.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}", action), action
        assert re.match(r" # v\d", comment), action


def test_docs_verify_what_is_published() -> None:
    """docs/releasing.md verifies the names that the workflow publishes, and the workflow itself."""
    workflow = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    pushed = {"ghcr.io/${GITHUB_REPOSITORY,,}", "ghcr.io/${GITHUB_REPOSITORY_OWNER,,}/charts"}
    assert set(re.findall(r"ghcr\.io/[^\s\":@]+", workflow)) == pushed
    page = (ROOT / "docs" / "releasing.md").read_text()
    version = "1.2.3"
    assert f"cosign verify ghcr.io/example/twilio-email-exporter:{version} " in page
    assert f"ghcr.io/example/charts/twilio-email-exporter:{version}" in page
    assert f"/example/twilio-email-exporter/.github/workflows/release.yaml@refs/tags/v{version}\n" in page


def test_every_supported_python_is_tested() -> None:
    """The versions of the CI matrix are those of the classifiers in pyproject.toml, and the next one."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    claimed = [each.rpartition(" :: ")[2] for each in classifiers if re.search(r"Python :: 3\.\d+$", each)]
    gate = WORKFLOWS["ci"]["jobs"]["gate"]
    assert gate["strategy"]["matrix"]["python"] == claimed
    after = f"3.{int(claimed[-1].removeprefix('3.')) + 1}"
    assert gate["strategy"]["matrix"]["include"] == [{"python": after, "preview": "true"}]
    assert gate["continue-on-error"] == "${{ matrix.preview == true }}"


def test_newest_dependencies_pass_the_same_checks() -> None:
    """The scheduled workflow runs CI after the lock files were regenerated."""
    (job,) = [job for job in WORKFLOWS["scheduled"]["jobs"].values() if "uses" in job]
    assert (job["uses"], job["with"]) == ("./.github/workflows/ci.yaml", {"newest": "true"})
    commands = [(step.get("if"), step.get("run")) for step in steps("ci", "gate") if "run" in step]
    assert commands == [("inputs.newest", "make lock"), (None, ".ci/run")]
