"""Kept-alive connections to one endpoint, and one request over one of them.

A request is made in steps, because the moment of sending belongs to the budget: `connect` first, whatever it takes;
the caller then waits for its slot; `send` is over at once; `receive` takes what it takes.  `requests`' own adapter
knows no pause between connecting and sending, and no deadline over all of an answer; and this costs half its CPU.
Follows no redirect, keeps no cookie, asks for no compression, decodes none.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import threading
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from requests import PreparedRequest
from requests.structures import CaseInsensitiveDict

from exporter.cams.answers import MAX_BODY_BYTES, Reply
from exporter.cams.attempt import Attempt
from exporter.cams.endpoint import Connection, Dialer
from exporter.cams.failures import FAILURES
from exporter.cams.response import FinalResponse
from exporter.model import Clock

MAX_IDLE_SECONDS = 50.0
"""A connection unused for longer may have been forgotten by something in between, which would cost a timeout."""

TRUSTED_SECONDS = 0.5
"""A connection used so short a while ago is taken unseen: it is looked at when its slot comes, and looking is a system
call, a hand-over between threads."""

SUSPICION_SECONDS = 60.0
"""Where a connection was found closed at its slot, none is trusted for this long: that slot was lost."""

RENEW_RETRY_SECONDS = 60.0
"""How long a connection that could not be renewed stays in use before that is tried again."""


class _Idle(NamedTuple):
    connection: Connection
    since: float


class Transport:
    """Thread-safe; keeps at most `max_idle` unused connections, the last used is the first used again."""

    def __init__(self, dialer: Dialer, clock: Clock, max_idle: int) -> None:
        self._dialer = dialer
        self._clock = clock
        self._max_idle = max_idle
        self._lock = threading.Lock()
        self._idle: deque[_Idle] = deque()  # the longest unused first
        self._attempts: set[Attempt] = set()
        self._suspicious_until = -math.inf
        self._retired = False
        self._closed = False

    @contextlib.contextmanager
    def attempt(self, timeout_seconds: float) -> Iterator[Attempt]:
        """The attempt that all steps of one request share; `close` aborts it."""
        attempt = Attempt(self._clock, timeout_seconds)
        with self._lock:
            self._attempts.add(attempt)
            closed = self._closed
        if closed:
            attempt.abort()
        try:
            yield attempt
        finally:
            with self._lock:
                self._attempts.discard(attempt)

    def connect(self, attempt: Attempt) -> Connection:
        """A connection fit for a request, kept or new; raises as `Dialer.dial`."""
        connection = self._take()
        if connection is None:
            return self._dialer.dial(attempt)
        attempt.use(connection)
        if self._clock.monotonic() < connection.renew_at:
            return connection
        return self._renewed(connection, attempt)

    def replace(self, connection: Connection, attempt: Attempt) -> Connection:
        """A new connection instead of one that the server closed while it waited; raises as `connect`."""
        self._suspicious_until = self._clock.monotonic() + SUSPICION_SECONDS
        connection.close()
        return self._dialer.dial(attempt)

    def _renewed(self, connection: Connection, attempt: Attempt) -> Connection:
        """A new connection, or `connection` still where none can be had: what works must not end for that."""
        try:
            with attempt.limited(attempt.remaining() / 2):
                fresh = self._dialer.dial(attempt)
        except FAILURES:
            connection.renew_at = self._clock.monotonic() + RENEW_RETRY_SECONDS
            attempt.use(connection)
            return connection
        connection.close()
        return fresh

    def send(self, connection: Connection, request: PreparedRequest, attempt: Attempt) -> None:
        """Send `request`; `connection` is closed where that fails.  Raises OSError."""
        attempt.doing = "sending the request"
        try:
            connection.sendall(_head(request))
        except BaseException:
            connection.close()
            self._dialer.failed(connection.peer_address)
            raise

    def receive(self, connection: Connection, attempt: Attempt) -> Reply:
        """Read the answer to what was sent; `connection` is kept or closed.

        Raises OSError, HTTPException or ValueError.
        """
        keep = False
        try:
            attempt.doing = "waiting for the answer"
            with contextlib.closing(FinalResponse(connection)) as response:
                response.begin()
                attempt.doing = "reading the answer"
                reply = _reply(response)
                keep = response.status >= 200 and response.isclosed() and not response.will_close
        except FAILURES:
            self._dialer.failed(connection.peer_address)
            raise
        finally:
            if keep:
                self.release(connection)
            else:
                connection.close()
        return reply

    def release(self, connection: Connection) -> None:
        """Keep `connection` for a later request."""
        now = self._clock.monotonic()
        surplus = []
        with self._lock:
            if self._retired:
                surplus.append(connection)
            else:
                self._idle.append(_Idle(connection, now))
            while self._idle and (len(self._idle) > self._max_idle or _is_stale(self._idle[0], now)):
                surplus.append(self._idle.popleft().connection)
        for each in surplus:
            each.close()

    def retire(self) -> None:
        """Let requests under way end, and keep no connection after that."""
        with self._lock:
            self._retired = True
            idle = list(self._idle)
            self._idle.clear()
        for each in idle:
            each.connection.close()

    def close(self) -> None:
        """Close everything; requests under way, and any later one, fail at once."""
        self.retire()
        with self._lock:
            self._closed = True
            attempts = list(self._attempts)
        for attempt in attempts:
            attempt.abort()

    def _take(self) -> Connection | None:
        now = self._clock.monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                idle = self._idle.pop()
            if not _is_stale(idle, now) and (self._is_trusted(idle, now) or idle.connection.is_reusable()):
                return idle.connection
            idle.connection.close()

    def _is_trusted(self, idle: _Idle, now: float) -> bool:
        return now - idle.since < TRUSTED_SECONDS and now >= self._suspicious_until


def _is_stale(idle: _Idle, now: float) -> bool:
    return now - idle.since > MAX_IDLE_SECONDS


def _head(request: PreparedRequest) -> bytes:
    """The request as bytes; it has no body.  Raises OSError where a header would forge another."""
    lines = [f"{request.method} {request.path_url} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.lower_items()]
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise OSError("a header holds a character that none may")
    return "\r\n".join((*lines, "", "")).encode("ascii")


def _reply(response: http.client.HTTPResponse) -> Reply:
    body = response.read(MAX_BODY_BYTES + 1)
    if len(body) <= MAX_BODY_BYTES and response.length:  # a bounded read says nothing when the connection ends early
        raise http.client.IncompleteRead(body, response.length)
    return Reply(response.status, CaseInsensitiveDict(response.getheaders()), body)
