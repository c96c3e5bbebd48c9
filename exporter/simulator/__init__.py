"""A simulated Twilio Email Operations API, for the demo, for a stand-alone server and for every test.

An independent second opinion: written from Twilio's reference, stateful, strict, on a real socket. It must
not know the exporter's own client, reader or ledger; of the product it sees `exporter.clock`,
`exporter.operation` and the version. docs/simulator.md lists how it differs from Twilio.

    async with Simulator(World(SCENARIOS["steady"], started=clock.now()), clock) as simulator:
        ...  # GET {simulator.base_url}/Emails/Operations
"""

from exporter.simulator import faults
from exporter.simulator.faults import HOSTILE_IDS, Fault
from exporter.simulator.ids import new_id
from exporter.simulator.journal import RequestRecord
from exporter.simulator.life import Event, Life, operation_at
from exporter.simulator.listing import Rules
from exporter.simulator.plan import Faults
from exporter.simulator.scenarios import SCENARIOS, Episode, Mix, Scenario
from exporter.simulator.server import ACCOUNT_SID, CREDENTIAL, Simulator
from exporter.simulator.world import RETENTION_SECONDS, World

__all__ = [
    "ACCOUNT_SID",
    "CREDENTIAL",
    "HOSTILE_IDS",
    "RETENTION_SECONDS",
    "SCENARIOS",
    "Episode",
    "Event",
    "Fault",
    "Faults",
    "Life",
    "Mix",
    "RequestRecord",
    "Rules",
    "Scenario",
    "Simulator",
    "World",
    "faults",
    "new_id",
    "operation_at",
]
