"""The status page's JSON twin: its content, its schema, its pages, and what it must not show."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import jsonschema
import pytest

from exporter.model import (
    OPERATION,
    AccountStatus,
    ClusterStatus,
    DiscoveryStatus,
    HealthError,
    OperationStatus,
    PhoneNumber,
    Refused,
    SpaceStatus,
)
from exporter.web.ui.document import numbers_json
from exporter.web.ui.filters import CHOICES, Query
from exporter.web.ui.health_errors import BY_CODE
from exporter.web.ui.judgement import Level
from exporter.web.ui.views import LandingInfo, Site
from tests.support.numbers import number, numbers
from tests.support.shown import REQUEST_ID, ShownFleet
from tests.support.webserver import serving

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "numbers.schema.json").read_text(encoding="utf-8"))
WHY = Refused("Forbidden.RAM", "You may not.", REQUEST_ID)
HOSTILE = "</script>\u202e\ud800\"'\x00{{ 7*7 }}"


def document(fleet: ShownFleet, **parameters: str) -> dict[str, Any]:
    """The twin for an address's parameters, which must fit the schema."""
    site = Site(LandingInfo(version="1.2.3"), "/metrics")
    page = numbers_json(
        site, Query.of(parameters), fleet.view(), fleet.next_polls, fleet.clock.now_unix, fleet.cluster()
    )
    assert (page.status, page.content_type) == (200, "application/json")
    found: dict[str, Any] = json.loads(page.html)
    jsonschema.validate(found, SCHEMA, format_checker=jsonschema.FormatChecker())
    return found


def one_of(fleet: ShownFleet, **parameters: str) -> dict[str, Any]:
    """The only number of the answer."""
    (found,) = document(fleet, **parameters)["numbers"]
    assert isinstance(found, dict)
    return found


def rich() -> tuple[ShownFleet, PhoneNumber]:
    """A number of which all is known: blocked, banned, failing; its account has refusals of every kind."""
    one = number(1, name="support-line", labels=(("team", "care"),), found=True)
    fleet = ShownFleet([one, number(2)])
    fleet.discover("main")
    fleet.check("main")
    fleet.succeed(one, "EXPIRED")
    fleet.listed(one, "BANNED", "RED", 250.0, "TIER_250", verified_name="Contoso")
    fleet.checked(one, "BLOCKED", HealthError("WABA", "141006", "No payment.", "Pay."))
    fleet.clock.advance(60)
    fleet.fail(one, "InvalidParameter.PhoneNumber", "Not valid.")
    fleet.check_failed(one, "timeout")
    fleet.clock.advance(5)
    fleet.due = {one.key: fleet.clock.now_unix + 42.5}
    spaces = {
        "cams-kei0001": SpaceStatus(2, fleet.clock.now_unix - 30, True),
        "cams-2": SpaceStatus(0, None, True, WHY),
    }
    fleet.accounts = [
        replace(
            fleet.accounts[0],
            lag_seconds=2.5,
            effective_qps=2.5,
            spaces=("cams-kei0001", "cams-2"),
            refused_spaces={"cams-2": WHY},
            operations=(OperationStatus(OPERATION), OperationStatus("GetWhatsappHealthStatus", False, WHY)),
            discovery=DiscoveryStatus(spaces, left_out=3),
        )
    ]
    return fleet, one


