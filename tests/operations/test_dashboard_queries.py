"""The results of the dashboards' queries, with replicas, restarts, outages and odd data, by the real promtool.

The expressions come from the committed JSON, by the panel's title, with variables filled in as in a new dashboard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.model import KNOWN_STATUSES
from tests.support.dashboards import EVERYTHING, dashboards, filled, queries
from tests.support.promtool import MINUTES, evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STEP = dict(EVERYTHING) | {"__interval": "5m", "__range": "20m", "__rate_interval": "4m"}
EXPRESSIONS = {query.where: query.expression for one in dashboards().values() for query in queries(one)}

NOTHING: dict[str, float] = {}
N1, N2 = "100", "200"


def expression(panel: str, ref: str = "A", **chosen: str) -> str:
    """The query `ref` of a panel, or of an annotation with ``ref="mark"``."""
    where = f"CAMS numbers / annotation {panel}" if ref == "mark" else f"CAMS numbers / {panel} / {ref}"
    found = EXPRESSIONS.get(where) or EXPRESSIONS[where.replace("numbers", "exporter", 1)]
    return filled(found, STEP | chosen)


def labels(*, instance: str = "", phone: str = N1, account: str = "main", **more: str) -> str:
    """Label pairs of one number, or with ``phone=""`` of its account."""
    found = {"account": account, "cust_space_id": "s" if phone else "", "phone_number": phone, **more}
    if instance:
        found |= {"instance": instance, "job": "cams-exporter"}
    return ", ".join(f'{name}="{value}"' for name, value in sorted(found.items()) if value)


def number(instance: str, phone: str, name: str = "", **flags: str) -> dict[str, str]:
    """The series of one number on one replica; `flags` are the values of each status, 0 for those not given."""
    places = {"instance": instance, "phone": phone}
    statuses = {status: flags.get(status, "0x60") for status in (*KNOWN_STATUSES, *flags)}
    return {
        f"cams_phone_number_info{{{labels(**places, name=name, phone_number_id=instance + phone)}}}": "1x60",
        **{
            f"cams_phone_number_verification_status{{{labels(**places, status=status)}}}": values
            for status, values in statuses.items()
        },
    }


def of(metric: str, instance: str, values: str, phone: str = N1) -> dict[str, str]:
    """One more series of a number on one replica, or with ``phone=""`` of its account."""
    return {f"{metric}{{{labels(instance=instance, phone=phone)}}}": values}


def counts(**expected: float) -> list[tuple[str, int, Mapping[str, float]]]:
    """The values of the first row's panels at minute 30, by their titles with ``_`` for a blank."""
    return [(expression(title.replace("_", " ")), 30, {"{}": value}) for title, value in expected.items()]


RESTARTED = number("a", N1, VERIFIED="1x60") | number("b", N1, UNKNOWN="1x60")


def test_a_replica_that_knows_outranks_one_that_does_not(tmp_path: Path) -> None:
    """A replica that was just restarted says UNKNOWN: the number counts once, with its known status."""
    evaluate(
        tmp_path,
        RESTARTED,
        [
            *counts(Numbers=1, Verified=1, Unknown=0, Not_verified=0, Expired=0, Other_status=0),
            (expression("Numbers that are not verified"), 30, NOTHING),
            (expression("Numbers by account and status"), 30, by_status(VERIFIED=1)),
            (expression("Verified share by account"), 30, {'{account="main"}': 1}),
        ],
    )


def by_status(**known: float) -> dict[str, float]:
    """Counts of every documented status in the account."""
    return {f'{{account="main", status="{status}"}}': known.get(status, 0) for status in KNOWN_STATUSES}


def test_a_number_that_no_replica_knows_is_unknown(tmp_path: Path) -> None:
    """UNKNOWN does not count as VERIFIED, and is not hidden."""
    evaluate(
        tmp_path,
        number("a", N1, "desk", UNKNOWN="1x60") | number("b", N1, "desk", UNKNOWN="1x60"),
        [
            *counts(Numbers=1, Verified=0, Unknown=1),
            (
                expression("Numbers that are not verified"),
                30,
                {f"{{{labels(status='UNKNOWN', name='desk')}}}": 1},
            ),
            (expression("Verified share by account"), 30, {'{account="main"}': 0}),
        ],
    )


