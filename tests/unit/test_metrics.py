"""The catalogue and the exporter's own counters."""

from __future__ import annotations

import re

from prometheus_client import Histogram, disable_created_metrics

from exporter.cams.error_codes import DOCUMENTED_CODES, OPTIONAL_CODES
from exporter.config.numbers import RESERVED_LABELS
from exporter.metrics.catalogue import CATALOGUE, DURATION, ERRORS, INFO, REFUSED_CONNECTIONS, Refusal
from exporter.metrics.counters import LATENCY_BUCKETS, MAX_CODES, Counters
from exporter.model import OPERATION

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's


def counters(*codes: str) -> Counters:
    made = Counters(codes or ("timeout", "Throttling.User"))
    made.register("main")
    return made


def samples(made: Counters) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (series.name, tuple(sorted(series.labels))): value for _, found in made.samples() for series, value in found
    }


def value(made: Counters, name: str, **labels: str) -> float | None:
    return samples(made).get((name, tuple(sorted(labels.items()))))


def error_codes(made: Counters, account: str = "main") -> dict[str, float]:
    return {
        dict(labels)["code"]: count
        for (name, labels), count in samples(made).items()
        if name == "cams_api_errors_total" and dict(labels)["account"] == account
    }


def test_every_metric_is_declared_once_with_a_help_and_valid_names() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names) == 42
    for metric in CATALOGUE:
        assert re.fullmatch(r"cams_[a-z_]+", metric.name)
        assert metric.help.endswith(".")
        assert (metric.type == "counter") == metric.name.endswith("_total")


def test_the_help_of_every_cached_value_says_as_of_when_it_is() -> None:
    for metric in CATALOGUE:
        if metric.name.startswith(("cams_phone_number_", "cams_account_disco", "cams_account_operation")) or (
            metric.name in {"cams_account_up", "cams_account_space_up"}
        ):
            assert re.search(r"as of the last (poll|listing|check|call), not of the scrape", metric.help.lower())


def test_labels_of_the_configuration_may_not_take_a_name_of_the_info_metric() -> None:
    """They land there, and on no other metric."""
    assert set(INFO.labels) == RESERVED_LABELS


def test_samples_are_made_again_only_for_operations_with_an_attempt_since() -> None:
    """A scrape of a hundred accounts with four operations spent most of its time on making the same samples."""

    def errors() -> dict[str, object]:
        (found,) = (found for metric, found in made.samples() if metric is ERRORS)
        return {f"{dict(sample[0].labels)['operation']} {dict(sample[0].labels)['code']}": sample for sample in found}

    made = counters()
    made.register("main", [OPERATION, LISTING])
    before = errors()
    made.of("main", LISTING).attempt(0.0, 0.1, "timeout")
    after = errors()
    assert {key for key, sample in after.items() if sample is not before[key]} == {
        f"{LISTING} timeout",
        f"{LISTING} Throttling.User",
    }
    assert value(made, "cams_api_errors_total", account="main", operation=LISTING, code="timeout") == 1


def test_documented_codes_start_at_zero_so_that_the_first_error_is_an_increase() -> None:
    made = counters()
    assert error_codes(made) == {"timeout": 0.0, "Throttling.User": 0.0}
    assert value(made, "cams_api_requests_total", account="main", operation=OPERATION) == 0
    assert value(made, "cams_api_retries_total", account="main", operation=OPERATION) == 0
    assert value(made, "cams_api_budget_wait_seconds_total", account="main") == 0


def test_refused_connections_start_at_zero_for_every_reason_and_are_counted() -> None:
    made = counters()
    name = "cams_exporter_refused_connections_total"
    assert [value(made, name, reason=reason) for reason in Refusal] == [0] * len(Refusal)
    made.refused_connection(Refusal.NOT_TLS)
    assert value(made, name, reason="not_tls") == 1
    assert value(made, name, reason="evicted") == 0


