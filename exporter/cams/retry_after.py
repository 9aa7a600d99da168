"""How long an error answer asks to wait, by its headers.  Does not wait.

Source: RFC 9110, 10.2.3 (``Retry-After``); Alibaba Cloud's SDKs (``x-acs-retry-after``, ``x-ratelimit-*``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_SECONDS = 60.0
"""No answer can stop an account for longer.  This is the only place where the pause is capped."""

_LATEST_UNIX = 253_402_300_799.0 - 366 * 86400
"""Later dates could need five digits for the year once a skew is added."""

_WHOLE = re.compile(r"\s*([0-9]{1,18})\s*", re.ASCII)
_TIME_LEFT = re.compile(r"(?:^|,)\s*TimeLeft\s*:\s*([0-9]{1,18})\s*(?:,|$)", re.IGNORECASE)


def retry_after(headers: Mapping[str, str], now_unix: float, *, throttled: bool) -> float | None:
    """Seconds that an error answer asks to wait, 0 to 60; None if it does not ask, or if the value is malformed.

    `headers` finds names in any case.  ``Retry-After`` is in seconds, or a date that counts from the answer's own
    ``Date``, else from `now_unix`.  ``x-acs-retry-after`` is in milliseconds.  The longer of the two counts.  If there
    is neither and the error is a throttle, the longer ``TimeLeft`` of older gateways counts, in milliseconds:
    ``Limit:1,Remain:0,TimeLeft:2000,Reset:1234``.
    """
    asked = [_milliseconds(_WHOLE.fullmatch(headers.get("x-acs-retry-after", ""))), _standard(headers, now_unix)]
    if asked == [None, None] and throttled:
        named = (headers.get(name, "") for name in ("x-ratelimit-user-api", "x-ratelimit-user"))
        asked = [_milliseconds(_TIME_LEFT.search(value)) for value in named]
    seconds = [each for each in asked if each is not None]
    return min(max(seconds), MAX_RETRY_AFTER_SECONDS) if seconds else None


def http_date(text: str) -> float | None:
    """An HTTP date as seconds since the epoch; None if it is missing or malformed."""
    try:
        parsed = parsedate_to_datetime(text)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return moment if 0 <= moment < _LATEST_UNIX else None


def _standard(headers: Mapping[str, str], now_unix: float) -> float | None:
    value = headers.get("retry-after", "")
    if seconds := _WHOLE.fullmatch(value):
        return float(seconds[1])
    until, said_at = http_date(value), http_date(headers.get("date", ""))
    return None if until is None else max(0.0, until - (now_unix if said_at is None else said_at))


def _milliseconds(found: re.Match[str] | None) -> float | None:
    return int(found[1]) / 1000 if found else None
