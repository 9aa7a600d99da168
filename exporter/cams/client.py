"""Ask the CAMS API about one number: one request -> Answer or ApiError.  Neither retries nor paces.

The caller paces through the gate: a slot of it is entered once a connection stands, and the request leaves inside;
another one, where the server closed that connection meanwhile; or, where no connection or credential could be had, one
before the error is raised, so that failing attempts are paced like others.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from requests import PreparedRequest, Request

from exporter import __version__
from exporter.cams.adapter import Transport
from exporter.cams.answers import Redaction, Reply, read_answer
from exporter.cams.attempt import Attempt
from exporter.cams.endpoint import Connection, Dialer, Endpoint, Lookup
from exporter.cams.failures import FAILURES, api_error
from exporter.cams.signing import Acs3Auth
from exporter.errors import ApiError, CredentialsError, Kind
from exporter.logs import fields
from exporter.model import OPERATION, Answer, Clock, Credential, PhoneNumber, Slot

logger = logging.getLogger(__name__)

API_VERSION = "2020-06-06"

MAX_SLOTS = 2
"""Slots that one attempt takes at most: a server that closes every connection at once must not eat the budget."""

SKEW_NEWS_SECONDS = 30.0
"""A skew is said in the log when it differs by more from the last one that was, and makes a signature another one."""

_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "content-length": "0",
    "user-agent": f"cams-exporter/{__version__}",
    "x-acs-action": OPERATION,
    "x-acs-version": API_VERSION,
}


class Credentials(Protocol):
    """What the client needs of a source of credentials."""

    def get(self) -> Credential:
        """The credential to sign with now; raises CredentialsError."""

    def ready(self) -> bool:
        """False until the first look for one ended."""

    def changes(self) -> int:
        """How often the credential became another one, the first included."""

    def refresh(self) -> None:
        """Have a fresh one fetched in the background."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request that has left: over what, signed with what."""

    connection: Connection
    credential: Credential
    skew_seconds: float


