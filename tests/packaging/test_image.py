"""Builds the container image with `make image`, and runs, limits and stops it. Not part of `make test`.

`make image-test` needs root, and the Debian packages buildah, podman, runc and mmdebstrap. If no registry is
reachable, it builds on a substitute for the official Python image: Debian with its own Python in the same
place. The test prints which base it used.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from exporter import __version__
from exporter.clock import SystemClock
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from tests.support.program import ROOT, eventually, fetch, free_port

pytestmark = [pytest.mark.image, pytest.mark.needs("buildah", "podman", "runc"), pytest.mark.timeout(900)]

BASE: Final = "docker.io/library/python:3.13-slim"
NAME: Final = "localhost/twilio-email-exporter"
EPOCH: Final = "1735689600"
MEBIBYTE: Final = 2**20
MEMORY_LIMIT: Final = 128 * MEBIBYTE
LOCK: Final = ROOT / "requirements.lock"
PYTHON: Final = "/opt/venv/bin/python"
PROGRAM: Final = "twilio-email-exporter"
ULIMITS: Final = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
"""podman's defaults exceed the limits of a build machine that is itself a container."""


@dataclass(frozen=True)
class Builder:
    """Commands of buildah and podman that share a separate image storage."""

    folder: Path

    @property
    def storage(self) -> list[str]:
        root, run = self.folder / "root", self.folder / "run"
        return ["--root", str(root), "--runroot", str(run), "--storage-driver", "vfs"]

    @property
    def buildah(self) -> list[str]:
        return ["buildah", *self.storage]

    @property
    def podman(self) -> list[str]:
        return ["podman", *self.storage, "--cgroup-manager=cgroupfs", "--runtime=runc"]


def output_of(command: Sequence[str], *, timeout: float = 600) -> str:
    """Standard output of the command, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    made = Builder(tmp_path_factory.mktemp("builder"))
    bring_base(made)
    yield made
    output_of([*made.podman, "rm", "--all", "--force", "--time=0"])
    output_of([*made.podman, "rmi", "--all", "--force"])


def bring_base(builder: Builder) -> None:
    pulled = subprocess.run([*builder.buildah, "pull", BASE], capture_output=True, timeout=600, check=False)
    print(f"\nbase: {BASE}" if pulled.returncode == 0 else f"\nbase: a substitute for {BASE}")
    if pulled.returncode == 0:
        return
    tree = builder.folder / "base.tar"
    packages = "--include=python3,python3-venv,ca-certificates"
    in_usr_local = '--customize-hook=chroot "$1" python3 -m venv /usr/local'  # as in the official image
    output_of(["mmdebstrap", "--variant=minbase", packages, in_usr_local, "bookworm", str(tree)])
    container = output_of([*builder.buildah, "from", "scratch"])
    output_of([*builder.buildah, "add", container, str(tree), "/"])
    output_of([*builder.buildah, "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container])
    output_of([*builder.buildah, "commit", "--rm", container, BASE])
    tree.unlink()


def pip_mounts(folder: Path) -> list[str]:
    """Mounts for the build with this machine's configuration of pip, if there is one."""
    lines = output_of(["python3", "-m", "pip", "config", "list"]).splitlines()
    settings = {
        key.rpartition(".")[2]: value.strip("'") for key, value in (line.split("=", 1) for line in lines)
    }
    wanted = {
        key: value
        for key, value in settings.items()
        if key in {"index-url", "extra-index-url", "find-links", "cert", "trusted-host"}
    }
    config = folder / "pip.conf"
    config.write_text("\n".join(["[global]", *(f"{key} = {value}" for key, value in wanted.items())]))
    files = {
        Path(word.removeprefix("file://"))
        for value in wanted.values()
        for word in value.split()
        if word.startswith(("/", "file://"))
    }
    # An index in a folder may refer to files next to it.
    mounted = {file.parent if file.name == "simple" else file for file in files if file.exists()}
    return [
        f"--volume={config}:/etc/pip.conf:ro",
        *(f"--volume={each}:{each}:ro" for each in sorted(mounted)),
    ]


