"""Read what other replicas wrote, with care: it is checked and bounded like an answer of the API."""

from __future__ import annotations

import math
import sys
from typing import Never

from exporter.cams.answers import Redaction
from exporter.cams.operations.health import MAX_ERRORS
from exporter.cams.operations.phone_numbers import listed_number
from exporter.cluster.store.replies import StoreError, parts, seconds
from exporter.model import LISTED_TEXTS, Health, HealthError, Listing, PhoneNumber
from exporter.state.records import MAX_EXTRA_STATUSES, HealthState, LastError, ShownValues

MAX_LATENCY_SECONDS = 3600.0
MAX_AGE_SECONDS = 10 * 366 * 86400.0


class Reader:
    """Reads parts of a payload that was written `age_seconds` ago; each method raises StoreError."""

    def __init__(self, redaction: Redaction, age_seconds: float) -> None:
        self._redaction = redaction
        self._age_seconds = age_seconds

    def text(self, value: object) -> str:
        """A text of bounded length, with the label in place of the number."""
        if not isinstance(value, str):
            refuse("an answer lacks a text")
        return self._redaction.verbatim(value)

    def age(self, value: object) -> float | None:
        """How old it is now."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_AGE_SECONDS:
            refuse("an answer has an age that is none")
        return value + self._age_seconds

    def line(self, value: str) -> str:
        """The same as one printable line."""
        return self._redaction.line(self.text(value))

    def message(self, value: str) -> str:
        """A text for people as one line, other phone numbers masked."""
        return self._redaction.message(value)

    def request_id(self, value: str) -> str:
        """A RequestId as one line."""
        return self._redaction.request_id(value)

    def texts(self, value: object, least: int, most: int) -> tuple[str, ...]:
        """A list of `least` to `most` texts."""
        if not isinstance(value, list) or not least <= len(value) <= most:
            refuse("an answer has a list of another length")
        return tuple(map(self.text, value))

    def listing(self, value: object, number: PhoneNumber, now: float) -> Listing:
        """What listings say of a number."""
        listed, looked_age, seen_age, entry_texts = parts(value, bool, object, object, object)
        looked, seen = self.age(looked_age), self.age(seen_age)
        if looked is None or (seen is None) is not (entry_texts is None):
            refuse("an answer has a listing without a time")
        if seen is None:
            return Listing(listed, now - looked)
        texts = self.texts(entry_texts, len(LISTED_TEXTS), 32)[: len(LISTED_TEXTS)]
        entry = listed_number(number.phone_number, list(map(sys.intern, texts)))
        return Listing(listed, now - looked, now - seen, entry)

    def shown(self, value: object) -> ShownValues:
        """The values that listings have shown, from the same parts."""
        *_, lists = parts(value, object, object, object, object, list)
        return ShownValues(*(self.texts(each, 0, MAX_EXTRA_STATUSES) for each in parts(lists, list, list, list)))

    def health(self, value: object, now: float, now_unix: float) -> HealthState:
        """What health checks say of a number."""
        verdict, success, since, shown, error = parts(value, object, object, object, object, object)
        success_age, since_age = self.age(success), self.age(since)
        answer = None if verdict is None else self._health_answer(verdict)
        if (answer is None) is not (success_age is None):
            refuse("an answer has a verdict without a time, or a time without a verdict")
        return HealthState(
            answer,
            -math.inf if success_age is None else now - success_age,
            None if success_age is None else now_unix - success_age,
            None if since_age is None else now_unix - max(since_age, success_age or 0.0),
            self.texts(shown, 0, MAX_EXTRA_STATUSES),
            None if error is None else self.error(error, now_unix),
        )

    def _health_answer(self, value: object) -> Health:
        verdict, errors, request_id = parts(value, str, list, str)
        if len(errors) > MAX_ERRORS:
            refuse("an answer has too many errors")
        return Health(
            sys.intern(self._redaction.line(self.text(verdict))) or refuse("an answer has no verdict"),
            tuple(self._health_error(each) for each in errors),
            self.text(request_id),
        )

    def _health_error(self, value: object) -> HealthError:
        entity, code, description, solution = parts(value, str, str, str, str)
        return HealthError(
            self.text(entity),
            self.text(code),
            self._redaction.message(description),
            self._redaction.message(solution),
        )

    def request(self, value: object) -> tuple[float, str]:
        """How long the last poll took, and its RequestId."""
        latency, request_id = parts(value, object, str)
        return seconds(latency, MAX_LATENCY_SECONDS), self.line(request_id)

    def error(self, value: object, now_unix: float) -> LastError:
        """Why a poll or a check failed."""
        code, message, http_status, request_id, age = parts(value, str, str, object, str, object)
        error_age = self.age(age)
        is_status = http_status is None or (type(http_status) is int and 0 <= http_status < 1000)
        if error_age is None or not is_status:
            refuse("an answer has an error of another shape")
        return LastError(
            code=self._redaction.line(self.text(code)),
            message=self._redaction.message(message),
            http_status=http_status,
            request_id=self._redaction.line(self.text(request_id)),
            unix=now_unix - error_age,
        )


def refuse(why: str) -> Never:
    """Raise StoreError."""
    raise StoreError(why)
