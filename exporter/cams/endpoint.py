"""Make one connection to the endpoint within an attempt's deadline: DNS, TCP, proxy tunnel, TLS.

Keeps no connections (`adapter` does) and sends no request.  Proxies and certificate authorities are settled once,
when the endpoint is: an environment that changes later changes nothing.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from socket import AI_NUMERICHOST, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, gaierror, getaddrinfo
from typing import Any
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from exporter.cams.attempt import Attempt, BoundedSocket, BoundedTLSSocket
from exporter.cams.failures import FAILURES
from exporter.cams.proxies import Proxy, proxy_for
from exporter.cams.response import FinalResponse
from exporter.errors import ConfigError
from exporter.model import Clock
from exporter.threads import begin

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""Under such a name OpenSSL finds a certificate in a folder."""

Lookup = Callable[..., list[Any]]
"""`socket.getaddrinfo`, or what stands for it in a test."""

Connection = BoundedSocket | BoundedTLSSocket

PASSED_OVER_SECONDS = 300.0
"""An address that failed is tried after the others for so long."""

RENEW_SECONDS = 300.0
"""A connection's age, give or take a fifth, at which a new one takes its place: the name may lead elsewhere by now."""


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


class Dialer:
    """Connects to one endpoint; thread-safe.

    A host may have several addresses.  One that failed is tried after the others for `PASSED_OVER_SECONDS`, and where
    all failed, the one that did so longest ago comes first.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock, lookup: Lookup = getaddrinfo) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._resolver = Resolver(lookup)
        self._failed_at: dict[Any, float] = {}  # by address; replaced, never changed

    def dial(self, attempt: Attempt) -> Connection:
        """A connection ready for a request.  Raises one of FAILURES: that of the address tried first."""
        peer = self._endpoint.proxy or self._endpoint
        addresses = self._in_order(self._resolver.resolve(peer.host, peer.port, attempt))
        whole, failures = attempt.remaining(), list[tuple[Exception, str]]()
        for index, found in enumerate(addresses, 1):
            rest = attempt.remaining()
            is_last = index == len(addresses) or rest <= whole / 4  # the next ones have their turn in another attempt
            try:
                with attempt.limited(rest if is_last else rest / 2):
                    return self._dialed(found, attempt, peer)
            except FAILURES as error:
                self.failed(found[4])
                failures.append((error, attempt.doing))
        if not failures:
            raise OSError("the host has no address")
        first, attempt.doing = failures[0]
        raise first

    def failed(self, address: Any) -> None:
        """A connection to `address`, a socket's `peer_address`, could not be made or did not serve."""
        now = self._clock.monotonic()
        recent = {each: at for each, at in self._failed_at.items() if now - at < PASSED_OVER_SECONDS}
        self._failed_at = recent | {address: now}

    def _in_order(self, addresses: list[Any]) -> list[Any]:
        since, failed_at = self._clock.monotonic() - PASSED_OVER_SECONDS, self._failed_at
        return sorted(addresses, key=lambda found: max(since, failed_at.get(found[4], since)))

    def _dialed(self, found: Any, attempt: Attempt, peer: Endpoint | Proxy) -> Connection:
        family, kind, protocol, _, address = found
        attempt.doing = f"connecting to {peer.host}:{peer.port}"
        sock: Connection = BoundedSocket(family, kind, protocol)
        try:
            attempt.use(sock)
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            sock.connect(address)
            if isinstance(peer, Proxy):
                self._tunnel(attempt, sock, peer)
            if self._endpoint.context is not None:
                sock = self._secured(attempt, sock, self._endpoint.context)
        except BaseException:
            sock.close()
            raise
        sock.peer_address = address
        sock.renew_at = self._clock.monotonic() + RENEW_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        return sock

    def _tunnel(self, attempt: Attempt, sock: Connection, proxy: Proxy) -> None:
        attempt.doing = f"asking the proxy {proxy.host}:{proxy.port} for a tunnel"
        bracketed = f"[{self._endpoint.host}]" if ":" in self._endpoint.host else self._endpoint.host
        target = f"{bracketed}:{self._endpoint.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        sock.sendall("\r\n".join((*lines, "", "")).encode("ascii"))
        with contextlib.closing(FinalResponse(sock, method="CONNECT")) as response:
            response.begin()
            if not 200 <= response.status < 300:
                raise ConnectionError(f"HTTP {response.status}")

    def _secured(self, attempt: Attempt, sock: Connection, context: ssl.SSLContext) -> BoundedTLSSocket:
        host = self._endpoint.host
        attempt.doing = f"in the TLS handshake with {host}"
        secured = context.wrap_socket(sock, server_hostname=host.rstrip("."), do_handshake_on_connect=False)
        assert isinstance(secured, BoundedTLSSocket)  # noqa: S101 - what sslsocket_class promises
        try:
            attempt.use(secured)
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured


class Resolver:
    """Looks host names up without ever blocking longer than the attempt may.

    A look-up can't be interrupted, so it runs on a thread of its own; all who ask for the same host share it.  Hence
    at most one thread hangs, however long DNS does.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, int], Future[list[Any]]] = {}

    def resolve(self, host: str, port: int, attempt: Attempt) -> list[Any]:
        """The addresses of `host`, as `socket.getaddrinfo` gives them.  Raises OSError."""
        attempt.doing = f"looking up the host name {host}"
        with contextlib.suppress(gaierror, UnicodeError):
            return getaddrinfo(host, port, type=SOCK_STREAM, flags=AI_NUMERICHOST)
        with self._lock:
            found = self._under_way.get((host, port))
            if found is None:
                found = self._under_way[host, port] = begin(functools.partial(self._look_up, host, port), "dns")
        try:
            return found.result(timeout=attempt.remaining())
        except UnicodeError:
            raise OSError("not a host name") from None

    def _look_up(self, host: str, port: int) -> list[Any]:
        try:
            return self._lookup(host, port, type=SOCK_STREAM)
        finally:
            with self._lock:
                del self._under_way[host, port]
