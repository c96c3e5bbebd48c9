"""aiohttp's exceptions in words that name what to look at: the network, DNS, TLS, the proxy, a gateway.

Pure. Must not know of retries or settings' values.

Rule: nothing of an exception's own text is used but the operating system's and OpenSSL's, because aiohttp's
text shows the URL, and with it the page token and the password of the proxy.
"""

import ssl
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import aiohttp  # noqa: TID251 - home of aiohttp's exceptions
from aiohttp.http_exceptions import ContentEncodingError  # noqa: TID251 - same

_Describe: TypeAlias = Callable[[Any], str]


def describe(error: BaseException) -> str:
    """Of whatever aiohttp's client raises between a request and the end of its reply."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words(error)
    return f"the connection failed: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """What the operating system says of it."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or "look at the network, the proxy or the gateway in between"


def _tls_reason(error: OSError) -> str:
    """OpenSSL's word for it, such as WRONG_VERSION_NUMBER."""
    return getattr(error, "reason", None) or _reason(error)


def _place(error: aiohttp.ClientConnectorError) -> str:
    return f"{error.host}:{error.port}"


def _describe_certificate(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    reason = getattr(cause, "verify_message", "") or "the certificate does not fit the host"
    return (
        f"TLS: the certificate of {_place(error)} is refused: {reason}; "
        "if a company's proxy inspects TLS, name its CA in api.ca_file"
    )


def _describe_tls(error: aiohttp.ClientConnectorError) -> str:
    return (
        f"TLS: no handshake with {_place(error)}: {_tls_reason(error.os_error)}; "
        "check that api.base_url or the proxy leads to a server that speaks TLS"
    )


def _describe_proxy_reply(error: aiohttp.ClientHttpProxyError) -> str:
    if error.status == 407:
        return "the proxy asks for a user and a password (407): check HTTPS_PROXY"
    return f"the proxy does not connect us to Twilio: it answered {error.status} to CONNECT; check its rules"


def _describe_payload(error: aiohttp.ClientPayloadError) -> str:
    if isinstance(error.__cause__, ContentEncodingError):
        return "the reply cannot be decompressed: look at the proxy or gateway that compressed it"
    return "the connection was closed before the end of the reply: look at the proxy or gateway in between"


def _describe_http(error: aiohttp.ClientResponseError) -> str:
    # aiohttp hands the parser's errors on as one kind, which only their text tells apart.
    if error.message.startswith(("Got more than", "Too many headers")):
        return "the headers of the reply are too large: look at the proxy or gateway that adds them"
    if "content-encoding" in error.message:
        return "the reply is compressed in a way we did not ask for: look at the proxy or gateway in between"
    return "the reply is not valid HTTP: check api.base_url, and the proxy or gateway in between"


_WORDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], _Describe], ...]] = (
    # Subclasses first.
    (aiohttp.ConnectionTimeoutError, lambda _: "no connection within api.timeout: check network and proxy"),
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
        lambda _: "the connection was closed before the reply: look at the proxy or gateway in between",
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
