"""The pages: their content, and hostile values."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporter.cams.error_codes import advice
from exporter.model import (
    KNOWN_STATUSES,
    OPERATION,
    QUALITY_RATINGS,
    VERDICTS,
    AccountStatus,
    ClusterStatus,
    DiscoveryStatus,
    HealthError,
    OperationStatus,
    PhoneNumber,
    Refused,
    SpaceStatus,
)
from exporter.state.history import MAX_POLLS
from exporter.web.ui.views import LandingInfo, Page, Site, landing_page, missing_page
from tests.support.numbers import number, numbers
from tests.support.shown import REQUEST_ID, STALE_AFTER, Reader, ShownFleet

HOSTILE = [
    "<script>alert(1)</script>",
    '"><b x="',
    "' onfocus='alert(1)",
    "{{ 7*7 }}{% include 'x' %}",
    "${x} $version",
    "&lt;",
    "</style></title></textarea><!--",
    "javascript:alert(1)",
    "a\u202eb\x00c\ud800",
]
DOCS = "https://github.com/cams-exporter/cams-exporter/blob/main/docs/"
SITE = Site(LandingInfo(version="1.2.3"), "/metrics")


def own_links(page: Page) -> list[str]:
    """The links to this exporter."""
    return [link for link in Reader(page.html).links if not link.startswith(("data:,", "#", DOCS))]


def trouble_of(page: Reader) -> str:
    """What the page says is wrong with its one account."""
    (row,) = [row for row in page.rows if "Trouble" in row]
    return row["Trouble"]


def every_page(info: LandingInfo | None = None, fleet: ShownFleet | None = None) -> list[Page]:
    """One of each kind."""
    info = info or LandingInfo(version="1.2.3")
    one = number(1)
    fleet = fleet or ShownFleet([one])
    (record, *_) = fleet.view()[0].numbers
    return [
        landing_page(Site(info, "/metrics")),
        fleet.page(),
        fleet.number_page(record.number, Site(info, "/metrics")),
        missing_page(Site(info, "/metrics")),
    ]


class TestEveryPage:
    """For all pages."""

    def test_it_names_the_exporter_and_its_version(self) -> None:
        for page in every_page():
            text = Reader(page.html).text
            assert "CAMS exporter" in text
            assert "Version 1.2.3" in text

    @pytest.mark.parametrize("demo", [True, False])
    def test_only_a_demo_is_marked_as_simulated(self, demo: bool) -> None:
        landing, _, one, missing = every_page(LandingInfo(version="1", demo=demo))
        assert {("simulated" in Reader(page.html).text) for page in (landing, one, missing)} == {demo}

    def test_it_loads_nothing_and_runs_nothing(self) -> None:
        for page in every_page():
            reader = Reader(page.html)
            assert not {"script", "img", "iframe", "object", "link rel=stylesheet"} & set(reader.tags)
            html = re.sub(rb'<a class="(runbook|outside)" href="https:[^"]+" rel="noreferrer">', b"", page.html)
            assert not re.search(rb"\son[a-z]+=|\sstyle=|javascript:|url\(|@import|https?:", html)

    def test_the_policy_allows_the_pages_own_style_and_nothing_else(self) -> None:
        """The hash must be that of the style sheet in the page, or the browser ignores it."""
        for page in every_page():
            style = re.search(rb"<style>(.*?)</style>", page.html, re.DOTALL)
            assert style is not None
            digest = base64.b64encode(hashlib.sha256(style[1]).digest()).decode()
            policy = page.headers["Content-Security-Policy"]
            assert f"style-src 'sha256-{digest}';" in policy
            assert "default-src 'none';" in policy
            assert "unsafe" not in policy

    def test_it_follows_the_readers_light_or_dark_setting(self) -> None:
        for page in every_page():
            assert b"color-scheme: light dark" in page.html
            assert b"prefers-color-scheme: dark" in page.html

    def test_links_hold_behind_a_proxy_that_adds_a_prefix(self) -> None:
        """Each is relative to its page, and is a path of this exporter below the prefix."""
        paths = {"", "metrics", "config", "numbers", "numbers/number", "-/healthy", "-/ready"}
        for page, place in zip(every_page(), ("", "numbers", "numbers/number", "numbers/number"), strict=True):
            links = own_links(page)
            assert links
            for link in links:
                path = urlsplit(urljoin(f"http://proxy/some/prefix/{place}", link)).path
                assert path.removeprefix("/some/prefix/") in paths, link

    @given(st.text(max_size=50) | st.sampled_from(HOSTILE))
    def test_no_value_of_the_exporter_becomes_markup(self, value: str) -> None:
        """For any value the page keeps its elements, and the value is text."""
        plain = Reader(landing_page(Site(LandingInfo(version="1"), "/metrics")).html)
        page = Reader(landing_page(Site(LandingInfo(version=value, name=value, description=value), "/metrics")).html)
        assert page.tags == plain.tags
        assert page.links == plain.links
        assert value.encode("utf-8", "replace").decode() in page.text


class TestLanding:
    """The page at the root."""

    @pytest.mark.parametrize("telemetry_path", ["/metrics", "/a/b", "/a:b"])
    def test_it_links_every_page_and_probe(self, telemetry_path: str) -> None:
        links = Reader(landing_page(Site(LandingInfo(version="1"), telemetry_path)).html).links
        own = ["./numbers", "./numbers?format=json", f".{telemetry_path}", "./config", "./-/healthy", "./-/ready"]
        assert links[-8:] == [*own, f"{DOCS}README.md", f"{DOCS}runbooks/README.md"]

    def test_where_metrics_take_its_place_no_page_links_it(self) -> None:
        """With --web.telemetry-path=/ the home page is the list of numbers."""
        (one,) = numbers(1)
        page = ShownFleet([one]).number_page(one, Site(LandingInfo(version="1"), "/"))
        assert own_links(page)[:3] == ["../numbers", "../", "../numbers"]
        assert "../" not in own_links(page)[3:]


def hostile(value: str) -> ShownFleet:
    """A number with `value` in all fields."""
    one = PhoneNumber("main", value, "8613800000001", "8613800000001", value, (("team", value),))
    fleet = ShownFleet([one])
    fleet.succeed(one, value, request_id=value)
    fleet.fail(one, code=value, message=value)
    fleet.listed(one, value, value, None, value, value, value)
    fleet.checked(one, value, HealthError(value, value, value, value))
    fleet.check_failed(one, value, value)
    (account,) = fleet.accounts
    why = Refused(value, value, value)
    fleet.accounts = [
        replace(
            account,
            refused=why,
            spaces=(value,),
            refused_spaces={value: why},
            operations=(OperationStatus(OPERATION), OperationStatus("GetWhatsappHealthStatus", False, why)),
            health_seconds=300.0,
            discovery=DiscoveryStatus({value: SpaceStatus(1, 0.0, True, why)}, 1),
        )
    ]
    return fleet


class TestHostileValues:
    """Statuses, codes, messages and RequestIds come from outside, names from a file; none may become markup."""

    @given(st.text(min_size=1, max_size=50) | st.sampled_from(HOSTILE))
    def test_no_value_becomes_markup(self, value: str) -> None:
        assume(value not in {*KNOWN_STATUSES, *QUALITY_RATINGS, *VERDICTS, "CONNECTED", "PENDING"})  # which have rules
        plain = [Reader(page.html) for page in every_page(fleet=hostile("x"))]
        pages = [Reader(page.html) for page in every_page(fleet=hostile(value))]
        assert [page.tags for page in pages] == [page.tags for page in plain]

    @pytest.mark.parametrize("value", HOSTILE)
    def test_what_is_asked_for_does_not_become_markup(self, value: str) -> None:
        fleet = ShownFleet([number()])
        plain = Reader(fleet.page(account="x", status="x", q="x", sort="x", page="x", y="z").html)
        page = Reader(fleet.page(account=value, status=value, q=value, sort=value, page=value, **{value: value}).html)
        assert page.tags == plain.tags
        assert page.values["q"] == value.encode("utf-8", "replace").decode()

    def test_a_long_message_is_cut_in_the_list_and_whole_on_the_numbers_page(self) -> None:
        one = number(1)
        fleet = ShownFleet([one])
        fleet.fail(one, message="word " * 100)
        (row,) = Reader(fleet.page().html).numbers
        assert len(row["Last error"]) < 300
        assert "word " * 99 in Reader(fleet.number_page(one).html).text


class TestNumbers:
    """The status page."""

    def test_a_row_tells_all_about_a_number(self) -> None:
        one = number(7, name="support-line")
        fleet = ShownFleet([one])
        fleet.succeed(one, "EXPIRED")
        fleet.clock.advance(3700)
        fleet.fail(one, "http_502", "Bad gateway.")
        fleet.clock.advance(5)
        fleet.due = {one.key: fleet.clock.now_unix + 42.5}
        page = Reader(fleet.page().html)
        (row,) = page.numbers
        assert row["Number"] == "8613800000007"
        assert (row["Name"], row["Account"], row["Space"]) == ("support-line", "main", "cams-kei0001")
        assert row["Status"] == "UNKNOWN was EXPIRED"
        assert row["Since"] == "1 h 1 min 16:00:00"
        assert row["Last success"] == "1 h 1 min ago 16:00:00"
        assert row["Last error"] == (f"failing http_502 5 s ago 17:01:40 Bad gateway. RequestId {REQUEST_ID.lower()}")
        assert row["Next poll"] == "in 42 s 17:02:27"
        assert "2025-11-24T16:00:00Z" in page.times

    def test_a_number_never_asked_about_tells_nothing(self) -> None:
        (row,) = Reader(ShownFleet([number()]).page().html).numbers
        assert [row[column] for column in ("Status", "Since", "Last success", "Last error", "Next poll")] == [
            "UNKNOWN",
            "–",
            "never",
            "none",
            "never",
        ]

    @pytest.mark.parametrize(("ahead", "text"), [(None, "now"), (0.5, "due"), (-90.0, "due"), (90.0, "in 1 min 30 s")])
    def test_the_next_poll_is_told_relative_to_now(self, ahead: float | None, text: str) -> None:
        one = number()
        fleet = ShownFleet([one])
        fleet.due = {one.key: None if ahead is None else fleet.clock.now_unix + ahead}
        (row,) = Reader(fleet.page().html).numbers
        assert row["Next poll"].startswith(text)

    def test_an_error_that_was_overcome_is_not_called_failing(self) -> None:
        one = number()
        fleet = ShownFleet([one])
        fleet.fail(one)
        fleet.succeed(one)
        (row,) = Reader(fleet.page().html).numbers
        assert row["Last error"].startswith("InternalError")

    def test_accounts_tell_budget_lag_and_numbers_by_status(self) -> None:
        every = numbers(3)
        fleet = ShownFleet(every)
        fleet.succeed(every[0], "VERIFIED")
        fleet.succeed(every[1], "EXPIRED")
        fleet.accounts = [AccountStatus("main", 3, 30.0, 75.0, 5.0, 2.5, 4)]
        (row,) = [row for row in Reader(fleet.page().html).rows if "Budget" in row]
        assert row["Access"] == "up"
        assert row["Numbers"] == "3 1 UNKNOWN, 1 EXPIRED, 1 VERIFIED"
        assert row["Budget"] == "2.5/s throttled, of 5/s"
        assert (row["Interval"], row["Lag"], row["In flight"]) == ("30 s", "1 min 15 s", "4")

    @pytest.mark.parametrize(
        ("effective_qps", "guard_seconds", "shown"),
        [
            (10.0, 0.0, "10/s of 10/s"),
            (8.0, 0.25, "8/s path jitter 250 ms, of 10/s"),
            (4.0, 0.25, "4/s throttled, of 10/s"),
            (5.0, 0.0, "5/s throttled, of 10/s"),
        ],
    )
    def test_an_account_tells_a_path_that_jitters_from_throttling(
        self, effective_qps: float, guard_seconds: float, shown: str
    ) -> None:
        fleet = ShownFleet(numbers(1))
        fleet.accounts = [AccountStatus("main", 1, 30.0, 0.0, 10.0, effective_qps, 0, guard_seconds=guard_seconds)]
        (row,) = [row for row in Reader(fleet.page().html).rows if "Budget" in row]
        assert row["Budget"] == shown

    def test_a_refused_account_tells_why_and_what_to_do(self) -> None:
        one = number()
        fleet = ShownFleet([one])
        fleet.due = {one.key: fleet.clock.now_unix + 5}
        fleet.accounts = [
            AccountStatus("main", 1, 30.0, 0.0, 5.0, 5.0, 0, Refused("Ram.PermissionDeny", "You may not.", REQUEST_ID))
        ]
        page = Reader(fleet.page().html)
        (row,) = [row for row in page.rows if "Budget" in row]
        assert row["Access"] == "refused"
        assert trouble_of(page) == (
            f"The account is refused Ram.PermissionDeny You may not. RequestId {REQUEST_ID} "
            f"{advice('Ram.PermissionDeny')} Runbook: CamsAccountRefused"
        )
        (shown,) = page.numbers
        assert shown["Next poll"] == "held back the account is refused"
        assert "The account is refused" in Reader(fleet.number_page(one).html).text

    def test_a_refused_space_tells_why_and_what_to_do(self) -> None:
        one, other = number(1, space="cams-1"), number(2, space="cams-2")
        fleet = ShownFleet([one, other])
        fleet.due = {one.key: math.inf, other.key: fleet.clock.now_unix + 5}
        why = Refused("Forbidden.RAM", "You may not.", REQUEST_ID)
        fleet.accounts = [replace(fleet.accounts[0], spaces=("cams-1", "cams-2"), refused_spaces={"cams-1": why})]
        page = Reader(fleet.page(sort="number", order="asc").html)
        (row,) = [row for row in page.rows if "Budget" in row]
        assert row["Access"] == "up 1 of 2 spaces refused"
        assert trouble_of(page) == (
            f"Refused spaces cams-1 Forbidden.RAM You may not. RequestId {REQUEST_ID} "
            f"{advice('Forbidden.RAM')} Runbook: CamsSpaceRefused"
        )
        assert next(shown["Next poll"] for shown in page.numbers) == "held back the space is refused"
        assert "held back" not in [shown["Next poll"] for shown in page.numbers][1]
        text = Reader(fleet.number_page(one).html).text
        assert "The space is refused" in text
        assert advice("Forbidden.RAM") in text
        assert "The space is refused" not in Reader(fleet.number_page(other).html).text

    def test_a_page_names_twenty_refused_spaces_and_says_that_there_are_more(self) -> None:
        spaces = tuple(f"cams-{index:03}" for index in range(500))
        fleet = ShownFleet([number()])
        refused = {space: Refused("Forbidden.RAM") for space in spaces}
        fleet.accounts = [replace(fleet.accounts[0], spaces=spaces, refused_spaces=refused)]
        page = Reader(fleet.page().html)
        (row,) = [row for row in page.rows if "Budget" in row]
        assert "500 of 500 spaces refused" in row["Access"]
        trouble = trouble_of(page)
        assert trouble.count("Forbidden.RAM") == 20
        assert f"and others; the metric cams_account_space_up names all {advice('Forbidden.RAM')}" in trouble

    def test_a_head_links_the_order_it_makes_and_tells_the_one_in_force(self) -> None:
        fleet = ShownFleet([number()])
        page = Reader(fleet.page(sort="since", q="86", page="1").html)
        assert page.heads == {"Since": "descending"}
        assert "numbers?q=86&sort=since&order=asc" in page.links
        assert "numbers?q=86&sort=name" in page.links
        assert Reader(fleet.page().html).heads == {}
        assert Reader(fleet.page(sort="status").html).heads == {"Status": "ascending"}

    def test_the_form_shows_the_filters_in_force_and_keeps_the_order(self) -> None:
        page = Reader(ShownFleet([number()]).page(q='a "b"', failing="1", sort="name", order="desc").html)
        assert page.values == {"q": 'a "b"', "failing": "1", "sort": "name", "order": "desc"}

    @pytest.mark.parametrize("what", [{"account": "gone"}, {"status": "REVOKED"}])
    def test_a_filter_that_nothing_matches_any_more_is_still_shown_as_chosen(self, what: dict[str, str]) -> None:
        """A bookmark with an unknown filter must not show all numbers."""
        html = ShownFleet([number()]).page(**what).html.decode()
        (value,) = what.values()
        assert f'<option selected value="{value}">' in html
        assert "No number matches" in html

    def test_a_filter_value_that_no_number_has_is_said_with_those_that_lead_on(self) -> None:
        """The other filters, the order and the refresh stay."""
        every = numbers(2)
        fleet = ShownFleet(every)
        page = Reader(fleet.page(status="VERIFEID", q="86", sort="name", refresh="60", page="2").html)
        assert (
            "No number has Status “VERIFEID”. The values there are: NOT_VERIFIED, UNKNOWN, EXPIRED, VERIFIED. Show all"
            in page.plain
        )
        for link in (
            "numbers?status=VERIFIED&q=86&sort=name&refresh=60",
            "numbers?q=86&sort=name&refresh=60",
        ):
            assert link in page.links

    def test_a_value_that_is_known_but_that_no_number_has_is_no_mistake(self) -> None:
        text = Reader(ShownFleet([number()]).page(status="EXPIRED").html).plain
        assert "No number matches; 1 in all" in text
        assert "No number has" not in text

    def test_a_parameter_that_is_not_understood_is_named_with_what_to_write(self) -> None:
        """Else a bookmark with a typing error would show all numbers as if they matched."""
        text = Reader(ShownFleet([number()]).page(statsu="EXPIRED", sort="<name>", page="0").html).plain
        assert "Ignored: statsu “EXPIRED”; the parameters are account, status," in text
        assert "Ignored: sort “<name>”; write one of urgency," in text
        assert "Ignored: page “0”; write a whole number from 1 to 999999999" in text
        assert "Ignored" not in Reader(ShownFleet([number()]).page(status="EXPIRED").html).text

    def test_each_filter_in_force_is_shown_and_can_be_taken_away(self) -> None:
        """They are to be seen also where the form is folded."""
        page = Reader(ShownFleet([number()]).page(status="EXPIRED", q="a b", failing="1").html)
        assert "Status EXPIRED ×: remove this filter" in page.plain
        for link in ("numbers?q=a+b&failing=1", "numbers?status=EXPIRED&failing=1", "numbers?status=EXPIRED&q=a+b"):
            assert link in page.links
        assert "text above ×: remove this filter" in page.plain
        assert "a b" not in page.text  # it stays in the field: it may be a number that is masked
        assert "remove this filter" not in Reader(ShownFleet([number()]).page().html).text

    def test_the_refresh_is_off_until_a_link_turns_it_on(self) -> None:
        """By itself a page would take away what a person types, and a screen reader's place."""
        fleet = ShownFleet(numbers(150))
        page = fleet.page(q="86", page="2")
        assert "Refresh" not in page.headers
        assert "numbers?q=86&refresh=30&page=2" in Reader(page.html).links
        page = fleet.page(q="86", page="2", refresh="30")
        assert page.headers["Refresh"] == "30"
        assert "Refreshed every 30 s: stop" in Reader(page.html).plain
        assert "numbers?q=86&page=2" in Reader(page.html).links
        assert "numbers?q=86&sort=name&refresh=30" in Reader(page.html).links

    def test_the_page_leads_to_its_json_twin(self) -> None:
        fleet = ShownFleet(numbers(150))
        assert "numbers?format=json" in Reader(fleet.page().html).links
        assert "numbers?format=json&status=UNKNOWN&page=2" in Reader(fleet.page(status="UNKNOWN", page="2").html).links

    def test_the_pager_links_its_neighbours_and_keeps_the_filters(self) -> None:
        page = Reader(ShownFleet(numbers(305)).page(page="2", sort="number", q="86").html)
        assert len(page.numbers) == 100
        assert page.labels[0] == "8613800000100"
        assert "101–200 of 305" in page.text
        for target in (1, 3, 4):
            link = "numbers?q=86&sort=number" + (f"&page={target}" if target > 1 else "")
            assert link in page.links

    def test_without_any_number_the_page_says_so(self) -> None:
        assert "No number is configured" in Reader(ShownFleet([]).page().html).text

    def test_accounts_are_folded_away_unless_one_is_refused(self) -> None:
        """The numbers come first; a line says how the accounts are."""
        fleet = ShownFleet([number(account=f"account {index}") for index in range(7)])
        assert b'<details class="accounts">' in fleet.page().html
        assert "Accounts 7, all up" in Reader(fleet.page().html).plain
        fleet.accounts = [replace(fleet.accounts[0], lag_seconds=75.0), *fleet.accounts[1:]]
        assert b'<details class="accounts">' in fleet.page().html
        assert "Accounts 7, all up, late by 1 min 15 s" in Reader(fleet.page().html).plain
        fleet.accounts = [
            replace(fleet.accounts[0], lag_seconds=0.0, refused=Refused("Forbidden.RAM")),
            *fleet.accounts[1:],
        ]
        assert b'<details class="accounts troubled">' in fleet.page().html
        assert "Accounts 7 1 in trouble account 0" in Reader(fleet.page().html).plain
        fleet.accounts = [
            replace(fleet.accounts[0], refused=None, refused_spaces={"cams-1": Refused("Forbidden.RAM")}),
            *fleet.accounts[1:],
        ]
        assert b'<details class="accounts troubled">' in fleet.page().html


