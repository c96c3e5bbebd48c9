"""Assigning accounts to shards: one shard each, always the same, and few move to an additional shard."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.settings import Settings
from exporter.config.shard import MAX_SHARDS, Shard, owner, parse_shard

names = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_.-", min_size=1, max_size=64)
counts = st.integers(1, 40)


@given(names, counts)
def test_every_account_falls_to_one_shard(name: str, count: int) -> None:
    """Exactly one shard owns each account."""
    assert [Shard(index, count).owns(name) for index in range(count)].count(True) == 1


@given(names, counts)
def test_one_shard_more_takes_only_what_falls_to_it(name: str, count: int) -> None:
    """No account moves between existing shards."""
    assert owner(name, count + 1) in {owner(name, count), count}


def test_shards_do_not_change_from_one_version_to_the_next() -> None:
    """An account that moved would lose its counters, so these values must never change."""
    assert [owner(name, 3) for name in ("shop", "newsletter", "default", "a", "b", "c")] == STANDING


STANDING = [2, 1, 2, 0, 2, 2]


def test_shards_get_about_the_same() -> None:
    """With a thousand accounts on four shards no shard has more than 310."""
    shares = Counter(owner(f"customer-{number}", 4) for number in range(1000))
    assert all(190 <= shares[index] <= 310 for index in range(4))


@given(st.integers(1, MAX_SHARDS).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_round_trip(pair: tuple[int, int]) -> None:
    """A shard can be written and parsed back."""
    assert str(parse_shard(str(Shard(*pair)))) == str(Shard(*pair))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_settings_are_divided(count: int) -> None:
    """Exporters with the same file poll each account exactly once together."""
    accounts = [{"name": f"a{n}", "account_sid": f"AC{n:032x}", "auth_token": "t"} for n in range(50)]
    shards = [f"{index}/{count}" for index in range(count)]
    owned = [Settings.model_validate({"accounts": accounts, "shard": each}).own_accounts for each in shards]
    assert sorted(each.name for part in owned for each in part) == sorted(
        str(each["name"]) for each in accounts
    )
    undivided = Settings.model_validate({"accounts": accounts})
    assert undivided.own_accounts == undivided.accounts
