"""The workflows run what a developer runs, and may do no more than they must."""

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
MAY_WRITE: Final = {
    ("release", "image"): {"id-token", "packages"},
    ("release", "chart"): {"id-token", "packages"},
    ("release", "pypi"): {"id-token"},
    ("release", "announce"): {"contents"},
}


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    """None where the job is another workflow."""
    return list(WORKFLOWS[workflow]["jobs"][job].get("steps", []))


def needed(workflow: str, job: str) -> set[str]:
    """The jobs that must have succeeded before this one begins."""
    needs = WORKFLOWS[workflow]["jobs"][job].get("needs", [])
    first = {needs} if isinstance(needs, str) else set(needs)
    return first.union(*(needed(workflow, each) for each in first))


def test_there_are_two() -> None:
    """One for each commit, one for each tag; a tag runs what a commit runs."""
    assert {name: [*workflow["on"]] for name, workflow in WORKFLOWS.items()} == {
        "ci": ["push", "pull_request", "workflow_call"],
        "release": ["push"],
    }


def test_nothing_untested_is_published() -> None:
    """Whoever may write waits for all that runs on a commit: the gate on each Python, and the image."""
    (tests,) = [
        name
        for name, job in WORKFLOWS["release"]["jobs"].items()
        if job.get("uses") == "./.github/workflows/ci.yaml"
    ]
    assert {"gate", "image"} <= WORKFLOWS["ci"]["jobs"].keys()
    for workflow, job in MAY_WRITE:
        assert {tests, "check"} <= needed(workflow, job)
        assert "if" not in WORKFLOWS[workflow]["jobs"][job]  # always() would not wait


def test_the_tests_of_a_release_do_not_wait_for_it() -> None:
    """They run within it, so in its group they would wait for ever; nor do they end those of a branch."""
    groups = {name: workflow["concurrency"]["group"] for name, workflow in WORKFLOWS.items()}
    assert groups == {"ci": "ci-${{ github.ref }}", "release": "release"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_workflow_may_only_read(workflow: str) -> None:
    """A job that must write says so itself; two runs do not get in each other's way."""
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}
    assert "group" in WORKFLOWS[workflow]["concurrency"]


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_job_is_held_short(workflow: str, job: str) -> None:
    """It has a time limit, writes only what it must, and keeps no credential in the checkout."""
    definition = WORKFLOWS[workflow]["jobs"][job]
    assert "uses" in definition or int(definition["timeout-minutes"]) <= 60  # a called workflow has its own
    granted = definition.get("permissions", {})
    assert {name for name, right in granted.items() if right == "write"} == MAY_WRITE.get(
        (workflow, job), set()
    )
    for step in steps(workflow, job):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_commands_exist_and_take_no_text_from_outside(workflow: str, job: str) -> None:
    """Every `make` target is there; a name of a branch reaches a shell as a variable only."""
    for step in steps(workflow, job):
        command = step.get("run", "")
        assert set(re.findall(r"\bmake ([a-z-]+)", command)) <= makefile_targets().keys()
        assert "${{" not in command
        for script in re.findall(r"^\.\S+", command, re.MULTILINE):
            assert (ROOT / script).is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned(file: Any) -> None:
    """To a commit, with the version beside it for people and dependabot."""
    used = re.findall(r"uses: (?!\./)(\S+)(.*)", file.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_published_chart_names_the_image_that_is_pushed() -> None:
    """What the chart is packaged with, what is pushed and what is signed are one repository."""
    commands = {
        job: "\n".join(each.get("run", "") for each in steps("release", job)) for job in ("check", "image")
    }
    (packaged,) = re.findall(r'--image=([^ "]+)', commands["check"])
    (pushed,) = re.findall(r'IMAGE="(.+):\$\{GITHUB_REF_NAME#v\}"', commands["image"])
    (signed,) = re.findall(r'cosign sign --yes "(.+)@\$', commands["image"])
    assert packaged == pushed == signed


def test_docs_verify_what_is_signed() -> None:
    """Image and chart under the names that are pushed; signed by that workflow, which runs for that tag."""
    page = (ROOT / "docs" / "releasing.md").read_text()
    (command,) = re.findall(r"^cosign verify (.*?)\n```", page, re.MULTILINE | re.DOTALL)
    owner, repository, version = "example", "example/twilio-email-exporter", "1.2.3"

    def name_in(job: str, pattern: str) -> str:
        (name,) = re.findall(pattern, "\n".join(step.get("run", "") for step in steps("release", job)))
        return (
            str(name)
            .replace("${GITHUB_REPOSITORY,,}", repository)
            .replace("${GITHUB_REPOSITORY_OWNER,,}", owner)
        )

    assert command.startswith(name_in("image", r'cosign sign --yes "(.+)@') + f":{version} ")
    chart = name_in("chart", r'cosign sign --yes "(.+)@').replace(
        "$charts", name_in("chart", r'charts="(.+)"')
    )
    assert f"`{chart}:{version}`" in page
    identity = re.search(r"--certificate-identity (\S+)", command)
    assert identity
    assert (
        identity[1] == f"https://github.com/{repository}/.github/workflows/release.yaml@refs/tags/v{version}"
    )
    assert WORKFLOWS["release"]["on"] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}


def test_every_python_of_the_package_is_tried() -> None:
    """And no other is claimed."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    claimed = [each.rpartition(" :: ")[2] for each in classifiers if re.search(r"Python :: 3\.\d+$", each)]
    assert WORKFLOWS["ci"]["jobs"]["gate"]["strategy"]["matrix"]["python"] == claimed
