"""exporter-toolkit's documented features, each with a real handshake and certificates that openssl made."""

# A table of problems is easier to read with one line each.
# ruff: noqa: E501

import os
import ssl
import warnings
from pathlib import Path

import bcrypt
import pytest

from exporter.config.problems import SettingsError
from exporter.web.auth import Authenticator
from exporter.web.tls import server_context
from exporter.web.web_config import TLS12_SUITES, Tls
from tests.support.certificates import CLIENT_NAMES, make_certificates
from tests.support.clock import ManualClock
from tests.support.web_service import Reply, WebService, ask, opened

pytestmark = pytest.mark.needs("openssl")

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
GOOD = "Authorization: Basic YWxpY2U6c2VjcmV0"  # alice:secret


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture
def folder(certificates: Path, tmp_path: Path) -> Path:
    """The certificates, to be changed at will."""
    for file in certificates.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def configured(folder: Path, tls: str = "", more: str = "", *, server: str = "server") -> Path:
    """A web config beside the certificates; `tls` holds lines of its TLS section."""
    file = folder / "web.yml"
    lines = "".join(f"  {line}\n" for line in tls.splitlines())
    file.write_text(
        f"tls_server_config:\n  cert_file: {server}.pem\n  key_file: {server}.key\n{lines}{more}\n",
        encoding="utf-8",
    )
    return file


def trusting(
    folder: Path, *, client: str | None = None, version: ssl.TLSVersion | None = None, ciphers: str = ""
) -> ssl.SSLContext:
    """A client that knows the authority and perhaps has a certificate, one version or some ciphers."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    if ciphers:
        context.set_ciphers(ciphers)
    if version:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
    return context


async def tried(web_service: WebService, context: ssl.SSLContext, *headers: str) -> Reply | None:
    """`None`: the server, or the client, refused."""
    try:
        reply = await ask(web_service.port, "/metrics", tls=context, headers=headers)
    except OSError:
        return None
    return None if reply.status == 403 else reply


# -- the certificate ----------------------------------------------------------------------------------------


async def test_certificate_from_files(folder: Path) -> None:
    """TLS 1.3 by default, with the configured certificate; a plain HTTP request gets 400."""
    async with opened(config_file=configured(folder)) as web_service:
        reply = await ask(web_service.port, tls=trusting(folder))
        assert reply.status == 200
        assert reply.tls
        assert reply.tls[0] == "TLSv1.3"
        assert reply.certificate == "server"
        assert (await ask(web_service.port)).status == 400


async def test_certificate_as_text(folder: Path) -> None:
    """The content of a file can be written in the config itself."""
    texts = {
        "cert": (folder / "server.pem").read_text(),
        "key": (folder / "server.key").read_text(),
        "client_ca": (folder / "ca.pem").read_text(),
    }
    blocks = (
        f"  {key}: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
        for key, text in texts.items()
    )
    file = folder / "web.yml"
    file.write_text(
        f"tls_server_config:\n{''.join(blocks)}  client_auth_type: RequireAndVerifyClientCert\n",
        encoding="utf-8",
    )
    async with opened(config_file=file) as web_service:
        assert await tried(web_service, trusting(folder, client="client"))
        assert await tried(web_service, trusting(folder)) is None


# -- client certificates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_auth_type", "welcome"),
    [
        ("NoClientCert", {None, "client", "strange-client"}),
        ("RequestClientCert", {None, "client", "strange-client"}),
        ("RequireAnyClientCert", {"client"}),
        ("RequireClientCert", {"client"}),
        ("VerifyClientCertIfGiven", {None, "client"}),
        ("RequireAndVerifyClientCert", {"client"}),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_client_auth_types(
    folder: Path, client_auth_type: str, welcome: set[str | None], version: ssl.TLSVersion
) -> None:
    """Without a certificate, with one of the authority, with one of another authority."""
    ca = "" if client_auth_type == "NoClientCert" else "\nclient_ca_file: ca.pem"
    async with opened(
        config_file=configured(folder, f"client_auth_type: {client_auth_type}{ca}")
    ) as web_service:
        let_in = {
            client
            for client in (None, "client", "strange-client")
            if await tried(web_service, trusting(folder, client=client, version=version))
        }
        assert let_in == welcome


async def test_client_authorities_of_the_system(folder: Path) -> None:
    """Without a client_ca_file the system's authorities count, as in Go; ours is none of them."""
    async with opened(
        config_file=configured(folder, "client_auth_type: RequireAndVerifyClientCert")
    ) as web_service:
        assert await tried(web_service, trusting(folder, client="client")) is None


