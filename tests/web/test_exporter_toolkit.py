"""Every case that exporter-toolkit tests, with the outcome here: the same, or another one for a reason.

The cases are those of https://github.com/prometheus/exporter-toolkit/blob/master/web/tls_config_test.go and
handler_test.go, written here as data of our own.
"""

import asyncio
import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import pytest

from exporter.config.problems import SettingsError
from exporter.web.auth import Authenticator
from exporter.web.web_config import TLS12_SUITES, TLS13_SUITES
from tests.support.certificates import make_certificates
from tests.support.clock import ManualClock
from tests.support.web_service import Reply, WebService, ask, opened
from tests.web.test_tls import trusting

pytestmark = pytest.mark.needs("openssl")

PAIR = "cert_file: rsa-server.pem, key_file: rsa-server.key"
VERIFY = f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"
DAVE, CAROL = (bcrypt.hashpw(word, bcrypt.gensalt(4)).decode() for word in (b"dave123", b"carol123"))
USERS = f"basic_auth_users: {{dave: {DAVE}, carol: {CAROL}}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def tls(keys: str) -> str:
    return f"tls_server_config: {{{keys}}}\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "web.yml"
    file.write_text(text, encoding="utf-8")
    return file


# -- files that are taken, and files that are refused -------------------------------------------------------


@dataclass(frozen=True)
class File:
    name: str
    text: str
    refused: str = ""
    """A part of the message; empty for a file that is taken."""
    differs: str = ""
    """Why exporter-toolkit's outcome is another one."""


FILES = [
    File("empty", ""),
    File("no structure", "words without\nany keys\n", "must be a mapping"),
    File("unknown key", tls("certt_file: server.pem"), "certt_file: .* unknown key; did you mean cert_file"),
    File("cert_file empty", tls("cert_file: '', key_file: server.key"), "cert_file: .* is missing"),
    File("cert empty", tls("cert: '', key_file: server.key"), "cert_file: .* is missing"),
    File("key_file empty", tls("cert_file: server.pem, key_file: ''"), "key_file: .* is missing"),
    File("key empty", tls("cert_file: server.pem, key: ''"), "key_file: .* is missing"),
    File("both empty", tls("cert_file: '', key_file: '', client_auth_type: x"), "cert_file: .* is missing"),
    File("no such cert_file", tls("cert_file: none, key_file: server.key"), "cert_file: .* does not exist"),
    File("no such key_file", tls("cert_file: server.pem, key_file: none"), "key_file: .* does not exist"),
    File("no such files", tls("cert_file: none, key_file: none"), "cert_file: .* does not exist"),
    File("client CA without a policy", tls(f"{PAIR}, client_ca_file: /dev/null"), "client_ca_file: "),
    File("no such client CA", tls(f"{PAIR}, client_ca_file: none"), "client_ca_file: "),
    File("client CA of the system", tls(f"{PAIR}, client_auth_type: RequireAndVerifyClientCert")),
    File("no bcrypt", tls(PAIR) + "basic_auth_users: {john: doe}", "john: .* must be a bcrypt hash"),
    File("invented cipher", tls(f"{PAIR}, cipher_suites: [TLS_SHA2048]"), "cipher_suites.0.: "),
    File("invented curve", tls(f"{PAIR}, curve_preferences: [CurveP257]"), "curve_preferences.0.: "),
    File("invented version", tls(f"{PAIR}, min_version: TLS111"), "min_version: .* must be one of"),
    File("other header", "http_server_config: {headers: {Content-Type: foo}}", "unknown key"),
    File("sniff", "http_server_config: {headers: {X-Content-Type-Options: sniff}}", "must be one of nosniff"),
    File("frame", "http_server_config: {headers: {X-Frame-Options: foo}}", "must be one of deny, sameorigin"),
    File(
        "no suite of HTTP/2",
        tls(f"{PAIR}, max_version: TLS12, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]"),
        differs="exporter-toolkit refuses it: HTTP/2 needs another suite. Here HTTP/1.1 is spoken.",
    ),
    File(
        "a TLS section without a certificate",
        tls("min_version: TLS12, prefer_server_cipher_suites: true"),
        "cert_file: .* is missing",
        differs="exporter-toolkit serves plain HTTP, which is not what a TLS section asks for.",
    ),
    File("only a client CA", tls("client_ca_file: ca.pem"), "cert_file: .* is missing"),
    File("only a policy", tls("client_auth_type: RequireAndVerifyClientCert"), "cert_file: .* is missing"),
    File(
        "any client certificate",
        tls(f"{PAIR}, client_auth_type: RequireAnyClientCert"),
        "client_ca_file: .* is missing",
        differs="Python's ssl verifies every certificate that it takes.",
    ),
    File(
        "rate limit without a burst",
        "rate_limit: {interval: 1s, burst: 0}",
        "burst: .* must be at least 1",
        differs="exporter-toolkit takes it, and answers 429 to every request.",
    ),
    File(
        "allowed names without a policy",
        tls(f"{PAIR}, client_allowed_sans: [a]"),
        "client_allowed_sans: .* clients are not asked for a certificate",
        differs="exporter-toolkit takes it, and accepts every client.",
    ),
    File(
        "a second document",
        f"{tls(PAIR)}---\n{USERS}\n",
        "another document",
        differs="exporter-toolkit ignores it, and the users that it holds.",
    ),
    File(
        "no version in common",
        tls(f"{PAIR}, min_version: TLS13, max_version: TLS12"),
        "max_version: .* is below",
        differs="exporter-toolkit takes it, and every handshake fails.",
    ),
    File(
        "negative interval",
        "rate_limit: {interval: -1s, burst: 1}",
        "interval: .* must not be negative",
        differs="exporter-toolkit takes it, and limits nothing.",
    ),
]


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_files(folder: Path, case: File) -> None:
    """What is refused is refused at the start, with the key."""
    file = written(folder, case.text)
    if case.refused:
        with pytest.raises(SettingsError, match=case.refused):
            Authenticator(file, ManualClock())
    else:
        Authenticator(file, ManualClock())