def test_it_tells_all_about_a_number() -> None:
    fleet, _ = rich()
    found = one_of(fleet, q="support-line")
    began, failed = "2025-11-24T16:00:00Z", "2025-11-24T16:01:00Z"
    error = {"code": "timeout", "http_status": 400, "message": "", "request_id": REQUEST_ID.lower()}
    assert [trouble.pop("runbook").rpartition("/")[2] for trouble in found["troubles"]][:1] == [
        "CamsNumberCannotSend.md"
    ]
    assert found["troubles"][0] == {
        "level": "critical",
        "text": "The number cannot send: the health check says BLOCKED.",
        "action": "Each error of the health check says what it needs.",
    }
    del found["troubles"]
    assert found == {
        "account": "main",
        "cust_space_id": "cams-kei0001",
        "phone_number": "8613800000001",
        "name": "support-line",
        "labels": {"team": "care"},
        "source": "found",
        "phone_number_id": "id-001",
        "level": "critical",
        "status": "EXPIRED",
        "last_status": "EXPIRED",
        "status_since": {"at": began, "age_seconds": 65.0},
        "last_poll": {"at": failed, "age_seconds": 5.0},
        "last_poll_success": False,
        "last_success": {"at": began, "age_seconds": 65.0},
        "last_error": {
            "code": "InvalidParameter.PhoneNumber",
            "message": "Not valid.",
            "http_status": 500,
            "request_id": REQUEST_ID.lower(),
            "when": {"at": failed, "age_seconds": 5.0},
        },
        "next_poll": {"state": "scheduled", "at": "2025-11-24T16:01:47Z", "in_seconds": 42.5},
        "can_send": {
            "verdict": "BLOCKED",
            "last_verdict": "BLOCKED",
            "since": {"at": began, "age_seconds": 65.0},
            "last_success": {"at": began, "age_seconds": 65.0},
            "request_id": REQUEST_ID,
            "errors": [
                {
                    "entity": "WABA",
                    "code": "141006",
                    "description": "No payment.",
                    "solution": "Pay.",
                    "action": BY_CODE["141006"],
                }
            ],
            "last_error": {**error, "when": {"at": failed, "age_seconds": 5.0}},
        },
        "listing": {
            "listed": True,
            "last_listing": {"at": began, "age_seconds": 65.0},
            "connection_status": "BANNED",
            "last_connection_status": "BANNED",
            "quality_rating": "RED",
            "name_status": "APPROVED",
            "verified_name": "Contoso",
            "messaging_limit": "250",
            "customers_a_day": 250,
        },
    }


def test_it_tells_all_about_an_account() -> None:
    fleet, _ = rich()
    (found,) = document(fleet)["accounts"]
    discovery = found.pop("discovery")
    (refused,) = found.pop("refused_spaces")["first"]
    (operation,) = found.pop("failing_operations")
    assert found == {
        "account": "main",
        "up": True,
        "refused": None,
        "phone_numbers": 2,
        "statuses": {"EXPIRED": 1, "UNKNOWN": 1},
        "scrape_interval_seconds": 60.0,
        "health_interval_seconds": 300.0,
        "lag_seconds": 2.5,
        "budget_qps": 5.0,
        "effective_qps": 2.5,
        "is_throttled": True,
        "in_flight": 0,
        "replica": None,
        "is_polled_here": None,
        "spaces": 2,
    }
    assert (refused["of"], refused["code"], refused["request_id"]) == ("cams-2", "Forbidden.RAM", REQUEST_ID)
    assert operation["of"] == "GetWhatsappHealthStatus"
    assert "cams:GetWhatsappHealthStatus" in operation["action"]
    assert (discovery["found"], discovery["left_out"], discovery["spaces"], discovery["listed_spaces"]) == (2, 3, 2, 1)
    assert discovery["oldest_listing"]["age_seconds"] == 30.0
    assert discovery["failed_spaces"]["total"] == 1


def test_what_is_not_known_is_null() -> None:
    found = one_of(ShownFleet([number()]))
    nothing = {name for name, value in found.items() if value is None}
    assert nothing == {
        "source",
        "phone_number_id",
        "last_status",
        "status_since",
        "last_poll",
        "last_poll_success",
        "last_success",
        "last_error",
        "can_send",
        "listing",
    }
    assert found["status"] == "UNKNOWN"
    assert found["next_poll"] == {"state": "never", "at": None, "in_seconds": None}


def test_values_that_are_too_old_are_told_as_the_last_ones() -> None:
    fleet, _ = rich()
    fleet.clock.advance(7 * 3600)
    found = one_of(fleet, q="support-line")
    assert (found["status"], found["last_status"]) == ("UNKNOWN", "EXPIRED")
    assert (found["can_send"]["verdict"], found["can_send"]["last_verdict"]) == ("UNKNOWN", "BLOCKED")
    assert found["listing"]["connection_status"] is None
    assert found["listing"]["last_connection_status"] == "BANNED"
    assert (found["listing"]["listed"], found["listing"]["messaging_limit"]) == (None, None)


@pytest.mark.parametrize(
    ("ahead", "refused", "state"),
    [
        (None, False, "polling"),
        (-5.0, False, "due"),
        (0.5, False, "due"),
        (30.0, False, "scheduled"),
        (30.0, True, "held_back"),
        (math.inf, False, "never"),
    ],
)
def test_the_next_poll_has_a_state(ahead: float | None, refused: bool, state: str) -> None:
    one = number()
    fleet = ShownFleet([one])
    fleet.due = {one.key: None if ahead is None else fleet.clock.now_unix + ahead}
    fleet.accounts = [replace(fleet.accounts[0], refused=WHY if refused else None)]
    found = one_of(fleet)["next_poll"]
    assert (found["state"], found["in_seconds"]) == (state, ahead if ahead != math.inf else None)


