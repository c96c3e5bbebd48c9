"""Runs the program as a user does, and the real tools that check it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).parents[2]
PATIENCE_SECONDS: Final = 60.0
"""For a slow machine; usually a wait takes one or two seconds."""

T = TypeVar("T")


def environment(**variables: str) -> dict[str, str]:
    """The environment without variables that configure the exporter."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EXPORTER_", "TWILIO_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "exporter", *arguments]


def finish(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends."""
    return subprocess.run(
        command(*arguments),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@contextmanager
def running(
    log: Path, arguments: Sequence[str], env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, and kill it at the end; its output goes to `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def started(log: Path, *arguments: str, **variables: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run the exporter in the background."""
    return running(log, command(*arguments), environment(**variables))


def tool(name: str) -> str | None:
    """The path of a program, also if Debian has renamed or hidden it; `None` if it is missing."""
    hidden = (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True))
    return shutil.which(name) or shutil.which(_DEBIANS_NAMES.get(name, name)) or next(hidden, None)


_DEBIANS_NAMES: Final = {"alertmanager": "prometheus-alertmanager"}


def eventually(look: Callable[[], T | None], what: str, patience_seconds: float = PATIENCE_SECONDS) -> T:
    """Call `look` until it returns a result: other processes run in real time."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def found_in(log: Path, pattern: str) -> Callable[[], re.Match[str] | None]:
    return lambda: re.search(pattern, log.read_text(errors="replace"))


def fetch(url: str, **headers: str) -> str | None:
    """The body of a 200; `None` for any other reply, or none."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as reply:
            body: bytes = reply.read()
            return body.decode()
    except OSError:
        return None


def free_port() -> int:
    """A port that was free a moment ago; for programs that do not print the port they chose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never replies; yields its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
