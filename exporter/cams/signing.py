"""Sign a request with ACS3-HMAC-SHA256.  Sends nothing and keeps nothing.

Source: Alibaba Cloud's "V3 request signature".  Tests compare it with their published vector and the SDK's signer.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, urlsplit

from requests import PreparedRequest

from exporter.model import Credential

ALGORITHM = "ACS3-HMAC-SHA256"


_PROCESS = secrets.token_hex(8)
_count = itertools.count()


def new_nonce() -> str:
    """A number used once, 32 hex digits: 64 random bits of this process, then a counter.

    It must be unique, not hard to guess.
    """
    return f"{_PROCESS}{next(_count):016x}"


def sign(
    request: PreparedRequest, credential: Credential, now_unix: float, nonce: Callable[[], str] = new_nonce
) -> None:
    """Set the signature's headers on `request`; again for each attempt.  `now_unix` is the server's time.

    Signs `host` and every ``x-acs-*`` header of the request.
    """
    parts = urlsplit(request.url or "")
    body = request.body or b""
    headers = request.headers
    headers.setdefault("host", parts.netloc)
    headers["x-acs-date"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_unix))
    headers["x-acs-signature-nonce"] = nonce()
    headers["x-acs-content-sha256"] = _sha256(body.encode() if isinstance(body, str) else body)
    if credential.security_token:
        headers["x-acs-security-token"] = credential.security_token
    signed = sorted((name, value.strip()) for name, value in headers.lower_items() if _is_signed(name))
    names = ";".join(name for name, _ in signed)
    canonical = "\n".join(
        (
            request.method or "",
            parts.path or "/",
            _canonical_query(parts.query),
            *(f"{name}:{value}" for name, value in signed),
            "",
            names,
            headers["x-acs-content-sha256"],
        )
    )
    key = credential.access_key_secret.encode()
    signature = hmac.digest(key, f"{ALGORITHM}\n{_sha256(canonical.encode())}".encode(), "sha256").hex()
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credential.access_key_id},SignedHeaders={names},Signature={signature}"
    )


def _is_signed(name: str) -> bool:
    return name == "host" or name.startswith("x-acs-")


def _canonical_query(query: str) -> str:
    pairs = sorted(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)


def _encoded(text: str) -> str:
    """As RFC 3986: all but letters, digits and ``-_.~`` is encoded.  Bytes that are not UTF-8 stay as they are."""
    return quote(text, safe="", errors="surrogateescape")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