def test_file_that_does_not_exist(folder: Path) -> None:
    """Is refused at the start."""
    with pytest.raises(SettingsError, match="No such file"):
        Authenticator(folder / "none.yml", ManualClock())


# -- how a server behaves -----------------------------------------------------------------------------------

AES128, AES256 = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"
SOME = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
SEVERAL_CURVES = hasattr(ssl.SSLContext, "set_groups")


@dataclass(frozen=True)
class Client:
    tls: bool = True
    version: ssl.TLSVersion | None = None
    ciphers: str = ""
    curve: str = ""
    certificate: str | None = None
    credential: str = ""

    async def ask(self, web_service: WebService, folder: Path) -> Reply:
        headers = [f"Authorization: Basic {base64.b64encode(self.credential.encode()).decode()}"]
        return await ask(
            web_service.port,
            tls=self.context(folder) if self.tls else None,
            headers=headers if self.credential else (),
        )

    def context(self, folder: Path) -> ssl.SSLContext:
        context = trusting(folder, client=self.certificate, version=self.version, ciphers=self.ciphers)
        if self.curve:
            context.set_ecdh_curve(self.curve)
        return context


@dataclass(frozen=True)
class Behaviour:
    name: str
    text: str
    client: Client = field(default_factory=Client)
    status: int = 200
    alert: str = ""
    """OpenSSL's name of the alert that the client receives; there is no reply then."""
    cipher: str = ""
    requests: int = 1
    differs: str = ""


V11, V12 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2
WEAK = "DEFAULT:@SECLEVEL=0"

