"""Whether a number can send: the verdict follows the API, and a refusal of this call concerns nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import (
    HEALTH,
    INSTANCES,
    PHONE_NUMBERS,
    STATUS,
    HealthError,
    Refusal,
    Throttle,
    World,
    phone_health,
)
from tests.support.exporter import ExporterProcess, current, labels_of, statuses, until, value
from tests.support.fleet import SPACE, exported, fleet, found, never_throttle, phones

CAN_SEND = "cams_phone_number_can_send"
ERROR = "cams_phone_number_health_error_info"
OPERATION_UP = "cams_account_operation_up"
UP = "cams_account_up"
QUALIFIED = {STATUS, INSTANCES, PHONE_NUMBERS}


def verdict(exporter: ExporterProcess, phone: str) -> str | None:
    return current(exporter.scrape(), CAN_SEND, "verdict", phone_number=phone)


def test_the_verdict_and_its_errors_follow_the_api() -> None:
    world = World()
    section = fleet(world, 2, qps=10, health={"interval": "1s"})
    one, two = phones(2)
    world.find_numbers(two)[0].health = phone_health("BLOCKED", HealthError("141006"), HealthError("131031"))
    with exported(world, section) as exporter:
        until(lambda: exporter.statuses() == {one: "VERIFIED", two: "VERIFIED"}, "polled")
        until(lambda: verdict(exporter, one) == "AVAILABLE", "available")
        scraped = exporter.scraped(
            lambda scraped: current(scraped, CAN_SEND, "verdict", phone_number=two) == "BLOCKED", "blocked"
        )
        assert value(scraped, CAN_SEND, phone_number=two, verdict="AVAILABLE") == 0
        for code in ("141006", "131031"):
            assert value(scraped, ERROR, phone_number=two, entity="PHONE_NUMBER", error_code=code) == 1
        assert value(scraped, ERROR, phone_number=one) is None
        world.find_numbers(two)[0].health = phone_health("SOMETHING_NEW")
        until(lambda: verdict(exporter, two) == "SOMETHING_NEW", "an unknown verdict is shown as it is")
        assert value(exporter.scrape(), ERROR, phone_number=two) is None
        assert exporter.statuses() == {one: "VERIFIED", two: "VERIFIED"}


def test_the_node_type_is_asked_in_the_spelling_that_the_service_accepts() -> None:
    world = World()
    section = fleet(world, 1, health={"interval": "1s"})
    world.accounts["main"].node_types = frozenset({"phone"})
    with exported(world, section) as exporter:
        until(lambda: verdict(exporter, phones(1)[0]) == "AVAILABLE", "available")


def test_without_the_permission_the_rest_goes_on_and_one_line_says_so() -> None:
    world = World()
    section = fleet(world, 3, qps=10, health={"interval": "1s"})
    world.accounts["main"].calls[HEALTH].refusal = Refusal.PERMISSION_DENIED
    with exported(world, section) as exporter:
        until(lambda: value(exporter.scrape(), OPERATION_UP, operation=HEALTH) == 0, "refused")
        until(lambda: len(world.arrivals("main", HEALTH)) >= 3, "asked again")
        before = len(world.arrivals("main", STATUS))
        until(lambda: len(world.arrivals("main", STATUS)) >= before + 6, "polled on")
        scraped = exporter.scraped(lambda scraped: set(statuses(scraped).values()) == {"VERIFIED"}, "all are polled")
        assert value(scraped, UP, account="main") == 1
        assert value(scraped, OPERATION_UP, operation=STATUS) == 1
        assert not [name for name, _ in scraped if name in (CAN_SEND, ERROR)]
        warned = [line for line in exporter.log.splitlines() if HEALTH in line and "Ram.PermissionDeny" in line]
        assert len(warned) == 1
        world.accounts["main"].calls[HEALTH].refusal = None
        until(lambda: verdict(exporter, phones(1)[0]) == "AVAILABLE", "granted")
        until(lambda: value(exporter.scrape(), OPERATION_UP, operation=HEALTH) == 1, "it is up again")


@pytest.mark.parametrize("operation", [HEALTH, PHONE_NUMBERS, INSTANCES])
def test_a_throttle_of_an_optional_operation_holds_back_that_operation_only(operation: str) -> None:
    """Its answer asks for an hour of silence.  The statuses are polled at their pace, and the account's rate stays."""
    world = World()
    (one,) = phones(1)
    typed = [{"phone_number": one, "cust_space_id": SPACE}]
    section = found(world, {SPACE: [one]}, numbers=typed, health={"interval": "1s"})
    rules = world.accounts["main"].calls[operation]
    rules.rate_limit, rules.throttle = 0, Throttle(refusal=Refusal.FLOW_CONTROL, pause_ms=3_600_000)
    with exported(world, section) as exporter:

        def throttles(of: str) -> float:
            count = value(exporter.scrape(), "cams_api_errors_total", operation=of, code="System.LimitControl")
            return count or 0

        until(lambda: throttles(operation) >= 1, "throttled")
        for other in {HEALTH, *QUALIFIED} - {operation}:
            if (operation, other) != (INSTANCES, PHONE_NUMBERS):  # no space to list is known then but the typed one's
                before = len(world.arrivals("main", other))
                until(lambda: len(world.arrivals("main", other)) >= before + 3, f"{other} goes on")  # noqa: B023 - called in this turn
                assert throttles(other) == 0
        scraped = exporter.scraped(lambda scraped: statuses(scraped) == {one: "VERIFIED"}, "polled")
        assert value(scraped, UP, account="main") == 1
        assert (value(scraped, "cams_api_effective_qps") or 0) > 9
        assert len(world.arrivals("main", operation)) <= 3


