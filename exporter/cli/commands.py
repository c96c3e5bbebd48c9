"""The table of commands, in the order of `--help`.

Rule: the module of a command has its name and a function `run`. It is imported when the command runs: all of
them together take far longer to import than `--help` takes.
"""

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, cast

from exporter.cli import flags
from exporter.cli.command import Command

COMMANDS: Final[Mapping[str, Command]] = {
    "run": Command(
        "poll and serve metrics until SIGTERM or SIGINT (default)",
        "SIGHUP reloads the secret files and the file of web.config_file, and reports\n"
        "which other changes need a restart.",
    ),
    "once": Command(
        "poll once and print the metrics; starts no server",
        "The state file is neither read nor written. Exit code 1: the poll failed.",
        flags=(flags.PAGE_FORMAT,),
        settings=r"(api|poll|alerts|log)\..*|metrics\.top_operations|shard",
    ),
    "check": Command(
        "test each credential and estimate the requests of polling",
        "Exit code 1: a credential fails, or polling does not fit its interval.",
        settings=r"(api|poll|log)\..*|shard",
    ),
    "explain": Command(
        "count the emails that fail now, by domain and by tag",
        "Explains one operation if its id is given, otherwise the last hour.\n"
        "No address is printed.\n"
        "Exit code 1: emails could not be listed, or no account has the operation.",
        operand="[OPERATION_ID]",
        flags=(flags.LAST, flags.MAX_REQUESTS, flags.ANSWER_FORMAT),
        settings=r"(api|log)\..*|breakdown\.(by|top)|shard",
    ),
    "demo": Command(
        "run against a simulated Twilio; needs no account",
        "Prints the URLs to open.",
        flags=(flags.SCENARIO,),
        settings=r"(poll|state|breakdown|alerts|metrics|web|log)\..*"
        r"|api\.(timeout|requests_per_second|concurrency)",
        # Fast enough to show changes at once: the simulated Twilio has no rate limit. For this machine only.
        defaults={
            "poll.interval": "5s",
            "api.requests_per_second": "50",
            "breakdown.by": "recipient_domain,sender_domain,tag:campaign",
            "breakdown.interval": "60s",
            "breakdown.lookback": "1h",
            "breakdown.errors": "true",
            "breakdown.max_requests": "60",
            "web.listen_address": "127.0.0.1:10587",
        },
        needs_account=False,
    ),
    "simulator": Command(
        "serve the simulated Twilio alone",
        "Prints the variables that make another exporter poll it.",
        flags=(flags.SCENARIO, flags.LISTEN_ADDRESS),
        settings=r"log\..*",
        needs_account=False,
    ),
    "observe": Command(
        "watch an account, and answer open questions about the API",
        "Prints how many requests it will send. Ctrl-C ends it, with what was seen.\n"
        "Exit code 1: the account cannot be read, or the report cannot be written.",
        flags=(flags.WATCH, flags.REPORT, flags.ACCOUNT),
        settings=r"api\.(?!concurrency)\w+|log\..*",
    ),
    "backup": Command(
        "copy the state to a new file, also while the exporter runs",
        "Needs the same state.path or state.url as the exporter.\nExit code 1: there is no new file.",
        flags=(flags.COPY,),
        settings=r"state\..*|log\..*|shard",
        needs_account=False,
    ),
    "restore": Command(
        "write a state file to the database of state.url",
        "The database must not have a state yet, and no exporter may use it.\n"
        "Exit code 1: nothing, or not everything, was written.",
        flags=(flags.SOURCE,),
        settings=r"state\..*|log\..*|shard",
        needs_account=False,
    ),
    "healthcheck": Command("check whether the exporter on this machine is healthy"),
}


def run(name: str, parsed: argparse.Namespace, unrecognized: Sequence[str]) -> int:
    """Run a command with the parsed flags and the unrecognized arguments; returns the exit code."""
    return cast(int, import_module(f"exporter.cli.{name}").run(parsed, unrecognized))
