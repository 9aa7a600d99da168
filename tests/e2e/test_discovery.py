"""Numbers that the exporter finds: polled, exposed, kept and forgotten, whatever the listings say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import INSTANCES, PHONE_NUMBERS, STATUS, Key, Refusal, Simulator, World, faults, listing_faults
from tests.support.exporter import (
    ExporterProcess,
    Series,
    current,
    errors,
    labels_of,
    run_exporter,
    series,
    statuses,
    until,
    value,
)
from tests.support.fleet import config, exported, found, never_throttle, phones

LISTED = "cams_phone_number_listed"
CONNECTION = "cams_phone_number_connection_status"
UP = "cams_account_up"
OPERATION_UP = "cams_account_operation_up"
ONE, TWO = "cams-one", "cams-two"


def listed(exporter: ExporterProcess) -> dict[str, float]:
    """Phone number to `cams_phone_number_listed`."""
    return {dict(labels)["phone_number"]: at for (name, labels), at in exporter.scrape().items() if name == LISTED}


def more_calls(world: World, operation: str, count: int, account: str = "main") -> Callable[[], bool]:
    """Whether `count` calls of an operation came since now."""
    before = len(world.arrivals(account, operation))
    return lambda: len(world.arrivals(account, operation)) >= before + count


def test_an_account_with_no_number_typed_finds_polls_and_exposes_its_numbers() -> None:
    world = World()
    one, two, three = phones(3)
    section = found(world, {ONE: [one, two], TWO: [three]})
    number = world.find_numbers(two)[0]
    number.connection_status, number.quality_rating, number.messaging_limit_tier = "FLAGGED", "YELLOW", "TIER_UNLIMITED"
    number.name_status = "Pending_Review"
    with exported(world, section) as exporter:
        until(lambda: exporter.statuses() == dict.fromkeys([one, two, three], "VERIFIED"), "found and polled")
        until(lambda: listed(exporter) == dict.fromkeys([one, two, three], 1), "listed")
        scraped = exporter.scrape()
        assert current(scraped, CONNECTION, "status", phone_number=one) == "CONNECTED"
        assert current(scraped, CONNECTION, "status", phone_number=two) == "FLAGGED"
        assert current(scraped, "cams_phone_number_quality_rating", "rating", phone_number=one) == "GREEN"
        assert current(scraped, "cams_phone_number_quality_rating", "rating", phone_number=two) == "YELLOW"
        assert current(scraped, "cams_phone_number_name_status", "status", phone_number=two) == "Pending_Review"
        assert value(scraped, "cams_phone_number_messaging_limit", phone_number=one) == 1000
        assert value(scraped, "cams_phone_number_messaging_limit", phone_number=two) == float("inf")
        (info,) = labels_of(scraped, "cams_phone_number_info", phone_number=three)
        assert (info["cust_space_id"], info["verified_name"]) == (TWO, "Simulated Ltd")
        assert value(scraped, "cams_account_phone_numbers") == 3
        assert value(scraped, "cams_account_discovered_phone_numbers", cust_space_id=ONE) == 2
        assert value(scraped, "cams_account_discovered_phone_numbers", cust_space_id=TWO) == 1
        assert value(scraped, "cams_account_discovery_left_out", account="main") == 0
        stamps = "cams_account_discovery_last_success_timestamp_seconds"
        assert {labels["cust_space_id"] for labels in labels_of(scraped, stamps)} >= {ONE, TWO}
        number.quality_rating, number.connection_status = "RED", "BANNED"
        scraped = exporter.scraped(
            lambda scraped: current(scraped, CONNECTION, "status", phone_number=two) == "BANNED", "the change"
        )
        assert value(scraped, CONNECTION, phone_number=two, status="FLAGGED") == 0
        assert current(scraped, "cams_phone_number_quality_rating", "rating", phone_number=two) == "RED"


def test_the_operations_in_use_are_counted_from_0() -> None:
    """An account that lists and does not check health has no series of that call; one that does neither, of both."""
    world = World(latency_seconds=(3600, 3600))
    listing = found(world, {ONE: phones(1)})
    checking = found(world, {}, name="checking", numbers=[{"phone_number": "4477009", "cust_space_id": ONE}])
    del checking["discover"]
    with exported(world, listing, {**checking, "health": {"interval": "1s"}}) as exporter:
        scraped = exporter.scrape()
        for account, operations in (
            ("main", {STATUS, INSTANCES, PHONE_NUMBERS}),
            ("checking", {STATUS, "GetWhatsappHealthStatus"}),
        ):
            for name in ("cams_api_requests_total", "cams_api_errors_total", "cams_api_retries_total", OPERATION_UP):
                assert {labels["operation"] for labels in labels_of(scraped, name, account=account)} == operations
            for operation in operations:
                assert (
                    value(scraped, "cams_api_errors_total", operation=operation, code="timeout", account=account) == 0
                )
                assert value(scraped, "cams_api_retries_total", operation=operation, account=account) == 0
        assert value(scraped, "cams_api_requests_total", operation=PHONE_NUMBERS) == 0


def test_a_number_appears_and_one_that_vanishes_is_polled_on_and_then_forgotten() -> None:
    """While it is no longer listed it reads 0; after `forget_after` it leaves no series."""
    world = World()
    one, two, three = phones(3)
    section = found(world, {ONE: [one, two]})
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: listed(exporter) == {one: 1, two: 1}, "found")
        world.add_number("main", ONE, three)
        until(lambda: exporter.statuses().get(three) == "VERIFIED", "one appears")
        world.find_numbers(two)[0].listed = False
        until(lambda: listed(exporter).get(two) == 0, "one vanishes")
        asked = len([arrival for arrival in world.arrivals("main", STATUS) if arrival.phone_number == two])
        assert exporter.statuses()[two] == "VERIFIED"
        until(
            lambda: len([arrival for arrival in world.arrivals("main", STATUS) if arrival.phone_number == two]) > asked,
            "it is polled on",
        )
        section["discover"]["forget_after"] = "1s"
        exporter.write_config(config(simulator.url, [section]))
        exporter.reload()
        until(lambda: exporter.statuses().keys() == {one, three}, "it is forgotten")
        scraped = exporter.scrape()
        assert not [has for _, has in scraped if ("phone_number", two) in has]
        assert value(scraped, "cams_account_phone_numbers") == 2
        world.find_numbers(two)[0].listed = True
        until(lambda: listed(exporter).get(two) == 1, "it is found again")


FAULTS = {
    "failed": faults.bare(502),
    "hostile": faults.nested(),
    "no-list": listing_faults.no_list(),
    "masked": listing_faults.entries({"PhoneNumber": "44770****"}),
    "wrong-types": listing_faults.entries({"PhoneNumber": None}),
}


def test_a_failed_or_partial_listing_changes_nothing() -> None:
    """One account for each fault.  What was known before stays; `forget_after` passes and nothing is forgotten."""
    world = World()
    sections = [
        found(world, {ONE: phones(2, 10 * place)}, name=name, discover_forget_after="2s")
        for place, name in enumerate(FAULTS)
    ]
    everyone = {phone for place in range(len(FAULTS)) for phone in phones(2, 10 * place)}
    with exported(world, *sections) as exporter:
        until(lambda: listed(exporter) == dict.fromkeys(everyone, 1), "found")
        for name, fault in FAULTS.items():
            world.accounts[name].spaces[ONE].fault = fault
            world.accounts[name].numbers[ONE, phones(2, 10 * list(FAULTS).index(name))[0]].exists = False
        for name in FAULTS:
            until(more_calls(world, PHONE_NUMBERS, 2, name), f"{name}: what was under way is answered")
        before = exporter.scrape()
        for name in FAULTS:
            until(more_calls(world, PHONE_NUMBERS, 2, name), f"{name}: several listings")
        assert listed(exporter) == dict.fromkeys(everyone, 1)
        after = exporter.scrape()
        for name in FAULTS:
            stamp = "cams_account_discovery_last_success_timestamp_seconds"
            was, now = (value(scraped, stamp, account=name, cust_space_id=ONE) for scraped in (before, after))
            assert was is not None
            assert now == was, name
            assert value(after, UP, account=name) == 1
            world.accounts[name].spaces[ONE].fault = None
        until(lambda: len(listed(exporter)) == len(FAULTS), "a good listing counts again")


def test_three_empty_listings_read_0_and_nothing_is_forgotten() -> None:
    world = World()
    one, two, three = phones(3)
    section = found(world, {ONE: [one, two], TWO: [three]}, discover_forget_after="2s")
    with exported(world, section) as exporter:
        until(lambda: listed(exporter) == {one: 1, two: 1, three: 1}, "found")
        world.accounts["main"].spaces[ONE].fault = listing_faults.empty_listing()
        until(lambda: listed(exporter) == {one: 0, two: 0, three: 1}, "listed by none")
        outcomes = [one.outcome for one in world.arrivals("main", PHONE_NUMBERS) if one.cust_space_id == ONE]
        assert outcomes.count("empty_listing") >= 3
        until(more_calls(world, PHONE_NUMBERS, 10), "forget_after passes")
        assert listed(exporter) == {one: 0, two: 0, three: 1}
        assert exporter.statuses() == dict.fromkeys([one, two, three], "VERIFIED")
        world.accounts["main"].spaces[ONE].fault = None
        until(lambda: listed(exporter) == {one: 1, two: 1, three: 1}, "listed again")


@pytest.mark.parametrize("fault", [listing_faults.partial_page(), listing_faults.wrong_total(), faults.bare(500)])
def test_a_list_of_spaces_that_fails_or_lacks_one_takes_no_number_away(fault: Any) -> None:
    world = World()
    one, two = phones(2)
    section = found(world, {ONE: [one], TWO: [two]}, discover_forget_after="2s")
    with exported(world, section) as exporter:
        until(lambda: listed(exporter) == {one: 1, two: 1}, "found")
        world.accounts["main"].calls[INSTANCES].fault = fault
        until(more_calls(world, INSTANCES, 6), "some lists of spaces")
        until(more_calls(world, PHONE_NUMBERS, 4), "both spaces are listed on")
        assert listed(exporter) == {one: 1, two: 1}


def test_spaces_come_and_go() -> None:
    """The numbers of a space that the API no longer knows leave after `forget_after`."""
    world = World()
    one, two = phones(2)
    section = found(world, {ONE: [one]}, discover_forget_after="3s")
    with exported(world, section) as exporter:
        until(lambda: listed(exporter) == {one: 1}, "found")
        world.add_number("main", TWO, two)
        until(lambda: listed(exporter) == {one: 1, two: 1}, "a space comes")
        world.accounts["main"].spaces[TWO].exists = False
        until(lambda: exporter.statuses().keys() == {one}, "a space goes")

        def counted(scraped: Series) -> list[str]:
            return [labels["cust_space_id"] for labels in labels_of(scraped, "cams_account_discovered_phone_numbers")]

        exporter.scraped(lambda scraped: counted(scraped) == [ONE], "its count goes too")


def test_a_restart_has_the_found_numbers_while_the_api_is_down(tmp_path: Path) -> None:
    world = World()
    one, two = phones(2)
    section = found(world, {ONE: [one], TWO: [two]})
    folder = f"--storage.path={tmp_path}/state"
    with Simulator(world) as simulator:
        settings = config(simulator.url, [section])
        with ExporterProcess(settings, folder) as exporter:
            until(lambda: exporter.statuses() == {one: "VERIFIED", two: "VERIFIED"}, "found")
        simulator.stop()
        with ExporterProcess(settings, folder) as exporter:
            assert exporter.statuses() == {one: "VERIFIED", two: "VERIFIED"}
            (info,) = labels_of(exporter.scrape(), "cams_phone_number_info", phone_number=one)
            assert info["cust_space_id"] == ONE
            until(lambda: exporter.get("/-/ready")[0] == 200, "each was attempted")
            until(
                lambda: (
                    (
                        value(exporter.scrape(), "cams_api_errors_total", operation=INSTANCES, code="connection_error")
                        or 0
                    )
                    > 0
                ),
                "listings fail",
            )
            assert exporter.statuses().keys() == {one, two}


def test_a_typed_number_keeps_its_name_and_labels_and_reads_0_if_its_space_lacks_it() -> None:
    world = World()
    one, two, typo = phones(3)
    typed = {"phone_number": one, "cust_space_id": ONE, "name": "desk", "labels": {"team": "care"}}
    missing = {"phone_number": typo, "cust_space_id": ONE}
    section = found(world, {ONE: [one, two]}, numbers=[typed, missing], discover_forget_after="1s")
    with exported(world, section) as exporter:
        until(lambda: listed(exporter) == {one: 1, two: 1, typo: 0}, "listed")
        until(lambda: exporter.statuses() == {one: "VERIFIED", two: "VERIFIED", typo: "UNKNOWN"}, "polled")
        (info,) = labels_of(exporter.scrape(), "cams_phone_number_info", phone_number=one)
        assert (info["name"], info["team"], info["verified_name"]) == ("desk", "care", "Simulated Ltd")
        until(more_calls(world, PHONE_NUMBERS, 3), "forget_after passes")
        assert typo in exporter.statuses()
        world.find_numbers(one)[0].listed = False
        until(lambda: listed(exporter).get(one) == 0, "it vanishes")
        until(more_calls(world, PHONE_NUMBERS, 3), "forget_after passes")
        assert exporter.statuses()[one] == "VERIFIED"


def test_spaces_that_are_named_are_listed_and_no_others() -> None:
    """The list of spaces is not asked for then.  With `all` the space of a typed number is listed too."""
    world = World()
    one, two, three, four = phones(4)
    named = found(world, {ONE: [one], TWO: [two]}, discover_spaces=[ONE])
    typed = [{"phone_number": three, "cust_space_id": ONE}]
    all_spaces = found(world, {ONE: [three, four]}, name="all", numbers=typed)
    world.accounts["all"].spaces[ONE].listed = False
    with exported(world, named, all_spaces) as exporter:
        until(lambda: listed(exporter) == {one: 1, three: 1, four: 1}, "found")
        until(more_calls(world, PHONE_NUMBERS, 2), "listed again")
        until(lambda: exporter.statuses() == dict.fromkeys([one, three, four], "VERIFIED"), "polled")
        assert value(exporter.scrape(), "cams_api_requests_total", account="main", operation=INSTANCES) is None
    assert world.arrivals("main", INSTANCES) == ()
    assert {arrival.cust_space_id for arrival in world.arrivals("main", PHONE_NUMBERS)} == {ONE}


def test_excluded_numbers_are_never_asked_and_those_beyond_the_maximum_are_counted() -> None:
    world = World()
    numbers = phones(5)
    section = found(world, {ONE: numbers}, discover_exclude=[numbers[1]], discover_max_numbers=2)
    with exported(world, section) as exporter:
        until(lambda: list(exporter.statuses().values()) == ["VERIFIED"] * 2, "found and polled")
        until(lambda: value(exporter.scrape(), "cams_account_discovery_left_out") == 2, "left out")
        until(more_calls(world, PHONE_NUMBERS, 2), "listed again")
        assert exporter.statuses().keys() <= {*numbers} - {numbers[1]}
        assert len(exporter.statuses()) == 2
    asked = {arrival.phone_number for arrival in world.arrivals("main", STATUS)}
    assert len(asked) == 2
    assert numbers[1] not in asked


def test_a_number_that_moves_is_polled_in_its_new_space_and_leaves_the_old_one() -> None:
    world = World()
    one, two, both = phones(3)
    section = found(world, {ONE: [one, two, both], TWO: [both]}, discover_forget_after="2s")
    with exported(world, section) as exporter:

        def homes(phone: str) -> set[str]:
            status = "cams_phone_number_verification_status"
            return {labels["cust_space_id"] for labels in labels_of(exporter.scrape(), status, phone_number=phone)}

        until(lambda: homes(both) == {ONE, TWO}, "a number in two spaces is polled in both")
        until(lambda: homes(one) == {ONE}, "found")
        world.move_number(world.find_numbers(one)[0], "main", TWO)
        until(lambda: TWO in homes(one), "polled in its new space")
        until(lambda: homes(one) == {TWO}, "it leaves the old one")
        assert value(exporter.scrape(), LISTED, phone_number=one) == 1
        assert homes(both) == {ONE, TWO}
        exporter.logged("level=warn")


def test_a_number_that_moves_to_another_account_is_polled_there() -> None:
    world = World()
    one, two, other = phones(3)
    sections = [
        found(world, {ONE: [one, other]}, discover_forget_after="2s"),
        found(world, {ONE: [two]}, name="other", discover_forget_after="2s"),
    ]
    with exported(world, *sections) as exporter:

        def accounts() -> set[str]:
            return {of["account"] for of in labels_of(exporter.scrape(), LISTED, phone_number=one)}

        until(lambda: accounts() == {"main"}, "found")
        world.move_number(world.find_numbers(one)[0], "other", ONE)
        until(lambda: "other" in accounts(), "polled in the other account")
        until(lambda: accounts() == {"other"}, "it leaves the first one")
        until(lambda: exporter.statuses() == dict.fromkeys([one, two, other], "VERIFIED"), "all are polled")


def test_without_the_permission_to_list_the_typed_numbers_are_polled_on() -> None:
    world = World()
    one, two = phones(2)
    section = found(world, {ONE: [one, two]}, numbers=[{"phone_number": one, "cust_space_id": ONE}])
    world.accounts["main"].calls[PHONE_NUMBERS].refusal = Refusal.PERMISSION_DENIED
    with exported(world, section) as exporter:
        until(lambda: exporter.statuses() == {one: "VERIFIED"}, "polled")
        until(lambda: value(exporter.scrape(), OPERATION_UP, operation=PHONE_NUMBERS) == 0, "it is said")
        until(more_calls(world, STATUS, 3), "polled on")
        scraped = exporter.scrape()
        assert value(scraped, OPERATION_UP, operation=STATUS) == 1
        assert value(scraped, UP, account="main") == 1
        assert value(scraped, LISTED, phone_number=one) is None
        world.accounts["main"].calls[PHONE_NUMBERS].refusal = None
        until(lambda: listed(exporter) == {one: 1, two: 1}, "found")
        until(lambda: value(exporter.scrape(), OPERATION_UP, operation=PHONE_NUMBERS) == 1, "it is said again")


def test_without_the_permission_for_one_space_the_others_are_found() -> None:
    world = World()
    one, two = phones(2)
    section = found(world, {ONE: [one], TWO: [two]})
    world.accounts["main"].spaces[TWO].refusal = Refusal.FORBIDDEN
    with exported(world, section) as exporter:
        until(lambda: exporter.statuses() == {one: "VERIFIED"}, "found")
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        assert value(exporter.scrape(), UP, account="main") == 1
        world.accounts["main"].spaces[TWO].refusal = None
        until(lambda: exporter.statuses() == {one: "VERIFIED", two: "VERIFIED"}, "the other one too")


def test_an_account_without_a_number_is_refused_with_a_bad_key_and_recovers() -> None:
    world = World()
    (one,) = phones(1)
    section = found(world, {ONE: [one]})
    world.remove_key("key-main")
    with exported(world, section) as exporter:
        exporter.scraped(lambda scraped: ups(scraped) == (0, 0), "refused")
        until(lambda: exporter.get("/-/ready")[0] == 200, "a refused account holds nobody back")
        world.set_key("main", "key-main", Key("secret-main"))
        until(lambda: exporter.statuses() == {one: "VERIFIED"}, "found")
        exporter.scraped(lambda scraped: ups(scraped) == (1, 1), "accepted")


def ups(scraped: Series) -> tuple[float | None, float | None]:
    """Whether the account, and its listing of spaces, is up."""
    return value(scraped, UP, account="main"), value(scraped, OPERATION_UP, account="main", operation=INSTANCES)


def test_a_reload_adds_and_removes_discovery() -> None:
    world = World()
    one, two = phones(2)
    section = found(world, {ONE: [one, two]}, numbers=[{"phone_number": one, "cust_space_id": ONE}])
    typed = {key: values for key, values in section.items() if key != "discover"}

    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [typed])) as exporter:
        until(lambda: exporter.statuses() == {one: "VERIFIED"}, "typed")
        assert labels_of(exporter.scrape(), LISTED) == []
        exporter.write_config(config(simulator.url, [section]))
        exporter.reload()
        until(lambda: exporter.statuses() == {one: "VERIFIED", two: "VERIFIED"}, "found")
        until(lambda: listed(exporter) == {one: 1, two: 1}, "listed")
        exporter.write_config(config(simulator.url, [typed]))
        exporter.reload()
        until(lambda: exporter.statuses().keys() == {one}, "only the typed one")
        until(lambda: not listed(exporter), "nothing of a listing stays")
        scraped = exporter.scrape()
        for name in ("cams_account_discovered_phone_numbers", "cams_account_discovery_left_out", CONNECTION):
            assert labels_of(scraped, name) == []
        until(more_calls(world, STATUS, 1), "what was under way is answered")
        before = len(world.arrivals("main", PHONE_NUMBERS))
        until(more_calls(world, STATUS, 2), "polled on")
        assert len(world.arrivals("main", PHONE_NUMBERS)) == before


def test_once_lists_first_and_then_polls_what_was_found(tmp_path: Path) -> None:
    world = World()
    numbers = phones(4)
    section = found(world, {ONE: numbers[:2], TWO: numbers[2:]}, discover_refresh_interval="5m")
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        done = run_exporter("--once", f"--config.file={exporter.config_path}")
    assert (done.returncode, done.stderr) == (0, done.stderr)
    scraped = series(done.stdout)
    assert statuses(scraped) == dict.fromkeys(numbers, "VERIFIED")
    assert all(value(scraped, LISTED, phone_number=phone) == 1 for phone in numbers)


def test_ready_waits_for_the_first_listing_of_each_space_and_for_the_numbers_found() -> None:
    """When it answers 200, each number was asked about."""
    world = World(latency_seconds=(0.05, 0.05))
    numbers = phones(20)
    section = found(world, {f"cams-{place}": numbers[place::5] for place in range(5)}, discover_refresh_interval="5m")
    never_throttle(world)
    with exported(world, section, scrape_interval="5m") as exporter:
        codes = []

        def ready() -> bool:
            codes.append(exporter.get("/-/ready")[0])
            return codes[-1] == 200

        until(ready, "ready")
        asked = {arrival.phone_number for arrival in world.arrivals("main", STATUS)}
        assert asked == {*numbers}
        assert 503 in codes
        scraped = exporter.scrape()
        assert (errors(scraped), statuses(scraped)) == ({}, dict.fromkeys(numbers, "VERIFIED")), exporter.log
