"""The text of the web config: what is accepted, and the message of each problem."""

# A table of problems is easier to read with one line each.
# ruff: noqa: E501

from pathlib import Path

import pytest

from exporter.config.problems import SettingsError
from exporter.web.web_config import (
    TLS12_SUITES,
    TLS13_SUITES,
    RateLimit,
    Tls,
    WebConfig,
    read_web_config,
)

FILE = Path("/etc/exporter/web.yml")
HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
PAIR = "cert_file: c.pem, key_file: k.pem"


def read(text: str) -> WebConfig:
    return read_web_config(FILE, text.encode())


def problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert HASH not in str(caught.value)
    return [str(problem).replace(f" {FILE}:", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text", ["", "{}", "tls_server_config:\n", "tls_server_config: {}", "basic_auth_users: {}"]
)
def test_empty_files(text: str) -> None:
    """An empty file, or empty sections, configure plain HTTP without users."""
    assert read(text) == WebConfig()


def test_everything_at_once() -> None:
    """Every key of exporter-toolkit's page is known."""
    config = read(f"""
tls_server_config:
  cert_file: certs/server.pem
  key_file: /run/secrets/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [scraper.example, 192.0.2.7]
  min_version: TLS11
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [X25519]
http_server_config:
  http2: false
  headers:
    Content-Security-Policy: default-src 'none'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: "0"
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  alice: {HASH}
  "0123": {HASH}
rate_limit:
  interval: 1m0.5s
  burst: 3
""")
    folder = FILE.parent
    assert config.tls == Tls(
        cert_file=folder / "certs/server.pem",
        key_file=Path("/run/secrets/server.key"),
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file=folder / "ca.pem",
        client_allowed_sans=("scraper.example", "192.0.2.7"),
        min_version="TLS11",
        max_version="TLS12",
        cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",),
        curve_preferences=("X25519",),
        prefer_server_cipher_suites=False,
    )
    assert config.files() == [folder / "certs/server.pem", Path("/run/secrets/server.key"), folder / "ca.pem"]
    assert len(config.headers) == 5
    assert config.headers["X-Frame-Options"] == "deny"
    assert config.users == {"alice": HASH, "0123": HASH}
    assert config.rate_limit == RateLimit(interval=60.5, burst=3)
    assert HASH not in repr(config)


def test_certificates_as_text() -> None:
    """Text and files may be mixed; only files are watched."""
    config = read(
        "tls_server_config: {cert: C, key: K, client_ca: A, client_auth_type: VerifyClientCertIfGiven}"
    )
    assert config.tls == Tls(cert="C", key="K", client_auth_type="VerifyClientCertIfGiven", client_ca="A")
    assert config.files() == []


def test_blank_header_is_not_set() -> None:
    """As exporter-toolkit's page says."""
    assert read('http_server_config: {headers: {X-Frame-Options: "", X-XSS-Protection: ""}}').headers == {}


def test_older_name_of_a_client_auth_type() -> None:
    """exporter-toolkit still accepts it."""
    config = read(f"tls_server_config: {{{PAIR}, client_auth_type: RequireClientCert, client_ca_file: a}}")
    assert config.tls
    assert config.tls.client_auth_type == "RequireAnyClientCert"


@pytest.mark.parametrize("suite", [*TLS12_SUITES, *TLS13_SUITES])
def test_every_suite_of_go_is_known(suite: str) -> None:
    """By Go's own name."""
    config = read(f"tls_server_config: {{{PAIR}, cipher_suites: [{suite}]}}")
    assert config.tls
    assert config.tls.cipher_suites == (suite,)


@pytest.mark.parametrize(
    "text",
    [
        "interval: 1000, burst: 5",
        "interval: .5s, burst: 5.0",
        "interval: +1s, burst: 1",
        "interval: 2h, burst: 1e2",
    ],
)
def test_numbers_of_the_rate_limit(text: str) -> None:
    """Durations are written as in Go, and a burst may be written as a float."""
    assert read(f"rate_limit: {{{text}}}").rate_limit


@pytest.mark.parametrize("text", ["yes", "on", "TRUE", "y"])
def test_booleans_are_those_of_yaml_1_1(text: str) -> None:
    """As exporter-toolkit reads them."""
    assert read(f"http_server_config: {{http2: {text}}}") == read("http_server_config: {http2: true}")


def test_file_is_used_where_text_is_given_too() -> None:
    """As in exporter-toolkit; the text is not looked at."""
    both = "cert: C, key: K, client_ca: A, client_ca_file: a.pem, client_auth_type: VerifyClientCertIfGiven"
    tls = read(f"tls_server_config: {{{PAIR}, {both}}}").tls
    assert tls
    folder = FILE.parent
    assert (tls.certificate, tls.private_key, tls.client_authorities) == (
        folder / "c.pem",
        folder / "k.pem",
        folder / "a.pem",
    )


def test_header_over_several_lines() -> None:
    """Line ends become spaces, as in Go."""
    text = "http_server_config:\n  headers:\n    Content-Security-Policy: |\n      default-src 'none';\n      img-src *\n"
    assert read(text).headers == {"Content-Security-Policy": "default-src 'none'; img-src *"}


def test_rate_limit_of_zero_is_none() -> None:
    """As exporter-toolkit's page says."""
    assert read("rate_limit: {interval: 0, burst: 5}").rate_limit is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", ["web.config_file: line 1: mapping values are not allowed here"]),
        ("tls_server_config: {client_allowed_sans: [[a]], cert: C, key: K}", ["tls_server_config.client_allowed_sans[0]: must be text"]),
        ("- a", ["web.config_file: must be a mapping of settings, such as poll: {interval: 60s}"]),
        ("tls_server_confg: {}", ["tls_server_confg: unknown key; did you mean tls_server_config?"]),
        ("x: 1\ny: 2", ["x: unknown key", "y: unknown key"]),
        ("tls_server_config: yes", ["tls_server_config: must be a mapping"]),
        ("basic_auth_users: [a]", ["basic_auth_users: must be a mapping"]),
        ("tls_server_config: {min_version: TLS12}", ["tls_server_config.cert_file: is missing", "tls_server_config.key_file: is missing"]),
        ("tls_server_config: {cert_file: c}", ["tls_server_config.key_file: is missing"]),
        ("tls_server_config: {cert_file: -----BEGIN X, key: K}", ["tls_server_config.cert_file: contains the PEM text itself; write it under cert"]),
        ("a: 1\n---\nb: 2", ["web.config_file: line 2: but found another document"]),
        (f"tls_server_config: {{{PAIR}, certfile: c}}", ["tls_server_config.certfile: unknown key; did you mean cert_file?"]),
        (f"tls_server_config: {{{PAIR}, min_version: TLS9}}", ['tls_server_config.min_version: "TLS9" must be one of TLS10, TLS11, TLS12, TLS13']),
        (f"tls_server_config: {{{PAIR}, min_version: TLS13, max_version: TLS12}}", ["tls_server_config.max_version: TLS12 is below min_version TLS13"]),
        (f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_AES_128_GCM_SHA256, RC4, RC5]}}", [f'tls_server_config.cipher_suites[{index}]: "{name}" must be one of {", ".join((*TLS12_SUITES, *TLS13_SUITES))}' for index, name in ((1, "RC4"), (2, "RC5"))]),
        (f"tls_server_config: {{{PAIR}, cipher_suites: TLS_AES_128_GCM_SHA256}}", ["tls_server_config.cipher_suites: must be a list of text values"]),
        (f"tls_server_config: {{{PAIR}, max_version: TLS12, cipher_suites: [TLS_AES_128_GCM_SHA256]}}", ["tls_server_config.cipher_suites: contains no suite for max_version TLS12"]),
        (f"tls_server_config: {{{PAIR}, curve_preferences: [P256]}}", ['tls_server_config.curve_preferences[0]: "P256" must be one of CurveP256, CurveP384, CurveP521, X25519']),
        (f"tls_server_config: {{{PAIR}, client_ca_file: a}}", ["tls_server_config.client_ca_file: has no effect with client_auth_type NoClientCert"]),
        (f"tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert}}", ["tls_server_config.client_ca_file: is missing; with RequireAnyClientCert the exporter verifies every client certificate"]),
        (f"tls_server_config: {{{PAIR}, client_allowed_sans: [a]}}", ["tls_server_config.client_allowed_sans: has no effect with client_auth_type NoClientCert: clients are not asked for a certificate"]),
        (f"tls_server_config: {{{PAIR}, client_auth_type: RequestClientCert, client_allowed_sans: [a]}}", ["tls_server_config.client_ca_file: is missing; with RequestClientCert the exporter verifies every client certificate"]),
        (f"tls_server_config: {{{PAIR}, prefer_server_cipher_suites: 1}}", ["tls_server_config.prefer_server_cipher_suites: must be true or false"]),
        (f"tls_server_config: {{{PAIR}, client_auth_type: [a]}}", ["tls_server_config.client_auth_type: must be text"]),
        ("http_server_config: {http3: true}", ["http_server_config.http3: unknown key; did you mean http2?"]),
        ("http_server_config: {http2: maybe}", ["http_server_config.http2: must be true or false"]),
        ("http_server_config: {headers: {X-Other: a}}", ["http_server_config.headers.X-Other: unknown key"]),
        ("http_server_config: {headers: {X-Frame-Options: maybe}}", ['http_server_config.headers.X-Frame-Options: "maybe" must be one of deny, sameorigin']),
        ('http_server_config: {headers: {X-XSS-Protection: "a\\eb"}}', ["http_server_config.headers.X-XSS-Protection: must be text without control characters"]),
        ("basic_auth_users: {alice: secret}", ["basic_auth_users.alice: must be a bcrypt hash; create one with htpasswd -nBC 10 NAME"]),
        ("basic_auth_users: {alice: }", ["basic_auth_users.alice: must be a bcrypt hash; create one with htpasswd -nBC 10 NAME"]),
        (f"basic_auth_users: {{alice: {HASH[:-1]}}}", ["basic_auth_users.alice: must be a bcrypt hash; create one with htpasswd -nBC 10 NAME"]),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$99$')}}}", ["basic_auth_users.alice: must be a bcrypt hash; create one with htpasswd -nBC 10 NAME"]),
        (f"basic_auth_users: {{alice: {HASH.replace('zou', 'zoz')}}}", ["basic_auth_users.alice: must be a bcrypt hash; create one with htpasswd -nBC 10 NAME"]),
        (f'basic_auth_users: {{"a:b": {HASH}}}', ["basic_auth_users.a:b: is not a valid user name; it must not be empty or contain a colon"]),
        ("basic_auth_users: {alice: [secret]}", ["basic_auth_users.alice: must be text"]),
        ("rate_limit: {interval: -1s, burst: 1}", ["rate_limit.interval: must not be negative; write 0 for no limit"]),
        ("rate_limit: {interval: 1d, burst: 1}", ["rate_limit.interval: is not a duration; write 100ms, 1s or 1m30s, or 0 for no limit"]),
        ("rate_limit: {interval: 1s, burst: many}", ["rate_limit.burst: must be a whole number"]),
        ("rate_limit: {interval: 1s}", ["rate_limit.burst: must be at least 1, or every request gets 429"]),
    ],
)  # fmt: skip
def test_mistakes(text: str, expected: list[str]) -> None:
    """One line for each, with the key and the right values."""
    assert problems(text) == expected


def test_all_problems_are_reported_at_once() -> None:
    """Not one at each start."""
    assert (
        len(
            problems("x: 1\nbasic_auth_users: {a: b}\nrate_limit: {interval: s}\ntls_server_config: {key: k}")
        )
        == 4
    )