@pytest.mark.parametrize("name", [*CLIENT_NAMES, "2001:DB8::7"])
async def test_allowed_names(folder: Path, name: str) -> None:
    """One of DNS, IP, e-mail and URI is enough, and must match exactly."""
    verify = "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem"
    tls = f'{verify}\nclient_allowed_sans: ["x", "{name}"]'
    async with opened(config_file=configured(folder, tls)) as web_service:
        assert bool(await tried(web_service, trusting(folder, client="client"))) is (name in CLIENT_NAMES)
        assert await tried(web_service, trusting(folder, client="other-client")) is None
        assert await tried(web_service, trusting(folder)) is None


@pytest.mark.parametrize("client_auth_type", ["RequestClientCert", "VerifyClientCertIfGiven"])
async def test_allowed_names_require_a_certificate(folder: Path, client_auth_type: str) -> None:
    """As in exporter-toolkit, whatever the type says of clients without one; here it is verified, too."""
    tls = f"client_auth_type: {client_auth_type}\nclient_ca_file: ca.pem\nclient_allowed_sans: [scraper.example]"
    async with opened(config_file=configured(folder, tls)) as web_service:
        accepted = {
            client
            for client in (None, "client", "other-client", "strange-client")
            if await tried(web_service, trusting(folder, client=client))
        }
        assert accepted == {"client"}


# -- versions, ciphers, curves ------------------------------------------------------------------------------

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


@pytest.mark.parametrize(
    ("tls", "spoken"),
    [
        ("", {"TLS12", "TLS13"}),
        ("min_version: TLS10", {"TLS10", "TLS11", "TLS12", "TLS13"}),
        ("min_version: TLS11\nmax_version: TLS12", {"TLS11", "TLS12"}),
        ("min_version: TLS13", {"TLS13"}),
        ("max_version: TLS12", {"TLS12"}),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", {"TLS13"}),
    ],
)
async def test_versions(folder: Path, tls: str, spoken: set[str]) -> None:
    """Those between the two bounds, and no others."""
    async with opened(config_file=configured(folder, tls)) as web_service:
        let_in = {
            name
            for name, version in VERSIONS.items()
            if await tried(web_service, trusting(folder, version=version, ciphers="DEFAULT:@SECLEVEL=0"))
        }
        assert let_in == spoken


SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""OpenSSL's names."""


@pytest.mark.parametrize("suite", TLS12_SUITES)
async def test_cipher_suites(folder: Path, suite: str) -> None:
    """Each by its name in Go; a client that supports every other one is refused."""
    server = "rsa-server" if "_RSA_" in suite else "server"
    async with opened(
        config_file=configured(folder, f"cipher_suites: [{suite}]", server=server)
    ) as web_service:
        able = trusting(folder, version=ssl.TLSVersion.TLSv1_2, ciphers="ALL")
        reply = await tried(web_service, able)
        assert reply
        assert reply.tls == ("TLSv1.2", SUITES[suite])
        unable = trusting(folder, version=ssl.TLSVersion.TLSv1_2, ciphers=f"ALL:!{SUITES[suite]}")
        assert await tried(web_service, unable) is None


@pytest.mark.parametrize(("prefer", "expected"), [("true", "AES256"), ("false", "AES128")])
async def test_cipher_preference(folder: Path, prefer: str, expected: str) -> None:
    """The server's order, or the client's."""
    suites = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    tls = f"cipher_suites: [{suites}]\nprefer_server_cipher_suites: {prefer}"
    client = trusting(
        folder,
        version=ssl.TLSVersion.TLSv1_2,
        ciphers="ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
    )
    async with opened(config_file=configured(folder, tls)) as web_service:
        reply = await tried(web_service, client)
        assert reply
        assert reply.tls
        assert expected in reply.tls[1]


