"""Which settings need a restart, because they differ from those in use."""

from typing import Any

import pytest

from exporter.config.changes import changed_settings
from exporter.config.settings import Settings

SHOP = {"name": "shop", "account_sid": f"AC{'0' * 32}", "auth_token": "first"}
NEWS = {"name": "news", "account_sid": f"AC{'1' * 32}", "auth_token": "second"}


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ({}, []),
        ({"accounts": [NEWS, SHOP]}, []),
        ({"poll": {"interval": "60s"}}, []),
        ({"poll": {"interval": "61s"}, "shard": "0/2"}, ["poll.interval", "shard"]),
        ({"accounts": [SHOP, {**NEWS, "auth_token": "third"}]}, ["accounts.news"]),
        ({"accounts": [NEWS, {**SHOP, "name": "store"}]}, ["accounts.shop", "accounts.store"]),
    ],
)
def test_names_of_the_settings_that_differ(written: dict[str, Any], changed: list[str]) -> None:
    """By value, whatever the spelling and the order; accounts by name."""
    running = Settings.model_validate({"accounts": [SHOP, NEWS]})
    assert (
        changed_settings(running, Settings.model_validate({"accounts": [SHOP, NEWS], **written})) == changed
    )
