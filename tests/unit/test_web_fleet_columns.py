"""The status page of numbers that are found and checked: columns, filters, order, counts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from exporter.model import PhoneNumber
from exporter.web.ui.entries import MAX_VALUES, NOT_KNOWN
from tests.support.numbers import number, numbers
from tests.support.shown import HEALTH_COUNTS, LISTING_COUNTS, Reader, ShownFleet

LISTING_COLUMNS = {"Connection", "Quality", "Limit"}
HEALTH_COLUMNS = {"Can send"}


def fleet_of(*every: PhoneNumber) -> ShownFleet:
    """Numbers of an account with `discover` and `health`, all verified."""
    fleet = ShownFleet(every)
    fleet.discover("main")
    fleet.check("main")
    for one in every:
        fleet.succeed(one)
    return fleet


def a_fleet() -> tuple[ShownFleet, list[PhoneNumber]]:
    """0 sends, 1 is BLOCKED, 2 BANNED and RED, 3 NOT_VERIFIED, 4 EXPIRED and sends, 5 no longer listed, 6 unknown."""
    every = [number(index, found=index % 2 == 0) for index in range(7)]
    fleet = fleet_of(*every)
    fleet.succeed(every[3], "NOT_VERIFIED")
    fleet.succeed(every[4], "EXPIRED")
    for one in every[:6]:
        fleet.listed(one)
        fleet.checked(one)
    fleet.listed(every[2], "BANNED", "RED", 250.0, "TIER_250")
    fleet.listed(every[4], limit=math.inf, tier="TIER_UNLIMITED")
    fleet.checked(every[1], "BLOCKED")
    fleet.unlisted(every[5])
    return fleet, every


def shown(fleet: ShownFleet, **parameters: str) -> list[int]:
    """The indices of the numbers on the page, in order."""
    return [int(label[-3:]) for label in Reader(fleet.page(**parameters).html).labels]


class TestColumns:
    """What a row says, and which columns there are."""

    @pytest.mark.parametrize(
        ("discovers", "checks", "columns"),
        [
            (False, False, set()),
            (True, False, LISTING_COLUMNS),
            (False, True, HEALTH_COLUMNS),
            (True, True, LISTING_COLUMNS | HEALTH_COLUMNS),
        ],
    )
    def test_a_column_is_there_only_where_an_account_uses_it(
        self, discovers: bool, checks: bool, columns: set[str]
    ) -> None:
        fleet = ShownFleet([number(), number(1, "other")])
        fleet.discover(*["main"] * discovers)
        fleet.check(*["main"] * checks)
        page = Reader(fleet.page().html)
        assert set(page.columns) & (LISTING_COLUMNS | HEALTH_COLUMNS) == columns
        for row in page.numbers:
            assert set(row) & (LISTING_COLUMNS | HEALTH_COLUMNS) == columns
        assert ("Source" in page.numbers[0]) is discovers

    def test_a_row_tells_connection_quality_limit_verdict_and_source(self) -> None:
        fleet, _ = a_fleet()
        rows = {row["Number"][-1]: row for row in Reader(fleet.page().html).numbers}
        assert rows["2"]["Connection"] == "BANNED"
        assert (rows["2"]["Quality"], rows["2"]["Limit"]) == ("RED", "250 a day")
        assert rows["4"]["Limit"] == "unlimited"
        assert rows["0"]["Limit"] == "1,000 a day"
        assert rows["1"]["Can send"].startswith("BLOCKED")
        assert (rows["0"]["Source"], rows["1"]["Source"]) == ("found", "typed")

    def test_an_account_that_asks_for_none_of_it_has_empty_cells(self) -> None:
        fleet = ShownFleet([number(), number(1, "other")])
        fleet.discover("main")
        fleet.check("main")
        row = Reader(fleet.page(account="other").html).numbers[0]
        assert {row[column] for column in LISTING_COLUMNS | HEALTH_COLUMNS} == {"–"}
        assert "Source" not in row

    def test_a_number_that_was_not_listed_or_checked_yet_says_so(self) -> None:
        fleet, _ = a_fleet()
        row = Reader(fleet.page(q="000006").html).numbers[0]
        assert (row["Connection"], row["Can send"]) == ("not listed yet", "not checked yet")

    def test_values_that_are_too_old_read_not_known_with_what_they_were(self) -> None:
        fleet, _ = a_fleet()
        fleet.clock.advance(max(LISTING_COUNTS, HEALTH_COUNTS) + 1)
        row = Reader(fleet.page(q="000002").html).numbers[0]
        assert row["Connection"] == "not known was BANNED"
        assert row["Can send"].startswith("UNKNOWN was AVAILABLE")
        assert (row["Quality"], row["Limit"]) == ("–", "–")
        fleet.health_refused(["main"])
        row = Reader(fleet.page(q="000002").html).numbers[0]
        assert row["Can send"] == "not known"

    def test_a_number_that_its_space_does_not_list_says_so(self) -> None:
        fleet, _ = a_fleet()
        assert Reader(fleet.page(q="000005").html).numbers[0]["Connection"] == "CONNECTED no longer listed"
        typo = number(9)
        fleet = fleet_of(typo)
        fleet.unlisted(typo)
        assert Reader(fleet.page().html).numbers[0]["Connection"] == "not known not listed"

    def test_a_number_without_a_name_has_its_verified_name(self) -> None:
        named, unnamed = number(1, name="support-line"), number(2, found=True)
        fleet = fleet_of(named, unnamed)
        for one in (named, unnamed):
            fleet.listed(one, verified_name="Contoso")
        rows = Reader(fleet.page(sort="number").html).numbers
        assert [row["Name"] for row in rows] == ["support-line", "Contoso"]
        assert shown(fleet, q="contoso") == [2]

    def test_expired_looks_like_an_alarm_nowhere_unless_the_number_is_blocked(self) -> None:
        """Beside it, CONNECTED and AVAILABLE look good."""
        one = number()
        fleet = fleet_of(one)
        fleet.succeed(one, "EXPIRED")
        fleet.listed(one)
        fleet.checked(one)
        page = Reader(fleet.page().html)
        assert page.looks["EXPIRED"] == {"plain"}
        assert not {"bad", "warn"} & set().union(*page.looks.values())
        assert "No number needs action" in page.text
        fleet.checked(one, "BLOCKED")
        assert Reader(fleet.page().html).looks["BLOCKED"] == {"bad"}


class TestOrder:
    """Which numbers come first."""

    def test_numbers_that_cannot_send_come_first(self) -> None:
        fleet, _ = a_fleet()
        assert shown(fleet) == [1, 2, 3, 5, 4, 0, 6]
        assert "most urgent first" in Reader(fleet.page().html).text

    @pytest.mark.parametrize(("sort", "first"), [("verdict", 1), ("connection", 2), ("quality", 2), ("limit", 6)])
    def test_each_new_column_sorts_both_ways(self, sort: str, first: int) -> None:
        """The most urgent value first; a number without a limit has the lowest."""
        fleet, _ = a_fleet()
        assert shown(fleet, sort=sort)[0] == first
        assert shown(fleet, sort=sort, order="desc") != shown(fleet, sort=sort)

    def test_from_any_other_order_a_link_leads_back(self) -> None:
        fleet, _ = a_fleet()
        page = Reader(fleet.page(sort="limit", quality="GREEN").html)
        assert "Sort by urgency" in page.text
        assert "numbers?quality=GREEN" in page.links

    def test_the_page_says_how_many_need_action(self) -> None:
        fleet, _ = a_fleet()
        assert "3 numbers need action now, 1 should be looked at" in Reader(fleet.page().html).text

    def test_a_throttle_of_the_account_makes_no_number_urgent(self) -> None:
        """The poll is still shown, and found, as failed."""
        fleet, every = a_fleet()
        fleet.throttle(every[0])
        assert shown(fleet)[-2:] == [0, 6]
        assert shown(fleet, failing="1") == [0]
        page = Reader(fleet.page().html)
        assert "3 numbers need action now, 1 should be looked at" in page.text
        assert page.looks["failing"] == {"unknown"}
        fleet.fail(every[0], "InvalidParameter.PhoneNumber")
        fleet.throttle(every[0])
        page = Reader(fleet.page().html)
        assert "3 numbers need action now, 2 should be looked at" in page.text
        assert page.looks["failing"] == {"bad"}


class TestFilters:
    """Query parameters, as for the status."""

    @pytest.mark.parametrize(
        ("parameters", "found"),
        [
            ({"verdict": "BLOCKED"}, {1}),
            ({"verdict": "AVAILABLE"}, {0, 2, 3, 4, 5}),
            ({"verdict": NOT_KNOWN}, {6}),
            ({"connection": "BANNED"}, {2}),
            ({"connection": NOT_KNOWN}, {6}),
            ({"quality": "RED"}, {2}),
            ({"limit": "250"}, {2}),
            ({"limit": "1000"}, {0, 1, 3, 5}),
            ({"limit": "unlimited"}, {4}),
            ({"source": "found"}, {0, 2, 4, 6}),
            ({"source": "typed"}, {1, 3, 5}),
            ({"listed": "no"}, {5}),
            ({"listed": "yes", "source": "typed"}, {1, 3}),
            ({"connection": "banned"}, set()),
            ({"verdict": "BLOCKED", "quality": "RED"}, set()),
        ],
    )
    def test_each_value_is_a_filter_and_they_combine(self, parameters: dict[str, str], found: set[int]) -> None:
        fleet, _ = a_fleet()
        assert set(shown(fleet, **parameters)) == found

    @pytest.mark.parametrize(
        ("name", "title"),
        [
            ("account", "Account"),
            ("status", "Status"),
            ("verdict", "Can send"),
            ("connection", "Connection"),
            ("quality", "Quality"),
            ("limit", "Limit"),
            ("source", "Source"),
            ("listed", "Listed"),
        ],
    )
    def test_a_value_that_no_number_has_says_so_and_stays_chosen(self, name: str, title: str) -> None:
        """Also where no account uses the feature: a bookmark must not show all numbers."""
        for fleet in (a_fleet()[0], ShownFleet([number()])):
            html = fleet.page(**{name: "<FOO>"}).html.decode()
            assert f"No number has {title} “<bdi>&lt;FOO&gt;</bdi>”" in html
            assert '<option selected value="&lt;FOO&gt;">' in html
            assert Reader(html.encode()).numbers == []

    def test_a_filter_is_offered_only_where_it_can_choose(self) -> None:
        fleet = ShownFleet([number()])
        for name in ("verdict", "connection", "quality", "limit", "source", "listed"):
            assert f'name="{name}"'.encode() not in fleet.page().html
            assert f'name="{name}"'.encode() in a_fleet()[0].page().html

    def test_values_that_a_server_makes_up_do_not_make_the_page_grow(self) -> None:
        every = numbers(3 * MAX_VALUES)
        fleet = fleet_of(*every)
        for index, one in enumerate(every):
            fleet.listed(one, f"ODD_{index}")
        html = fleet.page().html.decode()
        assert html.count('<option value="ODD_') == MAX_VALUES


class TestCounts:
    """The tiles at the top."""

    def test_verdicts_and_connections_are_counted_and_lead_to_their_numbers(self) -> None:
        fleet, _ = a_fleet()
        page = Reader(fleet.page().html)
        for count in ("1 BLOCKED", "5 AVAILABLE", "1 BANNED", "5 CONNECTED", "1 not listed", "1 NOT_VERIFIED"):
            assert count in page.plain
        for link in ("numbers?verdict=BLOCKED", "numbers?connection=BANNED", "numbers?listed=no"):
            assert link in page.links

    def test_only_accounts_that_use_it_are_counted(self) -> None:
        fleet = ShownFleet([number(), number(1, "other")])
        fleet.discover("main")
        assert "1 not known" in Reader(fleet.page().html).plain

    def test_without_discovery_and_health_there_is_neither(self) -> None:
        html = ShownFleet([number()]).page().html
        assert b"Numbers by verdict" not in html
        assert b"Numbers by connection" not in html


def test_a_hidden_number_stays_hidden_whatever_the_api_says() -> None:
    """In a name, a value or an error of a health check."""
    hidden = number(1, label="0f3ac9d214be", found=True)
    fleet = fleet_of(hidden)
    fleet.listed(hidden, verified_name=f"Shop {hidden.phone_number}", connection=hidden.phone_number)
    fleet.checked(hidden, f"SO {hidden.phone_number}")
    for page in (fleet.page(), fleet.number_page(hidden)):
        assert hidden.phone_number.encode() not in page.html


def test_an_account_that_has_found_nothing_yet_says_so() -> None:
    fleet = ShownFleet([])
    fleet.accounts = [replace(account, phone_numbers=0) for account in a_fleet()[0].accounts]
    assert "No number is configured or found yet" in Reader(fleet.page().html).text


def test_only_the_numbers_of_the_page_are_in_it() -> None:
    """10,000 numbers: the page has the first hundred, and the same size as with a thousand."""
    sizes = []
    for count in (1_000, 10_000):
        every = numbers(count)
        fleet = fleet_of(*every)
        for one in every:
            fleet.listed(one)
        page = fleet.page()
        assert len(Reader(page.html).numbers) == 100
        sizes.append(len(page.html))
    assert max(sizes) - min(sizes) < 500


def test_a_refresh_that_changes_the_accounts_changes_nothing_of_the_numbers() -> None:
    """Numbers whose account's status is not there (a reload between the two) are still shown."""
    fleet, _ = a_fleet()
    fleet.accounts = []
    assert len(Reader(fleet.page().html).numbers) == 7
    fleet.accounts = [replace(account, discovery=None) for account in a_fleet()[0].accounts]
    assert len(Reader(fleet.page().html).numbers) == 7
