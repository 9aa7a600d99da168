"""Answers with the label of now in their texts: a reload may have hidden the number since the request left.

Equal values are made one object, because many numbers have them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from exporter.config.numbers import redact_message
from exporter.model import LISTED_TEXTS, Answer, Health, HealthError, ListedNumber, PhoneNumber


def safe_answer(number: PhoneNumber, answer: Answer) -> Answer:
    """`answer` with the label of now in its texts."""
    status, phone_number_id, request_id = map(
        number.redacted, (answer.status, answer.phone_number_id, answer.request_id)
    )
    return Answer(status, phone_number_id, request_id, answer.elapsed_seconds)


def safe_entry(number: PhoneNumber, entry: ListedNumber) -> ListedNumber:
    """`entry` with the label of now in its texts; `entry` itself if that changes nothing."""
    if number.label == number.phone_number:
        return entry
    texts: dict[str, Any] = {name: number.redacted(getattr(entry, name)) for name in LISTED_TEXTS}
    safe = replace(entry, **texts)
    return entry if safe == entry else safe


def safe_health(number: PhoneNumber, health: Health) -> Health:
    """`health` with the label of now in its texts: the request may have left before a reload."""
    errors = health.errors
    if number.label != number.phone_number:
        errors = tuple(
            HealthError(
                number.redacted(error.entity),
                number.redacted(error.code),
                redact_message(error.description, number),
                redact_message(error.solution, number),
            )
            for error in errors
        )
    return replace(
        health,
        verdict=number.redacted(health.verdict),
        errors=_shared_errors(errors),
        request_id=number.redacted(health.request_id),
    )


def all_redacted(number: PhoneNumber, texts: Iterable[str]) -> tuple[str, ...]:
    """`texts` with the label in place of the number, each once."""
    return tuple(dict.fromkeys(map(number.redacted, texts)))


@lru_cache(maxsize=1024)
def _shared_errors(errors: tuple[HealthError, ...]) -> tuple[HealthError, ...]:
    """One object in memory for all numbers with the same errors: those of a space or a business are the same."""
    return errors
