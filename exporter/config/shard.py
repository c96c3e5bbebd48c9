"""Assigns accounts to shards: pure.

Rendezvous hashing: each shard has a hash for each account, and the shard with the highest one owns the
account. Every exporter computes the same result alone, and an additional shard only takes accounts over.
https://en.wikipedia.org/wiki/Rendezvous_hashing
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

MAX_SHARDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` exporters, numbered from 0 as the pods of a StatefulSet are."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def owns(self, account: str) -> bool:
        return owner(account, self.count) == self.index


def owner(account: str, count: int) -> int:
    """The index of the shard that owns the account."""
    return max(range(count), key=lambda index: blake2b(f"{index}/{account}".encode(), digest_size=8).digest())


def parse_shard(value: object) -> Shard:
    """Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", str(value).strip(), flags=re.ASCII)
    if match:
        shard = Shard(int(match[1]), int(match[2]))
        if shard.index < shard.count <= MAX_SHARDS:
            return shard
    raise ValueError(
        f"is not a shard; write index/count with an index from 0, such as 0/3, at most {MAX_SHARDS}"
    )
