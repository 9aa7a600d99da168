"""The catalogue of all metrics, and the exporter's own counters.

Each metric is declared once, here: name, type, help, labels.  The collector, the README's table, the dashboards and
the rules are checked against `CATALOGUE` by tests.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from exporter.metrics.text_format import Series, format_value
from exporter.model import OPERATION

Sample = tuple[Series, float]

NUMBER_LABELS = ("account", "cust_space_id", "phone_number")
"""The labels that identify a number, on every metric about one."""

MAX_CODES = 64
"""Distinct `code` label values per account; later ones are counted as `other`."""

OTHER_CODE = "other"

LATENCY_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Seconds; a call to Singapore takes 0.05 to 0.5, the default timeout is 10."""


class Refusal(StrEnum):
    """Why the web server refuses a connection, or cuts it off for another one's sake."""

    NOT_TLS = "not_tls"
    CERTIFICATE_MISSING = "client_certificate_missing"
    CERTIFICATE_INVALID = "client_certificate_invalid"
    NAME_NOT_ALLOWED = "client_name_not_allowed"
    REFUSED_BY_CLIENT = "refused_by_client"
    HANDSHAKE_FAILED = "handshake_failed"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    BROKEN_CONFIG = "web_configuration_broken"
    TOO_MANY = "too_many_connections"
    EVICTED = "evicted"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue; `name` is the sample's name, so a counter ends in ``_total``."""

    name: str
    type: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The family's name, which OpenMetrics tells from a counter's sample."""
        return self.name.removesuffix("_total")


_CACHED = "as of the last poll, not of the scrape"

STATUS = Metric(
    "cams_phone_number_verification_status",
    "gauge",
    "1 for the verification status the number has, 0 for the others; exactly one is 1. "
    f"UNKNOWN: no answer yet, or none within stale_after. {_CACHED.capitalize()}.",
    (*NUMBER_LABELS, "status"),
)
INFO = Metric(
    "cams_phone_number_info",
    "gauge",
    f"Always 1; the number's ID at WhatsApp, its name and its labels from the configuration. The ID is {_CACHED}.",
    (*NUMBER_LABELS, "phone_number_id", "name"),
)
LAST_POLL_SUCCESS = Metric(
    "cams_phone_number_last_poll_success",
    "gauge",
    f"1 if the last poll of the number brought a status, else 0; absent before the first poll. {_CACHED.capitalize()}.",
    NUMBER_LABELS,
)
LAST_SUCCESS = Metric(
    "cams_phone_number_last_success_timestamp_seconds",
    "gauge",
    f"Unix time of the last poll that brought a status; absent before the first. {_CACHED.capitalize()}.",
    NUMBER_LABELS,
)
STATUS_CHANGE = Metric(
    "cams_phone_number_status_change_timestamp_seconds",
    "gauge",
    "Unix time at which this exporter first saw the status that the API last gave; UNKNOWN is no change. "
    f"{_CACHED.capitalize()}.",
    NUMBER_LABELS,
)
ACCOUNT_UP = Metric(
    "cams_account_up",
    "gauge",
    "0 while the API refuses the account as a whole (key, subscription, clock), or each of its spaces, else 1. "
    f"{_CACHED.capitalize()}.",
    ("account",),
)
SPACE_UP = Metric(
    "cams_account_space_up",
    "gauge",
    f"0 while the API forbids every number of the space, else 1. {_CACHED.capitalize()}.",
    ("account", "cust_space_id"),
)
ACCOUNT_NUMBERS = Metric(
    "cams_account_phone_numbers", "gauge", "Phone numbers configured for the account.", ("account",)
)
ACCOUNT_INTERVAL = Metric(
    "cams_account_scrape_interval_seconds",
    "gauge",
    "Configured time between two polls of a number.",
    ("account",),
)
ACCOUNT_LAG = Metric(
    "cams_account_poll_lag_seconds",
    "gauge",
    "How late the most overdue number of the account is; 0 when polling is on schedule.",
    ("account",),
)
REQUESTS = Metric(
    "cams_api_requests_total",
    "counter",
    "Requests attempted to the API, retries and connections that could not be made included.",
    ("account", "operation"),
)
ERRORS = Metric(
    "cams_api_errors_total",
    "counter",
    "Polls and retries that brought no status, by the API's error code verbatim, or one of the exporter's own in lower "
    "case (timeout, connection_error, tls_error, invalid_response, http_NNN, credentials_error, internal_error).",
    ("account", "operation", "code"),
)
DURATION = Metric(
    "cams_api_request_duration_seconds",
    "histogram",
    "Time an API request took, from connecting to the last byte, failures included, waiting for the budget excluded.",
    ("account", "operation"),
)
RETRIES = Metric(
    "cams_api_retries_total",
    "counter",
    "Requests that repeated a poll after a transient failure.",
    ("account", "operation"),
)
BUDGET_QPS = Metric("cams_api_budget_qps", "gauge", "Configured requests per second (qps).", ("account",))
EFFECTIVE_QPS = Metric(
    "cams_api_effective_qps",
    "gauge",
    "Requests per second that are left of the configured qps now, after throttles and for a path that jitters.",
    ("account",),
)
BUDGET_WAIT = Metric(
    "cams_api_budget_wait_seconds_total",
    "counter",
    "Time that polls which were due spent waiting for the budget.",
    ("account",),
)
IN_FLIGHT = Metric("cams_api_requests_in_flight", "gauge", "API requests under way now.", ("account",))
BUILD_INFO = Metric(
    "cams_exporter_build_info",
    "gauge",
    "Always 1; the version and revision of the exporter and the Python it runs on.",
    ("version", "revision", "python_version"),
)
RELOAD_SUCCESSFUL = Metric(
    "cams_exporter_config_last_reload_successful",
    "gauge",
    "1 if the configuration was last loaded successfully, 0 if the last reload was refused: the old one is in force.",
)
RELOAD_TIMESTAMP = Metric(
    "cams_exporter_config_last_reload_success_timestamp_seconds",
    "gauge",
    "Unix time at which the configuration was last loaded successfully.",
)
REFUSED_CONNECTIONS = Metric(
    "cams_exporter_refused_connections_total",
    "counter",
    "Connections that the web server refused (TLS handshake failed, web configuration broken, too many connections), "
    "or cut so that another one had a place (evicted).",
    ("reason",),
)
STORAGE_UP = Metric(
    "cams_exporter_storage_up",
    "gauge",
    "1 if answers outlive a restart: the last save to --storage.path went well; else 0. Absent without --storage.path.",
)
TIME = Metric(
    "cams_exporter_time_seconds",
    "gauge",
    "Unix time on this machine's clock at the scrape: what the other timestamps are to be compared with.",
)

CATALOGUE: tuple[Metric, ...] = (
    STATUS,
    INFO,
    LAST_POLL_SUCCESS,
    LAST_SUCCESS,
    STATUS_CHANGE,
    ACCOUNT_UP,
    SPACE_UP,
    ACCOUNT_NUMBERS,
    ACCOUNT_INTERVAL,
    ACCOUNT_LAG,
    REQUESTS,
    ERRORS,
    DURATION,
    RETRIES,
    BUDGET_QPS,
    EFFECTIVE_QPS,
    BUDGET_WAIT,
    IN_FLIGHT,
    BUILD_INFO,
    RELOAD_SUCCESSFUL,
    RELOAD_TIMESTAMP,
    REFUSED_CONNECTIONS,
    STORAGE_UP,
    TIME,
)
"""Every metric of ours, in the order of the exposition; `process_*` and `python_info` are prometheus_client's own."""


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