@pytest.mark.parametrize(
    ("curve", "same", "other"),
    [
        ("CurveP256", "prime256v1", "secp384r1"),
        ("CurveP384", "secp384r1", "prime256v1"),
        ("CurveP521", "secp521r1", "prime256v1"),
        ("X25519", "X25519", "prime256v1"),
    ],
)
async def test_curves(folder: Path, curve: str, same: str, other: str) -> None:
    """A client that supports another curve only is refused; a curve that Python cannot set is a problem."""
    try:
        trusting(folder).set_ecdh_curve(same)
    except ssl.SSLError:  # X25519 before Python 3.11.3
        file = configured(folder, f"curve_preferences: [{curve}]", server="rsa-server")
        with pytest.raises(SettingsError, match="curve_preferences"):
            Authenticator(file, ManualClock())
        return
    async with opened(
        config_file=configured(folder, f"curve_preferences: [{curve}]", server="rsa-server")
    ) as web_service:
        for name, welcome in ((same, True), (other, False)):
            client = trusting(folder)
            client.set_ecdh_curve(name)
            assert bool(await tried(web_service, client)) is welcome


# -- mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (Tls(cert_file=Path("none.pem"), key_file=Path("none.key")), ["cert_file: none.pem does not exist", "key_file: none.key does not exist"]),
        (Tls(cert_file=Path(), key_file=Path("server.key")), ["cert_file: . cannot be read: Is a directory"]),
        (Tls(cert_file=Path("server.pem"), key_file=Path("next-server.key")), ["key_file: is not the key of the certificate"]),
        (Tls(cert_file=Path("server.key"), key_file=Path("server.key")), ["cert_file: contains no readable certificate (PEM)"]),
        (Tls(cert_file=Path("server.pem"), key_file=Path("server.pem")), ["key_file: contains no readable private key (PEM)"]),
        (Tls(cert_file=Path("server.pem"), key_file=Path("encrypted.key")), ["key_file: is encrypted; remove its passphrase"]),
        (Tls(cert_file=Path("a\0b"), key_file=Path("server.key")), ["cert_file: is not a valid file name"]),
        (Tls(cert_file=Path("server.pem"), key_file=Path("server.key"), client_auth_type="VerifyClientCertIfGiven", client_ca_file=Path("binary")), ["client_ca_file: contains no readable certificates (PEM)"]),
        (Tls(cert="ünsinn", key="ünsinn", client_auth_type="VerifyClientCertIfGiven", client_ca="ünsinn"), ["cert: contains no readable certificate (PEM)", "client_ca: contains no readable certificates (PEM)"]),
        (Tls(cert="nonsense", key="nonsense"), ["cert: contains no readable certificate (PEM)"]),
        (Tls(cert_file=Path("server.pem"), key_file=Path("server.key"), client_auth_type="VerifyClientCertIfGiven", client_ca_file=Path("server.key")), ["client_ca_file: contains no readable certificates (PEM)"]),
        (Tls(cert_file=Path("server.pem"), key_file=Path("server.key"), client_auth_type="VerifyClientCertIfGiven", client_ca_file=Path("none")), ["client_ca_file: none does not exist"]),
    ],
)  # fmt: skip
def test_mistakes(folder: Path, monkeypatch: pytest.MonkeyPatch, tls: Tls, expected: list[str]) -> None:
    """A line for each, with the key and the reason."""
    monkeypatch.chdir(folder)
    Path("binary").write_bytes(bytes(range(256)))
    with pytest.raises(SettingsError) as caught:
        server_context(tls, Path("web.yml"))
    assert [str(problem) for problem in caught.value.problems] == [
        f"tls_server_config.{line.replace(':', ': web.yml:', 1)}" for line in expected
    ]


