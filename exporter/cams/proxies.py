"""Which proxy is used for a URL: the one of the configuration, else the one that the environment names.

The environment is read as curl and Go do.

`HTTPS_PROXY`, else `ALL_PROXY`, names an HTTP proxy that opens tunnels.  `NO_PROXY` lists hosts that need no proxy.
Each name may be in lower case, which goes first.  `HTTP_PROXY` is not used: the metadata service and a credentials URI
send temporary keys over plain HTTP, and a proxy could read them.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from exporter.config.readers import read_proxy
from exporter.errors import ConfigError

METADATA_HOST = "100.100.100.200"
"""Where an ECS instance gets the keys of its role: an address in the instance's own network."""

_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_ENTRY = re.compile(r"(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that opens tunnels.

    `authorization` is the value of the Proxy-Authorization header, or empty.  It and `url` may hold a password.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)
    url: str = field(default="", repr=False)


def proxy_for(url: str, configured: str = "") -> Proxy | None:
    """The proxy for `url`; None if it needs none.

    `configured` is `api.proxy`, which is used in place of all that the environment says, NO_PROXY included.
    Raises ConfigError if the proxy cannot be used.  It names the variable and does not show its value.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https" or _is_near(host):
        return None
    if configured:
        return proxy_of(configured)
    if _is_exempt(host, parts.port or 443):
        return None
    return next((_read(name, value, host) for name in _VARIABLES if (value := os.environ.get(name, "").strip())), None)


def proxy_of(url: str) -> Proxy:
    """The proxy with this URL, in which ``http://`` may be left out; raises ValueError, which does not show it."""
    parts = read_proxy(url)
    authorization = ""
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(user.encode()).decode()
    return Proxy(parts.hostname or "", parts.port or 80, authorization, parts.geturl())


def _read(variable: str, value: str, host: str) -> Proxy:
    try:
        return proxy_of(value)
    except ValueError as fault:  # the value may hold a password: it is not shown
        raise ConfigError([f"{variable}: {fault}; write http://HOST:PORT, or add {host} to NO_PROXY"]) from None


def _is_near(host: str) -> bool:
    """Whether `host` is this machine, or answers this machine only: a proxy would reach another host."""
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_link_local or host == METADATA_HOST


def _is_exempt(host: str, port: int) -> bool:
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return any(_covers(entry.lower(), host, port) for entry in re.split(r"[\s,]+", listed) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether `entry` of NO_PROXY covers `host`: ``*``, an address, a network, or a domain with its subdomains."""
    if entry == "*":
        return True
    match = _ENTRY.fullmatch(entry)  # none for a bare IPv6 address or network
    named, its_port = match.group("host", "port") if match else (entry, None)
    if its_port and int(its_port) != port:
        return False
    address = _address(host)
    if address is None:
        domain = named.removeprefix("*").strip(".")
        return bool(domain) and f".{host}".endswith(f".{domain}")
    try:
        return address in ipaddress.ip_network(re.sub(r"[][]", "", named), strict=False)
    except ValueError:
        return False


def _address(host: str) -> _Address | None:
    """`host` if it is an address, not a name.  An IPv4-mapped IPv6 address becomes the IPv4 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
