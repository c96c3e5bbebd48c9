"""The container image: built by `make image`, run, limited and stopped for real. Not part of `make test`.

`make image-test` wants root, and buildah, podman, runc and mmdebstrap (all Debian packages). Where no
registry is reachable it builds upon a stand-in for the official Python image: Debian with its own Python,
put where that image has it. Which one it was is printed.
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
PYTHON: Final = "/opt/venv/bin/python"
PROGRAM: Final = "twilio-email-exporter"
ULIMITS: Final = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
"""podman's own are higher than a build machine that is a container itself may grant."""


@dataclass(frozen=True)
class Workshop:
    """A storage of images of our own, and the tools that share it."""

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


def said(command: Sequence[str], *, timeout: float = 600) -> str:
    """What it prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("workshop"))
    bring_base(made)
    yield made
    said([*made.podman, "rm", "--all", "--force", "--time=0"])
    said([*made.podman, "rmi", "--all", "--force"])


def bring_base(workshop: Workshop) -> None:
    pulled = subprocess.run([*workshop.buildah, "pull", BASE], capture_output=True, timeout=600, check=False)
    print(f"\nbase: {BASE}" if pulled.returncode == 0 else f"\nbase: a stand-in for {BASE}")
    if pulled.returncode == 0:
        return
    tree = workshop.folder / "base.tar"
    packages = "--include=python3,python3-venv,ca-certificates"
    as_the_official_one = (
        '--customize-hook=chroot "$1" python3 -m venv /usr/local'  # python and pip on the PATH
    )
    said(["mmdebstrap", "--variant=minbase", packages, as_the_official_one, "bookworm", str(tree)])
    container = said([*workshop.buildah, "from", "scratch"])
    said([*workshop.buildah, "add", container, str(tree), "/"])
    said([*workshop.buildah, "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container])
    said([*workshop.buildah, "commit", "--rm", container, BASE])
    tree.unlink()


def pip_mounts(folder: Path) -> list[str]:
    """Where this machine's pip finds packages, for the time of the build only; a bare machine has nothing."""
    lines = said(["python3", "-m", "pip", "config", "list"]).splitlines()
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
    # An index in a folder may lead to files beside it.
    mounted = {file.parent if file.name == "simple" else file for file in files if file.exists()}
    return [
        f"--volume={config}:/etc/pip.conf:ro",
        *(f"--volume={each}:{each}:ro" for each in sorted(mounted)),
    ]


def build(workshop: Workshop, name: str, *more: str) -> None:
    flags = ["--isolation=chroot", "--pull-never", *pip_mounts(workshop.folder), *more]
    said(
        [
            "make",
            "image",
            f"IMAGE={name}",
            f"IMAGE_BUILDER={' '.join(workshop.buildah)}",
            f"IMAGE_FLAGS={' '.join(flags)}",
            "REVISION=0123456789abcdef",
            f"SOURCE_DATE_EPOCH={EPOCH}",
        ]
    )


@pytest.fixture(scope="module")
def image(workshop: Workshop) -> str:
    build(workshop, NAME)
    return NAME


def inspected(workshop: Workshop, image: str) -> dict[str, Any]:
    (found,) = json.loads(said([*workshop.podman, "image", "inspect", image]))
    return dict(found)


@contextmanager
def running(workshop: Workshop, image: str, *arguments: str, flags: Sequence[str] = ()) -> Iterator[str]:
    """A container as docs/installing.md starts it: read-only, without capabilities. Gives its id."""
    hard = [
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=host",
    ]
    # podman leaves the health check to systemd, which a build machine may lack; the tests run it themselves.
    command = ["run", "--detach", "--no-healthcheck", *hard, *ULIMITS, *flags, image, *arguments]
    container = said([*workshop.podman, *command])
    try:
        yield container
    finally:
        said([*workshop.podman, "rm", "--force", "--time=0", container])


def within(workshop: Workshop, container: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run beside the exporter, as a health check is."""
    return subprocess.run(
        [*workshop.podman, "exec", container, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def logs(workshop: Workshop, container: str) -> str:
    done = subprocess.run(
        [*workshop.podman, "logs", container], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


# -- what is in it ------------------------------------------------------------------------------------------


def test_labels_and_configuration(workshop: Workshop, image: str) -> None:
    """Labels as OCI names them, a numeric user, SIGTERM, the program's own health check."""
    found = inspected(workshop, image)
    print(f"size: {found['Size'] / 1e6:.0f} MB, of which the base {base_size(workshop):.0f} MB")
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in found["Labels"].items()}
    assert labels["title"] == "twilio-email-exporter"
    assert labels["version"] == __version__
    assert labels["revision"] == "0123456789abcdef"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == BASE
    config = found["Config"]
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] == "SIGTERM"
    by_docker = json.loads(said([*workshop.buildah, "inspect", "--type=image", image]))["Docker"]["config"]
    assert by_docker["Healthcheck"]["Test"] == ["CMD", f"/opt/venv/bin/{PROGRAM}", "healthcheck"]
    assert [*config["ExposedPorts"]] == ["10587/tcp"]


def base_size(workshop: Workshop) -> float:
    return float(inspected(workshop, BASE)["Size"]) / 1e6


def test_nothing_is_left_to_build_or_install_with(workshop: Workshop, image: str) -> None:
    """No pip in either Python, and no compiler."""
    look = (
        "import importlib.util as u, shutil as s;"
        "print([n for n in ('pip', 'ensurepip') if u.find_spec(n)],"
        "[n for n in ('pip', 'gcc', 'cc', 'g++', 'ld', 'make') if s.which(n)])"
    )
    for python in (PYTHON, "/usr/local/bin/python"):
        inside = ["run", "--rm", "--network=none", *ULIMITS, f"--entrypoint={python}", image, "-c", look]
        assert said([*workshop.podman, *inside]) == "[] []"