def test_a_number_of_a_refused_space_is_held_back() -> None:
    fleet = ShownFleet([number()])
    fleet.accounts = [replace(fleet.accounts[0], spaces=("cams-kei0001",), refused_spaces={"cams-kei0001": WHY})]
    assert one_of(fleet)["next_poll"]["state"] == "held_back"


def test_an_unlimited_number_has_no_limit_as_a_number() -> None:
    fleet, one = rich()
    fleet.listed(one, limit=math.inf, tier="TIER_UNLIMITED")
    listing = one_of(fleet, q="support-line")["listing"]
    assert (listing["messaging_limit"], listing["customers_a_day"]) == ("unlimited", None)


def test_filters_search_order_and_counts_are_those_of_the_page() -> None:
    every = numbers(3)
    fleet = ShownFleet(every)
    for one, status in zip(every, ("VERIFIED", "EXPIRED", "EXPIRED"), strict=True):
        fleet.succeed(one, status)
    fleet.fail(every[1])
    found = document(fleet, status="EXPIRED", sort="number", order="desc")
    assert [one["phone_number"] for one in found["numbers"]] == ["8613800000002", "8613800000001"]
    assert (found["total"], found["matching"]) == (3, 2)
    assert found["counts"]["status"] == {"EXPIRED": 2, "VERIFIED": 1, "NOT_VERIFIED": 0, "UNKNOWN": 0}
    assert (found["counts"]["failing"], found["counts"]["level"]["warning"]) == (1, 1)
    assert [one["phone_number"] for one in document(fleet, q="+86 (138) 0000-0001")["numbers"]] == ["8613800000001"]
    assert [one["phone_number"] for one in document(fleet, failing="1")["numbers"]] == ["8613800000001"]


def test_pages_are_walked_by_their_links() -> None:
    fleet = ShownFleet(numbers(205))
    address, seen, pages = "/numbers?format=json&sort=number&q=86", [], 0
    with serving(fleet=fleet) as server:
        while address:
            found = json.loads(server.get(address).body)
            seen += [one["phone_number"] for one in found["numbers"]]
            pages += 1
            address = found["next"] and urljoin(f"http://x{address}", found["next"]).removeprefix("http://x")
    assert pages == 3
    assert seen == [one.label for one in numbers(205)]
    assert found["previous"] == "numbers?format=json&q=86&sort=number&page=2"


def test_a_page_beyond_the_last_has_no_numbers() -> None:
    """Else a script that counts up would never end."""
    found = document(ShownFleet(numbers(205)), page="9")
    assert (found["numbers"], found["next"]) == ([], None)
    assert (found["page"], found["pages"], found["previous"]) == (9, 3, "numbers?format=json&page=3")


def test_a_value_that_no_number_has_is_named() -> None:
    """The set of statuses is open, so it is no error."""
    found = document(ShownFleet(numbers(2)), status="VERIFEID", account="gone")
    assert found["values_of_no_number"] == {"status": "VERIFEID", "account": "gone"}
    assert found["numbers"] == []
    assert document(ShownFleet(numbers(2)), status="EXPIRED")["values_of_no_number"] == {}


def test_replicas_and_who_polls_what_are_told() -> None:
    fleet = ShownFleet([number(), number(1, "other")])
    fleet.replicas = ClusterStatus(True, {"a": "h:1", "b": "h:2"}, {"main": "a", "other": "b"}, {}, False)
    main, other = fleet.accounts
    fleet.accounts = [
        replace(main, is_held=True, is_polled=True, holder="h:1"),
        replace(other, is_held=False, is_polled=False, holder="h:2"),
    ]
    found = document(fleet)
    assert found["cluster"] == {
        "store_up": True,
        "is_at_spare_rate": False,
        "is_extra": False,
        "replicas": [{"name": "h:1", "accounts": 1}, {"name": "h:2", "accounts": 1}],
    }
    assert [(one["replica"], one["is_polled_here"]) for one in found["accounts"]] == [("h:1", True), ("h:2", False)]
    assert [one["effective_qps"] for one in found["accounts"]] == [5.0, None]
    fleet.accounts = [replace(main, is_held=False, is_polled=True, holder=""), other]
    slow = document(fleet)["accounts"][0]  # the store is away
    assert (slow["replica"], slow["is_polled_here"], slow["effective_qps"]) == (None, True, 5.0)


