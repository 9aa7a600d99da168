"""Read the part of an answer that is the same for all operations: a Payload or an ApiError.  Neither retries nor waits.

An answer is a success only if it is a 2xx with ``Code: "OK"``.  Everything else is an error.  Each operation reads its
own fields from the payload.  All text that is kept has a bounded length and no lone surrogates.  It never contains the
credential, and phone numbers only if the configuration shows them.

Source: Alibaba Cloud API reference, the operations of CAMS.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Never

from requests import Response

from exporter.cams import error_codes
from exporter.cams.retry_after import http_date, retry_after
from exporter.config.numbers import redact_message
from exporter.errors import ApiError, Kind
from exporter.model import PhoneNumber

MAX_TEXT = 128
MAX_MESSAGE = 500

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Redaction:
    """Makes hostile text safe to keep and show: bounded, printable, without `secrets`, the number as its label.

    `hide` takes other phone numbers out of a text.
    """

    def __init__(
        self,
        number: PhoneNumber | None,
        secrets: tuple[str, ...] = (),
        hide: Callable[[str], str] | None = None,
    ) -> None:
        is_hidden = number is not None and number.label != number.phone_number
        self._number = number if is_hidden else None
        self._secrets = tuple(secret for secret in secrets if secret)
        self._hide = hide

    def verbatim(self, text: str, limit: int = MAX_TEXT) -> str:
        """`text` unchanged, except for what must not be shown; at most `limit` characters."""
        text = self._known_hidden(text)
        return (text if self._hide is None else self._hide(text))[:limit]

    def line(self, text: str, limit: int = MAX_MESSAGE) -> str:
        """`text` as one printable line."""
        text = self.verbatim(text, 4 * limit)
        if not text.isprintable():
            text = "".join(ch if ch.isprintable() else " " for ch in text)
        return " ".join(text.split())[:limit]

    def message(self, text: str) -> str:
        """`text`, which is for people, as one line; it may name other phone numbers, which are masked."""
        line = self.line(text, MAX_MESSAGE)
        return line if self._number is None else redact_message(line, self._number)[:MAX_MESSAGE]

    def request_id(self, text: str) -> str:
        """`text` as one line; a UUID without `hide`, because support needs the digits that look like a phone number."""
        return self._known_hidden(text) if _UUID.fullmatch(text) else self.line(text, MAX_TEXT)

    def _known_hidden(self, text: str) -> str:
        text = text.encode("utf-8", "replace").decode("utf-8")
        if self._number is not None:
            text = self._number.redacted(text)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class Payload:
    """The fields of a successful answer, for its operation to read.  A field may have any type."""

    def __init__(self, response: Response, redaction: Redaction, elapsed_seconds: float, now_unix: float) -> None:
        self._response = response
        self._now_unix = now_unix
        self.redaction = redaction
        self.elapsed_seconds = elapsed_seconds
        self.request_id = redaction.request_id(response.headers.get("x-acs-request-id", ""))
        self.fields: Mapping[str, object] = {}

    def expect_success(self) -> None:
        """Refuse an answer with ``Success: false``, although its Code is OK."""
        if self.fields.get("Success") is False:
            self.refuse("the Code is OK and Success is false")

    def objects(self, name: str) -> list[Mapping[str, object]]:
        """The field `name`.  Refuses the answer if that is not a list of objects."""
        found = self.fields.get(name)
        if not isinstance(found, list):
            self.refuse(f"the answer has no list {name}")
        if not all(isinstance(each, dict) for each in found):
            self.refuse(f"an entry of {name} is not an object")
        return found

    def verbatim(self, value: object) -> str:
        """A text or a whole number by `Redaction.verbatim`; empty for any other value."""
        return self.redaction.verbatim(as_text(value))

    def text(self, value: object) -> str:
        """A text or a whole number by `Redaction.line`; empty for any other value."""
        return sys.intern(self.redaction.line(as_text(value), MAX_TEXT))  # ten thousand numbers share a few values

    def message(self, value: object) -> str:
        """The same by `Redaction.message`."""
        return sys.intern(self.redaction.message(as_text(value)))

    def refuse(self, why: str) -> Never:
        """Raise an ApiError with a code of our own: the answer is not as documented."""
        status = self._response.status_code
        self.fail(error_codes.INVALID_RESPONSE if 200 <= status < 300 else error_codes.http_code(status), why)

    def fail(self, code: str, message: str) -> Never:
        """Raise an ApiError with the code of the answer."""
        kind, headers = error_codes.kind_of(code, self._response.status_code), self._response.headers
        raise ApiError(
            code,
            kind,
            message=self.redaction.message(message),
            http_status=self._response.status_code,
            request_id=self.request_id,
            retry_after_seconds=retry_after(headers, self._now_unix, throttled=kind is Kind.THROTTLE),
            server_unix=http_date(headers.get("date", "")),
            elapsed_seconds=self.elapsed_seconds,
            guessed=not error_codes.is_known(code),
        )


def read_payload(
    response: Response, redaction: Redaction, max_body_bytes: int, elapsed_seconds: float, now_unix: float
) -> Payload:
    """The payload of `response`; raises ApiError and nothing else.

    `now_unix` is our best guess of the server's time, for an answer without ``Date``.
    """
    payload = Payload(response, redaction, elapsed_seconds, now_unix)
    if len(response.content) > max_body_bytes:
        payload.refuse(f"the answer is longer than {max_body_bytes >> 20} MiB")
    try:
        fields = _parse(response.content)
    except (ValueError, RecursionError):
        payload.refuse("the answer is not JSON")
    if not isinstance(fields, dict):
        payload.refuse("the answer is not a JSON object")
    request_id, raw_code, message = fields.get("RequestId"), fields.get("Code"), fields.get("Message")
    if isinstance(request_id, str) and request_id.strip():  # it goes before that of the header
        payload.request_id = redaction.request_id(request_id)
    if raw_code != "OK":  # compared as it came: " OK\n" is none
        code = redaction.line(raw_code, MAX_TEXT) if isinstance(raw_code, str) else ""
        if code in {"", "OK"}:
            payload.refuse("the answer has no Code" if not code else "the Code is not quite OK")
        payload.fail(code, message if isinstance(message, str) else "")
    if not 200 <= response.status_code < 300:
        payload.refuse("an HTTP error that says OK")
    payload.fields = fields
    return payload


def as_text(value: object) -> str:
    """A text as it came, a whole number as its digits; empty for any other value."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _parse(body: bytes) -> object:
    parsed: object = _DECODER.decode(body.decode("utf-8"))
    return parsed


def _not_json(literal: str) -> Never:
    raise ValueError(f"{literal} is not JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that occurs twice: its meaning would depend on the reader."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


_DECODER = json.JSONDecoder(parse_constant=_not_json, object_pairs_hook=_unique)