def test_requests_are_counted_with_their_duration() -> None:
    made = counters()
    made.of("main").attempt(0.0, 0.2)
    made.of("main").attempt(0.0, 0.4)
    assert value(made, "cams_api_requests_total", account="main", operation=OPERATION) == 2
    assert value(made, "cams_api_request_duration_seconds_count", account="main", operation=OPERATION) == 2
    assert value(made, "cams_api_request_duration_seconds_sum", account="main", operation=OPERATION) == 0.2 + 0.4


def test_durations_fall_into_the_buckets_that_prometheus_client_puts_them_into() -> None:
    """A bound belongs to its bucket; larger values belong to +Inf."""
    made = counters()
    theirs = Histogram(DURATION.name, DURATION.help, DURATION.labels, buckets=LATENCY_BUCKETS, registry=None)
    theirs.labels("main", OPERATION)
    for seconds in (0.0, 0.01, *LATENCY_BUCKETS, 0.3000001, 61.0, 1e9):
        made.of("main").attempt(0.0, seconds)
        theirs.labels("main", OPERATION).observe(seconds)
    (ours,) = (found for metric, found in made.samples() if metric is DURATION)
    (family,) = theirs.collect()
    assert [(series.name, dict(series.labels), count) for series, count in ours] == [
        (sample.name, sample.labels, sample.value) for sample in family.samples
    ]


def test_codes_beyond_64_per_account_are_counted_as_other() -> None:
    """A server with endless new codes cannot make endless series; codes that are already known are still counted
    separately."""
    made = counters()
    for index in range(1000):
        made.of("main").attempt(0.0, 0.1, f"Odd.{index}")
    made.of("main").attempt(0.0, 0.1, "timeout")
    codes = error_codes(made)
    assert len(codes) == MAX_CODES
    assert codes["timeout"] == 1
    assert sum(codes.values()) == 1001
    assert codes["other"] == 1000 - (MAX_CODES - 1 - 2)


def test_an_attempt_is_counted_by_its_kind() -> None:
    """Its wait always; its duration and retry only if a request was sent."""
    made = counters()
    main = made.of("main")
    main.attempt(2.0, 0.1)
    main.attempt(1.0, 0.1, "timeout", is_retry=True)
    main.attempt(0.5, None, "credentials_error", is_retry=True)
    assert value(made, "cams_api_budget_wait_seconds_total", account="main") == 3.5
    assert value(made, "cams_api_requests_total", account="main", operation=OPERATION) == 2
    assert value(made, "cams_api_retries_total", account="main", operation=OPERATION) == 1
    assert error_codes(made) == {"timeout": 1.0, "Throttling.User": 0.0, "credentials_error": 1.0}


def test_registering_again_keeps_the_counts() -> None:
    made = counters()
    made.of("main").attempt(0.0, 0.1, "timeout")
    made.register("main")
    assert error_codes(made)["timeout"] == 1


def test_a_forgotten_account_leaves_no_series_and_late_answers_bring_none_back() -> None:
    made = counters()
    made.register("other-account")
    held = made.of("main")
    held.attempt(0.0, 0.1, "Odd.Code")
    made.forget("main")
    for late in (held, made.of("main")):
        late.attempt(1.0, 1.0, "timeout", is_retry=True)
    assert {dict(labels).get("account") for _, labels in samples(made)} == {"other-account", None}
    assert {name for name, labels in samples(made) if "account" not in dict(labels)} == {REFUSED_CONNECTIONS.name}
    made.register("main")
    assert error_codes(made)["timeout"] == 0


LISTING, HEALTH = "QueryChatappPhoneNumbers", "GetWhatsappHealthStatus"


def operations(made: Counters, name: str) -> set[str]:
    return {dict(labels)["operation"] for found, labels in samples(made) if found == name}


def test_every_operation_in_use_starts_at_zero_and_no_other() -> None:
    made = counters()
    for used in ({OPERATION}, {OPERATION, LISTING, HEALTH}, {OPERATION, HEALTH}):
        made.register("main", used)
        for name in ("requests_total", "retries_total", "errors_total", "request_duration_seconds_count"):
            assert operations(made, f"cams_api_{name}") == used
    for operation in used:
        for code in ("timeout", "Throttling.User"):
            labels = {"account": "main", "operation": operation, "code": code}
            assert value(made, "cams_api_errors_total", **labels) == 0


