"""Renders the table of `once`: values in, text out."""

from collections.abc import Mapping

from exporter.ledger.snapshot import Snapshot
from exporter.observers.verdicts import Verdict
from exporter.web.account_view import COLUMNS


def table(snapshots: Mapping[str, Snapshot], verdicts: Mapping[str, Verdict]) -> str:
    """Plain text: the verdict of each account, and a row for each account and operation status in use."""
    said = [
        f"{account}: {finding}" + (f" (threshold {finding.threshold})" if finding.threshold else "")
        for account, verdict in verdicts.items()
        for finding in verdict.findings
    ]
    head = ("account", "status", "operations", *COLUMNS)
    rows = [
        (account, status, str(sums.operations), *(str(sums.stat(stat)) for stat in COLUMNS))
        for account, snapshot in snapshots.items()
        for status, sums in snapshot.window.items()
        if sums.operations
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = (
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )
    return "\n".join([*said, "", *lines])
