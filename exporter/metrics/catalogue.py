"""The catalogue of all metrics.

Each metric is declared once, here: name, help, labels, type.  The order is that of the exposition.  The collector,
docs/metrics.md, the dashboards and the rules are checked against `CATALOGUE` by tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

NUMBER_LABELS = ("account", "cust_space_id", "phone_number")
"""The labels that identify a number, on every metric about one."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One entry of the catalogue; `name` is the sample's name, so a counter ends in ``_total``."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    type: Literal["gauge", "counter", "histogram"] = "gauge"

    @property
    def family(self) -> str:
        """The family's name, which OpenMetrics tells from a counter's sample."""
        return self.name.removesuffix("_total")


_CACHED = "as of the last poll, not of the scrape"
_LISTED = "as of the last listing, not of the scrape"
_CALLED = "as of the last call, not of the scrape"
_HELD = "With cluster only on the replica that holds the account."
_CHECKED = "as of the last check, not of the scrape"

STATUS = Metric(
    "cams_phone_number_verification_status",
    "1 for the current verification status of the number, 0 for the others; exactly one is 1. "
    f"UNKNOWN: no answer yet, or none within stale_after. {_CACHED.capitalize()}.",
    (*NUMBER_LABELS, "status"),
)
INFO = Metric(
    "cams_phone_number_info",
    "Always 1; the number's ID at WhatsApp, its name and its labels from the configuration, and its verified name, "
    f"empty where not known. The ID is {_CACHED}, the verified name {_LISTED}. A changed label makes a new series.",
    (*NUMBER_LABELS, "phone_number_id", "name", "verified_name"),
)
LAST_POLL_SUCCESS = Metric(
    "cams_phone_number_last_poll_success",
    f"1 if the last poll of the number succeeded, else 0; absent before the first poll. {_CACHED.capitalize()}.",
    NUMBER_LABELS,
)
LAST_SUCCESS = Metric(
    "cams_phone_number_last_success_timestamp_seconds",
    f"Unix time of the last successful poll; absent before the first. {_CACHED.capitalize()}.",
    NUMBER_LABELS,
)
STATUS_CHANGE = Metric(
    "cams_phone_number_status_change_timestamp_seconds",
    "Unix time at which this exporter first saw the current status of the API; UNKNOWN is not a change. "
    f"{_CACHED.capitalize()}.",
    NUMBER_LABELS,
)
LISTED = Metric(
    "cams_phone_number_listed",
    "1 if the last listing of its space held the number, else 0; absent before the first, without discover, and if the "
    f"listing is too old. {_LISTED.capitalize()}.",
    NUMBER_LABELS,
)
CONNECTION_STATUS = Metric(
    "cams_phone_number_connection_status",
    "1 for the current connection status of the number, 0 for others that it has shown; exactly one is 1. Only "
    "CONNECTED sends and receives. Absent if the API does not say it, and if the listing is too old. "
    f"{_LISTED.capitalize()}.",
    (*NUMBER_LABELS, "status"),
)
QUALITY_RATING = Metric(
    "cams_phone_number_quality_rating",
    "1 for the current quality rating of the number, 0 for the others; exactly one is 1. UNKNOWN: the API does not say "
    f"it. Absent if the listing is too old. {_LISTED.capitalize()}.",
    (*NUMBER_LABELS, "rating"),
)
NAME_STATUS = Metric(
    "cams_phone_number_name_status",
    "1 for the current status of the number's display name, 0 for others that it has shown; exactly one is 1. Absent "
    f"if the API does not say it, and if the listing is too old. {_LISTED.capitalize()}.",
    (*NUMBER_LABELS, "status"),
)
MESSAGING_LIMIT = Metric(
    "cams_phone_number_messaging_limit",
    "Customers a day to whom the number may write first; +Inf for no limit. Absent if the tier does not say a number, "
    f"and if the listing is too old. {_LISTED.capitalize()}.",
    NUMBER_LABELS,
)
CAN_SEND = Metric(
    "cams_phone_number_can_send",
    "1 for the current verdict of the health check of the number, 0 for the others; exactly one is 1. UNKNOWN: the "
    "last answer is too old. Absent before the first answer, without health, and if the last answer is too old while "
    f"the operation is refused. {_CHECKED.capitalize()}.",
    (*NUMBER_LABELS, "verdict"),
)
HEALTH_ERROR = Metric(
    "cams_phone_number_health_error_info",
    "Always 1; one for each error that the last health check of the number named, while its verdict counts. "
    f"{_CHECKED.capitalize()}.",
    (*NUMBER_LABELS, "entity", "error_code"),
)
ACCOUNT_UP = Metric(
    "cams_account_up",
    "0 while the API refuses the whole account (key, subscription, clock), or each of its spaces, else 1. "
    f"{_CACHED.capitalize()}.",
    ("account",),
)
SPACE_UP = Metric(
    "cams_account_space_up",
    f"0 while the API forbids every number of the space, else 1. {_CACHED.capitalize()}.",
    ("account", "cust_space_id"),
)
OPERATION_UP = Metric(
    "cams_account_operation_up",
    "For each operation of the API in use: 0 while its last answer was a refusal, or if it was called and never "
    f"succeeded; else 1. {_CALLED.capitalize()}.",
    ("account", "operation"),
)
ACCOUNT_NUMBERS = Metric(
    "cams_account_phone_numbers",
    "Phone numbers of the account that are polled: configured ones and, with discover, those found.",
    ("account",),
)
ACCOUNT_INTERVAL = Metric(
    "cams_account_scrape_interval_seconds",
    "Configured time between two polls of a number.",
    ("account",),
)
ACCOUNT_LAG = Metric(
    "cams_account_poll_lag_seconds",
    "How late the most overdue number of the account is; 0 when polling is on schedule.",
    ("account",),
)
ACCOUNT_HELD = Metric(
    "cams_account_held",
    "With cluster: 1 on the replica that holds the account and polls it, else 0.",
    ("account",),
)
DISCOVERED = Metric(
    "cams_account_discovered_phone_numbers",
    f"Phone numbers that the last listing of the space held; 0 if none has succeeded yet. {_LISTED.capitalize()}.",
    ("account", "cust_space_id"),
)
DISCOVERY_SUCCESS = Metric(
    "cams_account_discovery_last_success_timestamp_seconds",
    f"Unix time of the last successful listing of the space; absent before the first. {_LISTED.capitalize()}.",
    ("account", "cust_space_id"),
)
LEFT_OUT = Metric(
    "cams_account_discovery_left_out",
    f"Phone numbers that were found and are not polled, because they are beyond max_numbers. {_LISTED.capitalize()}.",
    ("account",),
)
REQUESTS = Metric(
    "cams_api_requests_total",
    "Requests to the API, including retries and failed connections.",
    ("account", "operation"),
    type="counter",
)
ERRORS = Metric(
    "cams_api_errors_total",
    "Failed requests, by the API's error code, unchanged, or one of the exporter's own in lower "
    "case (timeout, connection_error, tls_error, invalid_response, http_NNN, credentials_error, internal_error).",
    ("account", "operation", "code"),
    type="counter",
)
DURATION = Metric(
    "cams_api_request_duration_seconds",
    "Duration of API requests from connecting to the last byte, including failures, without the wait for the budget.",
    ("account", "operation"),
    type="histogram",
)
RETRIES = Metric(
    "cams_api_retries_total",
    "Requests that repeated another one after a transient failure.",
    ("account", "operation"),
    type="counter",
)
BUDGET_QPS = Metric(
    "cams_api_budget_qps",
    f"Configured requests per second (qps). {_HELD}",
    ("account",),
)
EFFECTIVE_QPS = Metric(
    "cams_api_effective_qps",
    "Requests per second that are left of the configured qps, after throttles and because of jitter on the path. "
    f"{_HELD}",
    ("account",),
)
BUDGET_WAIT = Metric(
    "cams_api_budget_wait_seconds_total",
    "Time that due polls waited for the budget.",
    ("account",),
    type="counter",
)
IN_FLIGHT = Metric(
    "cams_api_requests_in_flight",
    f"API requests in flight now. {_HELD}",
    ("account",),
)
CLUSTER_STORE_UP = Metric(
    "cams_cluster_store_up",
    "With cluster: 1 if this replica's last look at the replicas' store succeeded, else 0.",
)
CLUSTER_REPLICAS = Metric(
    "cams_cluster_replicas",
    "With cluster: live replicas, as this one saw them at its last look at the store, itself included.",
)
LEASE_CHANGES = Metric(
    "cams_cluster_lease_changes_total",
    "With cluster: how often this replica got or lost the account.",
    ("account",),
    type="counter",
)
SPARE_QPS = Metric(
    "cams_cluster_spare_qps",
    "With cluster: requests per second that each replica may send for the account while the store is away; 0: none "
    "polls it then.",
    ("account",),
)
BUILD_INFO = Metric(
    "cams_exporter_build_info",
    "Always 1; the version and revision of the exporter and the Python it runs on.",
    ("version", "revision", "python_version"),
)
RELOAD_SUCCESSFUL = Metric(
    "cams_exporter_config_last_reload_successful",
    "1 if the last load of the configuration succeeded, 0 if it was refused and the old one is in force.",
)
RELOAD_TIMESTAMP = Metric(
    "cams_exporter_config_last_reload_success_timestamp_seconds",
    "Unix time of the last successful load of the configuration.",
)
REFUSED_CONNECTIONS = Metric(
    "cams_exporter_refused_connections_total",
    "Connections that the web server refused (TLS handshake failed, web configuration broken, too many connections), "
    "or closed for another one (evicted).",
    ("reason",),
    type="counter",
)
STORAGE_UP = Metric(
    "cams_exporter_storage_up",
    "1 if the last save to --storage.path succeeded: answers survive a restart. Else 0. Absent without --storage.path.",
)
NUMBER_FILE_UP = Metric(
    "cams_exporter_number_file_up",
    "1 if the numbers that the file now holds are in force; 0 if it is faulty, unreadable or gone: its last good list "
    "is in force.",
    ("file",),
)
CONFIG_HASH = Metric(
    "cams_exporter_config_hash",
    "Number made from the configuration in force, secrets left out; replicas with equal configurations have the same.",
)
TIME = Metric(
    "cams_exporter_time_seconds",
    "Unix time on this machine's clock at the scrape; compare the other timestamps with it.",
)

CATALOGUE = tuple(declared for declared in globals().values() if isinstance(declared, Metric))
"""Every metric of ours, in the order of the exposition; `process_*` and `python_info` are prometheus_client's own."""
