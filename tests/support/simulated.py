"""A client of the simulator: sign by the specification, send, read.

It has its own signer, so that the signers of simulator and exporter are not tested with themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import itertools
import json
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode, urlsplit

from exporter.simulator import HEALTH, INSTANCES, PHONE_NUMBERS, STATUS, Request, World
from tests.support.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "key-care"
SECRET = "secret-care"
SPACE = "cams-test"
PHONE = "447700900001"

_nonces = itertools.count()


def care_world(**options: Any) -> World:
    """A world with one account `care`, and in it one VERIFIED number."""
    world = World(**options)
    world.add_account("care", KEY, SECRET)
    world.add_number("care", SPACE, PHONE)
    return world


@dataclass(frozen=True)
class Call:
    """One API request to sign; `query` and `form` are its parameters, `unix` is its date."""

    query: Mapping[str, str] = field(default_factory=lambda: {"CustSpaceId": SPACE, "PhoneNumber": PHONE})
    form: Mapping[str, str] = field(default_factory=dict)
    action: str = STATUS
    key: str = KEY
    secret: str = SECRET
    token: str = ""
    nonce: str = ""
    unix: float | None = None
    host: str = "127.0.0.1"
    method: str = "POST"
    path: str = "/"
    changed: Mapping[str, str | None] = field(default_factory=dict)
    """Headers to set, or with None to omit, before signing."""

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path

    @property
    def body(self) -> bytes:
        return urlencode(self.form).encode()

    def headers(self) -> dict[str, str]:
        """All headers, the signature's included."""
        now = datetime.now(UTC) if self.unix is None else datetime.fromtimestamp(self.unix, UTC)
        values: dict[str, str | None] = {
            "host": self.host,
            "x-acs-action": self.action,
            "x-acs-version": "2020-06-06",
            "x-acs-date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": self.nonce or f"nonce-{next(_nonces)}",
            "x-acs-content-sha256": hashlib.sha256(self.body).hexdigest(),
            "x-acs-security-token": self.token or None,
            **self.changed,
        }
        headers = {name: value for name, value in sorted(values.items()) if value is not None}
        canonical = "\n".join(
            [
                self.method,
                self.path,
                urlencode(sorted(self.query.items()), quote_via=quote, safe="~"),
                *(f"{name}:{value}" for name, value in headers.items()),
                "",
                ";".join(headers),
                hashlib.sha256(self.body).hexdigest(),
            ]
        )
        text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new(self.secret.encode(), text.encode(), "sha256").hexdigest()
        headers["authorization"] = (
            f"ACS3-HMAC-SHA256 Credential={self.key},SignedHeaders={';'.join(headers)},Signature={signature}"
        )
        if self.form:
            headers["content-type"] = "application/x-www-form-urlencoded"
        return headers

    def request(self) -> Request:
        """The request for the simulator's gateway."""
        return Request(self.method, self.target, self.headers(), self.body)


def list_instances(**query: str) -> Call:
    """A call of ListInstance."""
    return Call(query, action=INSTANCES)


def list_numbers(space: str = SPACE, **query: str) -> Call:
    """A call of QueryChatappPhoneNumbers."""
    return Call({"CustSpaceId": space, **query}, action=PHONE_NUMBERS)


def ask_health(phone_number: str = PHONE, space: str = SPACE, node_type: str = "PHONE") -> Call:
    """A call of GetWhatsappHealthStatus."""
    return Call({"CustSpaceId": space, "NodeType": node_type, "PhoneNumber": phone_number}, action=HEALTH)


@dataclass(frozen=True)
class Response:
    """What came back; `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One kept-alive connection to a base URL; a context manager."""

    def __init__(
        self, url: str, *, context: ssl.SSLContext | None = None, timeout_seconds: float = PATIENCE_SECONDS
    ) -> None:
        parts = urlsplit(url)
        self._http: http.client.HTTPConnection
        if parts.scheme == "https":
            self._http = http.client.HTTPSConnection(parts.netloc, timeout=timeout_seconds, context=context)
        else:
            self._http = http.client.HTTPConnection(parts.netloc, timeout=timeout_seconds)
        self.host = parts.netloc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, call: Call) -> Response:
        """Send a signed call; `call.host` must be this connection's `host` to be accepted."""
        return self.send(call.method, call.target, call.headers(), call.body)

    def send(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Response:
        """Send anything and read the whole answer."""
        self._http.request(method, target, body=body, headers=dict(headers or {}))
        return self.receive()

    def post(self, call: Call) -> None:
        """Send a signed call and leave its answer to `receive`."""
        self._http.request(call.method, call.target, body=call.body, headers=dict(call.headers()))

    def receive(self) -> Response:
        """Read the whole answer."""
        answer = self._http.getresponse()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def ask(url: str, phone_number: str = PHONE, *, timeout_seconds: float = PATIENCE_SECONDS) -> Response:
    """Poll one number of the account `care` over its own connection."""
    with Connection(url, timeout_seconds=timeout_seconds) as connection:
        return connection.call(Call({"CustSpaceId": SPACE, "PhoneNumber": phone_number}, host=connection.host))
