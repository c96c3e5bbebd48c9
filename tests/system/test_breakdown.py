"""The breakdown in the running program."""

import re
import signal
from pathlib import Path

from exporter.simulator.server import ACCOUNT_SID, CREDENTIAL
from tests.support.program import eventually, fetch, found_in, started

ANY_PORT = "127.0.0.1:0"
SERIES = r'^twilio_email_tag_emails{.*status="failed",tag="campaign",value="[a-z-]+"} [1-9]'


def test_program_refreshes_its_breakdown(tmp_path: Path) -> None:
    """It appears after the first poll, and the program stops as cleanly as without it."""
    simulator, log = tmp_path / "simulator.log", tmp_path / "exporter.log"
    with started(simulator, "simulator", "--listen-address", ANY_PORT):
        base_url = eventually(found_in(simulator, r"BASE_URL=(\S+)"), "the simulator").group(1)
        with started(
            log,
            "run",
            "--breakdown.by=tag:campaign",
            f"--web.listen_address={ANY_PORT}",
            TWILIO_ACCOUNT_SID=ACCOUNT_SID,
            TWILIO_AUTH_TOKEN=CREDENTIAL[1],
            EXPORTER_API__BASE_URL=base_url,
            EXPORTER_API__REQUESTS_PER_SECOND="100",
        ) as process:
            address = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)

            def series() -> re.Match[str] | None:
                return re.search(SERIES, fetch(f"http://{address}/metrics") or "", re.MULTILINE)

            eventually(series, "the breakdown")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
    assert "level=error" not in log.read_text()
