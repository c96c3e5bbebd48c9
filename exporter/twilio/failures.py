"""Messages for aiohttp's exceptions: each names what to check (network, DNS, TLS, proxy, gateway).

Pure. Must not know retries or the values of settings.

Rule: of an exception's own text only the part from the operating system or OpenSSL is used. aiohttp's text
shows URLs, which hold the page token and the proxy's password.
"""

import ssl
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import aiohttp  # noqa: TID251 - home of aiohttp's exceptions
from aiohttp.http_exceptions import ContentEncodingError  # noqa: TID251 - same

_Describe: TypeAlias = Callable[[Any], str]


def describe(error: BaseException) -> str:
    """The message for an exception that aiohttp's client raised during an exchange."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words(error)
    return f"the connection failed: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """The operating system's text."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or "check the network, the proxy or the gateway in between"


def _tls_reason(error: OSError) -> str:
    """OpenSSL's reason, such as WRONG_VERSION_NUMBER."""
    return getattr(error, "reason", None) or _reason(error)


def _place(error: aiohttp.ClientConnectorError) -> str:
    return f"{error.host}:{error.port}"


def _describe_certificate(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    reason = getattr(cause, "verify_message", "") or "it does not match the host"
    return (
        f"TLS: the certificate of {_place(error)} is refused: {reason}; "
        "if a proxy inspects TLS, set api.ca_file to its CA certificate"
    )


def _describe_tls(error: aiohttp.ClientConnectorError) -> str:
    return (
        f"TLS: no handshake with {_place(error)}: {_tls_reason(error.os_error)}; "
        "check that api.base_url, through the proxy if there is one, is a TLS server"
    )


def _describe_proxy_reply(error: aiohttp.ClientHttpProxyError) -> str:
    if error.status == 407:
        return "the proxy requires a user and a password (407): check HTTPS_PROXY"
    return f"the proxy answered {error.status} to CONNECT: check that it allows connections to Twilio"


def _describe_payload(error: aiohttp.ClientPayloadError) -> str:
    if isinstance(error.__cause__, ContentEncodingError):
        return "the reply cannot be decompressed: check the proxy or gateway that compressed it"
    return "the connection was closed before the end of the reply: check the proxy or gateway in between"


def _describe_http(error: aiohttp.ClientResponseError) -> str:
    # aiohttp raises one class for all parser errors; only the text tells them apart.
    if error.message.startswith(("Got more than", "Too many headers")):
        return "the headers of the reply are too large: check the proxy or gateway that adds them"
    if "content-encoding" in error.message:
        return "the reply has a compression that was not requested: check the proxy or gateway in between"
    return "the reply is not valid HTTP: check api.base_url, and the proxy or gateway in between"


_WORDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], _Describe], ...]] = (
    # Subclasses first.
    (
        aiohttp.ConnectionTimeoutError,
        lambda _: "no connection within api.timeout: check the network and the proxy",
    ),
    (TimeoutError, lambda _: "no complete reply within api.timeout"),
    (aiohttp.ClientConnectorCertificateError, _describe_certificate),
    (aiohttp.ClientSSLError, _describe_tls),
    (
        aiohttp.ClientProxyConnectionError,
        lambda error: (
            f"no connection to the proxy {_place(error)}: {_reason(error.os_error)}; check HTTPS_PROXY"
        ),
    ),
    (
        aiohttp.ClientConnectorDNSError,
        lambda error: f"no address found for {error.host}: {_reason(error.os_error)}; check DNS",
    ),
    (
        aiohttp.ClientConnectorError,
        lambda error: f"no connection to {_place(error)}: {_reason(error.os_error)}",
    ),
    (aiohttp.ServerFingerprintMismatch, lambda _: "TLS: another certificate than the one expected"),
    (
        (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError),
        lambda _: "the connection was closed before the reply: check the proxy or gateway in between",
    ),
    (ssl.SSLError, lambda error: f"TLS: {_tls_reason(error)}"),
    (aiohttp.ClientHttpProxyError, _describe_proxy_reply),
    (aiohttp.ClientPayloadError, _describe_payload),
    (aiohttp.ClientResponseError, _describe_http),
    (
        (aiohttp.NonHttpUrlClientError, aiohttp.RedirectClientError, ValueError),
        lambda _: "the URL cannot be used: check api.base_url and HTTPS_PROXY",
    ),
)