def test_two_builds_give_the_same_files(workshop: Workshop, image: str) -> None:
    """With SOURCE_DATE_EPOCH nothing depends on when it was built; byte code holds hashes and not times."""
    build(workshop, f"{NAME}-again", "--no-cache")
    assert contents(workshop, image) == contents(workshop, f"{NAME}-again")


def contents(workshop: Workshop, image: str) -> str:
    """A digest of each file of the environment."""
    look = (
        "import hashlib, pathlib;"
        "[print(hashlib.sha256(p.read_bytes()).hexdigest(), p)"
        " for p in sorted(pathlib.Path('/opt/venv').rglob('*')) if p.is_file()]"
    )
    return said(
        [
            *workshop.podman,
            "run",
            "--rm",
            "--network=none",
            *ULIMITS,
            f"--entrypoint={PYTHON}",
            image,
            "-c",
            look,
        ]
    )


# -- what it does -------------------------------------------------------------------------------------------


def test_demo_runs_read_only_without_capabilities(workshop: Workshop, image: str) -> None:
    """Answers at /metrics, its health check is content, and it runs as nobody with nothing."""
    address = f"127.0.0.1:{free_port()}"
    flags = [f"--env=EXPORTER_WEB__LISTEN_ADDRESS={address}"]
    with running(workshop, image, "demo", flags=flags) as container:
        eventually(lambda: polled(address), "the first poll")
        for command in (("healthcheck",), ("healthcheck", "--ready")):
            done = within(workshop, container, PROGRAM, *command)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        status = within(workshop, container, "cat", "/proc/1/status").stdout
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert facts["Uid"].split() == facts["Gid"].split() == ["65532"] * 4
        assert {int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh")} == {0}
        assert facts["NoNewPrivs"] == "1"
        written = within(workshop, container, "touch", "/tmp/file", "/opt/venv/file", "/file")
        assert written.stderr.count("Read-only file system") == 3


def polled(address: str) -> str | None:
    """The page, when a poll has succeeded."""
    page = fetch(f"http://{address}/metrics")
    return page if page and re.search(r"^twilio_email_up\{.*\} 1", page, re.MULTILINE) else None


def sample(page: str, name: str) -> float:
    found = re.search(rf"^{name}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    assert found, name
    return float(found.group(1))


async def test_ten_thousand_operations_in_128_mib_and_a_stop_with_the_state_saved(
    workshop: Workshop, image: str
) -> None:
    """Polls, scrapes and health checks fit; SIGTERM ends it in 5 s, and the next one goes on from there."""
    await asyncio.to_thread(limit_is_enforced, workshop, image)
    clock = SystemClock()
    scenario = replace(SCENARIOS["steady"], operations_per_hour=65.0)
    async with Simulator(World(scenario, started=clock.now()), clock) as simulator:
        await asyncio.to_thread(run_for_a_while, workshop, image, simulator.base_url)
    await asyncio.to_thread(go_on_without_twilio, workshop, image)


LIMITED: Final = (f"--memory={MEMORY_LIMIT}", f"--memory-swap={MEMORY_LIMIT}")


def limit_is_enforced(workshop: Workshop, image: str) -> None:
    """Or the test would prove nothing."""
    greedy = ["-c", f"import sys; len(bytearray({MEMORY_LIMIT * 2})); print(sys.argv)"]
    command = ["run", "--rm", "--network=none", *LIMITED, *ULIMITS, f"--entrypoint={PYTHON}", image, *greedy]
    # Its conmon leaves a file behind where it was started.
    done = subprocess.run(
        [*workshop.podman, *command], cwd=workshop.folder, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 137, "killed for want of memory"


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


def run_for_a_while(workshop: Workshop, image: str, base_url: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    with running(workshop, image, flags=[*LIMITED, *flags_for(address, base_url)]) as container:
        page = eventually(lambda: polled(address), "the first poll")
        assert sample(page, "twilio_email_exporter_tracked_operations") >= 10_000

        def five_polls() -> str | None:
            page = polled(address)
            assert within(workshop, container, PROGRAM, "healthcheck").returncode == 0
            polls = r'twilio_email_exporter_polls_total\{.*outcome="success".*\} ([0-9.]+)'
            found = re.search(polls, page or "")
            return page if found and float(found.group(1)) >= 5 else None

        page = eventually(five_polls, "five polls")
        status = within(workshop, container, "cat", "/proc/1/status").stdout
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        print(f"{sample(page, 'twilio_email_exporter_tracked_operations'):.0f} operations:", end=" ")
        print(f"{int(peak) / 1024:.0f} MiB at most, of {MEMORY_LIMIT / MEBIBYTE:.0f}")
        said([*workshop.podman, "stop", "--time=5", container])  # after 5 s it would be killed: exit code 137
        (found,) = json.loads(said([*workshop.podman, "inspect", container]))
        assert (found["State"]["ExitCode"], found["State"]["OOMKilled"]) == (0, False)
        assert "msg=stopping" in logs(workshop, container)


def go_on_without_twilio(workshop: Workshop, image: str) -> None:
    """What the first container knew is shown by the second, although nobody answers it."""
    address = f"127.0.0.1:{free_port()}"
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    with running(workshop, image, flags=flags_for(address, nobody)):
        page = eventually(lambda: fetch(f"http://{address}/metrics"), "the second container")
        assert sample(page, "twilio_email_up") == 0
        assert sample(page, "twilio_email_exporter_tracked_operations") >= 10_000
