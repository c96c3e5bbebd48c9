"""Runs the program of two replicas with a real database."""

import signal
import subprocess
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.packaging.chart.rendering import environment_on_loopback, mount, render
from tests.support.postgres import PASSWORD, USER, Postgres
from tests.support.program import eventually, fetch, free_port, started


@pytest.mark.needs("initdb")
def test_one_replica_is_active(postgres_server: Postgres, tmp_path: Path) -> None:
    """With a pod's files, both replicas become ready, one is active, and the other takes over."""
    url = f"postgresql://{USER}@127.0.0.1:{postgres_server.port}/state?schema={postgres_server.new_schema()}"
    secret = {"kind": "Secret", "metadata": {"name": "database"}, "stringData": {"password": PASSWORD}}
    rendered = render(
        {
            "replicaCount": 2,
            "state": {"postgresql": {"url": url, "existingSecret": "database"}},
            "persistence": {"enabled": False},
            # Nothing listens there: readiness does not depend on Twilio.
            "config": {"api": {"base_url": f"http://127.0.0.1:{free_port()}"}},
            "extraObjects": [secret],
        }
    )
    mount(rendered, tmp_path)
    variables = environment_on_loopback(rendered, tmp_path)
    first, second = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"

    def replica(address: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        log = tmp_path / f"log-{address.rpartition(':')[2]}"
        return started(log, **{**variables, "EXPORTER_WEB__LISTEN_ADDRESS": address})

    def await_ready(address: str) -> None:
        path = rendered.container["readinessProbe"]["httpGet"]["path"]
        eventually(partial(fetch, f"http://{address}{path}"), "the readiness probe")

    def is_active(address: str) -> bool:
        return "\ntwilio_email_exporter_active 1.0\n" in (fetch(f"http://{address}/metrics") or "")

    with replica(first) as process:
        await_ready(first)
        with replica(second):
            await_ready(second)
            assert (is_active(first), is_active(second)) == (True, False)
            process.send_signal(signal.SIGTERM)
            eventually(lambda: is_active(second) or None, "the other replica")