def build(builder: Builder, name: str, *more: str) -> None:
    flags = ["--isolation=chroot", "--pull-never", *pip_mounts(builder.folder), *more]
    output_of(
        [
            "make",
            "image",
            f"IMAGE={name}",
            f"IMAGE_BUILDER={' '.join(builder.buildah)}",
            f"IMAGE_FLAGS={' '.join(flags)}",
            "REVISION=0123456789abcdef",
            f"SOURCE_DATE_EPOCH={EPOCH}",
        ]
    )


@pytest.fixture(scope="module")
def image(builder: Builder) -> str:
    build(builder, NAME)
    return NAME


def inspected(builder: Builder, image: str) -> dict[str, Any]:
    (found,) = json.loads(output_of([*builder.podman, "image", "inspect", image]))
    return dict(found)


@contextmanager
def running(builder: Builder, image: str, *arguments: str, flags: Sequence[str] = ()) -> Iterator[str]:
    """A container as in docs/installing.md: read-only and without capabilities. Yields its id."""
    hard = [
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=host",
    ]
    # podman runs health checks through systemd, which a build machine may lack. The tests run them directly.
    command = ["run", "--detach", "--no-healthcheck", *hard, *ULIMITS, *flags, image, *arguments]
    container = output_of([*builder.podman, *command])
    try:
        yield container
    finally:
        output_of([*builder.podman, "rm", "--force", "--time=0", container])


def within(builder: Builder, container: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the exporter's container, like a health check."""
    return subprocess.run(
        [*builder.podman, "exec", container, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def logs(builder: Builder, container: str) -> str:
    done = subprocess.run(
        [*builder.podman, "logs", container], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


# -- contents ---------------------------------------------------------------------------------------------


def test_labels_and_configuration(builder: Builder, image: str) -> None:
    """The image has OCI labels, a numeric user, SIGTERM and the program's own health check."""
    found = inspected(builder, image)
    print(f"size: {found['Size'] / 1e6:.0f} MB, of which the base {base_size(builder):.0f} MB")
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in found["Labels"].items()}
    assert labels["title"] == "twilio-email-exporter"
    assert labels["version"] == __version__
    assert labels["revision"] == "0123456789abcdef"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == BASE
    config = found["Config"]
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] == "SIGTERM"
    by_docker = json.loads(output_of([*builder.buildah, "inspect", "--type=image", image]))["Docker"][
        "config"
    ]
    assert by_docker["Healthcheck"]["Test"] == ["CMD", f"/opt/venv/bin/{PROGRAM}", "healthcheck"]
    assert [*config["ExposedPorts"]] == ["10587/tcp"]


def run_in(builder: Builder, image: str, code: str, python: str = PYTHON) -> list[str]:
    """The command that runs Python code in a new container without a network."""
    flags = ["--rm", "--network=none", *ULIMITS, f"--entrypoint={python}"]
    return [*builder.podman, "run", *flags, image, "-c", code]


def base_size(builder: Builder) -> float:
    return float(inspected(builder, BASE)["Size"]) / 1e6


def test_packages_are_the_locked_ones(builder: Builder, image: str) -> None:
    """The image contains exactly the packages of requirements.lock, and the bill of materials lists them."""
    look = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.name.lower().replace('_', '-'): d.version for d in m.distributions()}))"
    )
    packages = json.loads(output_of(run_in(builder, image, look)))
    locked = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)(.*)", LOCK.read_text(), re.MULTILINE)
    assert packages.items() <= {(name, version) for name, version, _ in locked}
    assert {name for name, _, marker in locked if ";" not in marker} <= packages.keys()

    output_of(["make", "sbom", f"VENV={builder.folder / 'venv'}"])
    components = json.loads((ROOT / "dist" / "sbom.cdx.json").read_text())["components"]
    listed = {each["name"].lower().replace("_", "-"): each["version"] for each in components}
    assert listed.pop(PROGRAM) == __version__
    assert listed == packages
    assert all(each.get("licenses") for each in components)
    print(f"bill of materials: {len(components)} components, as in the image")


