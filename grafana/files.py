"""All generated files: their paths and contents."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import operations, poller, rules

FOLDER: Final = Path(__file__).parent
FOLDERS: Final = (FOLDER, FOLDER.parent / "helm" / "twilio-email-exporter" / "files")
"""The chart has its own copies, because links do not survive in archives and in some GitOps controllers."""
DASHBOARDS: Final = (operations.dashboard, poller.dashboard)


def files() -> dict[str, str]:
    """Returns the contents by path relative to each of the folders."""
    made = [make() for make in DASHBOARDS]
    return {
        "alerts.yaml": rules.text(),
        **{f"dashboards/{dashboard.uid}.json": encoded(dashboard) for dashboard in made},
    }


def encoded(dashboard: Dashboard) -> str:
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"
