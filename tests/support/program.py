"""The real program as a user starts it, and the real tools that look at it."""

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
"""For a slow machine; whatever is waited for takes a second or two elsewhere."""

T = TypeVar("T")


def environment(**variables: str) -> dict[str, str]:
    """Ours without what a developer may have set for the exporter."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EXPORTER_", "TWILIO_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "exporter", *arguments]


def finish(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
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
    """Start, and end it whatever happens; its output goes to `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def started(log: Path, *arguments: str, **variables: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The program itself."""
    return running(log, command(*arguments), environment(**variables))


def tool(name: str) -> str | None:
    """Where a real program is, under the name that it has here."""
    return shutil.which(name) or shutil.which(_DEBIANS_NAMES.get(name, name))


_DEBIANS_NAMES: Final = {"alertmanager": "prometheus-alertmanager"}


def eventually(look: Callable[[], T | None], what: str, patience_seconds: float = PATIENCE_SECONDS) -> T:
    """Ask again and again until there is an answer: other processes have clocks of their own."""
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
    """The body of a 200; `None` while nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as reply:
            body: bytes = reply.read()
            return body.decode()
    except OSError:
        return None


def free_port() -> int:
    """Free a moment ago; for programs that cannot tell the port they chose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers; gives a base URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