class Client:
    """Asks one endpoint on behalf of one account; thread-safe.

    `skew_seconds` is added to the clock when signing; the client sets it itself when the API refuses its time.
    """

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        timeout_seconds: float,
        credentials: Credentials,
        clock: Clock,
        max_connections: int,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self.skew_seconds = 0.0
        self._skew_said = 0.0
        self._lock = threading.Lock()
        self._timeout_seconds = timeout_seconds
        self._credentials = credentials
        self._clock = clock
        self._transport = Transport(Dialer(endpoint, clock, lookup), clock, max_connections)
        self._url = f"{'https' if endpoint.context else 'http'}://{endpoint.netloc}/"
        self._template = Request("POST", self._url, headers={**_HEADERS, "host": endpoint.netloc}).prepare()

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot] = contextlib.nullcontext) -> Answer:
        """Ask once; blocks at most `timeout_seconds` in all, the wait for `gate` not counted.

        Raises ApiError and nothing else but what `gate` raises.
        """
        with self._transport.attempt(self._timeout_seconds) as attempt:
            try:
                self._credentials.get()  # without one there is no point in connecting
                connection = self._transport.connect(attempt)
            except FAILURES as error:
                with attempt.paused(), gate():
                    pass
                raise api_error(error, attempt) from None
            sent = self._sent(number, connection, gate, attempt)
            try:
                reply = self._transport.receive(sent.connection, attempt)
            except FAILURES as error:
                raise api_error(error, attempt) from None
            try:
                return self._answer(reply, number, sent, attempt)
            except ApiError as error:
                if error.kind is Kind.ACCOUNT:
                    error.cured = self._is_cured(error, number.account, sent)
                raise

    def ready(self) -> bool:
        """False until the first look for credentials ended, well or badly."""
        return self._credentials.ready()

    def credential_changes(self) -> int:
        """How often the credential became another one: what was refused before may be let in now."""
        return self._credentials.changes()

    def renew_credentials(self) -> None:
        """Have fresh credentials fetched in the background."""
        self._credentials.refresh()

    def retire(self) -> None:
        """Let what is under way end and keep nothing open after it: another client takes over."""
        self._transport.retire()

    def close(self) -> None:
        """Abandon what is under way: it fails at once."""
        self._transport.close()

    def _sent(self, number: PhoneNumber, connection: Connection, gate: Callable[[], Slot], attempt: Attempt) -> _Sent:
        """Wait for a slot and send in it.

        A connection that the server closed meanwhile is replaced, and the new one waits for a slot of its own: making
        it takes time, and sent after that the request would come too close to the next one.
        """
        for slots in range(MAX_SLOTS):
            if slots:
                connection = self._another(connection, attempt)
            with contextlib.ExitStack() as slot:
                try:
                    with attempt.paused():
                        slot.enter_context(gate())
                except BaseException:
                    self._transport.release(connection)
                    raise
                if connection.is_reusable():
                    return self._sent_now(number, connection, attempt)
        connection.close()
        attempt.doing = "waiting for a slot"
        raise api_error(ConnectionAbortedError("the server closes what it has to wait for"), attempt)

    def _another(self, connection: Connection, attempt: Attempt) -> Connection:
        try:
            return self._transport.replace(connection, attempt)
        except FAILURES as error:
            raise api_error(error, attempt) from None

    def _sent_now(self, number: PhoneNumber, connection: Connection, attempt: Attempt) -> _Sent:
        skew_seconds = self.skew_seconds
        try:
            credential = self._credentials.get()  # anew: the wait may have been long
        except FAILURES as error:
            self._transport.release(connection)
            raise api_error(error, attempt) from None
        request = self._signed(number, credential, skew_seconds)
        try:
            self._transport.send(connection, request, attempt)
        except FAILURES as error:
            raise api_error(error, attempt) from None
        return _Sent(connection, credential, skew_seconds)

    def _signed(self, number: PhoneNumber, credential: Credential, skew_seconds: float) -> PreparedRequest:
        """The request, dated and signed now."""
        request = self._template.copy()
        space, digits = (quote(text, safe="", errors="replace") for text in (number.cust_space_id, number.phone_number))
        request.url = f"{self._url}?CustSpaceId={space}&PhoneNumber={digits}"
        Acs3Auth(credential, self._clock, skew_seconds=skew_seconds)(request)
        return request

    def _answer(self, reply: Reply, number: PhoneNumber, sent: _Sent, attempt: Attempt) -> Answer:
        key = sent.credential
        redaction = Redaction(number, (key.security_token, key.access_key_secret, key.access_key_id))
        return read_answer(reply, redaction, attempt.elapsed_seconds, self._clock.unix() + sent.skew_seconds)

    def _is_cured(self, error: ApiError, account: str, sent: _Sent) -> bool:
        """Whether a request signed now would differ in what the API refused: the time, or else the key."""
        if error.code.startswith("InvalidTimeStamp"):
            if error.server_unix is not None:
                self._correct_clock(account, error.server_unix)
            return abs(self.skew_seconds - sent.skew_seconds) > SKEW_NEWS_SECONDS
        self._credentials.refresh()
        try:
            return self._credentials.get() != sent.credential
        except CredentialsError:
            return False

    def _correct_clock(self, account: str, server_unix: float) -> None:
        """Sign with the server's time from now on."""
        with self._lock:
            self.skew_seconds = skew = server_unix - self._clock.unix()
            is_news = abs(skew - self._skew_said) > SKEW_NEWS_SECONDS
            if is_news:
                self._skew_said = skew
        if not is_news:
            return
        facts = fields(account=account, clock_behind_seconds=round(skew))
        if abs(skew) > SKEW_NEWS_SECONDS:
            logger.warning("the API refused this machine's time: signing with the API's, fix the clock", extra=facts)
        else:
            logger.info("this machine's clock is right again", extra=facts)
