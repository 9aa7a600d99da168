"""Whether a failed poll is tried again within its interval, and when.

Pure: time and chance are arguments.  What may pass is retried with exponential backoff and full jitter; an error of
the account is tried once more, since its credentials are fetched anew meanwhile; one of the number is not.
"""

from __future__ import annotations

import random

from exporter.errors import Kind

MAX_RETRIES = 2
BASE_SECONDS = 1.0
CAP_SECONDS = 15.0


def retry_at(kind: Kind, retries: int, now: float, rng: random.Random) -> float | None:
    """The instant of the next try after `retries` of them, or None for none before the number's next regular poll."""
    if kind is Kind.NUMBER or retries >= (1 if kind is Kind.ACCOUNT else MAX_RETRIES):
        return None
    return now + rng.uniform(0.0, min(CAP_SECONDS, BASE_SECONDS * 2.0 ** (retries + 1)))
