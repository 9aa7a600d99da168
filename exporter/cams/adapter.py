"""The transport adapter of a `requests.Session`: keeps connections alive, and sends each request inside a slot.

The adapter that comes with `requests` connects and sends in one step.  This one waits at the caller's gate between the
two, so that requests stay evenly spaced even if connecting is slow.  Keeps no cookies and decodes no body.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

import requests
import urllib3
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from exporter.cams.addresses import Addresses, Lookup
from exporter.cams.attempt import Attempt
from exporter.cams.connection import Connection
from exporter.cams.endpoint import Endpoint
from exporter.cams.failures import FAILURES, api_error
from exporter.model import Clock, Slot

MAX_SLOTS = 2
"""One request takes at most so many slots: a server that closes every connection must not use up the budget."""

MAX_IDLE_SECONDS = 50.0
"""A connection unused for longer is closed: a firewall may have forgotten it, and a request would time out."""

RENEW_RETRY_SECONDS = 60.0
"""A connection that could not be replaced stays in use for so long before the next try."""


class GatedRequest(PreparedRequest):
    """A request for `GatedAdapter`, which enters a slot of `gate`, calls `sign`, and sends.

    It gets method and headers from `template`; `attempt` is the time it has.
    """

    def __init__(
        self,
        template: PreparedRequest,
        url: str,
        attempt: Attempt,
        gate: Callable[[], Slot],
        sign: Callable[[PreparedRequest], None],
    ) -> None:
        super().__init__()
        self.method, self.headers, self.url = template.method, template.headers.copy(), url
        self.attempt = attempt
        self.gate = gate
        self.sign = sign


class Session(requests.Session):
    """A session that reads nothing from the environment and follows no redirect."""

    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def resolve_redirects(self, *_: Any, **__: Any) -> Generator[Response, None, None]:
        """None: the API never redirects."""
        yield from ()


class GatedAdapter(BaseAdapter):
    """Sends each `GatedRequest` inside a slot; thread-safe.

    Keeps at most `max_idle` unused connections.  The one used last is the first to be used again.
    """

    max_retries = urllib3.Retry(0)
    """As `HTTPAdapter` has it: no retries, they are the poller's."""

    def __init__(self, endpoint: Endpoint, clock: Clock, max_idle: int, lookup: Lookup = socket.getaddrinfo) -> None:
        super().__init__()
        peer = endpoint.proxy or endpoint
        self._endpoint = endpoint
        self._addresses = Addresses(peer.host, peer.port, clock, lookup)
        self._clock = clock
        self._max_idle = max_idle
        self._lock = threading.Lock()
        self._idle: deque[Connection] = deque()  # the longest unused first
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self.closed = threading.Event()
        """Ends every `Attempt` that is made with it; `close` sets it."""

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Connect, wait for a slot, send inside it, and read the whole answer.

        If the server closes the connection during the wait, a new connection waits for a slot of its own.  Raises
        ApiError, and what the gate raises.  The other arguments (timeout, verify, proxies) are not used: the attempt
        and the endpoint hold these settings.
        """
        assert isinstance(request, GatedRequest)  # noqa: S101 - the client sends no other
        attempt = request.attempt
        for slots in range(MAX_SLOTS):
            try:
                connection = self._connection(attempt)
            except FAILURES as error:
                if not slots:  # requests that fail are paced too
                    with attempt.slot(request.gate):
                        pass
                raise api_error(error, attempt) from None
            try:
                if self._send_in_slot(connection, request):
                    return self._receive(connection, request)
            finally:
                self._release(connection)
        attempt.doing = "waiting for a slot"
        raise api_error(
            ConnectionAbortedError("the server closed every connection before the request was sent"), attempt
        )

    def build_response(self, request: GatedRequest, raw: http.client.HTTPResponse | urllib3.HTTPResponse) -> Response:
        """`raw` as a Response.  Reads the body, at most one byte more than the attempt allows."""
        response = Response()
        response.status_code = raw.status
        response.reason = raw.reason or ""
        response.headers = CaseInsensitiveDict(raw.headers.items())
        response.raw = io.BytesIO(raw.read(request.attempt.max_body_bytes + 1))
        response.request = request
        response.url = request.url or ""
        return response

    def retire(self) -> None:
        """Let requests under way end, and keep no connection after that."""
        self._max_idle = 0
        self._close_surplus()

    def close(self) -> None:
        """Close everything; requests under way, and any later one, fail at once.

        A request that waits for DNS, or for its slot, fails after that wait.
        """
        self.retire()
        self.closed.set()
        with self._lock:
            under_way = list(self._open)
        for each in under_way:
            each.cut()

    def _connection(self, attempt: Attempt) -> Connection:
        """A connection ready for a request, kept or new.  Raises one of FAILURES."""
        kept = self._take(attempt)
        if kept is None:
            return self._connected(attempt)
        if self._clock.monotonic() < kept.renew_at:
            return kept
        try:
            with attempt.limited(attempt.remaining() / 2):
                fresh = self._connected(attempt)
        except FAILURES:  # the old one still works
            kept.renew_at = self._clock.monotonic() + RENEW_RETRY_SECONDS
            return kept
        kept.close()
        return fresh

    def _connected(self, attempt: Attempt) -> Connection:
        connection = Connection(self._endpoint, self._addresses, self._clock, attempt)
        with self._lock:
            self._open.add(connection)
        connection.connect()
        return connection

    def _send_in_slot(self, connection: Connection, request: GatedRequest) -> bool:
        """Wait for a slot and send; False if the server closed the connection during the wait.

        A request sent after its slot, on a new connection, would be too close to the next request.
        """
        with request.attempt.slot(request.gate):
            if not connection.is_reusable():
                connection.close()
                return False
            request.sign(request)
            with _reporting(connection, request.attempt, "sending the request"):
                headers = dict(request.headers.items())  # at each look requests' own lowers every name
                text = "".join(headers.values())
                if not (text.isascii() and text.isprintable()):
                    raise OSError("a header contains a character that is not allowed")
                connection.is_idle = False
                connection.request(request.method or "", request.path_url, headers=headers)
        return True

    def _receive(self, connection: Connection, request: GatedRequest) -> Response:
        with _reporting(connection, request.attempt, "waiting for the answer"), connection.getresponse() as raw:
            request.attempt.doing = "reading the answer"
            response = self.build_response(request, raw)
            connection.is_idle = connection.sock is not None and raw.isclosed() and raw.status >= 200
        return response

    def _take(self, attempt: Attempt) -> Connection | None:
        now = self._clock.monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if now - connection.idle_since <= MAX_IDLE_SECONDS and connection.is_reusable():
                connection.serve(attempt)
                return connection
            connection.close()

    def _release(self, connection: Connection) -> None:
        """Keep `connection` for a later request if it is idle, else close it."""
        if not connection.is_idle:
            connection.close()
            return
        connection.idle_since = self._clock.monotonic()
        with self._lock:
            self._idle.append(connection)
        self._close_surplus()

    def _close_surplus(self) -> None:
        """Close the longest unused connections: those beyond `max_idle`, and those too old."""
        oldest = self._clock.monotonic() - MAX_IDLE_SECONDS
        with self._lock:
            while self._idle and (len(self._idle) > self._max_idle or self._idle[0].idle_since < oldest):
                self._idle.popleft().close()


@contextlib.contextmanager
def _reporting(connection: Connection, attempt: Attempt, doing: str) -> Iterator[None]:
    """Raise a failure in here as ApiError, and close `connection`."""
    attempt.doing = doing
    try:
        yield
    except FAILURES as error:
        connection.failed()
        raise api_error(error, attempt) from None
