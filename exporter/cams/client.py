"""Ask the CAMS API about one number: one request -> Answer or ApiError.  Neither retries nor paces.

The caller paces through the gate: the adapter connects, enters a slot of the gate, and signs and sends the request
inside.  A request that fails earlier takes a slot too.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from requests import PreparedRequest, Request, Response

from exporter import __version__
from exporter.cams.adapter import GatedAdapter, GatedRequest, Session
from exporter.cams.addresses import Lookup
from exporter.cams.answers import Redaction, read_answer
from exporter.cams.attempt import Attempt
from exporter.cams.endpoint import Endpoint
from exporter.cams.failures import api_error
from exporter.cams.signing import Acs3Auth
from exporter.errors import ApiError, CredentialsError, Kind
from exporter.logs import fields
from exporter.model import OPERATION, Answer, Clock, Credential, PhoneNumber, Slot

logger = logging.getLogger(__name__)

API_VERSION = "2020-06-06"

SKEW_NEWS_SECONDS = 30.0
"""A skew is taken over, and said in the log, if it differs by more from the one in force."""

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


@dataclass(slots=True)
class _Signature:
    """What a request was signed with."""

    credential: Credential
    skew_seconds: float


class Client:
    """Asks one endpoint on behalf of one account; thread-safe.

    `skew_seconds` is added to the clock when signing; the client sets it itself when the API refuses its time.
    `before_reading` is called when an answer has come; the time it takes does not count as the API's.
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
        before_reading: Callable[[], object] = lambda: None,
    ) -> None:
        self.skew_seconds = 0.0
        self._timeout_seconds = timeout_seconds
        self._credentials = credentials
        self._clock = clock
        self._before_reading = before_reading
        self._adapter = GatedAdapter(endpoint, clock, max_connections, lookup)
        self._session = Session(self._adapter)
        self._url = f"{'https' if endpoint.context else 'http'}://{endpoint.netloc}/"
        self._template = Request("POST", self._url, headers={**_HEADERS, "host": endpoint.netloc}).prepare()

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot] = contextlib.nullcontext) -> Answer:
        """Ask once; blocks at most `timeout_seconds` in all, the wait for `gate` not counted.

        Raises ApiError and nothing else but what `gate` raises.  After an error of the account a fresh credential is
        fetched in the background.
        """
        attempt = self._adapter.attempt(self._timeout_seconds)
        try:
            signature = _Signature(self._credential(attempt), self.skew_seconds)
        except ApiError:  # do not even connect
            with attempt.slot(gate):
                pass
            raise

        def sign(request: PreparedRequest) -> None:
            """Date and sign the request now: the wait for the slot may have been long."""
            signature.credential, signature.skew_seconds = self._credential(attempt), self.skew_seconds
            Acs3Auth(signature.credential, self._clock, skew_seconds=signature.skew_seconds)(request)

        request = GatedRequest(self._template, self._url_for(number), attempt, gate, sign)
        response = self._session.send(request)
        try:
            return self._answer(response, number, signature, attempt)
        except ApiError as error:
            if error.kind is Kind.ACCOUNT:
                error.cured = self._is_cured(error, number.account, signature)
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

    def _url_for(self, number: PhoneNumber) -> str:
        space, digits = (quote(text, safe="", errors="replace") for text in (number.cust_space_id, number.phone_number))
        return f"{self._url}?CustSpaceId={space}&PhoneNumber={digits}"

    def _answer(self, response: Response, number: PhoneNumber, signature: _Signature, attempt: Attempt) -> Answer:
        elapsed_seconds = attempt.elapsed_seconds  # what comes now is not the API's time
        self._before_reading()
        key = signature.credential
        redaction = Redaction(number, (key.security_token, key.access_key_secret, key.access_key_id))
        return read_answer(response, redaction, elapsed_seconds, self._clock.unix() + signature.skew_seconds)

    def _is_cured(self, error: ApiError, account: str, signature: _Signature) -> bool:
        """Whether a request signed now would have another time, or another key, than the one that the API refused.

        Has a fresh credential fetched in the background.
        """
        self._credentials.refresh()
        if error.code.startswith("InvalidTimeStamp"):
            if error.server_unix is not None:
                self._correct_clock(account, error.server_unix)
            return abs(self.skew_seconds - signature.skew_seconds) > SKEW_NEWS_SECONDS
        try:
            return self._credentials.get() != signature.credential
        except CredentialsError:
            return False

    def _correct_clock(self, account: str, server_unix: float) -> None:
        """Sign with the server's time from now on."""
        skew = server_unix - self._clock.unix()
        if abs(skew - self.skew_seconds) <= SKEW_NEWS_SECONDS:
            return
        self.skew_seconds = skew
        facts = fields(account=account, clock_behind_seconds=round(skew))
        if abs(skew) > SKEW_NEWS_SECONDS:
            logger.warning("the API refused this machine's time: signing with the API's, fix the clock", extra=facts)
        else:
            logger.info("this machine's clock is right again", extra=facts)
