"""The thresholds of the alerts: one model for the common section and for the partial sections of accounts.

Must not know the rules that read the thresholds, nor where a value was written.

Rule: a threshold in an account's own section wins over the common one, whatever the source of that is.
"""

from typing import Annotated

from pydantic import Field  # noqa: TID251 - home of pydantic

from exporter.config.values import MAX_LOOKBACK, Duration, Number, Section

Ratio = Annotated[Number, Field(gt=0, le=1)]
Age = Annotated[Duration, Field(gt=0, le=MAX_LOOKBACK)]
"""An operation older than the longest window is not counted any more."""


class Alerts(Section):
    """The thresholds of the alerts, which the alert rules read from the metrics."""

    failed_ratio: Ratio = Field(
        default=0.05, description="lower bound of the threshold of TwilioEmailFailedSpike"
    )
    undelivered_ratio: Ratio = Field(
        default=0.1, description="lower bound of the threshold of TwilioEmailUndeliveredSpike"
    )
    bounce_ratio: Ratio = Field(
        default=0.05, description="TwilioEmailBounceRateHigh: undelivered emails per attempt of a day"
    )
    late_after: Age = Field(
        default=900.0, description="TwilioEmailDeliverySlow: a delivery that takes longer is late"
    )
    late_ratio: Ratio = Field(
        default=0.1, description="TwilioEmailDeliverySlow: share of the deliveries that are late"
    )
    waiting_after: Age = Field(
        default=3600.0, description="TwilioEmailBacklog: an email that waits longer is overdue"
    )
    waiting_ratio: Ratio = Field(
        default=0.1, description="TwilioEmailBacklog: overdue emails per email of a day"
    )
    stuck_after: Age = Field(
        default=7200.0, description="TwilioEmailOperationStuck: an operation PROCESSING for longer is stuck"
    )

    def overridden_by(self, own: "Alerts") -> "Alerts":
        """These thresholds, except those that were set in `own`."""
        return self.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
