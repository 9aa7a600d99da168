"""One number's page: what is wrong and what to do, its own last error, its listing, its health."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from exporter.cams.error_codes import advice
from exporter.model import OPERATION, HealthError, OperationStatus, PhoneNumber, Refused
from exporter.web.ui.health_errors import BY_CODE, cure_of
from tests.support.numbers import number
from tests.support.shown import HEALTH_COUNTS, LISTING_COUNTS, REQUEST_ID, Reader, ShownFleet

RUNBOOKS = "https://github.com/cams-exporter/cams-exporter/blob/main/docs/runbooks/"


def a_fleet(one: PhoneNumber | None = None) -> tuple[ShownFleet, PhoneNumber]:
    """A number that sends, in an account with `discover` and `health`."""
    one = one or number(1, found=True)
    fleet = ShownFleet([one])
    fleet.discover("main")
    fleet.check("main")
    fleet.succeed(one)
    fleet.listed(one, verified_name="Contoso")
    fleet.checked(one)
    return fleet, one


def text_of(fleet: ShownFleet, one: PhoneNumber) -> str:
    return Reader(fleet.number_page(one).html).plain


class TestTroubles:
    """The box at the top."""

    @pytest.mark.parametrize(
        ("status", "connection", "verdict", "runbook"),
        [
            ("NOT_VERIFIED", "CONNECTED", "AVAILABLE", "CamsNumberNotVerified"),
            ("EXPIRED", "CONNECTED", "AVAILABLE", "CamsNumberExpired"),
            ("EXPIRED", "PENDING", "AVAILABLE", "CamsNumberExpired"),
            ("VERIFIED", "CONNECTED", "BLOCKED", "CamsNumberCannotSend"),
            ("VERIFIED", "BANNED", "AVAILABLE", "CamsNumberDisconnected"),
        ],
    )
    def test_what_is_wrong_leads_to_its_runbook(self, status: str, connection: str, verdict: str, runbook: str) -> None:
        fleet, one = a_fleet()
        fleet.succeed(one, status)
        fleet.listed(one, connection)
        fleet.checked(one, verdict)
        page = Reader(fleet.number_page(one).html)
        assert f"{RUNBOOKS}{runbook}.md" in page.links
        assert f"Runbook: {runbook}" in page.plain

    def test_a_number_that_sends_has_no_such_box(self) -> None:
        fleet, one = a_fleet()
        assert "What is wrong" not in text_of(fleet, one)
        assert b'class="runbook"' not in fleet.number_page(one).html

    def test_an_expired_number_that_sends_is_no_alarm(self) -> None:
        fleet, one = a_fleet()
        fleet.succeed(one, "EXPIRED")
        page = Reader(fleet.number_page(one).html)
        assert "Good to know The verification is EXPIRED. The number is connected, so it still sends." in page.plain
        assert "What is wrong" not in page.text
        assert not {"bad", "warn"} & set().union(*page.looks.values())

    def test_all_that_is_wrong_is_told_the_most_urgent_first(self) -> None:
        fleet, one = a_fleet()
        fleet.listed(one, "BANNED", "RED")
        fleet.unlisted(one)
        fleet.checked(one, "BLOCKED")
        text = text_of(fleet, one)
        places = [
            text.index(said)
            for said in ("says BLOCKED", "its connection is BANNED", "does not list", "quality rating is RED")
        ]
        assert places == sorted(places)


class TestOwnError:
    """The number's last error, whatever happens to its account."""

    def test_a_throttle_of_the_account_does_not_hide_what_the_number_lacks(self) -> None:
        fleet, one = a_fleet()
        fleet.fail(one, "InvalidParameter.PhoneNumber", "Not valid.")
        fleet.clock.advance(10)
        fleet.throttle(one)
        text = text_of(fleet, one)
        box = text[text.index("Last error") : text.index("The last poll failed because of the account")]
        assert box.startswith("Last error InvalidParameter.PhoneNumber HTTP 500, 10 s ago")
        assert "Not valid." in box
        assert advice("InvalidParameter.PhoneNumber") in box
        assert REQUEST_ID.lower() in box
        assert "System.LimitControl HTTP 400, 0 s ago 16:00:10. It says nothing of this number." in text

    def test_a_throttle_alone_makes_no_error_of_the_number(self) -> None:
        fleet, one = a_fleet()
        fleet.throttle(one)
        text = text_of(fleet, one)
        assert "Last error" not in text
        assert "The last poll failed because of the account" in text

    def test_a_throttle_after_a_success_leaves_an_older_error_resolved(self) -> None:
        fleet, one = a_fleet()
        fleet.fail(one, "InvalidParameter.PhoneNumber")
        fleet.clock.advance(10)
        fleet.succeed(one)
        fleet.throttle(one)
        assert "Last error, now resolved InvalidParameter.PhoneNumber" in text_of(fleet, one)

    def test_a_throttle_that_is_over_is_not_told(self) -> None:
        fleet, one = a_fleet()
        fleet.throttle(one)
        fleet.succeed(one)
        assert "System.LimitControl" not in text_of(fleet, one).partition("Last 3 polls")[0]

    def test_an_error_of_the_number_stays_its_own_over_a_reload_that_masks_it(self) -> None:
        fleet, one = a_fleet()
        fleet.fail(one, "InvalidParameter.PhoneNumber", f"{one.phone_number} is not valid.")
        masked = replace(one, label="861380*****01")
        fleet.state.configure([masked], {"main": 900.0})
        text = text_of(fleet, masked)
        assert "861380*****01 is not valid." in text
        assert "because of the account" not in text
        assert one.phone_number not in text


