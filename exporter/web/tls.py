"""TLS of the server: makes an `ssl.SSLContext` from the web config.

Must not know HTTP. Files are read when a context is made, and not later.
"""

import ipaddress
import os
import ssl
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final

from exporter.config.problems import Problem, SettingsError, why
from exporter.web.handshake import ClientRefusedError, ServerObject, server_object
from exporter.web.web_config import TLS12_SUITES, Pem, Tls

_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CURVES: Final = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_VERIFY_MODES: Final = {
    "NoClientCert": ssl.CERT_NONE,
    # Go asks for a certificate and ignores it. OpenSSL would refuse one that it cannot verify.
    "RequestClientCert": ssl.CERT_NONE,
    "RequireAnyClientCert": ssl.CERT_REQUIRED,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class ReloadableContext(ssl.SSLContext):
    """The context of the listeners: a new connection uses `current`, which can be replaced while running."""

    current: ssl.SSLContext

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *_: Any, **__: Any) -> ssl.SSLObject:
        return server_object(self.current, incoming, outgoing)


def reloadable_context(current: ssl.SSLContext) -> ReloadableContext:
    context = ReloadableContext(ssl.PROTOCOL_TLS_SERVER)
    context.current = current
    return context


def server_context(tls: Tls, file: Path) -> ssl.SSLContext:
    """`file` is the web config, the source of problems. Raises `SettingsError` with all problems."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = ServerObject
    steps: tuple[_Step, ...] = (_versions, _identity, _clients, _ciphers, _curves)
    wrong = {key: message for step in steps for key, message in step(context, tls)}
    if wrong:
        raise SettingsError(
            Problem(f"tls_server_config.{key}", f"{file}:", message) for key, message in wrong.items()
        )
    return context


_Step = Callable[[ssl.SSLContext, Tls], Iterator[tuple[str, str]]]
"""Yields wrong keys, each with the message."""


def _versions(context: ssl.SSLContext, tls: Tls) -> Iterator[tuple[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an old version is the choice of the operator
        context.minimum_version = _VERSIONS[tls.min_version]
        context.maximum_version = _VERSIONS[tls.max_version]
    yield from ()


def _identity(context: ssl.SSLContext, tls: Tls) -> Iterator[tuple[str, str]]:
    unreadable = [*_unreadable("cert_file", tls.certificate), *_unreadable("key_file", tls.private_key)]
    yield from unreadable
    if unreadable:
        return
    try:
        with _file(tls.certificate) as cert, _file(tls.private_key) as key:
            context.load_cert_chain(cert, key, password=_no_passphrase)
    except _PassphraseWantedError:
        yield _named("key_file", tls.private_key), "is encrypted; remove its passphrase"
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield _named("key_file", tls.private_key), "is not the key of the certificate"
        elif _is_pem(tls.certificate, "CERTIFICATE"):
            yield _named("key_file", tls.private_key), "contains no readable private key (PEM)"
        else:
            yield _named("cert_file", tls.certificate), "contains no readable certificate (PEM)"
    except OSError as error:
        yield "key", f"cannot be written to a temporary file: {error.strerror}"


def _clients(context: ssl.SSLContext, tls: Tls) -> Iterator[tuple[str, str]]:
    # exporter-toolkit also refuses clients without a certificate if names are listed.
    mode = ssl.CERT_REQUIRED if tls.client_allowed_sans else _VERIFY_MODES[tls.client_auth_type]
    context.verify_mode = mode
    if context.verify_mode == ssl.CERT_NONE:
        return
    if tls.client_authorities is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    unreadable = [*_unreadable("client_ca_file", tls.client_authorities)]
    yield from unreadable
    if tls.client_authorities is not None and not unreadable:
        try:
            context.load_verify_locations(cadata=_text(tls.client_authorities))
        except (ssl.SSLError, ValueError):
            key = _named("client_ca_file", tls.client_authorities)
            yield key, "contains no readable certificates (PEM)"
    if tls.client_allowed_sans:
        context.sslobject_class = _checking_sans(frozenset(tls.client_allowed_sans))


def _ciphers(context: ssl.SSLContext, tls: Tls) -> Iterator[tuple[str, str]]:
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # OpenSSL's default security level disables the algorithms of TLS 1.0 and 1.1.
    level = ":@SECLEVEL=0" if tls.min_version in {"TLS10", "TLS11"} else ""
    older = [_openssl_name(suite) for suite in tls.cipher_suites if suite in TLS12_SUITES]
    if tls.cipher_suites and not older:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    elif older or level:
        context.set_ciphers(":".join(older or ["DEFAULT"]) + level)
    yield from ()


def _curves(context: ssl.SSLContext, tls: Tls) -> Iterator[tuple[str, str]]:
    names = [_CURVES[curve] for curve in tls.curve_preferences]
    if len(names) == 1:
        try:
            context.set_ecdh_curve(names[0])
        except (ssl.SSLError, ValueError):  # X25519 in Debian's Python 3.11.2
            yield "curve_preferences", "is a curve that this version of Python cannot set"
    elif names and hasattr(context, "set_groups"):  # from Python 3.15 on
        context.set_groups(":".join(names))
    elif names:
        yield "curve_preferences", "must be one curve; this version of Python cannot set several"


def _openssl_name(suite: str) -> str:
    """`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` becomes `ECDHE-RSA-AES128-GCM-SHA256`."""
    name = suite.removeprefix("TLS_").replace("_WITH_", "_").replace("AES_", "AES").replace("_CBC_", "_")
    return name.replace("POLY1305_SHA256", "POLY1305").replace("_", "-")


def _checking_sans(allowed: frozenset[str]) -> type[ssl.SSLObject]:
    class Checked(ServerObject):
        """Refuses clients whose certificate has no allowed name."""

        def check_client(self) -> None:
            if allowed.isdisjoint(_sans(self.getpeercert() or {})):
                raise ClientRefusedError("the client certificate has no allowed name")

    return Checked


def _sans(certificate: Mapping[str, Any]) -> Iterator[str]:
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            yield str(ipaddress.ip_address(value.strip()))
        elif kind in {"DNS", "email", "URI"}:
            yield value


class _PassphraseWantedError(Exception):
    pass


def _no_passphrase() -> str:
    raise _PassphraseWantedError  # otherwise OpenSSL prompts on the terminal


def _unreadable(key: str, pem: Pem | None) -> Iterator[tuple[str, str]]:
    if isinstance(pem, Path):
        try:
            pem.open("rb").close()
        except OSError as error:
            yield key, f"{pem} {why(error)}"
        except ValueError:  # the name has a zero byte
            yield key, "is not a valid file name"


def _named(key: str, pem: Pem) -> str:
    """The key that was used, with or without `_file`."""
    return key if isinstance(pem, Path) else key.removesuffix("_file")


def _text(pem: Pem) -> str:
    content = pem.read_bytes() if isinstance(pem, Path) else pem.encode()
    return content.decode("ascii", errors="ignore")  # comments may have any characters


def _is_pem(pem: Pem, what: str) -> bool:
    return f"-----BEGIN {what}-----" in _text(pem)


def _file(pem: Pem) -> AbstractContextManager[Path]:
    return nullcontext(pem) if isinstance(pem, Path) else _temporary(pem)


@contextmanager
def _temporary(text: str) -> Iterator[Path]:
    """A file that only its owner can read: the ssl module reads certificates and keys from files only.

    On Linux it is in memory, because the root filesystem may be read-only and keys should not be on a disk.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("pem"), "w") as file:
            yield _written(file, text, f"/proc/self/fd/{file.fileno()}")
    else:
        with NamedTemporaryFile("w", suffix=".pem") as file:
            yield _written(file, text, file.name)


def _written(file: IO[str], text: str, name: str) -> Path:
    file.write(text)
    file.flush()
    return Path(name)
