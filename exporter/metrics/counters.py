"""What the exporter counts about its own requests and connections."""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Iterable, Iterator

from exporter.metrics.catalogue import (
    BUDGET_WAIT,
    DURATION,
    ERRORS,
    REFUSED_CONNECTIONS,
    REQUESTS,
    RETRIES,
    Metric,
    Refusal,
)
from exporter.metrics.text_format import Series, format_value
from exporter.model import OPERATION

MAX_CODES = 64
"""Distinct `code` label values per account; later ones are counted as `other`."""

OTHER_CODE = "other"

LATENCY_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Seconds; a call to Singapore takes 0.05 to 0.5, the default timeout is 10."""

Sample = tuple[Series, float]


class _Count:
    """One counter's series and where it stands."""

    __slots__ = ("series", "value")

    def __init__(self, metric: Metric, *labels: str) -> None:
        self.series = Series(metric.name, zip(metric.labels, labels, strict=True))
        self.value = 0.0


class _Durations:
    """One account's histogram."""

    def __init__(self, account: str) -> None:
        labels = tuple(zip(DURATION.labels, (account, OPERATION), strict=True))
        bounds = (*LATENCY_BUCKETS, math.inf)
        self._buckets = [Series(f"{DURATION.name}_bucket", (*labels, ("le", format_value(le)))) for le in bounds]
        self._count = Series(f"{DURATION.name}_count", labels)
        self._sum = Series(f"{DURATION.name}_sum", labels)
        self._counts = [0] * len(bounds)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect.bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def samples(self) -> Iterator[Sample]:
        total = 0
        for series, count in zip(self._buckets, self._counts, strict=True):
            total += count
            yield series, float(total)
        yield self._count, float(total)
        yield self._sum, self._seconds


class AccountCounters:
    """What is counted for one account; thread-safe, by the lock of all accounts' counters."""

    def __init__(self, account: str, codes: Iterable[str], lock: threading.Lock) -> None:
        self._name = account
        self._lock = lock
        self.requests = _Count(REQUESTS, account, OPERATION)
        self.errors = {code: self._error(code) for code in codes}
        self.durations = _Durations(account)
        self.retries = _Count(RETRIES, account, OPERATION)
        self.waits = _Count(BUDGET_WAIT, account)

    def attempt(
        self, waited_seconds: float, elapsed_seconds: float | None, code: str | None = None, *, is_retry: bool = False
    ) -> None:
        """Count one attempt: how long it waited for the budget, how long the request took, the error it brought.

        `elapsed_seconds` is None where no request was sent.  `is_retry` marks an attempt that repeats a poll.
        """
        with self._lock:
            self.waits.value += waited_seconds
            if code is not None:
                self._counted(code).value += 1
            if elapsed_seconds is not None:
                self.requests.value += 1
                self.retries.value += is_retry
                self.durations.observe(elapsed_seconds)

    def _counted(self, code: str) -> _Count:
        """The count of `code`; from `MAX_CODES` distinct ones on that of `other`."""
        if code not in self.errors and len(self.errors) >= MAX_CODES - 1:  # the last place belongs to `other` itself
            code = OTHER_CODE
        if code not in self.errors:
            self.errors[code] = self._error(code)
        return self.errors[code]

    def _error(self, code: str) -> _Count:
        return _Count(ERRORS, self._name, OPERATION, code)


class Counters:
    """What the exporter counts about its own requests, and the connections it refuses; thread-safe.

    Counts are kept per account and outlive a reload.  An account is shown from `register` until `forget`: what a
    request still in flight reports after that leaves no series behind.  Not `prometheus_client.Counter`: with a hundred
    accounts its five thousand would cost a scrape more than ten thousand numbers do.
    """

    def __init__(self, documented_codes: Iterable[str]) -> None:
        self._documented_codes = tuple(documented_codes)
        self._lock = threading.Lock()
        self._accounts: dict[str, AccountCounters] = {}
        self._refused = {reason: _Count(REFUSED_CONNECTIONS, reason) for reason in Refusal}

    def register(self, account: str) -> None:
        """Start every series of `account` at 0, so that the first error is an increase Prometheus can see."""
        with self._lock:
            if account not in self._accounts:
                self._accounts[account] = self._made(account)

    def forget(self, account: str) -> None:
        """Drop every series of an account that left the configuration."""
        with self._lock:
            self._accounts.pop(account, None)

    def of(self, account: str) -> AccountCounters:
        """The counters of one account; those of an account that is not registered are shown nowhere."""
        with self._lock:
            return self._accounts.get(account) or self._made(account)

    def _made(self, account: str) -> AccountCounters:
        return AccountCounters(account, self._documented_codes, self._lock)

    def refused_connection(self, reason: Refusal) -> None:
        """Count one connection that the web server refused or cut off."""
        with self._lock:
            self._refused[reason].value += 1

    def samples(self) -> Iterator[tuple[Metric, list[Sample]]]:
        """Every count as it stands, by metric."""
        with self._lock:
            accounts = list(self._accounts.values())
            errors = [count for account in accounts for count in account.errors.values()]
        for metric, counts in (
            (REQUESTS, [account.requests for account in accounts]),
            (ERRORS, errors),
            (RETRIES, [account.retries for account in accounts]),
            (BUDGET_WAIT, [account.waits for account in accounts]),
            (REFUSED_CONNECTIONS, list(self._refused.values())),
        ):
            yield metric, [(count.series, count.value) for count in counts]
        with self._lock:  # so that no histogram is caught between its buckets and its sum
            durations = [sample for account in accounts for sample in account.durations.samples()]
        yield DURATION, durations