def test_an_undocumented_status_is_counted_and_listed(tmp_path: Path) -> None:
    """The API's statuses are open: REVOKED is shown by its own name, and never as VERIFIED."""
    evaluate(
        tmp_path,
        number("a", N1, "desk", REVOKED="1x60") | number("a", N2, VERIFIED="1x60"),
        [
            *counts(Numbers=2, Verified=1, Other_status=1, Not_verified=0, Unknown=0),
            (expression("Numbers that are not verified"), 30, {f"{{{labels(status='REVOKED', name='desk')}}}": 1}),
        ],
    )


def test_nothing_looks_well_when_the_exporter_is_down(tmp_path: Path) -> None:
    """Without data a count is missing, not 0: an empty panel must not read as "no number is unverified"."""
    gone = dict.fromkeys(number("a", N1), "1x10 stale")
    titles = ("Numbers", "Verified", "Not verified", "Expired", "Other status", "Unknown", "Failing", "Stale")

    evaluate(tmp_path, gone, [(expression(title), 30, NOTHING) for title in titles])


def test_two_names_of_one_number_make_one_row(tmp_path: Path) -> None:
    """During a rollout, replicas may differ in a number's name: still one row, and no error."""
    two = number("a", N1, "old", NOT_VERIFIED="1x60") | number("b", N1, "new", NOT_VERIFIED="1x60")

    evaluate(tmp_path, two, [(f"count({expression('Numbers that are not verified')})", 30, {"{}": 1})])


def test_since_is_the_earliest_time_of_the_replicas_that_agree(tmp_path: Path) -> None:
    """A replica that did not poll since then has the time of an older status; that is not the time of this status."""
    flags = (
        number("a", N1, NOT_VERIFIED="1x60") | number("b", N1, NOT_VERIFIED="1x60") | number("c", N1, VERIFIED="1x60")
    )
    metric = "cams_phone_number_status_change_timestamp_seconds"
    changes = of(metric, "a", "700x60") | of(metric, "b", "600x60") | of(metric, "c", "1x60")
    since = expression("Numbers that are not verified", "B")

    evaluate(tmp_path, flags | changes, [(since, 30, {f"{{{labels()}}}": 600_000})])


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_since_and_age_do_not_depend_on_an_exporters_clock(tmp_path: Path, ahead: int) -> None:
    """a's clock is wrong by hours.  b, an older version, does not expose its clock, and has an older answer."""
    flags = number("a", N1, NOT_VERIFIED="1x60") | number("b", N1, NOT_VERIFIED="1x60")
    times = {
        'cams_exporter_time_seconds{instance="a", job="cams-exporter"}': f"{ahead}+60x60",
        **of("cams_phone_number_status_change_timestamp_seconds", "a", f"{ahead + 600}x60"),
        **of("cams_phone_number_status_change_timestamp_seconds", "b", "660x60"),
        **of("cams_phone_number_last_success_timestamp_seconds", "a", f"{ahead + 29 * MINUTES}x60"),
        **of("cams_phone_number_last_success_timestamp_seconds", "b", f"{20 * MINUTES}x60"),
        'cams_exporter_config_last_reload_success_timestamp_seconds{instance="a", job="cams-exporter"}': (
            f"{ahead + 300}x60"
        ),
    }
    panel = "Numbers that are not verified"

    evaluate(
        tmp_path,
        flags | times,
        [
            (expression(panel, "B"), 30, {f"{{{labels()}}}": 600_000}),
            (expression(panel, "C"), 30, {f"{{{labels()}}}": MINUTES}),
            (expression("Configuration loaded", "mark"), 30, {'{instance="a", job="cams-exporter"}': 300_000}),
        ],
    )


