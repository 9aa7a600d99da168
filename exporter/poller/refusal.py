"""Whether the API refuses an account as a whole, and when to probe whether it still does.

Pure: time is an argument.  Three account-kind errors in a row (key, permission, subscription, clock) refuse the
account; the API saying something about a *number* shows that the account itself is let in.  A code that nobody knows
shows neither.
"""

from __future__ import annotations

import math

from exporter.errors import ApiError, Kind

ERRORS_TO_REFUSE = 3
MIN_PROBE_SECONDS = 10.0


class Refusal:
    """One account's standing.  Not thread-safe: its poller holds the lock.  Instants are monotonic seconds."""

    def __init__(self) -> None:
        self._errors_in_a_row = 0
        self._probed_at = -math.inf
        self._is_urgent = False
        self.reason: ApiError | None = None
        """The error that refused the account, or the last probe's; None while it is let in."""

    @property
    def refused(self) -> bool:
        """Whether the account is refused now."""
        return self.reason is not None

    def succeeded(self) -> bool:
        """A request brought a status; tells whether that restored a refused account."""
        restored = self.refused
        self._errors_in_a_row = 0
        self.reason = None
        return restored

    def failed(self, error: ApiError, now: float) -> None:
        """A request failed."""
        if error.kind is Kind.NUMBER and not error.guessed:
            self.succeeded()
        elif error.kind is Kind.ACCOUNT:
            self._errors_in_a_row += 1
            if self._errors_in_a_row >= ERRORS_TO_REFUSE:
                if not self.refused:
                    self.probed(now)
                self.reason = error

    def probe_at(self, interval_seconds: float) -> float:
        """While refused: the instant of the next probe, one per scrape interval and at most one in 10 s."""
        return self._probed_at + (MIN_PROBE_SECONDS if self._is_urgent else max(interval_seconds, MIN_PROBE_SECONDS))

    def probe_soon(self) -> None:
        """Something changed that may have mended the account: the next probe does not wait for the interval."""
        self._is_urgent = True

    def probed(self, now: float) -> None:
        """A probe leaves at `now`."""
        self._probed_at = now
        self._is_urgent = False
