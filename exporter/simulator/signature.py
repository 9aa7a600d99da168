"""Verifies ACS3-HMAC-SHA256 signatures on the server's side.  Knows no keys and no accounts, reads no clock.

Source: Alibaba Cloud, "Request syntax and signature method V3".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus

from exporter.simulator.messages import Request

ALGORITHM = "ACS3-HMAC-SHA256"

REQUIRED_HEADERS = (
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
)
"""Headers that every request must have and sign."""

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} +Credential=(?P<key>[^,\s]+), *SignedHeaders=(?P<signed>[^,\s]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of the `Authorization` header."""

    access_key_id: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(header: str) -> Authorization | None:
    """The header's parts, or None if it is not ACS3-HMAC-SHA256."""
    match = _AUTHORIZATION.fullmatch(header.strip())
    if match is None:
        return None
    return Authorization(match["key"], tuple(match["signed"].split(";")), match["signature"])


def missing_headers(request: Request, signed_headers: Sequence[str]) -> tuple[str, ...]:
    """Headers that must be signed but are not: the required ones, and every ``x-acs-*`` of the request."""
    sent = {name for name in request.headers if name.startswith("x-acs-")}
    return tuple(sorted((sent | set(REQUIRED_HEADERS)) - (set(signed_headers) & set(request.headers))))


def canonical_query(query: str) -> str:
    """The query, decoded, encoded again as in RFC 3986, and sorted."""
    pairs = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        pairs.append((_encode(unquote_plus(name)), _encode(unquote_plus(value))))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def string_to_sign(request: Request, signed_headers: Sequence[str]) -> str:
    """The string that the client must sign, computed from the request."""
    canonical_headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in sorted(signed_headers))
    canonical_request = "\n".join(
        (
            request.method,
            request.path,
            canonical_query(request.query),
            canonical_headers,
            ";".join(sorted(signed_headers)),
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    return f"{ALGORITHM}\n{hashlib.sha256(canonical_request.encode('utf-8', 'replace')).hexdigest()}"


def sign(access_key_secret: str, text: str) -> str:
    """The signature of a string to sign, as lower-case hexadecimal digits."""
    return hmac.new(access_key_secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_valid(request: Request, authorization: Authorization, access_key_secret: str) -> bool:
    """Whether the request is signed with that secret, and its body matches the signed hash."""
    body_hash = hashlib.sha256(request.body).hexdigest()
    expected = sign(access_key_secret, string_to_sign(request, authorization.signed_headers))
    return hmac.compare_digest(expected, authorization.signature) and (
        request.headers.get("x-acs-content-sha256") == body_hash
    )


def _encode(text: str) -> str:
    return quote(text, safe="~")