def test_unknown_has_no_since_but_the_age_of_the_last_answer(tmp_path: Path) -> None:
    """UNKNOWN is not a change of status: it has no time of change, but a time of the last answer."""
    flags = number("a", N1, UNKNOWN="1x60")
    times = of("cams_phone_number_status_change_timestamp_seconds", "a", "1x60") | of(
        "cams_phone_number_last_success_timestamp_seconds", "a", "60x60"
    )
    panel = "Numbers that are not verified"

    evaluate(
        tmp_path,
        flags | times,
        [(expression(panel, "B"), 30, NOTHING), (expression(panel, "C"), 30, {f"{{{labels()}}}": 29 * MINUTES})],
    )


ACCOUNT = of("cams_account_scrape_interval_seconds", "a", "60x60", phone="")


@pytest.mark.parametrize(("lag", "stale"), [(0, 1), (600, 0)], ids=["on schedule", "late"])
def test_a_number_is_stale_when_its_account_is_not_late(tmp_path: Path, lag: int, stale: int) -> None:
    """An answer 5 minutes old at an interval of 1 is stale, unless all polls of the account are as late."""
    series = {
        **number("a", N1, "desk", VERIFIED="1x60"),
        **ACCOUNT,
        **of("cams_account_poll_lag_seconds", "a", f"{lag}x60", phone=""),
        **of("cams_phone_number_last_success_timestamp_seconds", "a", f"{25 * MINUTES}x60"),
        **of("cams_phone_number_last_poll_success", "a", "1x60"),
    }
    row = {f"{{{labels(status='VERIFIED', name='desk')}}}": 1.0}
    panel = "Stale and failing numbers"

    evaluate(tmp_path, series, [*counts(Stale=stale, Failing=0), (expression(panel), 30, row if stale else NOTHING)])


def test_a_number_fails_when_no_replica_reaches_it(tmp_path: Path) -> None:
    """A failed poll of one replica does not count while polls of another replica succeed."""
    one = of("cams_phone_number_last_poll_success", "a", "0x60") | of(
        "cams_phone_number_last_poll_success", "b", "1x60"
    )
    both = of("cams_phone_number_last_poll_success", "a", "0x60", N2) | of(
        "cams_phone_number_last_poll_success", "b", "0x60", N2
    )
    flags = number("a", N1, VERIFIED="1x60") | number("a", N2, "desk", UNKNOWN="1x60")
    row = {f"{{{labels(phone=N2, status='UNKNOWN', name='desk')}}}": 1.0}

    evaluate(tmp_path, flags | one | both, [*counts(Failing=1), (expression("Stale and failing numbers"), 30, row)])


CHANGED = number("a", N1, "desk", VERIFIED="1x20 0x40", EXPIRED="0x20 1x40")


def test_a_change_of_status_is_marked_once(tmp_path: Path) -> None:
    """Only the step in which the new status is first seen has a mark."""
    mark = expression("Status changed", "mark")
    changed = {f"{{{labels(status='EXPIRED', name='desk')}}}": 1.0}

    evaluate(tmp_path, CHANGED, [(mark, 20, NOTHING), (mark, 25, changed), (mark, 30, NOTHING)])


@pytest.mark.parametrize("gap", ["_x5", "0x5"], ids=["scrape gap", "UNKNOWN after a restart"])
def test_a_restart_is_no_change_of_status(tmp_path: Path, gap: str) -> None:
    """If a status is known again and is the same as before, it did not change."""
    unknown = "0x20 1x5 0x40" if gap == "0x5" else f"0x20 {gap} 0x40"
    series = number("a", N1, VERIFIED=f"1x20 {gap} 1x40", UNKNOWN=unknown)
    mark = expression("Status changed", "mark")

    evaluate(tmp_path, series, [(mark, minute, NOTHING) for minute in range(5, 45)])


def test_timeline_shows_each_status_by_its_severity(tmp_path: Path) -> None:
    """Two replicas make one line: a known status before UNKNOWN."""
    series = (
        CHANGED
        | number("b", N1, "desk", UNKNOWN="1x60")
        | number("a", N2, "shop", UNKNOWN="1x40 0x20", REVOKED="0x40 1x20")
    )
    timeline = expression("Status of the numbers least verified in this range")
    first, second = f"{{{labels(name='desk')}}}", f"{{{labels(phone=N2, name='shop')}}}"

    evaluate(tmp_path, series, [(timeline, 15, {first: 2, second: 1}), (timeline, 45, {first: 3, second: 4})])