def test_a_refused_account_says_why_and_what_to_do() -> None:
    fleet = ShownFleet([number()])
    fleet.accounts = [AccountStatus("main", 1, 30.0, 0.0, 5.0, 5.0, 0, WHY)]
    (found,) = document(fleet)["accounts"]
    assert found["up"] is False
    assert found["refused"]["request_id"] == REQUEST_ID
    assert "Grant" in found["refused"]["action"]


@pytest.mark.parametrize("label", ["861380*****01", "0f3ac9d214be"])
def test_a_number_that_is_hidden_is_nowhere(label: str) -> None:
    """Also where the API spells it out, and whatever is searched for."""
    one = number(1, label=label, found=True)
    fleet = ShownFleet([one])
    fleet.discover("main")
    fleet.check("main")
    spelled = f"+86 138-0000-0001 and {one.phone_number}"
    fleet.succeed(one)
    fleet.listed(one, spelled, spelled, None, spelled, spelled, spelled)
    fleet.checked(one, spelled, HealthError(spelled, spelled, spelled, spelled))
    fleet.fail(one, spelled, spelled)
    fleet.check_failed(one, spelled, spelled)
    text = json.dumps(document(fleet))
    assert label in text
    for digits in (one.phone_number, "0000-0001"):
        assert digits not in text
    assert document(fleet, q="+86 138-0000-0001")["numbers"] == []


def test_any_text_is_valid_json() -> None:
    one = PhoneNumber("main", HOSTILE, "8613800000001", "8613800000001", HOSTILE, (("team", HOSTILE),))
    fleet = ShownFleet([one])
    fleet.succeed(one, HOSTILE, request_id=HOSTILE)
    fleet.fail(one, HOSTILE, HOSTILE)
    assert one_of(fleet)["name"] == HOSTILE.replace("\ud800", "?")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("format=json&sort=nonsense", "sort"),
        ("format=json&page=0", "page"),
        ("format=json&statsu=EXPIRED", "statsu"),
        ("format=json&failing=yes", "failing"),
        ("format=json&status=A&status=B", "status"),
        ("format=JSON", "format"),
        ("format=xml", "format"),
    ],
)
def test_a_bad_parameter_is_400_with_its_name_and_the_cure(query: str, parameter: str) -> None:
    with serving(fleet=ShownFleet(numbers(2))) as server:
        reply = server.get(f"/numbers?{query}")
    assert (reply.status, reply.headers["content-type"]) == (400, "application/json")
    (error,) = json.loads(reply.body)["errors"]
    assert error.keys() == {"parameter", "value", "message"}
    assert error["parameter"] == parameter
    assert error["message"]


def test_the_answer_is_json_whatever_the_client_accepts_and_is_not_refreshed() -> None:
    with serving(fleet=ShownFleet(numbers(2))) as server:
        for accept in ("text/html", "application/json", "*/*"):
            reply = server.get("/numbers?format=json&refresh=30", Accept=accept)
            assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
            assert "refresh" not in reply.headers
        head = server.get("/numbers?format=json", "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_the_schema_is_strict_and_describes_every_field() -> None:
    """So that a field which is new or gone fails the tests above until the documentation has it."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    found = 0

    def look(part: Any) -> None:
        nonlocal found
        if isinstance(part, dict):
            if "properties" in part:
                assert part["additionalProperties"] is False
                assert set(part["required"]) == set(part["properties"])
                for name, field in part["properties"].items():
                    found += 1
                    target = SCHEMA["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else field
                    assert "description" in field or "description" in target or "properties" in target, name
            for inner in part.values():
                look(inner)
        if isinstance(part, list):
            for inner in part:
                look(inner)

    look(SCHEMA)
    assert found > 80
    assert set(CHOICES) <= set(SCHEMA["properties"]["counts"]["properties"])
    assert SCHEMA["$defs"]["number"]["properties"]["level"]["enum"] == [level.name.lower() for level in Level]
    assert urlsplit(SCHEMA["$id"]).path.endswith("/docs/numbers.schema.json")
    assert document(ShownFleet([]))["schema"] == SCHEMA["$id"]