class TestListing:
    """What the listing of its space says."""

    def test_it_tells_all_values_with_their_looks(self) -> None:
        fleet, one = a_fleet()
        fleet.listed(one, "CONNECTED", "YELLOW", 10_000.0, "TIER_10K", "DECLINED", "Contoso")
        fleet.clock.advance(60)
        page = Reader(fleet.number_page(one).html)
        assert page.facts["Source"] == "found by a listing"
        assert "The number is listed, as of 1 min ago 16:00:00." in page.plain
        assert (page.facts["Connection"], page.facts["Quality"]) == ("CONNECTED", "YELLOW")
        assert page.facts["Messaging limit"] == "10,000 a day"
        assert (page.facts["Name status"], page.facts["Verified name"]) == ("DECLINED", "Contoso")
        assert (page.looks["CONNECTED"], page.looks["YELLOW"], page.looks["DECLINED"]) == (
            {"good"},
            {"plain"},
            {"warn"},
        )
        assert "CamsNumberNameRejected" in page.text

    @pytest.mark.parametrize(
        ("limit", "tier", "shown"),
        [(math.inf, "TIER_UNLIMITED", "unlimited"), (None, "TIER_NEW", "TIER_NEW"), (None, "", "–")],
    )
    def test_a_limit_without_a_number_is_told_as_it_is(self, limit: float | None, tier: str, shown: str) -> None:
        fleet, one = a_fleet()
        fleet.listed(one, limit=limit, tier=tier)
        assert Reader(fleet.number_page(one).html).facts["Messaging limit"] == shown

    def test_before_the_first_listing_it_says_so(self) -> None:
        fleet, one = ShownFleet([number()]), number()
        fleet.discover("main")
        assert "The space was not listed yet." in text_of(fleet, one)

    def test_an_account_that_does_not_discover_has_no_such_part(self) -> None:
        fleet, one = ShownFleet([number()]), number()
        text = text_of(fleet, one)
        assert "What the listing" not in text
        assert "Source" not in text
        assert "Whether it can send" not in text

    def test_a_number_that_is_no_longer_listed_tells_when_it_was(self) -> None:
        fleet, one = a_fleet()
        fleet.clock.advance(3600)
        fleet.unlisted(one)
        text = text_of(fleet, one)
        assert "The number is no longer listed, as of 0 s ago 17:00:00. The values are as of 1 h ago 16:00:00." in text

    def test_a_number_that_was_never_listed_says_so(self) -> None:
        fleet, one = ShownFleet([number()]), number()
        fleet.discover("main")
        fleet.unlisted(one)
        text = text_of(fleet, one)
        assert "No listing held the number yet, as of 0 s ago" in text
        assert "Verified name" not in text
        assert "CamsNumbersVanished" in text

    def test_values_that_are_too_old_are_told_as_such_and_judged_by_nobody(self) -> None:
        fleet, one = a_fleet()
        fleet.listed(one, "BANNED", "RED")
        fleet.clock.advance(LISTING_COUNTS + 1)
        page = Reader(fleet.number_page(one).html)
        assert "The number is listed, as of 6 h ago 16:00:00, too old." in page.plain
        assert "The values are as of 6 h ago 16:00:00, too old." in page.plain
        assert (page.facts["Connection"], page.facts["Quality"]) == ("BANNED", "RED")
        assert not {"BANNED", "RED"} & page.looks.keys()
        assert "its connection is BANNED" not in page.text


