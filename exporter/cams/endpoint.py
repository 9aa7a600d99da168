"""Where requests go: host and port, proxy, certificate authorities.  Connects to nothing.

Proxy and authorities are settled once, when the endpoint is made: an environment that changes later changes nothing.
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
from exporter.cams.proxies import Proxy, proxy_for
from exporter.errors import ConfigError

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""Under such a name OpenSSL finds a certificate in a folder."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go; `netloc` is what the Host header says."""

    host: str
    port: int
    netloc: str
    context: ssl.SSLContext | None
    proxy: Proxy | None = None


def endpoint_of(url: str, ca_file: Path | None) -> Endpoint:
    """The endpoint of ``https://host[:port]``; raises ConfigError where the CA file or the proxy is of no use.

    `ca_file` goes before REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE, those before the bundle of `requests`.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":  # loopback, as the configuration sees to
        return Endpoint(host, parts.port or 80, parts.netloc, None)
    return Endpoint(host, parts.port or 443, parts.netloc, _context_for(ca_file), proxy_for(url))


def authorities_of_environment() -> tuple[str, str]:
    """The bundle to trust where the configuration names none: what names it, and its path."""
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


@functools.lru_cache(maxsize=4)
def _tls_context(path: str, _version: tuple[int, int, int]) -> ssl.SSLContext:
    """One context for all accounts: a bundle costs 20 ms and a megabyte to load.  A changed file is loaded anew."""
    is_folder = Path(path).is_dir()
    context = ssl.create_default_context(cafile=None if is_folder else path, capath=path if is_folder else None)
    if not is_folder and not context.cert_store_stats()["x509"]:  # revocation lists alone
        raise ssl.SSLError("no certificate")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = BoundedTLSSocket
    return context