def test_image_has_no_build_tools(builder: Builder, image: str) -> None:
    """The image contains no pip, in either Python, and no compiler."""
    look = (
        "import importlib.util as u, shutil as s;"
        "print([n for n in ('pip', 'ensurepip') if u.find_spec(n)],"
        "[n for n in ('pip', 'gcc', 'cc', 'g++', 'ld', 'make') if s.which(n)])"
    )
    for python in (PYTHON, "/usr/local/bin/python"):
        assert output_of(run_in(builder, image, look, python)) == "[] []"


def test_two_builds_give_the_same_files(builder: Builder, image: str) -> None:
    """With SOURCE_DATE_EPOCH, the files do not depend on the time of the build."""
    build(builder, f"{NAME}-again", "--no-cache")
    assert contents(builder, image) == contents(builder, f"{NAME}-again")


def contents(builder: Builder, image: str) -> str:
    """Digest and path of each file in the environment."""
    look = (
        "import hashlib, pathlib;"
        "[print(hashlib.sha256(p.read_bytes()).hexdigest(), p)"
        " for p in sorted(pathlib.Path('/opt/venv').rglob('*')) if p.is_file()]"
    )
    return output_of(run_in(builder, image, look))


# -- behaviour --------------------------------------------------------------------------------------------


def test_demo_runs_read_only_without_capabilities(builder: Builder, image: str) -> None:
    """The demo serves /metrics and passes its health check without capabilities, on a read-only system."""
    address = f"127.0.0.1:{free_port()}"
    flags = [f"--env=EXPORTER_WEB__LISTEN_ADDRESS={address}"]
    with running(builder, image, "demo", flags=flags) as container:
        eventually(lambda: polled(address), "the first poll")
        for command in (("healthcheck",), ("healthcheck", "--ready")):
            done = within(builder, container, PROGRAM, *command)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        status = within(builder, container, "cat", "/proc/1/status").stdout
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert facts["Uid"].split() == facts["Gid"].split() == ["65532"] * 4
        assert {int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh")} == {0}
        assert facts["NoNewPrivs"] == "1"
        written = within(builder, container, "touch", "/tmp/file", "/opt/venv/file", "/file")
        assert written.stderr.count("Read-only file system") == 3


@pytest.mark.parametrize("user", ["1000770000:0", "65532:65532"])
def test_state_can_be_written(builder: Builder, image: str, user: str) -> None:
    """The image's user can write to a new volume, and any user of group 0, as OpenShift starts it."""
    address = f"127.0.0.1:{free_port()}"
    volume = f"--volume=of-{user.partition(':')[0]}:/state"
    settings = {"WEB__LISTEN_ADDRESS": address, "STATE__PATH": "/state/state.sqlite"}
    variables = [f"--env=EXPORTER_{name}={value}" for name, value in settings.items()]
    with running(builder, image, "demo", flags=[f"--user={user}", volume, *variables]) as container:
        page = eventually(lambda: polled(address), "the first poll")
        assert sample(page, "twilio_email_exporter_state_bytes") > 0
        assert within(builder, container, PROGRAM, "healthcheck").returncode == 0
        status = within(builder, container, "cat", "/proc/1/status").stdout
        ids = [re.findall(rf"^{kind}:\s+(\d+)", status, re.MULTILINE)[0] for kind in ("Uid", "Gid")]
        assert ":".join(ids) == user
        owner = within(builder, container, "stat", "--format=%u %a", "/state/state.sqlite").stdout.split()
        assert owner == [ids[0], "600"]


def polled(address: str) -> str | None:
    """The metrics page, once a poll has succeeded."""
    page = fetch(f"http://{address}/metrics")
    return page if page and re.search(r"^twilio_email_up\{.*\} 1", page, re.MULTILINE) else None


def sample(page: str, name: str) -> float:
    found = re.search(rf"^{name}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    assert found, name
    return float(found.group(1))


async def test_ten_thousand_operations_in_128_mib_and_a_stop_with_the_state_saved(
    builder: Builder, image: str
) -> None:
    """Polls and scrapes fit into 128 MiB; SIGTERM stops it within 5 s, and the next start continues."""
    await asyncio.to_thread(limit_is_enforced, builder, image)
    clock = SystemClock()
    scenario = replace(SCENARIOS["steady"], operations_per_hour=65.0)
    async with Simulator(World(scenario, started=clock.now()), clock) as simulator:
        await asyncio.to_thread(run_for_a_while, builder, image, simulator.base_url)
    await asyncio.to_thread(continue_without_twilio, builder, image)


LIMITED: Final = (f"--memory={MEMORY_LIMIT}", f"--memory-swap={MEMORY_LIMIT}")


def limit_is_enforced(builder: Builder, image: str) -> None:
    """A program that exceeds the limit is killed."""
    greedy = ["-c", f"import sys; len(bytearray({MEMORY_LIMIT * 2})); print(sys.argv)"]
    command = ["run", "--rm", "--network=none", *LIMITED, *ULIMITS, f"--entrypoint={PYTHON}", image, *greedy]
    # conmon leaves a file in the working directory.
    done = subprocess.run(
        [*builder.podman, *command], cwd=builder.folder, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 137, "not killed for exceeding the memory limit"


def flags_for(address: str, base_url: str) -> list[str]:
    variables = {
        "TWILIO_ACCOUNT_SID": CREDENTIAL[0],
        "TWILIO_AUTH_TOKEN": CREDENTIAL[1],
        "EXPORTER_API__BASE_URL": base_url,
        "EXPORTER_API__REQUESTS_PER_SECOND": "100",
        "EXPORTER_POLL__INTERVAL": "5s",
        "EXPORTER_STATE__PATH": "/state/state.sqlite",
        "EXPORTER_WEB__LISTEN_ADDRESS": address,
    }
    return ["--volume=state:/state", *(f"--env={name}={value}" for name, value in variables.items())]


def run_for_a_while(builder: Builder, image: str, base_url: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    with running(builder, image, flags=[*LIMITED, *flags_for(address, base_url)]) as container:
        page = eventually(lambda: polled(address), "the first poll")
        assert sample(page, "twilio_email_exporter_tracked_operations") >= 10_000

        def five_polls() -> str | None:
            page = polled(address)
            assert within(builder, container, PROGRAM, "healthcheck").returncode == 0
            polls = r'twilio_email_exporter_polls_total\{.*outcome="success".*\} ([0-9.]+)'
            found = re.search(polls, page or "")
            return page if found and float(found.group(1)) >= 5 else None

        page = eventually(five_polls, "five polls")
        status = within(builder, container, "cat", "/proc/1/status").stdout
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        print(f"{sample(page, 'twilio_email_exporter_tracked_operations'):.0f} operations:", end=" ")
        print(f"{int(peak) / 1024:.0f} MiB at most, of {MEMORY_LIMIT / MEBIBYTE:.0f}")
        output_of([*builder.podman, "stop", "--time=5", container])  # killed after 5 s, with exit code 137
        (found,) = json.loads(output_of([*builder.podman, "inspect", container]))
        assert (found["State"]["ExitCode"], found["State"]["OOMKilled"]) == (0, False)
        assert "msg=stopping" in logs(builder, container)


def continue_without_twilio(builder: Builder, image: str) -> None:
    """The second container shows the state of the first one, although the API is unreachable."""
    address = f"127.0.0.1:{free_port()}"
    unreachable = f"http://127.0.0.1:{free_port()}/v1"
    with running(builder, image, flags=flags_for(address, unreachable)):
        page = eventually(lambda: fetch(f"http://{address}/metrics"), "the second container")
        assert sample(page, "twilio_email_up") == 0
        assert sample(page, "twilio_email_exporter_tracked_operations") >= 10_000