class TestNumber:
    """One number's page."""

    def test_it_is_addressed_by_account_space_and_label(self) -> None:
        one = number(1, account="a&b", space="s/1?#é", label="861380*****01")
        page = Reader(ShownFleet([one]).page().html)
        (link,) = [link for link in page.links if link.startswith("numbers/number")]
        assert parse_qs(urlsplit(link).query) == {"account": ["a&b"], "space": ["s/1?#é"], "number": ["861380*****01"]}

    def test_it_tells_all_about_the_number(self) -> None:
        one = number(1, name="support-line", labels=(("team", "care"),))
        fleet = ShownFleet([one])
        fleet.succeed(one, "REVOKED")
        fleet.clock.advance(60)
        fleet.succeed(one, "VERIFIED")
        fleet.fail(one, "InvalidParameter.PhoneNumber", "Not valid.")
        text = " ".join(Reader(fleet.number_page(one).html).text.split())
        for fact in ("8613800000001", "support-line", "main", "cams-kei0001", "id-001", "team=care", "REVOKED"):
            assert fact in text
        assert "InvalidParameter.PhoneNumber HTTP 500" in text
        assert f"What to do: {advice('InvalidParameter.PhoneNumber')}" in text
        assert f"For Alibaba Cloud support: RequestId {REQUEST_ID.lower()}" in text

    def test_it_lists_the_last_polls_newest_first(self) -> None:
        one = number(1)
        fleet = ShownFleet([one])
        fleet.succeed(one)
        fleet.fail(one, "timeout")
        for _ in range(MAX_POLLS - 1):
            fleet.clock.advance(60)
            fleet.succeed(one)
        rows = Reader(fleet.number_page(one).html).rows
        polls = [row for row in rows if "Status or code" in row]
        assert len(polls) == MAX_POLLS
        assert polls[0] == {
            "Time": "0 s ago 16:04:00",
            "Outcome": "answered",
            "Status or code": "VERIFIED",
            "HTTP": "2xx",
            "Latency": "0.250 s",
            "RequestId": REQUEST_ID,
        }
        assert polls[1]["Time"] == "1 min ago 16:03:00"
        assert polls[-1] == {
            "Time": "4 min ago 16:00:00",
            "Outcome": "failed",
            "Status or code": "timeout",
            "HTTP": "500",
            "Latency": "0.500 s",
            "RequestId": REQUEST_ID.lower(),
        }

    def test_it_can_be_refreshed_too(self) -> None:
        one = number(1)
        fleet = ShownFleet([one])
        off, on = fleet.number_page(one), fleet.number_page(one, refresh=30)
        assert "Refresh" not in off.headers
        assert on.headers["Refresh"] == "30"
        own = "../numbers/number?account=main&space=cams-kei0001&number=8613800000001"
        assert f"{own}&refresh=30" in Reader(off.html).links
        assert own in Reader(on.html).links

    def test_it_says_when_there_is_nothing_yet(self) -> None:
        one = number()
        text = Reader(ShownFleet([one]).number_page(one).html).text
        assert "None yet since the exporter started" in text

    def test_a_resolved_error_is_shown_as_resolved(self) -> None:
        one = number()
        fleet = ShownFleet([one])
        fleet.fail(one)
        assert "now resolved" not in Reader(fleet.number_page(one).html).text
        fleet.succeed(one)
        assert "now resolved" in Reader(fleet.number_page(one).html).text

    def test_a_stale_status_reads_unknown_with_what_it_was(self) -> None:
        one = number()
        fleet = ShownFleet([one])
        fleet.succeed(one, "EXPIRED")
        fleet.clock.advance(STALE_AFTER + 1)
        assert "was EXPIRED" in Reader(fleet.number_page(one).html).text