def test_of_an_optional_operation_fewer_codes_start_at_zero() -> None:
    made = Counters(DOCUMENTED_CODES, OPTIONAL_CODES)
    made.register("main", [OPERATION, LISTING])
    zeros: dict[str, set[str]] = {}
    for name, labels in samples(made):
        if name == "cams_api_errors_total":
            zeros.setdefault(dict(labels)["operation"], set()).add(dict(labels)["code"])
    assert zeros == {OPERATION: set(DOCUMENTED_CODES), LISTING: set(OPTIONAL_CODES)}
    assert set(OPTIONAL_CODES) < set(DOCUMENTED_CODES)
    made.of("main", LISTING).attempt(0.0, 0.1, "SignatureDoesNotMatch")
    labels_of = {"account": "main", "operation": LISTING, "code": "SignatureDoesNotMatch"}
    assert value(made, "cams_api_errors_total", **labels_of) == 1


def test_an_operation_is_counted_by_itself() -> None:
    made = counters()
    made.register("main", [OPERATION, LISTING])
    made.of("main").attempt(0.0, 0.1)
    made.of("main", LISTING).attempt(0.0, 0.5, "timeout", is_retry=True)
    assert {
        (name, operation): value(made, f"cams_api_{name}", account="main", operation=operation)
        for name in ("requests_total", "retries_total", "request_duration_seconds_sum")
        for operation in (OPERATION, LISTING)
    } == {
        ("requests_total", OPERATION): 1,
        ("requests_total", LISTING): 1,
        ("retries_total", OPERATION): 0,
        ("retries_total", LISTING): 1,
        ("request_duration_seconds_sum", OPERATION): 0.1,
        ("request_duration_seconds_sum", LISTING): 0.5,
    }
    errors = {"account": "main", "code": "timeout"}
    assert value(made, "cams_api_errors_total", operation=LISTING, **errors) == 1
    assert value(made, "cams_api_errors_total", operation=OPERATION, **errors) == 0


def test_counts_of_an_operation_that_stays_in_use_survive_a_reload() -> None:
    made = counters()
    held = made.of("main")
    for used in ([OPERATION, HEALTH], [OPERATION], [OPERATION, LISTING]):
        held.attempt(0.0, 0.1)
        made.register("main", used)
    assert value(made, "cams_api_requests_total", account="main", operation=OPERATION) == 3


def test_an_operation_that_is_not_in_use_is_shown_nowhere() -> None:
    """A late answer of one that a reload took out of use leaves no series behind."""
    made = counters()
    made.register("main", [OPERATION, HEALTH])
    late = made.of("main", HEALTH)
    made.register("main", [OPERATION])
    late.attempt(0.0, 0.1, "timeout")
    made.of("main", LISTING).attempt(0.0, 0.1)
    assert operations(made, "cams_api_requests_total") == {OPERATION}
    made.register("main", [OPERATION, HEALTH])
    assert value(made, "cams_api_requests_total", account="main", operation=HEALTH) == 0


def test_codes_are_bounded_in_all_operations_of_an_account_together() -> None:
    """A server that makes up codes gets no more of them by answering another operation."""
    made = counters()
    made.register("main", [OPERATION, LISTING])
    for index in range(100):
        made.of("main", LISTING if index % 2 else OPERATION).attempt(0.0, 0.1, f"Odd.{index}")
    found = {dict(labels)["code"] for name, labels in samples(made) if name == "cams_api_errors_total"}
    assert len(found) == MAX_CODES
    made.of("main", LISTING).attempt(0.0, 0.1, "Odd.0")
    labels = {"account": "main", "operation": LISTING}
    assert value(made, "cams_api_errors_total", code="Odd.0", **labels) == 1
    others = 50 - (MAX_CODES - 1 - 2) // 2
    assert value(made, "cams_api_errors_total", code="other", **labels) == others