BEHAVIOURS = [
    Behaviour("plain", "", Client(tls=False)),
    Behaviour("TLS client of a plain server", "", Client(), alert="WRONG_VERSION_NUMBER"),
    Behaviour("plain client of a TLS server", tls(PAIR), Client(tls=False), 400),
    Behaviour("TLS", tls(f"{PAIR}, client_auth_type: VerifyClientCertIfGiven")),
    Behaviour("TLS 1.1", tls(PAIR), Client(version=V11, ciphers=WEAK), alert="TLSV1_ALERT_PROTOCOL_VERSION"),
    Behaviour("all ciphers", tls(f"{PAIR}, cipher_suites: [{', '.join((*TLS12_SUITES, *TLS13_SUITES))}]")),
    Behaviour(
        "a cipher in common",
        tls(f"{PAIR}, max_version: TLS12, cipher_suites: [{SOME}]"),
        Client(ciphers=AES128),
        cipher=AES128,
    ),
    Behaviour(
        "no cipher in common",
        tls(f"{PAIR}, max_version: TLS12, cipher_suites: [{SOME}]"),
        Client(version=V12, ciphers="ECDHE-RSA-AES256-SHA"),
        alert="SSLV3_ALERT_HANDSHAKE_FAILURE",
    ),
    Behaviour(
        "the server chooses the cipher",
        tls(f"{PAIR}, max_version: TLS12, cipher_suites: [{SOME}]"),
        Client(ciphers=f"{AES256}:{AES128}"),
        cipher=AES128,
    ),
    Behaviour(
        "the client chooses the cipher",
        tls(f"{PAIR}, max_version: TLS12, cipher_suites: [{SOME}], prefer_server_cipher_suites: no"),
        Client(ciphers=f"{AES256}:{AES128}"),
        cipher=AES256,
    ),
    Behaviour(
        "a curve in common",
        tls(f"{PAIR}, min_version: TLS13, curve_preferences: [CurveP521]"),
        Client(curve="secp521r1"),
    ),
    Behaviour(
        "no curve in common",
        tls(f"{PAIR}, min_version: TLS13, curve_preferences: [CurveP521]"),
        Client(curve="secp384r1"),
        alert="SSLV3_ALERT_HANDSHAKE_FAILURE",
    ),
    Behaviour(
        "no suite of HTTP/2, and no HTTP/2",
        tls(f"{PAIR}, max_version: TLS12, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]")
        + "http_server_config: {http2: off}",
    ),
    Behaviour("client certificate", tls(VERIFY), Client(certificate="client")),
    Behaviour(
        "no client certificate",
        tls(VERIFY),
        Client(version=ssl.TLSVersion.TLSv1_3),
        alert="TLSV13_ALERT_CERTIFICATE_REQUIRED",
    ),
    Behaviour(
        "client certificate of another authority",
        tls(VERIFY),
        Client(certificate="strange-client"),
        alert="TLSV1_ALERT_UNKNOWN_CA",
    ),
    Behaviour(
        "allowed name",
        tls(f"{VERIFY}, client_allowed_sans: [one, scraper.example, two]"),
        Client(certificate="client"),
    ),
    Behaviour(
        "no allowed name",
        tls(f"{VERIFY}, client_allowed_sans: [bad]"),
        Client(certificate="client"),
        403,
        differs="exporter-toolkit sends the alert `bad certificate`, which Python's ssl cannot.",
    ),
    Behaviour("no rate limit", "rate_limit: {interval: 0, burst: 0}", Client(tls=False), requests=11),
    Behaviour("rate limit", "rate_limit: {interval: 1s, burst: 10}", Client(tls=False), 429, requests=11),
    Behaviour("no credential", USERS, Client(tls=False), 401),
    Behaviour("right credential", USERS, Client(tls=False, credential="dave:dave123")),
    Behaviour("no credential, TLS", tls(PAIR) + USERS, Client(), 401),
    Behaviour("right credential, TLS", tls(PAIR) + USERS, Client(credential="dave:dave123")),
    Behaviour("another right credential, TLS", tls(PAIR) + USERS, Client(credential="carol:carol123")),
    Behaviour("wrong password, TLS", tls(PAIR) + USERS, Client(credential="dave:bad"), 401),
    Behaviour("unknown user, TLS", tls(PAIR) + USERS, Client(credential="x:x"), 401),
    Behaviour("password of no user", USERS, Client(tls=False, credential="x:fakepassword"), 401, requests=2),
]