def test_no_page_shows_a_number_that_is_masked() -> None:
    """Not in text, a link, a title or a form."""
    hidden = number(1, label="861380*****01", name="line")
    fleet = ShownFleet([hidden])
    fleet.succeed(hidden)
    fleet.fail(hidden)
    for page in every_page(fleet=fleet):
        assert hidden.phone_number.encode() not in page.html
        assert hidden.phone_number[6:].encode() not in page.html


class TestReplicas:
    """The status page of one of several replicas."""

    def shown(self, *, store_up: bool = True, is_spare: bool = False, holder: str = "host-b:7") -> Reader:
        fleet = ShownFleet([number(1)])
        fleet.replicas = ClusterStatus(store_up, {"a": "host-a:1", "b": "host-b:7"}, {"main": "b"}, {}, is_spare)
        fleet.accounts = [
            replace(account, is_held=False, is_polled=is_spare, holder="" if is_spare else holder)
            for account in fleet.accounts
        ]
        return Reader(fleet.page().html)

    def test_it_says_who_shares_and_who_polls_each_account(self) -> None:
        page = self.shown()
        assert "2 replicas share the accounts: host-a:1 polls none, host-b:7 polls 1" in page.plain
        (row,) = [row for row in page.rows if "Budget" in row]
        assert row["Account"].endswith("polled by host-b:7")
        assert row["Budget"] == "see its replica"
        assert "held by no replica now" in self.shown(holder="").text

    def test_it_says_that_the_store_is_away_and_what_follows(self) -> None:
        page = self.shown(store_up=False, is_spare=True)
        assert (
            "share the accounts: host-a:1, host-b:7. Their store does not answer: each polls all accounts, slowly"
            in page.plain
        )
        (row,) = [row for row in page.rows if "Budget" in row]
        assert row["Account"].endswith("polled slowly by each replica")
        assert row["Budget"].startswith("5/s")

    @pytest.mark.parametrize(
        ("rates", "said"),
        [
            ({"main": 0}, "nothing is polled until it answers"),
            ({"main": 1, "other": 0}, "each polls 1 of 2 accounts, slowly; nobody polls the others"),
        ],
    )
    def test_it_says_so_if_no_budget_is_left_without_the_store(self, rates: dict[str, int], said: str) -> None:
        fleet = ShownFleet([number(1)])
        fleet.replicas = ClusterStatus(False, {"a": "host-a:1"}, {}, {}, is_spare=True, spare_qps=rates)
        fleet.accounts = [replace(account, is_held=False, is_polled=False) for account in fleet.accounts]
        page = Reader(fleet.page().html)
        assert f"Their store does not answer: {said}" in page.plain
        (row,) = [row for row in page.rows if "Budget" in row]
        assert row["Account"].endswith("held by no replica now")
        assert row["Budget"] == "–"

    def test_one_replica_too_many_says_that_it_polls_nothing(self) -> None:
        fleet = ShownFleet([number(1)])
        fleet.replicas = ClusterStatus(True, {"a": "host-a:1"}, {}, {}, is_spare=False, is_extra=True)
        said = "This replica polls nothing: there are more than the setting replicas allows"
        assert said in Reader(fleet.page().html).plain
        assert said not in self.shown().plain

    def test_an_exporter_that_is_alone_says_nothing_of_it(self) -> None:
        text = Reader(ShownFleet([number(1)]).page().html).text
        assert "replica" not in text
        assert "polled by" not in text

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_hostile_name_of_a_replica_is_only_text(self, name: str) -> None:
        fleet = ShownFleet([number(1)])
        fleet.replicas = ClusterStatus(True, {"a": name}, {}, {}, is_spare=False)
        plain = ShownFleet([number(1)])
        plain.replicas = ClusterStatus(True, {"a": "x"}, {}, {}, is_spare=False)
        assert Reader(fleet.page().html).tags == Reader(plain.page().html).tags
