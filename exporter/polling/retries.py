"""Whether a failed poll is tried again ahead of the number's next regular poll, and when.

Pure: time and chance are arguments.  An error that may pass is retried twice an interval, with exponential backoff and
full jitter.  After that a number without a fresh status is retried less and less often, in the end once a minute.  An
error of the account is retried once, since its credentials are fetched again meanwhile.  An error of the number or of
permission is not retried.
"""

from __future__ import annotations

import random

from exporter.errors import ApiError, Kind
from exporter.polling.standing import DEFINITE

MAX_RETRIES = 2
BASE_SECONDS = 1.0
CAP_SECONDS = 60.0


def retry_at(
    error: ApiError, retries: int, failures: int, fresh_until: float, asked_at: float, now: float, rng: random.Random
) -> float | None:
    """The instant of the retry, or None for none before the number's next regular poll.

    `retries` were made since the last regular poll; `failures` came in a row, this one included; `fresh_until` is the
    instant from which on the number's status is stale.  A backoff of `CAP_SECONDS` has no jitter and counts from
    `asked_at`, when the request left: in an outage each number is polled exactly once a minute.
    """
    if error.kind in DEFINITE:
        return None
    longest = BASE_SECONDS * 2.0 ** min(failures, 10)
    shortest = 0.0 if failures <= MAX_RETRIES else longest / 2  # else chance might reach the end within seconds
    at = max(now, asked_at + CAP_SECONDS) if longest >= CAP_SECONDS else now + rng.uniform(shortest, longest)
    if error.kind is Kind.ACCOUNT:
        return at if retries < 1 or error.cured else None
    return at if retries < MAX_RETRIES else max(at, fresh_until)
