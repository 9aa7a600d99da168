"""One connection to the endpoint, by `http.client`: TCP, the tunnel through a proxy, and TLS, within the deadline."""

from __future__ import annotations

import http.client
import random
import socket
import ssl
from typing import Any

from exporter.cams.addresses import Addresses
from exporter.cams.attempt import Attempt, BoundedSocket
from exporter.cams.endpoint import Endpoint
from exporter.cams.failures import FAILURES
from exporter.cams.proxies import Proxy
from exporter.cams.response import FinalResponse
from exporter.model import Clock

RENEW_SECONDS = 300.0
"""At this age, plus or minus a fifth, a connection is replaced: the host name may have another address by then."""


class Connection(http.client.HTTPConnection):
    """A connection that serves one attempt at a time.  It connects once; after `close` it cannot be used again."""

    response_class = FinalResponse
    sock: BoundedSocket | None

    def __init__(self, endpoint: Endpoint, addresses: Addresses, clock: Clock, attempt: Attempt) -> None:
        super().__init__(endpoint.host, endpoint.port)
        self._endpoint = endpoint
        self._addresses = addresses
        self._attempt = attempt
        self._address: Any = None
        self._last_sock: BoundedSocket | None = None
        self.renew_at = clock.monotonic() + RENEW_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        """When a new connection should replace this one (monotonic)."""
        self.idle_since = 0.0
        self.is_idle = False
        """Whether it is connected, and no answer is expected."""

    def serve(self, attempt: Attempt) -> None:
        """Bind the connection to `attempt`."""
        self._attempt = attempt
        if self.sock is not None:
            self.sock.serve(attempt)

    def connect(self) -> None:
        """Connect to the first address that works.  Raises one of FAILURES: that of the address tried first."""
        attempt = self._attempt
        addresses = self._addresses.find(attempt)
        whole, failures = attempt.remaining(), list[tuple[Exception, str]]()
        for index, found in enumerate(addresses, 1):
            rest = attempt.remaining()
            is_last = index == len(addresses) or rest <= whole / 4  # the next attempt tries the others
            try:
                with attempt.limited(rest if is_last else rest / 2):
                    return self._connect_to(found)
            except FAILURES as error:
                self.failed()
                failures.append((error, attempt.doing))
        if not failures:
            raise OSError("the host has no address")
        first, attempt.doing = failures[0]
        raise first

    def is_reusable(self) -> bool:
        """Whether a request can be sent: it is open, and the server has sent nothing unasked."""
        if self.sock is None:
            return False
        try:
            self.sock.settimeout(0)
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True  # TLS has read its session tickets by now
        except (OSError, ValueError):  # ValueError: we closed it
            return False
        return False  # the end, or bytes that would be taken for the next answer

    def failed(self) -> None:
        """Close, and have later connections try other addresses first."""
        self.close()
        self._addresses.failed(self._address)

    def close(self) -> None:
        """As http.client's."""
        self.is_idle = False
        super().close()

    def cut(self) -> None:
        """Wake a thread that is blocked in this connection; from any thread.

        http.client forgets its socket before it reads the body of an answer that ends the connection.
        """
        sock = self._last_sock
        if sock is not None:
            sock.cut()

    def _connect_to(self, found: Any) -> None:
        family, kind, protocol, _, self._address = found
        peer = self._endpoint.proxy or self._endpoint
        self._attempt.doing = f"connecting to {peer.host}:{peer.port}"
        self.sock = self._last_sock = sock = BoundedSocket(family, kind, protocol)
        sock.serve(self._attempt)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(self._address)
        if self._endpoint.proxy is not None:
            self._open_tunnel(self._endpoint.proxy)
        if self._endpoint.context is not None:
            self._attempt.doing = f"in the TLS handshake with {self.host}"
            name = self.host.rstrip(".")
            secured = self._endpoint.context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
            assert isinstance(secured, BoundedSocket)  # noqa: S101 - what sslsocket_class promises
            self.sock = self._last_sock = secured
            secured.serve(self._attempt)
            secured.do_handshake()
        self.is_idle = True

    def _open_tunnel(self, proxy: Proxy) -> None:
        self._attempt.doing = f"asking the proxy {proxy.host}:{proxy.port} for a tunnel"
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.putrequest("CONNECT", f"{host}:{self.port}", skip_accept_encoding=True)
        if proxy.authorization:
            self.putheader("Proxy-Authorization", proxy.authorization)
        self.endheaders()
        with self.getresponse() as response:
            if not 200 <= response.status < 300:
                raise ConnectionError(f"HTTP {response.status}")
