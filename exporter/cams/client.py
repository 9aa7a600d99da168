"""Call an operation of the CAMS API: one request -> its value, or ApiError.  Neither retries nor paces.

The caller paces through the gate: the adapter connects, enters a slot of the gate, and signs and sends the request
inside.  A request that fails earlier takes a slot too.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import quote

from requests import PreparedRequest, Request, Response

from exporter import __version__
from exporter.cams.adapter import GatedAdapter, GatedRequest, Session
from exporter.cams.addresses import Lookup
from exporter.cams.answers import Redaction, read_payload
from exporter.cams.attempt import Attempt
from exporter.cams.endpoint import Endpoint
from exporter.cams.failures import api_error
from exporter.cams.operations import GetPhoneNumberVerificationStatus, GetWhatsappHealthStatus, Operation
from exporter.cams.operations.health import NodeType
from exporter.cams.signing import sign
from exporter.errors import ApiError, CredentialsError, Kind
from exporter.logs import fields
from exporter.model import Answer, Clock, Credential, Health, PhoneNumber, Slot

logger = logging.getLogger(__name__)

T = TypeVar("T")

API_VERSION = "2020-06-06"

SKEW_NEWS_SECONDS = 30.0
"""A skew is taken over, and said in the log, if it differs by more from the one in force."""

_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "content-length": "0",
    "user-agent": f"cams-exporter/{__version__}",
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


@dataclass(slots=True)
class _Signature:
    """What a request was signed with."""

    credential: Credential
    skew_seconds: float


class Client:
    """Calls one endpoint on behalf of one account, `account` in the log; thread-safe.

    `skew_seconds` is added to the clock when signing; the client sets it itself when the API refuses its time.
    `before_reading` is called when an answer has come; the time it takes does not count as the API's.
    """

    def __init__(
        self,
        *,
        account: str,
        endpoint: Endpoint,
        timeout_seconds: float,
        credentials: Credentials,
        clock: Clock,
        max_connections: int,
        lookup: Lookup = socket.getaddrinfo,
        before_reading: Callable[[], object] = lambda: None,
    ) -> None:
        self.skew_seconds = 0.0
        self._account = account
        self._node_type = NodeType()
        self._timeout_seconds = timeout_seconds
        self._credentials = credentials
        self._clock = clock
        self._before_reading = before_reading
        self._adapter = GatedAdapter(endpoint, clock, max_connections, lookup)
        self._session = Session(self._adapter)
        self._url = f"{'https' if endpoint.context else 'http'}://{endpoint.netloc}/"
        self._template = Request("POST", self._url, headers={**_HEADERS, "host": endpoint.netloc}).prepare()

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot] = contextlib.nullcontext) -> Answer:
        """Ask once for the status of a number; blocks and raises as `call` does."""
        return self.call(GetPhoneNumberVerificationStatus(number), gate)

    def check_health(self, number: PhoneNumber, gate: Callable[[], Slot] = contextlib.nullcontext) -> Health:
        """Ask once whether a number can send; blocks and raises as `call` does.

        If the API refuses the spelling of the node type, the error is `cured`: the next request has the other spelling.
        """
        sent = self._node_type.spelling
        try:
            health = self.call(GetWhatsappHealthStatus(number, sent), gate)
        except ApiError as error:
            error.cured |= self._node_type.refused(sent, error)
            raise
        self._node_type.accepted(sent)
        return health

    def call(self, operation: Operation[T], gate: Callable[[], Slot] = contextlib.nullcontext) -> T:
        """Send one request; blocks at most `timeout_seconds` in all, the wait for `gate` not counted.

        Raises ApiError, which names the operation, and nothing else but what `gate` raises.  After an error of the
        account a fresh credential is fetched in the background.
        """
        try:
            return self._called(operation, gate)
        except ApiError as error:
            error.operation = operation.name
            raise

    def _called(self, operation: Operation[T], gate: Callable[[], Slot]) -> T:
        attempt = Attempt(self._clock, self._timeout_seconds, self._adapter.closed, operation.max_body_bytes)
        try:
            signature = _Signature(self._credential(attempt), self.skew_seconds)
        except ApiError:  # do not even connect
            with attempt.slot(gate):
                pass
            raise

        def sign_now(request: PreparedRequest) -> None:
            """Date and sign the request now: the wait for the slot may have been long."""
            signature.credential, signature.skew_seconds = self._credential(attempt), self.skew_seconds
            sign(request, signature.credential, self._clock.unix() + signature.skew_seconds)

        request = GatedRequest(self._template, self._url_for(operation), attempt, gate, sign_now)
        request.headers["x-acs-action"] = operation.name
        response = self._session.send(request, proxies={})  # the endpoint has it: else it is looked up each time
        try:
            return self._read(response, operation, signature, attempt)
        except ApiError as error:
            if error.kind is Kind.ACCOUNT:
                error.cured = self._is_cured(error, signature)
            raise

    def ready(self) -> bool:
        """False until the first look for credentials ended, with or without success."""
        return self._credentials.ready()

    def credential_changes(self) -> int:
        """How often the credential became another one: what was refused before may be accepted now."""
        return self._credentials.changes()

    def retire(self) -> None:
        """Let requests under way end and keep no connection after that: another client takes over."""
        self._adapter.retire()

    def close(self) -> None:
        """Abandon requests under way: they fail at once."""
        self._session.close()

    def _credential(self, attempt: Attempt) -> Credential:
        """The credential to sign with now.  If there is none, raises ApiError and has one fetched in the background."""
        try:
            return self._credentials.get()
        except CredentialsError as error:
            self._credentials.refresh()
            raise api_error(error, attempt) from None

    def _url_for(self, operation: Operation[T]) -> str:
        values = [(name, str(value_of(operation))) for name, value_of in operation.parameters]
        query = [f"{name}={quote(value, safe='', errors='replace')}" for name, value in values]
        return f"{self._url}?{'&'.join(query)}"

    def _read(self, response: Response, operation: Operation[T], signature: _Signature, attempt: Attempt) -> T:
        elapsed_seconds = attempt.elapsed_seconds  # what comes now is not the API's time
        self._before_reading()
        key = signature.credential
        secrets = (key.security_token, key.access_key_secret, key.access_key_id)
        redaction = Redaction(operation.number, secrets, operation.hide)
        now_unix = self._clock.unix() + signature.skew_seconds
        return operation.read(read_payload(response, redaction, operation.max_body_bytes, elapsed_seconds, now_unix))

    def _is_cured(self, error: ApiError, signature: _Signature) -> bool:
        """Whether a request signed now would have another time, or another key, than the one that the API refused.

        Has a fresh credential fetched in the background.
        """
        self._credentials.refresh()
        if error.code.startswith("InvalidTimeStamp"):
            if error.server_unix is not None:
                self._correct_clock(error.server_unix)
            return abs(self.skew_seconds - signature.skew_seconds) > SKEW_NEWS_SECONDS
        try:
            return self._credentials.get() != signature.credential
        except CredentialsError:
            return False

    def _correct_clock(self, server_unix: float) -> None:
        """Sign with the server's time from now on."""
        skew = server_unix - self._clock.unix()
        if abs(skew - self.skew_seconds) <= SKEW_NEWS_SECONDS:
            return
        self.skew_seconds = skew
        facts = fields(account=self._account, clock_behind_seconds=round(skew))
        if abs(skew) > SKEW_NEWS_SECONDS:
            logger.warning("the API refused this machine's time: signing with the API's, fix the clock", extra=facts)
        else:
            logger.info("this machine's clock is right again", extra=facts)