def test_timeline_keeps_to_numbers_that_had_a_chosen_status(tmp_path: Path) -> None:
    """If EXPIRED is chosen, the whole lines of numbers that were EXPIRED in the range are shown."""
    series = CHANGED | number("a", N2, "shop", NOT_VERIFIED="1x60")
    timeline = expression("Status of the numbers least verified in this range", status="EXPIRED")

    evaluate(tmp_path, series, [(timeline, 30, {f"{{{labels(name='desk')}}}": 3})])


def test_timeline_is_bounded_and_prefers_the_least_verified(tmp_path: Path) -> None:
    """Of thousands of numbers only the worst are drawn."""
    well = {key: value for phone in range(300, 360) for key, value in number("a", str(phone), VERIFIED="1x60").items()}
    timeline = expression("Status of the numbers least verified in this range")
    one = f'({timeline}) and on (phone_number) cams_phone_number_info{{phone_number="{N1}"}}'

    evaluate(
        tmp_path,
        CHANGED | well,
        [(f"count({timeline})", 30, {"{}": 50}), (one, 30, {f"{{{labels(name='desk')}}}": 3})],
    )


def test_replicas_share_the_budget_of_an_account(tmp_path: Path) -> None:
    """Two replicas with half the budget each: 2 of 4 requests a second and 1 of 4 are three eighths."""
    requests, qps = "cams_api_requests_total", "cams_api_budget_qps"
    operation = 'operation="GetPhoneNumberVerificationStatus"'
    series = {
        f"{requests}{{{labels(instance='a', phone='')}, {operation}}}": "0+120x60",
        f"{requests}{{{labels(instance='b', phone='')}, {operation}}}": "0+60x60",
        **of(qps, "a", "4x60", phone=""),
        **of(qps, "b", "4x60", phone=""),
    }

    evaluate(
        tmp_path, series, [(f"round({expression('Budget used by account')}, 0.001)", 30, {'{account="main"}': 0.375})]
    )


def test_an_attempt_without_credential_counts_as_an_attempt(tmp_path: Path) -> None:
    """No request was sent: all attempts failed, so the share is 1 and not infinite."""
    operation = 'operation="GetPhoneNumberVerificationStatus"'
    place = labels(instance="a", phone="")
    series = {
        f"cams_api_requests_total{{{place}, {operation}}}": "7x60",
        f'cams_api_errors_total{{{place}, {operation}, code="credentials_error"}}': "0+6x60",
        f'cams_api_errors_total{{{place}, {operation}, code="timeout"}}': "0x60",
    }

    evaluate(
        tmp_path,
        series,
        [
            (expression("Failed share by account"), 30, {'{account="main"}': 1}),
            (expression("Attempts failed"), 30, {"{}": 1}),
        ],
    )


def test_an_exporter_that_is_down_is_counted_and_keeps_its_row(tmp_path: Path) -> None:
    """For an exporter that is down, only Prometheus's own metrics about the target are left."""
    series = {f'up{{job="cams-exporter", instance="{name}"}}': value for name, value in (("a", "1x60"), ("b", "0x60"))}

    evaluate(
        tmp_path,
        series | {'up{job="other", instance="c"}': "0x60"},
        [
            (expression("Exporters down"), 30, {"{}": 1}),
            (
                expression("Exporters"),
                30,
                {'{instance="a", job="cams-exporter"}': 1, '{instance="b", job="cams-exporter"}': 0},
            ),
        ],
    )


def cluster(held: Mapping[str, str], *, store: str = "1x60", spare: str = "2x60") -> dict[str, str]:
    """Replicas that share the account; `held` says for each whether it holds it."""
    series: dict[str, str] = {}
    for instance, values in held.items():
        target = f'instance="{instance}", job="cams-exporter"'
        series |= {f"cams_cluster_store_up{{{target}}}": store, f"cams_cluster_replicas{{{target}}}": "3x60"}
        series |= {f"cams_exporter_config_hash{{{target}}}": f"{2**48 - 1}x60"}
        series |= of("cams_account_held", instance, values, phone="")
        series |= of("cams_cluster_spare_qps", instance, spare, phone="")
    return series


