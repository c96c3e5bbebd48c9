"""Runs the rendered probes against the program with TLS and users."""

from pathlib import Path

import pytest

from tests.packaging.chart.rendering import environment_on_loopback, mount, render
from tests.support.certificates import make_certificates
from tests.support.program import eventually, finish, found_in, free_port, started


@pytest.mark.needs("openssl")
def test_rendered_probes_need_no_certificate_and_no_password(tmp_path: Path) -> None:
    """The probes fail before the program listens, and pass afterwards."""
    make_certificates(tmp_path)
    rendered = render(
        {
            "config": {
                "api": {"base_url": f"http://127.0.0.1:{free_port()}"},
                "web": {"listen_address": f":{free_port()}"},
            },
            "webConfig": {
                "content": {
                    "tls_server_config": {
                        "cert": (tmp_path / "server.pem").read_text(encoding="utf-8"),
                        "key": (tmp_path / "server.key").read_text(encoding="utf-8"),
                    },
                    "basic_auth_users": {
                        "prometheus": "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
                    },
                }
            },
        }
    )
    mount(rendered, tmp_path)
    variables = environment_on_loopback(rendered, tmp_path)

    def exit_code(probe: str) -> int:
        _, *arguments = rendered.container[probe]["exec"]["command"]
        return finish(*arguments, **variables).returncode

    assert (exit_code("livenessProbe"), exit_code("readinessProbe")) == (1, 1)
    log = tmp_path / "log"
    with started(log, **variables):
        eventually(found_in(log, "listening"), "the listener")
        eventually(lambda: exit_code("readinessProbe") == 0 or None, "the readiness probe")
        assert exit_code("livenessProbe") == 0
