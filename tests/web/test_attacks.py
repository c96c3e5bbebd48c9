"""Attacks on the real program with few file descriptors: pages and polls come, log and memory stay small."""

import re
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from exporter.web.limits import files_besides
from tests.support.certificates import make_certificates
from tests.support.program import command, environment, eventually, free_port, running
from tests.support.program import started as program_started
from tests.web.test_tls import trusting

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CONNECTIONS = 30
MOST_LOG_LINES = 20
MOST_MORE_KB = 40 * 1024


@dataclass
class Exporter:
    port: int
    pid: int
    log: Path

    tls: ssl.SSLContext | None

    def page(self) -> str | None:
        """The metrics, on a new connection; `None` when they do not come."""
        connection = (
            HTTPSConnection("localhost", self.port, timeout=10, context=self.tls)
            if self.tls
            else HTTPConnection("localhost", self.port, timeout=10)
        )
        try:
            connection.request("GET", "/metrics")
            reply = connection.getresponse()
            return reply.read().decode() if reply.status == 200 else None
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def polls(self) -> float:
        page = self.page() or ""
        found = re.search(r'exporter_polls_total\{account="default",outcome="success"\} (\S+)', page)
        return float(found[1]) if found else 0.0

    def kilobytes(self) -> int:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1])

    def files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@contextmanager
def exporter(tmp_path: Path, *arguments: str, tls: ssl.SSLContext | None = None) -> Iterator[Exporter]:
    """It polls a simulated Twilio every second, and may open few files."""
    simulator_port, port = free_port(), free_port()
    simulator_log, log = tmp_path / "simulator.log", tmp_path / "exporter.log"
    files = files_besides(poll_connections=2) + CONNECTIONS
    limited = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"]
    run = command("run", f"--web.listen_address=127.0.0.1:{port}", "--poll.interval=1s", *arguments)
    with ExitStack() as stack:
        stack.enter_context(
            program_started(simulator_log, "simulator", f"--listen-address=127.0.0.1:{simulator_port}")
        )
        variables = eventually(
            lambda: dict(re.findall(r"((?:TWILIO|EXPORTER)_\w+)=(\S+)", simulator_log.read_text())) or None,
            "the simulator",
        )
        process = stack.enter_context(running(log, [*limited, *run], environment(**variables)))
        made = Exporter(port, process.pid, log, tls)
        eventually(lambda: made.polls() or None, "the first poll")
        yield made


def idle_requests(port: int, count: int) -> list[socket.socket]:
    """Connections that asked for one thing, and stay."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for number, client in enumerate(clients):
        path = ("/nothing", "/metrics")[number % 2]
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return clients


def test_connections_that_stay(tmp_path: Path) -> None:
    """Three times as many as there are files for: all pages come, polls go on, the log is short."""
    with exporter(tmp_path) as attacked, ExitStack() as stack:
        before, polls = attacked.kilobytes(), attacked.polls()
        for _ in range(3):
            for client in idle_requests(attacked.port, CONNECTIONS):
                stack.enter_context(client)
            assert attacked.page() is not None
            assert attacked.files() <= files_besides(poll_connections=2) + CONNECTIONS - 2
        eventually(lambda: attacked.polls() >= polls + 2 or None, "two more polls")
        assert attacked.page() is not None
        assert attacked.kilobytes() - before < MOST_MORE_KB
        assert len(attacked.log.read_text().splitlines()) < MOST_LOG_LINES


@pytest.mark.needs("openssl")
def test_handshakes_that_hang(tmp_path: Path) -> None:
    """Four hundred, of which half have begun: the memory stays bounded, and pages and polls come."""
    make_certificates(tmp_path)
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}", encoding="utf-8")
    with (
        exporter(tmp_path, f"--web.config_file={file}", tls=trusting(tmp_path)) as attacked,
        ExitStack() as stack,
    ):
        before, polls = attacked.kilobytes(), attacked.polls()
        for number in range(400):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", attacked.port)))
            if number % 2:
                client.sendall(bytes.fromhex("1603010200010001fc0303"))
            if number % 100 == 0:
                assert attacked.page() is not None
        eventually(lambda: attacked.polls() >= polls + 2 or None, "two more polls")
        assert attacked.kilobytes() - before < MOST_MORE_KB
        assert len(attacked.log.read_text().splitlines()) < MOST_LOG_LINES