CLUSTER_PANELS = (
    "Replicas without the store",
    "Accounts without a holder",
    "Accounts with several holders",
    "Not polled without the store",
    "Replicas",
    "Who holds which account",
    "Accounts held by replica",
    "Live replicas",
    "Lease changes by account",
)


def test_panels_about_a_cluster_are_empty_without_one(tmp_path: Path) -> None:
    series = of("cams_account_up", "a", "1x60", phone="") | {
        'cams_exporter_config_hash{instance="a", job="cams-exporter"}': "1x60"
    }
    panels = [query for query in EXPRESSIONS if query.split(" / ")[1] in CLUSTER_PANELS]
    assert len(panels) == 13
    evaluate(tmp_path, series, [(filled(EXPRESSIONS[query], STEP), 30, NOTHING) for query in panels])


def test_the_holder_of_an_account_is_shown_and_how_often_it_changed(tmp_path: Path) -> None:
    """b takes the account from a at minute 20; both exposed it as theirs for a moment."""
    changes = {
        f"cams_cluster_lease_changes_total{{{labels(instance=name, phone='')}}}": values
        for name, values in (("a", "1x19 2x40"), ("b", "0x19 1x40"), ("c", "0x60"))
    }
    series = cluster({"a": "1x20 0x40", "b": "0x19 1x40", "c": "0x60"}) | changes
    replica = {name: f'{{instance="{name}", job="cams-exporter"}}' for name in "abc"}
    holder = f"{{{labels(instance='b', phone='')}}}"
    evaluate(
        tmp_path,
        series,
        [
            *counts(Accounts_with_several_holders=0, Accounts_without_a_holder=0, Replicas_without_the_store=0),
            *counts(Not_polled_without_the_store=0),
            (expression("Accounts with several holders"), 20, {"{}": 1}),
            (expression("Replicas", "A"), 30, dict.fromkeys(replica.values(), 1)),
            (expression("Replicas", "B"), 30, dict.fromkeys(replica.values(), 3)),
            (expression("Replicas", "C"), 30, {replica["a"]: 0, replica["b"]: 1, replica["c"]: 0}),
            (expression("Replicas", "D"), 30, dict.fromkeys(replica.values(), 2**48 - 1)),
            (expression("Who holds which account", "A"), 30, {holder: 1}),
            (expression("Who holds which account", "B"), 30, {holder: 2}),
            (expression("Accounts held by replica"), 30, {replica["a"]: 0, replica["b"]: 1, replica["c"]: 0}),
            (f"round({expression('Lease changes by account')})", 22, {'{account="main"}': 2}),
        ],
    )


def test_an_account_without_a_holder_keeps_its_row(tmp_path: Path) -> None:
    account = '{account="main"}'
    evaluate(
        tmp_path,
        cluster({"a": "0x60", "b": "0x60"}, store="0x60", spare="0x60"),
        [
            *counts(Accounts_without_a_holder=1, Replicas_without_the_store=2, Not_polled_without_the_store=1),
            (expression("Who holds which account", "A"), 30, {account: 0}),
            (expression("Who holds which account", "B"), 30, {account: 0}),
        ],
    )


