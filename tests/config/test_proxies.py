"""The proxy to Twilio: which variable names it, and what is wrong with it."""

from urllib.request import getproxies_environment

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.loading import load
from exporter.config.problems import SettingsError
from exporter.config.proxies import _variable, proxy_for, proxy_problem

TWILIO = "https://comms.twilio.com/v1"
ACCOUNT = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "a-token"}

WRONG = {
    "proxy.example:3128": "http:// or https://",
    "127.0.0.1:3128": "http:// or https://",
    "//proxy.example:3128": "http:// or https://",
    "user:S3CRET@proxy.example:3128": "http:// or https://",
    "socks5://user:S3CRET@proxy.example:1080": "http:// or https://",
    "http://user:S3CRET@proxy.example:99999": "host and port",
    "http://user:S3CRET@proxy.example:port": "host and port",
    "http://user:S3CRET@proxy.example:0": "host and port",
    "http://user:S3CRET@:3128": "host and port",
    "http://": "host and port",
    "http://[::1:3128": "host and port",
    "http://proxy..example:3128": "host and port",
    f"http://{'a' * 70}.example:3128": "host and port",
    "http://user:S3CRET%E2%82%AC@proxy.example:3128": "Latin-1",
    "http://us%3Aer:S3CRET@proxy.example:3128": "colon",
}

RIGHT = (
    "http://proxy.example:3128",
    "HTTP://proxy.example",
    "https://user:p%40ss@proxy.example:443/",
    "http://us%C3%A9r:p%C3%A4ss@[::1]:3128",
    " http://10.0.0.1:3128",
)


@pytest.mark.parametrize(("proxy", "said"), WRONG.items())
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_wrong_proxy_is_an_invalid_setting(name: str, proxy: str, said: str) -> None:
    """One line, which names the variable and shows nothing of its value."""
    with pytest.raises(SettingsError) as caught:
        load({}, ACCOUNT | {name: proxy})
    (problem,) = str(caught.value).splitlines()
    assert problem.startswith(f"api.base_url: {name}: ")
    assert said in problem
    assert "S3CRET" not in problem


@pytest.mark.parametrize("proxy", RIGHT)
def test_right_proxy_is_taken(proxy: str) -> None:
    """With or without a password, as a name or an address."""
    assert proxy_problem(TWILIO, {"HTTPS_PROXY": proxy}) is None


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        (TWILIO, {}),
        (TWILIO, {"HTTP_PROXY": "wrong"}),
        (TWILIO, {"HTTPS_PROXY": "wrong", "NO_PROXY": "*"}),
        (TWILIO, {"HTTPS_PROXY": "wrong", "no_proxy": "other.example, twilio.com"}),
        (TWILIO, {"HTTPS_PROXY": "wrong", "https_proxy": ""}),
        (TWILIO, {"HTTPS_PROXY": "http://right:3128", "ALL_PROXY": "wrong"}),
        ("http://127.0.0.1:9/v1", {"HTTP_PROXY": "wrong", "ALL_PROXY": "wrong"}),
        ("https://localhost/v1", {"HTTPS_PROXY": "wrong"}),
    ],
)
def test_proxy_that_is_not_used_is_not_checked(url: str, environ: dict[str, str]) -> None:
    """The variables are there for every program of the machine."""
    assert proxy_problem(url, environ) is None


def test_demo_needs_no_right_proxy() -> None:
    """It calls a simulated Twilio on loopback."""
    load({}, {"HTTPS_PROXY": "wrong"}, accounts_required=False)


@given(
    st.dictionaries(
        st.sampled_from(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
        st.sampled_from(["", "http://a:1", "http://b:2"]),
    )
)
def test_variable_is_the_one_that_is_used(environ: dict[str, str]) -> None:
    """What is checked at the start is what requests go through."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        proxies = getproxies_environment()
        variable = _variable(TWILIO, environ)
        assert (environ[variable] if variable else None) == proxies.get("https", proxies.get("all"))


def test_proxy_comes_from_the_environment_but_not_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo works behind a proxy, and Twilio is reached through it, unless NO_PROXY says otherwise."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:2")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_for(TWILIO) == "http://127.0.0.1:1"
    assert proxy_for("http://127.0.0.1:9/v1") is None
    assert proxy_for("https://inside.example/v1") is None
