"""Prometheus 3, promtool and Alertmanager from Debian's next suite, unpacked into `.prometheus-3`.

Nothing is installed: apt gets a configuration, lists and a cache of its own.
`python -m tests.support.prometheus3` prints the folder of the programs, for the PATH of tests run by hand.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.program import ROOT

FOLDER: Final = ROOT / ".prometheus-3"
PROGRAMS: Final = FOLDER / "usr" / "bin"
SUITE: Final = "forky"
PACKAGES: Final = ("prometheus", "promtool", "prometheus-alertmanager")
TIMEOUT_SECONDS: Final = 180.0

_CONFIGURATION: Final = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/parts";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
"""


class UnavailableError(Exception):
    """The packages are not available on this machine; with the reason."""


@cache
def programs() -> Path:
    """The folder of the programs, fetched by the first call on this machine."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not (PROGRAMS / "promtool").exists():
            _fetch(FOLDER / "apt")
    return PROGRAMS


def version() -> str:
    shown = subprocess.run([PROGRAMS / "promtool", "--version"], capture_output=True, text=True, check=True)
    return shown.stdout.split()[2]


def _fetch(folder: Path) -> None:
    if not shutil.which("apt-get"):
        raise UnavailableError("there is no apt-get")
    for name in ("parts", "lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    mirrors = _run("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
    mirror = next((each for each in mirrors if "security" not in each), None)
    if mirror is None:
        raise UnavailableError("apt knows no mirror")
    (folder / "sources.list").write_text(f"deb {mirror} {SUITE} main\n")
    configuration = folder / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder))
    _run("apt-get", "update", "-qq", configuration=configuration)
    _run("apt-get", "download", *(f"{each}/{SUITE}" for each in PACKAGES), configuration=configuration)
    for package in folder.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(FOLDER))
    shutil.rmtree(folder)


def _run(*command: str, configuration: Path | None = None) -> str:
    environment = {**os.environ, "APT_CONFIG": str(configuration)} if configuration else dict(os.environ)
    folder = configuration.parent if configuration else None
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        raise UnavailableError(f"{command[0]} {command[1]}: {str(told).strip()}") from error
    return done.stdout


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{programs()}\n")
    except UnavailableError as error:
        sys.exit(f"Prometheus 3 is not available: {error}")
