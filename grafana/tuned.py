"""PromQL of the limits that are settings: what an exporter exposes, or the default where it exposes none.

This module must not know which panel draws a limit.
"""

from exporter.config.alerts import Alerts
from grafana.chosen import EACH


def threshold(setting: str) -> str:
    """By account; `setting` is one of `alerts`. Exporters older than the series have the default."""
    default = getattr(Alerts(), setting)
    return (
        f'min by ({EACH}) (twilio_email_exporter_alert_threshold{{setting="{setting}"}}) '
        f"or 0 * max by ({EACH}) (twilio_email_up) + {default:g}"
    )