@pytest.mark.parametrize("case", BEHAVIOURS, ids=lambda case: case.name)
async def test_behaviour(folder: Path, case: Behaviour) -> None:
    """Towards a real client."""
    async with opened(config_file=written(folder, case.text)) as web_service:
        if case.alert:
            with pytest.raises(ssl.SSLError) as caught:
                await case.client.ask(web_service, folder)
            assert caught.value.reason == case.alert
            return
        for _ in range(case.requests):
            reply = await case.client.ask(web_service, folder)
        assert reply.status == case.status
        if case.cipher:
            assert reply.tls == ("TLSv1.2", case.cipher)


async def test_certificate_and_key_as_text(folder: Path) -> None:
    """Both, or one of them beside a file."""
    texts = {key: (folder / f"server.{kind}").read_text() for key, kind in (("cert", "pem"), ("key", "key"))}
    lines = {
        key: f"  {key}: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
        for key, text in texts.items()
    }
    for content in (lines["cert"] + lines["key"], "  cert_file: server.pem\n" + lines["key"]):
        async with opened(config_file=written(folder, f"tls_server_config:\n{content}")) as web_service:
            assert (await Client().ask(web_service, folder)).status == 200


async def test_headers(folder: Path) -> None:
    """All that can be set."""
    headers = {
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Frame-Options": "deny",
        "X-Content-Type-Options": "nosniff",
        "X-XSS-Protection": "1",
        "Content-Security-Policy": "default-src 'self' *.test.example.net",
    }
    lines = "".join(f'    {name}: "{value}"\n' for name, value in headers.items())
    text = f"http_server_config:\n  headers:\n{lines}"
    async with opened(config_file=written(folder, text)) as web_service:
        assert headers.items() <= (await Client(tls=False).ask(web_service, folder)).headers.items()


async def test_many_at_once(folder: Path) -> None:
    """A right and a wrong password for the same user do not disturb each other."""
    async with opened(config_file=written(folder, USERS)) as web_service:
        right, wrong = (Client(tls=False, credential=f"dave:{word}") for word in ("dave123", "dave1234"))
        replies = await asyncio.gather(
            *(each.ask(web_service, folder) for _ in range(30) for each in (right, wrong))
        )
        assert [reply.status for reply in replies] == [200, 401] * 30


async def test_user_names_and_passwords_are_not_mixed_up(folder: Path) -> None:
    """What was remembered of one user cannot serve another one (CVE-2022-46146)."""
    async with opened(config_file=written(folder, USERS)) as web_service:
        for credential in (f"dave{DAVE}:fakepassword", f"dave:{DAVE}fakepassword"):
            client = Client(tls=False, credential=credential)
            assert (await client.ask(web_service, folder)).status == 401


async def test_reload(folder: Path) -> None:
    """A new policy counts from the next connection on."""
    async with opened(config_file=written(folder, tls(VERIFY))) as web_service:
        with pytest.raises(ssl.SSLError):
            await Client().ask(web_service, folder)
        written(folder, tls(f"{PAIR}, client_auth_type: VerifyClientCertIfGiven"))
        web_service.authenticator.reload()
        assert (await Client().ask(web_service, folder)).status == 200


@pytest.mark.skipif(SEVERAL_CURVES, reason="this Python can keep to several")
def test_several_curves(folder: Path) -> None:
    """Differs: exporter-toolkit takes all four, and Python's ssl before 3.15 takes one."""
    text = tls(f"{PAIR}, curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]")
    with pytest.raises(SettingsError, match="must be one curve"):
        Authenticator(written(folder, text), ManualClock())
