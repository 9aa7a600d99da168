"""Where requests go: host and port, proxy, certificate authorities.  Does not connect.

Proxy and authorities are read once, when the endpoint is made.  Later changes of the environment have no effect.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from exporter.cams.attempt import BoundedTLSSocket
from exporter.cams.proxies import Proxy, proxy_for, proxy_of
from exporter.errors import ConfigError

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""OpenSSL finds certificates in a folder by such names."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go; `netloc` is the value of the Host header."""

    host: str
    port: int
    netloc: str
    context: ssl.SSLContext | None
    proxy: Proxy | None = None


def endpoint_of(url: str, ca_file: Path | None, proxy: str = "") -> Endpoint:
    """The endpoint of ``https://host[:port]``.  Raises ConfigError if the CA file or the proxy cannot be used.

    `ca_file` goes before REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE, and these before the bundle of
    `requests`.  `proxy` is the URL of the proxy to use whatever the environment says; empty: as that says.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":  # loopback only: the configuration refuses others
        return Endpoint(host, parts.port or 80, parts.netloc, None)
    context = _context_for(ca_file)
    return Endpoint(host, parts.port or 443, parts.netloc, context, proxy_of(proxy) if proxy else proxy_for(url))


def authorities_of_environment() -> tuple[str, str]:
    """The bundle to trust if the configuration names none: who names it, and its path."""
    named = ((name, os.environ.get(name)) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"))
    return next(((name, path) for name, path in named if path), ("requests", DEFAULT_CA_BUNDLE_PATH))


def _context_for(ca_file: Path | None) -> ssl.SSLContext:
    source, path = ("api.ca_file", str(ca_file)) if ca_file is not None else authorities_of_environment()
    try:
        stat = Path(path).stat()
        if Path(path).is_dir() and not any(_HASHED.fullmatch(found.name) for found in Path(path).iterdir()):
            raise ConfigError(
                [f"{source}: {path}: no certificate in it under a hash; run openssl rehash, or name a file"]
            )
        return _tls_context(path, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
    except OSError as error:
        reason = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError([f"{source}: {path}: {reason}; name a file of PEM certificates"]) from None


@functools.lru_cache(maxsize=64)
def _tls_context(path: str, _version: tuple[int, int, int]) -> ssl.SSLContext:
    """One context for all accounts with the same file: to load a bundle takes 20 ms and a megabyte.

    A changed file is loaded again.  A file that fell out of the cache would give each reload other connections.
    """
    is_folder = Path(path).is_dir()
    context = ssl.create_default_context(cafile=None if is_folder else path, capath=path if is_folder else None)
    if not is_folder and not context.cert_store_stats()["x509"]:  # revocation lists only
        raise ssl.SSLError("no certificate")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = BoundedTLSSocket
    return context
