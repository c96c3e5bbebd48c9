"""Personal data taken out of text: domains of addresses, and values of tags."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.twilio.personal import MAX_VALUE, clean, domain_of

LOCAL = "jane.doe"

DOMAINS = {
    "jane.doe@Example.COM": "example.com",
    "jane.doe@example.com.": "example.com",
    " jane.doe@example.com ": "example.com",
    '"jane.doe@work"@example.com': "example.com",
    '"jane.doe"@example.com': "example.com",
    "jane.doe@work@example.com": "example.com",
    "@relay.example,@other.example:jane.doe@example.com": "example.com",
    "jane.doe@localhost": "localhost",
    "jane.doe@r3---sn.example": "r3---sn.example",
    "jane.doe@3com.com": "3com.com",
    "jane.doe@straße.de": "xn--strae-oqa.de",
    "jane.doe@BÜCHER.example": "xn--bcher-kva.example",
    "jane.doe@xn--bcher-kva.example": "xn--bcher-kva.example",
    "jane.doe@例え。jp": "xn--r8jz45g.jp",
    "jane.doe@\uff25xample.com": "example.com",
    "jane.doe@gm\u0430il.com": "xn--gmil-63d.com",  # a Cyrillic letter
    "jane.doe@ex\u00adample.com": "example.com",  # a soft hyphen
}  # fmt: skip


@pytest.mark.parametrize(("address", "domain"), DOMAINS.items())
def test_domain_of_an_address(address: str, domain: str) -> None:
    """The part after the last `@`, in lower case and ASCII."""
    assert domain_of(address) == domain


NO_DOMAIN = (
    "", "@", "jane.doe", "jane.doe@", "jane.doe@.", "jane.doe@example..com", "jane.doe@example.com..",
    "jane.doe@.example.com", "jane.doe@-example.com", "jane.doe@exam_ple.com", "jane.doe@exam ple.com",
    "jane.doe@example.com>", "Jane <jane.doe@example.com>", "jane.doe@example.com (jane.doe)",
    "jane.doe@[192.0.2.1]", "jane.doe@[IPv6:2001:db8::1]", "jane.doe@192.0.2.1", "jane.doe@2001:db8::1",
    "x@jane.doe\uff20example.com", "jane.doe\uff20example.com", "jane.doe\ufe6bexample.com",
    "x@jane.doe%40example.com",
    "jane.doe@exam\nple.com", 'jane.doe@example.com"} 1', "jane.doe@\u202eexample.com", "jane.doe@\x00.com",
    "jane.doe@" + "a" * 64 + ".com", "jane.doe@" + "a." * 127 + "com", "jane.doe@" + "é" * 10_000,
    "jane.doe@" + "é" * 70 + ".com", "jane.doe@xn--\u00e9.com", "@" * 10_000, "jane.doe@\ud800.com",
)  # fmt: skip


@pytest.mark.parametrize("address", NO_DOMAIN)
def test_what_is_no_domain_is_unknown(address: str) -> None:
    """Hostile and broken addresses, and IP addresses."""
    assert domain_of(address) == "unknown"


@given(st.text(max_size=300), st.text(max_size=300))
@example("a@b", "\u2100.com")
def test_any_domain_is_safe(before: str, after: str) -> None:
    """Whatever the address is, the result has only the characters of a host name, and is not long."""
    domain = domain_of(f"{before}@{after}")
    assert len(domain) <= 253
    assert set(domain) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    if "@" not in after:
        assert domain == domain_of(f"somebody-else@{after}")


VALUES = {
    "spring-sale": "spring-sale",
    "Größe 42 😀": "Größe 42 😀",
    'say "hi" \\': 'say "hi" \\',
    "jane.doe@example.com": "…@example.com",
    "for jane.doe@example.com, c@d": "…@d",
    '"jane.doe @ home" <x@example.com>': "…@example.com>",
    "jane.doe\uff20example.com": "…@example.com",
    "jane.doe\ufe6bexample.com": "…@example.com",
    "jane.doe%40example.com": "…@example.com",
    "jane.doe@": "…@",
    "a\nb": "a\\nb",
    "a\x00\u202e\u2028b": "a\\x00\\u202e\\u2028b",
    "\ud800": "\\ud800",
    "x" * 10_000: "x" * 128,
    "\n" * 100: "\\n" * 64,
    "jane.doe" * 1000 + "@example.com": "…@example.com",
    "": "",
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_value_of_a_tag(text: str, value: str) -> None:
    """Without what precedes an `@`, on one line, and at most 128 characters."""
    assert clean(text) == value


@given(st.text(max_size=300), st.sampled_from(["@", "\uff20", "\ufe6b", "%40"]), st.text(max_size=300))
def test_any_value_is_safe(before: str, at: str, after: str) -> None:
    """No value has a character that breaks a line or cannot be shown, nor what stood before an `@`."""
    value = clean(f"{before}{at}{after}")
    assert value.isprintable()
    assert len(value) <= MAX_VALUE
    assert value == clean(f"somebody{at}{after}")
