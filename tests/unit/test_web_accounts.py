"""The accounts' part of the status page: what is refused, what listings found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.cams.error_codes import advice
from exporter.model import OPERATION, DiscoveryStatus, OperationStatus, Refused, SpaceStatus
from exporter.web.ui.accounts import MAX_SPACES
from tests.support.numbers import number
from tests.support.shown import REQUEST_ID, Reader, ShownFleet

WHY = Refused("Forbidden.RAM", "You may not.", REQUEST_ID)


def fleet_with(discovery: DiscoveryStatus | None = None, operations: tuple[OperationStatus, ...] = ()) -> ShownFleet:
    """One account."""
    fleet = ShownFleet([number()])
    fleet.accounts = [replace(fleet.accounts[0], discovery=discovery, operations=operations)]
    return fleet


def row_of(fleet: ShownFleet) -> dict[str, str]:
    (row,) = [row for row in Reader(fleet.page().html).rows if "Budget" in row]
    return row


def trouble_of(fleet: ShownFleet) -> str:
    """What is said to be wrong with the account; empty if nothing is."""
    rows = [row["Trouble"] for row in Reader(fleet.page().html).rows if "Trouble" in row]
    return rows[0] if rows else ""


@pytest.mark.parametrize(
    ("operation", "runbook"),
    [
        ("ListInstance", "CamsDiscoveryFailing"),
        ("QueryChatappPhoneNumbers", "CamsDiscoveryFailing"),
        ("GetWhatsappHealthStatus", "CamsHealthCheckFailing"),
    ],
)
def test_an_operation_that_is_refused_tells_code_message_request_id_and_the_cure(operation: str, runbook: str) -> None:
    fleet = fleet_with(None, (OperationStatus(OPERATION), OperationStatus(operation, False, WHY)))
    assert row_of(fleet)["Access"] == "up 1 of 2 operations fails"
    assert trouble_of(fleet) == (
        f"{operation} Forbidden.RAM You may not. RequestId {REQUEST_ID} {advice('Forbidden.RAM', operation)} "
        f"Runbook: {runbook}"
    )
    assert f"cams:{operation}" in trouble_of(fleet)


def test_an_operation_that_is_down_without_a_reason_is_still_named() -> None:
    fleet = fleet_with(None, (OperationStatus(OPERATION), OperationStatus("ListInstance", False)))
    assert trouble_of(fleet) == "ListInstance Runbook: CamsDiscoveryFailing"


def test_operations_that_are_up_and_the_poll_itself_are_no_trouble() -> None:
    """A refused poll is the account's refusal, or a space's, which have places of their own."""
    fleet = fleet_with(None, (OperationStatus(OPERATION, False, WHY), OperationStatus("ListInstance")))
    assert row_of(fleet)["Access"] == "up"
    assert trouble_of(fleet) == ""


def test_an_account_tells_what_its_listings_found_and_how_old_the_oldest_is() -> None:
    fleet = fleet_with()
    now = fleet.clock.now_unix
    spaces = {"cams-1": SpaceStatus(1200, now - 60, True), "cams-2": SpaceStatus(34, now - 180, True)}
    fleet.accounts = [replace(fleet.accounts[0], discovery=DiscoveryStatus(spaces))]
    assert row_of(fleet)["Listings"] == "1,234 found in 2 spaces all listed since 3 min ago 15:57:00"
    assert trouble_of(fleet) == ""


def test_before_the_first_listing_an_account_says_so() -> None:
    fleet = fleet_with(DiscoveryStatus({"cams-1": SpaceStatus()}))
    assert row_of(fleet)["Listings"] == "0 found in 1 space, 1 not listed yet"


def test_an_account_without_discovery_says_so_beside_one_that_has_it() -> None:
    fleet = ShownFleet([number(), number(1, "other")])
    fleet.discover("main")
    rows = [row for row in Reader(fleet.page().html).rows if "Budget" in row]
    assert [row["Listings"][:7] for row in rows] == ["3 found", "not use"]


def test_without_any_discovery_there_is_no_such_column() -> None:
    assert "Listings" not in row_of(fleet_with())


def test_numbers_that_are_left_out_are_counted_with_the_cure() -> None:
    fleet = fleet_with(DiscoveryStatus({"cams-1": SpaceStatus(10, 0.0, True)}, left_out=4))
    assert "4 left out" in row_of(fleet)["Listings"]
    assert trouble_of(fleet).startswith("4 numbers are left out")
    assert "max_numbers" in trouble_of(fleet)


def test_listings_that_failed_are_told_by_space_with_code_request_id_and_the_cure() -> None:
    spaces = {"cams-2": SpaceStatus(3, 0.0, True, WHY), "cams-1": SpaceStatus(5, 0.0, True)}
    fleet = fleet_with(DiscoveryStatus(spaces))
    assert "1 failed" in row_of(fleet)["Listings"]
    cure = advice("Forbidden.RAM", "QueryChatappPhoneNumbers")
    assert trouble_of(fleet) == (
        f"Listings that failed cams-2 Forbidden.RAM You may not. RequestId {REQUEST_ID} {cure} "
        "Runbook: CamsDiscoveryFailing"
    )


def test_a_page_names_twenty_failed_listings_and_says_that_there_are_more() -> None:
    """Each cure once."""
    spaces = {f"cams-{index:03}": SpaceStatus(1, None, True, WHY) for index in range(500)}
    fleet = fleet_with(DiscoveryStatus(spaces))
    trouble = trouble_of(fleet)
    assert "500 failed" in row_of(fleet)["Listings"]
    assert trouble.count(" You may not.") == MAX_SPACES
    assert trouble.count("Grant cams:QueryChatappPhoneNumbers") == 1
    assert "and others" in trouble


@pytest.mark.parametrize(
    ("discovery", "operations"),
    [
        (DiscoveryStatus({"cams-1": SpaceStatus(1, 0.0, True, WHY)}), ()),
        (DiscoveryStatus({}, left_out=1), ()),
        (None, (OperationStatus("ListInstance", False, WHY),)),
    ],
)
def test_many_accounts_are_not_folded_away_if_one_has_trouble(
    discovery: DiscoveryStatus | None, operations: tuple[OperationStatus, ...]
) -> None:
    fleet = ShownFleet([number(account=f"account {index}") for index in range(7)])
    assert b'<details class="accounts">' in fleet.page().html
    fleet.accounts = [
        replace(fleet.accounts[0], discovery=discovery, operations=operations),
        *fleet.accounts[1:],
    ]
    assert b'<details class="accounts troubled">' in fleet.page().html


def test_the_interval_of_health_checks_is_the_one_that_really_passes() -> None:
    fleet = ShownFleet([number()])
    assert "health" not in row_of(fleet)["Interval"]
    fleet.accounts = [replace(fleet.accounts[0], health_seconds=2040.0)]
    assert row_of(fleet)["Interval"] == "1 min health 34 min"
