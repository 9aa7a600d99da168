"""Turn one HTTP response into an Answer or an ApiError.  Neither sends, retries nor waits.

An answer is a status only if it is a 2xx with ``Code: "OK"`` and a non-blank string ``Data.CodeVerificationStatus``.
Everything else is an error.  All text that is kept has a bounded length and no lone surrogates.  It never contains the
credential, and the phone number only if the configuration shows it.

Source: Alibaba Cloud API reference, GetPhoneNumberVerificationStatus.
"""

from __future__ import annotations

import json
from typing import Never

from requests import Response

from exporter.cams import error_codes
from exporter.cams.retry_after import http_date, retry_after
from exporter.errors import ApiError, Kind
from exporter.model import Answer, PhoneNumber

MAX_BODY_BYTES = 1 << 20
MAX_TEXT = 128
MAX_MESSAGE = 500


class Redaction:
    """Makes hostile text safe to keep and show: bounded, printable, without `secrets`, the number as its label."""

    def __init__(self, number: PhoneNumber, secrets: tuple[str, ...] = ()) -> None:
        replaced = [(number.phone_number, number.label), *((secret, "***") for secret in secrets if secret)]
        self._replaced = [(hidden, shown) for hidden, shown in replaced if hidden != shown]

    def verbatim(self, text: str, limit: int = MAX_TEXT) -> str:
        """`text` unchanged, except for what must not be shown; at most `limit` characters."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        for hidden, shown in self._replaced:
            text = text.replace(hidden, shown)
        return text[:limit]

    def line(self, text: str, limit: int = MAX_MESSAGE) -> str:
        """`text` as one printable line."""
        text = self.verbatim(text, 4 * limit)
        if not text.isprintable():
            text = "".join(ch if ch.isprintable() else " " for ch in text)
        return " ".join(text.split())[:limit]


def read_answer(response: Response, redaction: Redaction, elapsed_seconds: float, now_unix: float) -> Answer:
    """The status in `response`; raises ApiError and nothing else.

    `now_unix` is our best guess of the server's time, for an answer without ``Date``.
    """
    facts = _Facts(response, redaction, elapsed_seconds, now_unix)
    if len(response.content) > MAX_BODY_BYTES:
        facts.refuse("the answer is longer than 1 MiB")
    try:
        payload = _parse(response.content)
    except (ValueError, RecursionError):
        facts.refuse("the answer is not JSON")
    if not isinstance(payload, dict):
        facts.refuse("the answer is not a JSON object")
    facts.take_request_id(payload.get("RequestId"))
    raw_code, message = payload.get("Code"), payload.get("Message")
    if raw_code != "OK":  # compared as it came: " OK\n" is none
        code = redaction.line(raw_code, MAX_TEXT) if isinstance(raw_code, str) else ""
        if code in {"", "OK"}:
            facts.refuse("the answer has no Code" if not code else "the Code is not quite OK")
        facts.fail(code, message if isinstance(message, str) else "")
    if not 200 <= response.status_code < 300:
        facts.refuse("an HTTP error that says OK")
    data = payload.get("Data")
    if not isinstance(data, dict):
        facts.refuse("the answer has no Data")
    status, number_id = data.get("CodeVerificationStatus"), data.get("Id")
    if not isinstance(status, str) or not status.strip():
        facts.refuse("the answer has no CodeVerificationStatus")
    if isinstance(number_id, int) and not isinstance(number_id, bool):
        number_id = str(number_id)
    return Answer(
        status=redaction.verbatim(status),
        phone_number_id=redaction.verbatim(number_id) if isinstance(number_id, str) else "",
        request_id=facts.request_id,
        elapsed_seconds=elapsed_seconds,
    )


class _Facts:
    """The facts for an error about this answer."""

    def __init__(self, response: Response, redaction: Redaction, elapsed_seconds: float, now_unix: float) -> None:
        self._response = response
        self._redaction = redaction
        self._elapsed_seconds = elapsed_seconds
        self._now_unix = now_unix
        self.request_id = redaction.line(response.headers.get("x-acs-request-id", ""), MAX_TEXT)

    def take_request_id(self, value: object) -> None:
        """The RequestId of the body goes before that of the header."""
        if isinstance(value, str) and value.strip():
            self.request_id = self._redaction.line(value, MAX_TEXT)

    def refuse(self, why: str) -> Never:
        """The answer is not the API's: an error with a code of our own."""
        status = self._response.status_code
        self.fail(error_codes.INVALID_RESPONSE if 200 <= status < 300 else error_codes.http_code(status), why)

    def fail(self, code: str, message: str) -> Never:
        kind, headers = error_codes.kind_of(code, self._response.status_code), self._response.headers
        raise ApiError(
            code,
            kind,
            message=self._redaction.line(message),
            http_status=self._response.status_code,
            request_id=self.request_id,
            retry_after_seconds=retry_after(headers, self._now_unix, throttled=kind is Kind.THROTTLE),
            server_unix=http_date(headers.get("date", "")),
            elapsed_seconds=self._elapsed_seconds,
            guessed=not error_codes.is_known(code),
        )


def _parse(body: bytes) -> object:
    parsed: object = json.loads(body.decode("utf-8"), parse_constant=_not_json, object_pairs_hook=_unique)
    return parsed


def _not_json(literal: str) -> Never:
    raise ValueError(f"{literal} is not JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that occurs twice: its meaning would depend on the reader."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