class TestHealth:
    """Whether it can send."""

    ERRORS = (
        HealthError("PHONE_NUMBER", "131031", "It is <restricted>.", "Improve & ask."),
        HealthError("BUSINESS", "9", "Not verified."),
        HealthError("NEW", "1", "Odd."),
    )

    def test_it_tells_the_verdict_since_when_and_the_last_check(self) -> None:
        fleet, one = a_fleet()
        fleet.checked(one, "BLOCKED")
        fleet.clock.advance(60)
        fleet.checked(one, "BLOCKED")
        fleet.clock.advance(5)
        facts = Reader(fleet.number_page(one).html).facts
        assert (facts["Verdict"], facts["Verdict since"]) == ("BLOCKED", "1 min 5 s 16:00:00")
        assert (facts["Last check"], facts["RequestId"]) == ("5 s ago 16:01:00", REQUEST_ID)

    def test_each_error_tells_entity_code_description_solution_and_what_to_do(self) -> None:
        """The API's texts as text."""
        fleet, one = a_fleet()
        fleet.checked(one, "BLOCKED", *self.ERRORS)
        html = fleet.number_page(one).html
        rows = [row for row in Reader(html).rows if "Entity" in row]
        assert rows[0] == {
            "Entity": "PHONE_NUMBER",
            "Meta's code": "131031",
            "Description": "It is <restricted>.",
            "Possible solution": "Improve & ask.",
            "What to do": BY_CODE["131031"],
        }
        assert rows[1]["What to do"].startswith("It concerns the whole business")
        assert rows[1]["Possible solution"] == "–"
        assert "Alibaba Cloud support" in rows[2]["What to do"]
        assert b"<restricted>" not in html

    @pytest.mark.parametrize("code", ["138024", "138099"])
    def test_an_error_about_calls_is_no_reason_to_act(self, code: str) -> None:
        assert cure_of("PHONE_NUMBER", code).startswith("Nothing, unless you use calls")

    def test_a_text_of_any_length_is_cut(self) -> None:
        fleet, one = a_fleet()
        fleet.checked(one, "BLOCKED", HealthError("WABA", "1", "d" * 5000, "s" * 5000))
        assert len(fleet.number_page(one).html) < len(fleet.page().html) + 10_000
        text = text_of(fleet, one)
        assert "d" * 900 in text
        assert "d" * 1001 not in text
        assert "s" * 1001 not in text

    def test_before_the_first_check_it_says_so(self) -> None:
        fleet, one = ShownFleet([number()]), number()
        fleet.check("main")
        assert "Not checked yet." in text_of(fleet, one)
        fleet.check_failed(one, "Forbidden.RAM", "You may not.")
        text = text_of(fleet, one)
        assert "No check has succeeded yet." in text
        assert "The last check failed Forbidden.RAM HTTP 400, 0 s ago" in text
        assert "cams:GetWhatsappHealthStatus" in text

    def test_a_verdict_that_is_too_old_is_told_as_such(self) -> None:
        fleet, one = a_fleet()
        fleet.checked(one, "BLOCKED", *self.ERRORS)
        fleet.clock.advance(HEALTH_COUNTS + 1)
        page = Reader(fleet.number_page(one).html)
        assert page.facts["Verdict"] == "BLOCKED too old, as of 2025-11-24 16:00:00"
        assert "BLOCKED" not in page.looks
        assert "cannot send" not in page.text

    def test_an_account_that_may_not_ask_tells_why_and_the_cure(self) -> None:
        fleet, one = a_fleet()
        why = Refused("Forbidden.RAM", "You may not.", REQUEST_ID)
        operations = (OperationStatus(OPERATION), OperationStatus("GetWhatsappHealthStatus", False, why))
        fleet.accounts = [replace(fleet.accounts[0], operations=operations)]
        text = text_of(fleet, one)
        assert "The account's health checks fail Forbidden.RAM You may not." in text
        assert advice("Forbidden.RAM", "GetWhatsappHealthStatus") in text
