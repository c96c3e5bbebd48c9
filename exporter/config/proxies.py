"""The proxy for a URL by the usual environment variables, and the problems of its address.

Rule: no problem shows the address of a proxy, which may contain a password.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass, proxy_bypass_environment  # type: ignore[attr-defined]

from exporter.config.parsers import is_loopback
from exporter.config.problems import Problem

_EXAMPLE: Final = "write one such as http://proxy.example:3128"


def proxy_for(url: str) -> str | None:
    """`NO_PROXY` is obeyed. Never a proxy to loopback, so that the demo works everywhere."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme, proxies.get("all"))


def proxy_problem(url: str, environ: Mapping[str, str]) -> Problem | None:
    """The problem of the proxy for this URL; `None` if there is no proxy, or no problem."""
    host = urlsplit(url).hostname or ""
    name = None if is_loopback(host) or _is_exempt(host, environ) else _variable(url, environ)
    message = _wrong(environ[name]) if name else None
    return Problem("api.base_url", f"{name}:", message) if message else None


def _is_exempt(host: str, environ: Mapping[str, str]) -> bool:
    exempt = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    return bool(proxy_bypass_environment(host, {"no": exempt}))


def _variable(url: str, environ: Mapping[str, str]) -> str | None:
    """The variable in use, as in `urllib`: lower case has precedence, even if it is empty."""
    for kind in (urlsplit(url).scheme, "all"):
        lower = f"{kind}_proxy"
        name = lower if lower in environ else lower.upper()
        if environ.get(name):
            return name
    return None


def _wrong(proxy: str) -> str | None:
    """The problem of the address, with what to write instead."""
    try:
        parts = urlsplit(proxy.strip())
        host, port = parts.hostname, parts.port  # reading the port checks it
        (host or "").encode("idna")
    except ValueError:
        return f"names no host and port that can be used; {_EXAMPLE}"
    if parts.scheme not in {"http", "https"}:
        return f"must begin with http:// or https://; {_EXAMPLE}"
    if not host or port == 0:
        return f"names no host and port that can be used; {_EXAMPLE}"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    try:
        (user + password).encode("latin-1")
    except UnicodeError:
        return "contains a user or password with characters beyond Latin-1, which cannot be sent to a proxy"
    return "contains a user with a colon, which cannot be sent to a proxy" if ":" in user else None