def test_what_all_replicas_expose_of_an_account_is_shown_once(tmp_path: Path) -> None:
    """Three replicas relay the holder's values; budget and requests in flight stand on the holder, counters on both
    that sent."""
    relayed = {"cams_account_phone_numbers": 60, "cams_account_poll_lag_seconds": 7, "cams_account_up": 1}
    series = cluster({"a": "1x20 0x40", "b": "0x20 1x40", "c": "0x60"})
    for name in "abc":
        series |= number(name, N1, VERIFIED="1x60")
        series |= {key: f"{v}x60" for m, v in relayed.items() for key in of(m, name, "", phone="")}
        for state, value in (("BLOCKED", "1x60"), ("AVAILABLE", "0x60")):
            series |= {f"cams_phone_number_can_send{{{labels(instance=name, verdict=state)}}}": value}
    for name, sent, held in (("a", "0+120x20 2400x40", "4x20 stale"), ("b", "0x20 120+120x39", "_x21 4x39")):
        series |= {f'cams_api_requests_total{{{labels(instance=name, phone="")}, operation="x"}}': sent}
        for metric in ("cams_api_budget_qps", "cams_api_effective_qps", "cams_api_requests_in_flight"):
            series |= of(metric, name, held, phone="")
    account, values = '{account="main"}', {"C": 60, "E": 15, "F": 4, "G": 4, "H": 7}
    evaluate(
        tmp_path,
        series,
        [
            *counts(Numbers=1, Verified=1, Blocked=1, Accounts_refused=0),
            *((f"round({expression('Budget used by account')}, 0.001)", at, {account: 0.5}) for at in (15, 30)),
            *((expression("Effective rate by account"), at, {account: 1}) for at in (15, 30)),
            *((expression("Requests in flight"), at, {account: 4}) for at in (15, 30)),
            *((expression("Accounts", ref), 30, {account: value}) for ref, value in values.items()),
        ],
    )


def said(metric: str, instance: str, phone: str = N1, **flags: str) -> dict[str, str]:
    """A state set of a number on one replica: the values of each state, in the metric's own label."""
    label = {"can_send": "verdict", "quality_rating": "rating"}.get(metric, "status")
    places = {"instance": instance, "phone": phone}
    return {
        f"cams_phone_number_{metric}{{{labels(**places, **{label: state})}}}": values for state, values in flags.items()
    }


def listing(instance: str, times: str) -> dict[str, str]:
    """When a replica listed the space."""
    name = "cams_account_discovery_last_success_timestamp_seconds"
    pairs = f'account="main", cust_space_id="s", instance="{instance}", job="cams-exporter"'
    return {f"{name}{{{pairs}}}": times}


KEY1 = f'account="main", cust_space_id="s", phone_number="{N1}"'
LISTING_AND_CHECKS = (
    "Can send",
    "Blocked",
    "Limited",
    "Not connected",
    "Quality RED",
    "Not listed",
    "Can it send, and if not why",
    "Numbers by verdict",
    "Errors of health checks",
    "Numbers by connection",
    "Numbers not listed, by space",
    "Numbers by quality",
    "Numbers by messaging limit",
    "Numbers found",
    "Left out",
    "Numbers found by account",
    "Oldest listing by account",
    "Discovery by space",
    "Number files",
)


def test_panels_about_listings_and_checks_are_empty_where_those_are_not_used(tmp_path: Path) -> None:
    """Empty, not 0: the panel's own text says what is not used."""
    series = number("a", N1, "desk", VERIFIED="1x60")
    evaluate(tmp_path, series, [(expression(title), 30, NOTHING) for title in LISTING_AND_CHECKS])


def test_the_worst_verdict_of_the_replicas_is_shown_and_unknown_only_if_none_knows_more(tmp_path: Path) -> None:
    series = (
        said("can_send", "a", AVAILABLE="1x60", BLOCKED="0x60", UNKNOWN="0x60")
        | said("can_send", "b", AVAILABLE="0x60", BLOCKED="1x60", UNKNOWN="0x60")
        | said("can_send", "a", N2, AVAILABLE="0x60", BLOCKED="0x60", UNKNOWN="1x60")
        | said("can_send", "b", N2, AVAILABLE="1x60", BLOCKED="0x60", UNKNOWN="0x60")
    )
    verdicts = {'{verdict="AVAILABLE"}': 1, '{verdict="BLOCKED"}': 1}
    checks = [(expression("Numbers by verdict"), 30, verdicts), *counts(Can_send=1, Blocked=1, Limited=0)]
    evaluate(tmp_path, series, checks)


