"""Readers for single values: durations within bounds, hosts, the API's endpoint, the CA file.

Each takes a string and raises ValueError whose text is ``what is wrong; what to write``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from exporter.config.durations import format_duration, parse_duration
from exporter.config.strict_yaml import Section, show

_LABEL = "[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")


def duration(section: Section, key: str, low: float, high: float, default: float | None = None) -> float | None:
    """The seconds of the Prometheus duration at `key`, from `low` to `high`."""

    def read(text: str) -> float:
        seconds = parse_duration(text)
        if not low <= seconds <= high:
            bounds = f"{format_duration(low)} to {format_duration(high)}"
            raise ValueError(f"{show(text)} is out of range; write {bounds}")
        return seconds

    def unquoted(written: str) -> str:
        if re.fullmatch("[0-9]{1,9}", written):
            return f"{written} has no unit; write {written}s"
        return f"{written} is not a duration; write for example 30s, 1m30s or 1h"

    return section.text(key, read, default, unquoted=unquoted)


def split_url(text: str) -> SplitResult:
    """The parts of a URL, whose port is valid; raises ValueError, whose text does not show the URL."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL; check its host and port") from None
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds a space or another character that no URL has; remove it")
    if port == 0:
        raise ValueError("has port 0, which nothing listens on; write the server's port")
    return parts


def parse_endpoint(text: str) -> str:
    """The API's scheme://host[:port], in lower case."""
    parts = split_url(text)
    if "@" in text:
        raise ValueError("holds a user name or password; remove it: credentials have their own place")
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not is_host(host, bracketed="[" in parts.netloc):
        is_address = re.fullmatch(r"[\w/\[\]-]*[.:][\w.:/\[\]-]*", text)  # without a query, and no key in its place
        shown = f"{show(text)} " if is_address else ""
        raise ValueError(f"{shown}is not the URL of a server; write https://HOST or https://HOST:PORT")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:  # which may be a token: not shown
        raise ValueError(f"has more than scheme, host and port; write {parts.scheme}://{parts.netloc}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            f"{show(text)} would send signed requests and tokens in clear text; write https: "
            "http is for a simulator on loopback",
        )
    address = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{address}" + (f":{parts.port}" if parts.port else "")


def parse_proxy(text: str) -> str:
    """The URL of an HTTP proxy, which may hold a user name and a password: a ValueError does not show it."""
    try:
        read_proxy(text)
    except ValueError as error:
        raise ValueError(f"is {error}; write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT") from None
    return text


def read_proxy(text: str) -> SplitResult:
    """The parts of a proxy's URL; ``http://`` may be left out.  Raises ValueError, whose text says what it is."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("not an HTTP proxy") from None
    if parts.scheme.startswith("socks"):
        raise ValueError("a SOCKS proxy, which this exporter does not use")
    if parts.scheme != "http" or not parts.hostname or port == 0 or not url.isprintable() or " " in url:
        raise ValueError("not an HTTP proxy")
    return parts


def parse_host(text: str) -> str:
    """A host name, or HOST:PORT, without a scheme."""
    try:
        parts = split_url(f"//{text}")
        valid = parts.netloc == text and is_host(parts.hostname or "", bracketed=False) and "@" not in text
    except ValueError:
        valid = False
    if valid:
        return text
    raise ValueError("is not a host; write HOST or HOST:PORT, without https:// before it")


def is_host(host: str, *, bracketed: bool) -> bool:
    """Whether it is a host name or an IPv4 address, or within brackets an IPv6 address."""
    return bool(_address(host)) and ":" in host if bracketed else bool(_HOST.fullmatch(host))


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` is, without a zone; None for a name."""
    try:
        return None if "%" in host else ipaddress.ip_address(host)
    except ValueError:
        return None


def certificates(section: Section, key: str) -> Path | None:
    """The PEM file of certificate authorities named at `key`."""
    path = section.file(key)
    if path is None or not section.document.reads_files:
        return path
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(OSError, ValueError):  # if it holds none, a fault below says so
        context.load_verify_locations(path)
    if not context.cert_store_stats()["x509"]:  # revocation lists are loaded without complaint
        section.fault(key, f"{show(str(path))} holds no certificate in PEM form; name one that does")
        return None
    return path
