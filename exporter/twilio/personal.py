"""Takes the personal data out of the text of an email: what is left is a domain, or a tag's value. Pure.

The only home of idna. Must not know JSON or labels.

Rule 1: nothing that stands before an `@` is returned, in any of the ways to write that character.
Rule 2: what is returned is bounded in length, printable, and on one line.
"""

import re
from functools import lru_cache
from typing import Final

import idna  # noqa: TID251 - home of idna

from exporter.email import UNKNOWN_DOMAIN

MAX_VALUE: Final = 128
"""Characters of a tag's value, and of its key."""

_MAX_DOMAIN: Final = 253
_PART: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_PART}\.)*(?![0-9]+$){_PART}")
"""Letters, digits and hyphens (RFC 5321). A last part of digits only belongs to an IP address."""

# Unicode's compatibility forms of @, and its form in a URL.
_BEFORE_AT: Final = re.compile("^.*(?:@|\uff20|\ufe6b|%40)", re.DOTALL | re.IGNORECASE)


def domain_of(address: str) -> str:
    """The part after the last `@`, in lower case and ASCII (IDNA 2008); `unknown` if it is no domain.

    A trailing dot is dropped. IP addresses in brackets are not domains.
    """
    _, at, domain = address.rpartition("@")
    # The length is checked first: the time that IDNA takes grows with its square.
    return _host_name(domain) if at and len(domain) <= _MAX_DOMAIN else UNKNOWN_DOMAIN


@lru_cache(maxsize=4096)
def _host_name(domain: str) -> str:
    domain = domain.strip().removesuffix(".")
    domain = domain.lower() if domain.isascii() else _to_ascii(domain)
    # Also after IDNA, which may turn a compatibility character into an @.
    is_host_name = len(domain) <= _MAX_DOMAIN and _DOMAIN.fullmatch(domain)
    return domain if is_host_name else UNKNOWN_DOMAIN


def _to_ascii(domain: str) -> str:
    """The domain in ASCII; empty if IDNA does not allow it."""
    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError:  # includes idna's own errors
        return ""


def clean(text: str) -> str:
    """A tag's key or value: all before an `@` replaced by `…`, escapes for what cannot be printed, cut."""
    text = _BEFORE_AT.sub("…@", text)[:MAX_VALUE]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:MAX_VALUE]
