"""The dashboard's variables in PromQL, and the labels by which accounts are told apart.

Two installations may both have an account `default`, so an account is grouped and named by all of EACH, as in
the alerts. This module must not know panels.
"""

import re
from typing import Final

from exporter.metrics.families import FAMILIES

EACH: Final = "cluster, namespace, job, account"
"""Labels of an account of one installation; those that an installation does not have are empty."""
NAME: Final = "{{account}} {{namespace}} {{cluster}}"
"""Name of an account's series. Browsers do not show the spaces beside missing labels."""

_SELECTOR: Final = re.compile(r"\b((?:account:)?(?:twilio_email|process)_[\w:]+)(?:\{([^}]*)\})?")
_WITH_ACCOUNT: Final = {family.name: "account" in family.labels for family in FAMILIES}


def of_chosen(expression: str) -> str:
    """Adds the dashboard's variables to every selector."""

    def narrowed(found: re.Match[str]) -> str:
        name, own = found.groups()
        wanted = [f'{label}=~"${label}"' for label in ("cluster", "namespace", "job")]
        is_recorded = name.startswith("account:")  # of no instance
        if not is_recorded:
            wanted.append('instance=~"$instance"')
        if is_recorded or (not name.startswith("process_") and _WITH_ACCOUNT[_family(name)]):
            wanted.append('account=~"$account"')
        return f"{name}{{{', '.join([*wanted, *([own] if own else [])])}}}"

    return _SELECTOR.sub(narrowed, expression)


def of_process(expression: str) -> str:
    """Limits an expression without account to the exporters that poll a selected account."""
    return f"({expression} and on (cluster, namespace, job, instance) twilio_email_up)"


def alerts(name: str, more: str = "") -> str:
    """ALERTS or ALERTS_FOR_STATE of the project's alerts; one without a label concerns all its values."""
    labels = ("cluster", "namespace", "job", "instance", "account")
    chosen = ", ".join(f'{label}=~"${label}|"' for label in labels)
    return f'{name}{{alertname=~"TwilioEmail.*", {chosen}{more}}}'


def _family(series: str) -> str:
    return series if series in _WITH_ACCOUNT else re.sub(r"_(bucket|sum|count)$", "", series)
