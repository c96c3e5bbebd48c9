"""Reference pages of the documentation, written from the code that they describe.

`python -m tools.reference` writes them anew; a test holds the committed pages against the code.
"""

from collections.abc import Iterable
from pathlib import Path

from exporter.config.settings import SETTINGS
from exporter.config.sources import ACCOUNT_VARIABLES
from exporter.errors import OUTCOMES, RETRY_REASONS
from exporter.events import CALLS
from exporter.ledger.snapshot import RECENT_AGES
from exporter.metrics.families import OWN, POLLED_GAUGES, SURVIVING, Family
from exporter.operation import EMAIL_STATUSES, STATUSES

DOCS = Path(__file__).parent.parent / "docs"

SETTINGS_PAGE = """\
# Settings

Written by `make docs` from `exporter/config/settings.py`; do not edit.

Each setting is read from a flag, an environment variable or a YAML file. When more than one gives it, the
first of these wins, setting by setting:

1. the flag, `--poll.interval=30s`;
2. the variable, `EXPORTER_POLL__INTERVAL=30s` (an empty one counts as not set);
3. the file named by `--config-file` or `EXPORTER_CONFIG_FILE`, `poll: {{interval: 30s}}`;
4. the default.

Durations read `500ms`, `90s`, `15m`, `2h`, `7d`, `1h30m`, or plain seconds. A flag, an `EXPORTER_` variable
or a key that does not exist is an error, and so is a value out of bounds: the command then exits with code 2
and prints one line for each problem, with where the value came from and what would be right.

The command `demo` has defaults of its own: `poll.interval` 5s and `api.requests_per_second` 50.

## All settings

| setting | variable | flag | default | what it does | allowed |
|---|---|---|---|---|---|
{settings}

In the file, `web.listen_address` may also be a list, and relative files (`api.ca_file`, `state.path`,
`web.config_file`) are relative to the file's folder. Proxies come from the usual variables (`HTTPS_PROXY`,
`NO_PROXY`).

## Credentials

One account comes from the environment: an account SID with its auth token, or an API key with its secret.
Give each secret as text or as a file, not both; a file is read again when Twilio refuses the secret, on
SIGHUP and on `POST /-/reload`, so that a rotated secret takes effect without a restart.

| variable | key in the file | what it is |
|---|---|---|
{credentials}

`TWILIO_ACCOUNT_SID` may stand beside an API key; it is not used then.

## The file

Several accounts are listed in the file, and then none may come from the environment. Each has a `name` of its
own, 1 to 64 of `a-z`, `A-Z`, `0-9`, `_`, `.`, `-`, and one of the two kinds of credential. Relative files
are relative to the file's folder.

```yaml
poll:
  interval: 30s
web:
  listen_address: ["127.0.0.1:10587", "[::1]:10587"]
accounts:
  - name: shop
    account_sid: AC00000000000000000000000000000000
    auth_token_file: secrets/shop
  - name: newsletter
    api_key: SK00000000000000000000000000000000
    api_key_secret_file: secrets/newsletter
```
"""

CREDENTIALS = {
    "name": "the account's value of the `account` label; of the environment's account `default` unless set",
    "account_sid": "`AC` followed by 32 hex digits",
    "auth_token": "the auth token of the account",
    "auth_token_file": "file that holds the auth token",
    "api_key": "`SK` followed by 32 hex digits",
    "api_key_secret": "the secret of the API key",
    "api_key_secret_file": "file that holds the secret of the API key",
}


def settings_reference() -> str:
    settings = [
        (
            f"`{setting.path}`",
            f"`{setting.variable}`",
            f"`{setting.flag}`" + (", repeatable" if setting.repeatable else ""),
            f"`{setting.default}`" if setting.default else "",
            setting.description,
            setting.allowed,
        )
        for setting in SETTINGS
    ]
    credentials = [
        (f"`{variable}`", f"`{key}`", CREDENTIALS[key]) for key, variable in ACCOUNT_VARIABLES.items()
    ]
    return SETTINGS_PAGE.format(settings=table(settings), credentials=table(credentials))


def table(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


METRICS_PAGE = """\
# Metrics

Written by `make docs` from the table in `exporter/metrics/families.py`; do not edit.

Gauges of polled data appear with the first successful poll and show what was true *as of the last successful
poll*: watch `twilio_email_exporter_last_success_timestamp_seconds`. The exporter's own metrics are there from
the first scrape on. Label values are Twilio's words in lower case; `unknown` stands for a word that this
version does not know. `process_*` and `python_*` are those of every Python exporter.

Whether the eight email statuses exclude each other is not documented by Twilio. Safe under every reading are
`failed`, `undelivered` and `canceled`, each alone or over `attempts` or `total_emails`; sums over `status`,
`delivered / total` and `opened / delivered` are not.

## Gauges: the stats of the operations created within the window

They fall when operations age out: for rates and alerts use the counters.

{gauges}

## Counters: what happened

Each counts upward only, across polls, restarts (with `state.path`) and operations leaving the window;
[counters.md](counters.md) says what is counted and when.

{counters}

## The exporter itself

{own}

## Label values

{labels}
"""

LABELS = {
    "account": "the account's name in the settings",
    "operation_status": ", ".join(STATUSES),
    "status": ", ".join(EMAIL_STATUSES),
    "created_within": ", ".join(RECENT_AGES) + " (those that `poll.lookback` covers)",
    "operation_id": "an operation's id; at most `metrics.top_operations` for each account",
    "outcome": ", ".join(OUTCOMES),
    "call": ", ".join(CALLS),
    "code": "HTTP status, or timeout, or connection",
    "reason": ", ".join(RETRY_REASONS),
    "field": "status",
    "version": "the exporter's version",
}


def metrics_reference() -> str:
    """docs/metrics.md."""

    def rows(families: Iterable[Family]) -> str:
        head = [("metric", "type", "labels", "what it is"), ("---",) * 4]
        return table(
            [*head, *((f"`{each.name}`", each.kind, ", ".join(each.labels), each.help) for each in families)]
        )

    labels = [("label", "values"), ("---", "---"), *((f"`{name}`", text) for name, text in LABELS.items())]
    return METRICS_PAGE.format(
        gauges=rows(POLLED_GAUGES),
        counters=rows(SURVIVING),
        own=rows(OWN),
        labels=table(labels),
    )


def main(docs: Path = DOCS) -> None:
    pages = {"settings.md": settings_reference(), "metrics.md": metrics_reference()}
    for name, text in pages.items():
        (docs / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
