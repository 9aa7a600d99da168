"""Which proxy the environment names for a URL: as curl and Go read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cams.proxies import METADATA_HOST, Proxy, proxy_for
from exporter.errors import ConfigError

PROXY = "http://proxy.example:3128"
API = "https://cams.ap-southeast-1.aliyuncs.com"


def is_direct(url: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> bool:
    with monkeypatch.context() as patched:
        for name, value in {"HTTPS_PROXY": PROXY, **environment}.items():
            patched.setenv(name, value)
        return proxy_for(url) is None


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", API),
        ("aliyuncs.com", API),
        (".aliyuncs.com", API),
        ("*.aliyuncs.com", API),
        ("cams.ap-southeast-1.aliyuncs.com", API),
        ("AliYunCS.com", API),
        ("aliyuncs.com.", API),
        ("aliyuncs.com", "https://cams.ap-southeast-1.aliyuncs.com./"),
        (" other.example , aliyuncs.com ,", API),
        ("other.example aliyuncs.com", API),
        ("aliyuncs.com:443", API),
        ("*.aliyuncs.com:8443", f"{API}:8443"),
        ("203.0.113.7", "https://203.0.113.7"),
        ("203.0.113.7:8443", "https://203.0.113.7:8443"),
        ("203.0.113.0/24", "https://203.0.113.7"),
        ("203.0.113.200/24", "https://203.0.113.7"),
        ("2001:db8::1", "https://[2001:db8::1]"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
        ("[2001:0DB8:0::1]", "https://[2001:db8::1]"),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("2001:db8::1/128", "https://[2001:db8::1]"),
        ("2001:db8::/32", "https://[2001:db8::1]:8443"),
        ("[2001:db8::]/32", "https://[2001:db8::1]"),
        ("203.0.113.0/24", "https://[::ffff:203.0.113.7]"),
    ],
)
def test_what_no_proxy_names_is_reached_directly(no_proxy: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_direct(url, monkeypatch, NO_PROXY=no_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", API),
        (",,", API),
        ("yuncs.com", API),
        ("cams", API),
        ("ap-southeast-1", API),
        ("*liyuncs.com", API),
        ("cams.ap-southeast-1.aliyuncs.com.example", API),
        ("aliyuncs.com:8443", API),
        ("aliyuncs.com:443", f"{API}:8443"),
        (".", API),
        ("*.", API),
        ("https://cams.ap-southeast-1.aliyuncs.com", API),
        ("203.0.113.8", "https://203.0.113.7"),
        ("203.0.113.7:443", "https://203.0.113.7:8443"),
        ("203.0.114.0/24", "https://203.0.113.7"),
        ("203.0.113.0/240", "https://203.0.113.7"),
        ("113.7", "https://203.0.113.7"),
        ("2001:db8::2", "https://[2001:db8::1]"),
        ("2001:db9::/32", "https://[2001:db8::1]"),
        ("0.0.0.0/0", "https://[2001:db8::1]"),
        ("0.0.0.0/0", API),
        ("[2001:db8::1", "https://[2001:db8::2]"),
    ],
)
def test_what_no_proxy_does_not_name_goes_through_the_proxy(
    no_proxy: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address is matched as an address, a name as a name; no name is looked up."""
    assert not is_direct(url, monkeypatch, NO_PROXY=no_proxy)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "api.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.1.1",
        METADATA_HOST,
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_only_this_machine_reaches_never_goes_through_a_proxy(
    scheme: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_direct(f"{scheme}://{host}/latest", monkeypatch, HTTP_PROXY=PROXY, ALL_PROXY=PROXY)


@pytest.mark.parametrize("host", ["keys.example", "203.0.113.7"])
def test_plain_http_never_goes_through_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It carries temporary keys, which the proxy would read."""
    assert is_direct(f"http://{host}/role", monkeypatch, HTTP_PROXY=PROXY, http_proxy=PROXY, ALL_PROXY=PROXY)


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ({"HTTPS_PROXY": "http://upper:1"}, "upper"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "lower"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": ""}, "upper"),
        ({"ALL_PROXY": "http://all:1", "all_proxy": "http://all-lower:1"}, "all-lower"),
        ({"all_proxy": "http://all:1", "HTTPS_PROXY": "http://upper:1"}, "upper"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": " "}, "all"),
        ({"HTTP_PROXY": "http://plain:1"}, None),
        ({"ALL_PROXY": "http://all:1", "NO_PROXY": "aliyuncs.com"}, None),
        ({"ALL_PROXY": "http://all:1", "NO_PROXY": "aliyuncs.com", "no_proxy": "other.example"}, "all"),
        ({"ALL_PROXY": "http://all:1", "NO_PROXY": "aliyuncs.com", "no_proxy": ""}, None),
    ],
)
def test_the_variables_have_an_order_of_precedence(
    environment: dict[str, str], host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable for https takes precedence over the one for all, lower case over upper case; an empty one is
    ignored."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(API)
    assert (found.host if found else None) == host


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://proxy.example", ("proxy.example", 80, "")),
        ("proxy.example:3128", ("proxy.example", 3128, "")),
        ("HTTP://Proxy.example:3128/", ("proxy.example", 3128, "")),
        ("http://[2001:db8::1]:3128", ("2001:db8::1", 3128, "")),
        ("http://us%20er:p%40ss@proxy.example", ("proxy.example", 80, "Basic dXMgZXI6cEBzcw==")),
        ("http://user@proxy.example", ("proxy.example", 80, "Basic dXNlcjo=")),
    ],
)
def test_how_a_proxy_is_written(value: str, proxy: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    found = proxy_for(API)
    assert found is not None
    assert (found.host, found.port, found.authorization) == proxy


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("socks5://u:hunter2@proxy:1080", "a SOCKS proxy, which this exporter does not use"),
        ("SOCKS5h://u:hunter2@proxy", "a SOCKS proxy, which this exporter does not use"),
        ("https://u:hunter2@proxy", "not an HTTP proxy"),
        ("http://", "not an HTTP proxy"),
        ("http://u:hunter2@:80", "not an HTTP proxy"),
        ("http://u:hunter2@proxy:port", "not an HTTP proxy"),
        ("http://u:hunter2@proxy:0", "not an HTTP proxy"),
        ("http://u:hunter2@pro xy", "not an HTTP proxy"),
        ("http://[x", "not an HTTP proxy"),
    ],
)
def test_a_proxy_of_no_use_is_refused_by_the_name_of_its_variable(
    variable: str, value: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value may contain a password, so it is never shown."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        proxy_for(API)
    cure = "write http://HOST:PORT, or add cams.ap-southeast-1.aliyuncs.com to NO_PROXY"
    assert caught.value.faults == (f"{variable}: {fault}; {cure}",)


def test_an_invalid_proxy_is_no_fault_for_hosts_in_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_direct(API, monkeypatch, HTTPS_PROXY="socks5://proxy:1080", NO_PROXY="aliyuncs.com")


def test_no_password_in_a_repr() -> None:
    assert "hunter2" not in repr(Proxy("p", 2, "Basic hunter2", "http://u:hunter2@p:2"))


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@given(words, words, st.sampled_from([API, "https://[2001:db8::1]:8443", "https://203.0.113.7"]))
def test_any_text_in_the_environment_is_a_proxy_or_none_or_a_fault_in_our_words(
    value: str, no_proxy: str, url: str
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HTTPS_PROXY", value)
        patched.setenv("NO_PROXY", no_proxy)
        fault, found = "", None
        try:
            found = proxy_for(url)
        except ConfigError as error:
            fault = str(error)
    assert fault == "" or fault.startswith("HTTPS_PROXY: ")
    assert found is None or (found.host and 0 < found.port < 65536)