def test_invalid_file_name_is_reported(folder: Path) -> None:
    """A zero byte is a wrong setting, not a crash."""
    file = folder / "web.yml"
    file.write_text('tls_server_config: {cert_file: "a\\0b", key_file: server.key}')
    with pytest.raises(SettingsError, match=r"cert_file: .*web.yml: is not a valid file name"):
        Authenticator(file, ManualClock())


@pytest.mark.skipif(hasattr(ssl.SSLContext, "set_groups"), reason="this Python can keep to several")
def test_several_curves_are_refused_where_they_cannot_be_kept_to(folder: Path) -> None:
    """Other curves would be allowed otherwise."""
    tls = Tls(
        cert_file=folder / "server.pem",
        key_file=folder / "server.key",
        curve_preferences=("X25519", "CurveP256"),
    )
    with pytest.raises(SettingsError, match=r"curve_preferences: web.yml: must be one curve"):
        server_context(tls, Path("web.yml"))


def test_text_that_cannot_be_kept_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux keeps it in memory. Elsewhere, where nothing can be written, certificates must come as files."""
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nowhere"))
    tls = Tls(cert=(folder / "server.pem").read_text(), key=(folder / "server.key").read_text())
    if hasattr(os, "memfd_create"):
        server_context(tls, Path("web.yml"))
    monkeypatch.delattr("os.memfd_create", raising=False)
    with pytest.raises(
        SettingsError, match=r"key: web.yml: cannot be written to a temporary file: No such file"
    ):
        server_context(tls, Path("web.yml"))


# -- change while running -----------------------------------------------------------------------------------


async def test_new_certificate_is_picked_up(folder: Path) -> None:
    """Without a restart."""
    file = configured(folder)
    async with opened(config_file=file) as web_service:
        assert not web_service.authenticator.changed()
        for kind in ("pem", "key"):
            (folder / f"next-server.{kind}").replace(folder / f"server.{kind}")
        assert web_service.authenticator.changed()
        reply = await tried(web_service, trusting(folder))
        assert reply
        assert reply.certificate == "server"
        web_service.authenticator.reload()
        assert not web_service.authenticator.changed()
        reply = await tried(web_service, trusting(folder))
        assert reply
        assert reply.certificate == "next-server"


async def test_broken_files_leave_the_old_ones_in_force(folder: Path) -> None:
    """TLS, users and headers stay as they were; a file that is fixed counts as changed."""
    users = f"basic_auth_users: {{alice: {HASH}}}\n"
    file = configured(folder, more=users)
    async with opened(config_file=file) as web_service:
        (folder / "server.key").write_text("half a k")
        file.write_text(file.read_text().replace("alice", "bob"))
        with pytest.raises(SettingsError):
            web_service.authenticator.reload()
        assert not web_service.authenticator.changed()
        reply = await tried(web_service, trusting(folder), GOOD)
        assert reply
        assert reply.status == 200
        (folder / "next-server.key").replace(folder / "server.key")
        (folder / "next-server.pem").replace(folder / "server.pem")
        assert web_service.authenticator.changed()
        web_service.authenticator.reload()
        reply = await tried(web_service, trusting(folder), GOOD)
        assert reply
        assert (reply.status, reply.certificate) == (401, "next-server")


async def test_client_certificates_can_be_asked_for_while_running(folder: Path) -> None:
    """Every TLS setting counts from the next connection on."""
    file = configured(folder)
    async with opened(config_file=file) as web_service:
        assert await tried(web_service, trusting(folder))
        configured(folder, "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem")
        web_service.authenticator.reload()
        assert await tried(web_service, trusting(folder)) is None
        assert await tried(web_service, trusting(folder, client="client"))


@pytest.mark.parametrize("tls_first", [True, False])
def test_tls_is_not_switched_while_running(folder: Path, tls_first: bool) -> None:
    """A port keeps its protocol, and the problem is reported."""
    file = configured(folder)
    texts = [file.read_text(), ""]
    first, second = texts if tls_first else reversed(texts)
    file.write_text(first)
    authenticator = Authenticator(file, ManualClock())
    file.write_text(second)
    with pytest.raises(SettingsError, match="switching TLS on or off needs a restart"):
        authenticator.reload()
    assert (authenticator.tls is not None) is tls_first
