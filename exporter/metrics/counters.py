"""What the exporter counts about its own requests and connections."""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

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

_BUCKET_LABELS = (*DURATION.labels, "le")
_BOUNDS = tuple(map(format_value, (*LATENCY_BUCKETS, math.inf)))

Sample = tuple[Series, float]


class _Count:
    """One counter's series and where it stands."""

    __slots__ = ("series", "value")

    def __init__(self, metric: Metric, *labels: str) -> None:
        self.series = Series(metric.name, metric.labels, labels)
        self.value = 0.0


class _Durations:
    """The histogram of one operation of an account."""

    def __init__(self, account: str, operation: str) -> None:
        name, values = DURATION.name, (account, operation)
        self._buckets = [Series(f"{name}_bucket", _BUCKET_LABELS, (*values, le)) for le in _BOUNDS]
        self._count = Series(f"{name}_count", DURATION.labels, values)
        self._sum = Series(f"{name}_sum", DURATION.labels, values)
        self._counts = [0] * len(_BOUNDS)
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


class OperationCounters:
    """The counters of one operation of an account; thread-safe, by the lock of all counters."""

    def __init__(self, account: AccountCounters, operation: str) -> None:
        self._account = account
        self._operation = operation
        self.requests = _Count(REQUESTS, account.name, operation)
        self.errors = {code: self._error(code) for code in account.codes_of(operation)}
        self.durations = _Durations(account.name, operation)
        self.retries = _Count(RETRIES, account.name, operation)
        self._samples: tuple[list[Sample], list[Sample]] | None = None

    def samples(self) -> tuple[list[Sample], list[Sample]]:
        """The errors and the durations as they stand.  The lock is held.

        They are made again only after an attempt: a hundred accounts with four operations have 15,000 samples.
        """
        if self._samples is None:
            errors = [(count.series, count.value) for count in self.errors.values()]
            self._samples = errors, list(self.durations.samples())
        return self._samples

    def attempt(
        self, waited_seconds: float, elapsed_seconds: float | None, code: str | None = None, *, is_retry: bool = False
    ) -> None:
        """Count one attempt: how long it waited for the budget, how long the request took, the error it brought.

        `waited_seconds` is that of a poll that was due; 0 for any other request.  `elapsed_seconds` is None where no
        request was sent.  `is_retry` marks an attempt that repeats another one.
        """
        with self._account.lock:
            self._samples = None
            self._account.waits.value += waited_seconds
            if code is not None:
                self._counted(code).value += 1
            if elapsed_seconds is not None:
                self.requests.value += 1
                self.retries.value += is_retry
                self.durations.observe(elapsed_seconds)

    def _counted(self, code: str) -> _Count:
        count = self.errors.get(code)
        if count is None:
            code = self._account.bounded(code)
            count = self.errors.get(code) or self.errors.setdefault(code, self._error(code))
        return count

    def _error(self, code: str) -> _Count:
        return _Count(ERRORS, self._account.name, self._operation, code)


class AccountCounters:
    """What is counted for one account, by operation; `lock` guards all of it."""

    def __init__(self, name: str, codes_of: Callable[[str], Sequence[str]], lock: threading.Lock) -> None:
        self.name = name
        self.codes_of = codes_of
        self.lock = lock
        self.waits = _Count(BUDGET_WAIT, name)
        self.operations: dict[str, OperationCounters] = {}
        """Those in use, which are shown."""
        self._further_codes: set[str] = set()  # than the documented ones

    def use(self, operations: Iterable[str]) -> None:
        """Show these operations and no others.  The lock is held."""
        self.operations = {operation: self.of(operation) for operation in operations}

    def of(self, operation: str) -> OperationCounters:
        """The counters of an operation.  If it is not in use, they are not shown.  The lock is held."""
        return self.operations.get(operation) or OperationCounters(self, operation)

    def bounded(self, code: str) -> str:
        """`code`; from `MAX_CODES` distinct ones of the account on, `other`.  The lock is held."""
        documented, further = self.codes_of(OPERATION), self._further_codes
        if code not in documented and code not in further:
            if len(documented) + len(further) >= MAX_CODES - 1:  # the last place belongs to `other` itself
                return OTHER_CODE
            further.add(code)
        return code


class Counters:
    """What the exporter counts about its own requests, and the connections it refuses; thread-safe.

    Counts are kept per account and operation, and outlive a reload.  An account is shown from `register` until
    `forget`: what a request still in flight reports after that leaves no series behind.  Not
    `prometheus_client.Counter`: with a hundred accounts its five thousand would cost a scrape more than ten thousand
    numbers do.

    `documented_codes` start at 0; of an operation other than the status poll `optional_codes` do, which are some of
    them, or all.
    """

    def __init__(self, documented_codes: Iterable[str], optional_codes: Iterable[str] | None = None) -> None:
        self._documented_codes = tuple(documented_codes)
        self._optional_codes = self._documented_codes if optional_codes is None else tuple(optional_codes)
        self._lock = threading.Lock()
        self._accounts: dict[str, AccountCounters] = {}
        self._refused = {reason: _Count(REFUSED_CONNECTIONS, reason) for reason in Refusal}

    def register(self, account: str, operations: Iterable[str] = (OPERATION,)) -> None:
        """Start every series of `account` at 0, so that the first error is an increase Prometheus can see.

        `operations` are those that it uses from now on.  Others of it leave no series behind.
        """
        with self._lock:
            if account not in self._accounts:
                self._accounts[account] = self._made(account)
            self._accounts[account].use(operations)

    def forget(self, account: str) -> None:
        """Drop every series of an account that left the configuration."""
        with self._lock:
            self._accounts.pop(account, None)

    def of(self, account: str, operation: str = OPERATION) -> OperationCounters:
        """The counters of an account's operation; those of an account that is not registered are shown nowhere."""
        with self._lock:
            return (self._accounts.get(account) or self._made(account)).of(operation)

    def _made(self, account: str) -> AccountCounters:
        return AccountCounters(account, self._codes_of, self._lock)

    def _codes_of(self, operation: str) -> Sequence[str]:
        return self._documented_codes if operation == OPERATION else self._optional_codes

    def refused_connection(self, reason: Refusal) -> None:
        """Count one connection that the web server refused or cut off."""
        with self._lock:
            self._refused[reason].value += 1

    def samples(self) -> Iterator[tuple[Metric, list[Sample]]]:
        """Every count as it stands, by metric."""
        with self._lock:
            accounts = list(self._accounts.values())
            operations = [operation for account in accounts for operation in account.operations.values()]
            samples = [operation.samples() for operation in operations]  # all of one instant
        for metric, counts in (
            (REQUESTS, [operation.requests for operation in operations]),
            (RETRIES, [operation.retries for operation in operations]),
            (BUDGET_WAIT, [account.waits for account in accounts]),
            (REFUSED_CONNECTIONS, list(self._refused.values())),
        ):
            yield metric, [(count.series, count.value) for count in counts]
        yield ERRORS, list(chain.from_iterable(errors for errors, _ in samples))
        yield DURATION, list(chain.from_iterable(durations for _, durations in samples))
