"""The exporter that one would write in an hour: each scrape lists the window and fetches every operation.

`python -m bench.naive BASE_URL PORT`. The bench measures it beside the exporter.
"""

import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from prometheus_client import REGISTRY, Counter, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

REQUESTS = Counter("naive_requests", "Requests to Twilio.")


class Operations(Collector):
    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/Emails/Operations"

    def collect(self) -> Iterator[GaugeMetricFamily]:
        emails = GaugeMetricFamily("naive_emails", "Emails of the last week.", labels=["status"])
        totals: dict[str, int] = {}
        for operation in self._listed():
            for status, count in self._get(f"/{operation['id']}")["stats"].items():
                totals[status] = totals.get(status, 0) + count
        for status, total in totals.items():
            emails.add_metric([status], total)
        yield emails

    def _listed(self) -> Iterator[dict[str, Any]]:
        now = datetime.now(UTC)
        query = {
            "startDate": (now - timedelta(days=7)).isoformat(),
            "endDate": now.isoformat(),
            "pageSize": 1000,
        }
        while True:
            page = self._get("?" + urlencode(query))
            yield from page["operations"]
            if page["pagination"]["next"] is None:
                return
            query["pageToken"] = page["pagination"]["next"]

    def _get(self, rest: str) -> dict[str, Any]:
        REQUESTS.inc()
        with urlopen(self._url + rest) as reply:  # noqa: S310 - the bench's own server
            result: dict[str, Any] = json.load(reply)
        return result


if __name__ == "__main__":
    REGISTRY.register(Operations(sys.argv[1]))
    start_http_server(int(sys.argv[2]), addr="127.0.0.1")
    threading.Event().wait()