def test_all_operations_together_stay_within_the_budget_and_health_within_5_a_second() -> None:
    """Each wants far more than its share; nothing is refused."""
    world = World()
    numbers = phones(40)
    spaces = {f"cams-{place}": numbers[place::8] for place in range(8)}
    section = found(world, spaces, health={"interval": "1s"})
    never_throttle(world)
    with exported(world, section) as exporter:
        until(lambda: len(world.arrivals("main")) >= 100, "a hundred requests")
        until(lambda: {one.operation for one in world.arrivals("main")} == {HEALTH, *QUALIFIED}, "of all operations")
        assert exporter.get("/-/healthy")[0] == 200
    assert world.surely_in_a_second("main") <= 10
    assert world.surely_in_a_second("main", HEALTH) <= 5
    assert set(world.outcomes("main")) == {"OK"}


def test_hashed_numbers_show_no_digits_anywhere(tmp_path: Path) -> None:
    """Neither found nor typed ones, in no metric, page or log line, whatever the API says of them."""
    world = World()
    one, two, typo = phones(3)
    section: dict[str, Any] = found(
        world,
        {"cams-one": [one], "cams-two": [two, one]},
        health={"interval": "1s"},
        numbers=[{"phone_number": phone, "cust_space_id": "cams-one"} for phone in (one, typo)],
        discover_forget_after="1s",
    )
    for phone in (one, two):
        for number in world.find_numbers(phone):
            why = HealthError("141006", f"The number {phone} is blocked", f"Pay for +{phone}")
            number.health = phone_health("BLOCKED", why)
            number.verified_name = f"Desk {phone}"
    (tmp_path / "key").write_text("0123456789abcdefghijklmnopqrstuvwxyz")
    hashed = {"phone_number_label": "hashed", "phone_number_hash_key_file": str(tmp_path / "key")}
    flags = ["--log.level=debug", f"--storage.path={tmp_path}/state"]
    with exported(world, section, flags=flags, **hashed) as exporter:

        def pages() -> str:
            listing = exporter.get("/numbers")[1].decode()
            links = {part.partition('"')[0] for part in listing.split('href="')[1:] if "number?" in part[:40]}
            assert links
            every = [listing, *(exporter.get("/" + link.lstrip("./"))[1].decode() for link in links)]
            return "".join([*every, exporter.get("/metrics")[1].decode(), exporter.get("/")[1].decode(), exporter.log])

        def count() -> int:
            return len(labels_of(exporter.scrape(), "cams_phone_number_info"))

        until(lambda: count() == 4, "found")
        until(lambda: "141006" in pages(), "checked")
        world.find_numbers(two)[0].listed = False
        until(lambda: count() == 3, "forgotten")
        until(lambda: len(exporter.log.splitlines()) > 10, "the log has its lines")
        shown = pages()
        for phone in (one, two, typo):
            assert phone not in shown
            assert phone[2:] not in shown