def test_what_a_listing_said_is_taken_from_the_replica_that_listed_last(tmp_path: Path) -> None:
    series = (
        listing("a", "60x60")
        | listing("b", "0+60x60")
        | said("connection_status", "a", CONNECTED="1x60")
        | said("connection_status", "b", CONNECTED="0x60", BANNED="1x60")
        | said("quality_rating", "a", RED="1x60")
        | said("quality_rating", "b", RED="0x60", GREEN="1x60")
        | of("cams_phone_number_listed", "a", "0x60")
        | of("cams_phone_number_listed", "b", "1x60")
        | of("cams_phone_number_messaging_limit", "a", "250x60")
        | of("cams_phone_number_messaging_limit", "b", "1000x60")
    )
    evaluate(
        tmp_path,
        series,
        [
            (expression("Numbers by connection"), 30, {'{connection="BANNED"}': 1}),
            (expression("Numbers by quality"), 30, {'{rating="GREEN"}': 1}),
            (expression("Numbers by messaging limit"), 30, {'{customers="1000"}': 1}),
            (expression("Numbers not listed, by space"), 30, NOTHING),
            *counts(Not_connected=1, Quality_RED=0, Not_listed=0),
        ],
    )


def test_the_table_names_the_numbers_that_cannot_send_and_why(tmp_path: Path) -> None:
    """N1 is blocked with two errors; N2 can send.  Before the first listing only the verdict is known."""
    error = "cams_phone_number_health_error_info"
    series = (
        number("a", N1, "desk", EXPIRED="1x60")
        | number("a", N2, "fine", VERIFIED="1x60")
        | said("can_send", "a", AVAILABLE="0x60", BLOCKED="1x60")
        | said("can_send", "a", N2, AVAILABLE="1x60", BLOCKED="0x60")
        | {f"{error}{{{labels(instance='a', entity='WABA', error_code='141006')}}}": "1x60"}
        | {f"{error}{{{labels(instance='a', phone=N2, entity='WABA', error_code='138024')}}}": "1x60"}
        | listing("a", "_x20 0+60x40")
        | said("connection_status", "a", CONNECTED="_x20 1x40")
        | said("connection_status", "a", N2, CONNECTED="_x20 1x40")
        | said("quality_rating", "a", GREEN="_x20 1x40")
        | of("cams_phone_number_messaging_limit", "a", "_x20 250x40")
    )
    table = "Can it send, and if not why"
    evaluate(
        tmp_path,
        series,
        [
            (expression(table, "A"), 10, {f'{{{KEY1}, name="desk"}}': 1}),
            (expression(table, "B"), 10, {f'{{{KEY1}, verdict="BLOCKED"}}': 4}),
            (expression(table, "C"), 10, NOTHING),
            (expression(table, "C"), 30, {f'{{{KEY1}, connection="CONNECTED"}}': 1}),
            (expression(table, "D"), 30, {f'{{{KEY1}, rating="GREEN"}}': 1}),
            (expression(table, "E"), 30, {f"{{{KEY1}}}": 250}),
            (expression(table, "F"), 30, {f'{{{KEY1}, error_code="141006"}}': 1}),
            (expression(table, "G"), 30, {f'{{{KEY1}, status="EXPIRED"}}': 1}),
        ],
    )


def test_discovery_is_shown_by_space_with_the_age_of_its_last_listing(tmp_path: Path) -> None:
    """Of two replicas the one that listed last counts."""
    found = "cams_account_discovered_phone_numbers"
    pairs = 'account="main", cust_space_id="s", job="cams-exporter"'
    series = (
        listing("a", "600x60")
        | listing("b", "1200x60")
        | {f'{found}{{{pairs}, instance="{instance}"}}': "3x60" for instance in "ab"}
        | {'cams_account_discovery_left_out{account="main", instance="a", job="cams-exporter"}': "2x60"}
    )
    space = '{account="main", cust_space_id="s"}'
    evaluate(
        tmp_path,
        series,
        [
            (expression("Discovery by space", "A"), 30, {space: 3}),
            (expression("Discovery by space", "B"), 30, {space: 600}),
            *counts(Numbers_found=3, Left_out=2),
        ],
    )
