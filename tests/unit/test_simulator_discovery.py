"""The scenario `discovery`: how its numbers change over ten minutes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pytest

from exporter.simulator import World
from exporter.simulator.gateway import decide
from exporter.simulator.messages import HEALTH, INSTANCES, PHONE_NUMBERS, STATUS
from exporter.simulator.scenarios import Scenario, Timing, discovery
from exporter.simulator.scenarios.found import fictitious_numbers
from tests.support.clock import FakeClock
from tests.support.simulated import Call

STEP_SECONDS = 15
MINUTES = 10


@dataclass
class Watcher:
    """Asks the API with the keys only, as an exporter with discovery does."""

    scenario: Scenario
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.world: World = self.scenario.world(clock=self.clock)
        for rules in self.world.accounts["support"].calls.values():
            rules.rate_limit = 100_000

    def ask(self, action: str, **query: str) -> Any:
        plan = self.scenario.accounts[1]
        call = Call(query, key=plan.access_key_id, secret=plan.access_key_secret, unix=self.clock.unix(), action=action)
        return json.loads(decide(self.world, call.request()).reply.body)

    def listing(self) -> dict[tuple[str, str], Any]:
        """What the listings say of every number, by space and number."""
        found = {}
        for instance in self.ask(INSTANCES, PageSize="100")["Data"]:
            space = instance["CustSpaceId"]
            for entry in self.ask(PHONE_NUMBERS, CustSpaceId=space)["PhoneNumbers"]:
                found[space, entry["PhoneNumber"]] = entry
        return found

    def look(self, space: str, phone_number: str) -> tuple[str, str]:
        """A number's status and its verdict."""
        status = self.ask(STATUS, CustSpaceId=space, PhoneNumber=phone_number)
        health = self.ask(HEALTH, CustSpaceId=space, PhoneNumber=phone_number, NodeType="PHONE")
        return status["Data"]["CodeVerificationStatus"], health["Data"]["CanSendMessage"]


Look = tuple[str, ...] | None
"""Connection status, quality, verification status and verdict; None for a number that is not listed."""


@dataclass
class Course:
    """What was seen of every number, look by look."""

    looks: dict[tuple[str, str], list[Look]]

    def changing(self) -> set[tuple[Look, ...]]:
        """The courses of the numbers that changed, each state once, in order."""
        courses = {tuple(look for look, _ in groupby(looks)) for looks in self.looks.values()}
        return {course for course in courses if len(course) > 1}

    def lasting(self) -> Counter[Look]:
        """How many numbers stayed so all the time."""
        return Counter(looks[0] for looks in self.looks.values() if len(set(looks)) == 1)


def watch(scenario: Scenario) -> Course:
    watcher = Watcher(scenario)
    looks: dict[tuple[str, str], list[Look]] = {}
    for turn in range(MINUTES * 60 // STEP_SECONDS + 1):
        listing = watcher.listing()
        for key in listing.keys() | looks.keys():
            past = looks.setdefault(key, [None] * turn)
            entry = listing.get(key)
            past.append(entry and (entry["Status"], entry["QualityRating"], *watcher.look(*key)))
        watcher.clock.advance(STEP_SECONDS)
    return Course(looks)


HEALTHY = ("CONNECTED", "GREEN", "VERIFIED", "AVAILABLE")
YELLOW = ("CONNECTED", "YELLOW", "VERIFIED", "AVAILABLE")
RED = ("CONNECTED", "RED", "VERIFIED", "AVAILABLE")
BANNED = ("BANNED", "UNKNOWN", "VERIFIED", "BLOCKED")


@pytest.mark.parametrize("seed", range(3))
def test_all_changes_happen_within_ten_minutes(seed: int) -> None:
    """One appears, one vanishes, one is RED and then BANNED, one EXPIRED sends, one is BLOCKED; others are healthy."""
    course = watch(discovery(seed))
    assert course.changing() == {(None, HEALTHY), (HEALTHY, None), (HEALTHY, YELLOW, RED, BANNED)}
    assert course.lasting() == {
        HEALTHY: 9,
        ("CONNECTED", "GREEN", "EXPIRED", "AVAILABLE"): 1,
        ("CONNECTED", "GREEN", "VERIFIED", "BLOCKED"): 1,
    }


def test_the_events_say_when_each_number_changes() -> None:
    scenario = discovery()
    watcher, now = Watcher(scenario), 0.0
    forget_after = scenario.accounts[1].discovery.forget_after_seconds if scenario.accounts[1].discovery else 0
    seen = []
    for event in scenario.events:
        watcher.clock.advance(event.at_seconds - now)
        now = event.at_seconds
        listing = {phone: (entry["Status"], entry["QualityRating"]) for (_, phone), entry in watcher.listing().items()}
        seen.append((event.text.split(maxsplit=2)[:2], event.at_seconds, listing.get(event.phone_number)))
    assert seen == [
        (["is", "EXPIRED"], 0, ("CONNECTED", "GREEN")),
        (["is", "BLOCKED"], 0, ("CONNECTED", "GREEN")),
        (["appears"], 90, ("CONNECTED", "GREEN")),
        (["turns", "YELLOW"], 120, ("CONNECTED", "YELLOW")),
        (["turns", "RED"], 180, ("CONNECTED", "RED")),
        (["vanishes:", "no"], 270, None),
        (["is", "BANNED,"], 390, ("BANNED", "UNKNOWN")),
        (["is", "forgotten"], 270 + forget_after, None),
    ]
    assert scenario.events[-1].at_seconds < MINUTES * 60


def test_whatever_is_blocked_says_why() -> None:
    watcher = Watcher(discovery())
    watcher.clock.advance(MINUTES * 60)
    errors = {}
    for space, phone_number in watcher.listing():
        data = watcher.ask(HEALTH, CustSpaceId=space, PhoneNumber=phone_number, NodeType="PHONE")["Data"]
        if data["CanSendMessage"] == "BLOCKED":
            (error,) = data["Entities"][0]["Errors"]
            errors[error["ErrorCode"]] = error["PossibleSolution"]
    assert errors.keys() == {"141006", "131031"}
    assert all(errors.values())


def test_the_numbers_are_in_two_spaces_of_the_discovered_account() -> None:
    scenario = discovery()
    typed, found = scenario.accounts
    assert (typed.name, typed.discovery, len(typed.numbers)) == ("retail", None, 16)
    assert found.discovery is not None
    assert Counter(number.cust_space_id for number in found.numbers) == {"cams-sim-support1": 7, "cams-sim-support2": 7}
    assert len(Watcher(scenario).listing()) == 13  # one is still to appear


def test_numbers_spaces_and_timing_are_as_asked_for() -> None:
    scenario = discovery(numbers=10_000, spaces=500, timing=Timing(1, 2, 3, 4, 5))
    numbers = scenario.accounts[1].numbers
    assert set(Counter(number.cust_space_id for number in numbers).values()) == {20}
    assert len({number.phone_number for number in numbers}) == 10_000
    world = scenario.world(clock=FakeClock())
    assert len(world.accounts["support"].spaces) == 500
    brief = watch(discovery(timing=Timing(1, 2, 3, 4, 5)))
    assert brief.changing() == {(None, HEALTHY), (HEALTHY, None), (HEALTHY, BANNED)}


def test_the_seed_selects_the_special_numbers() -> None:
    def expired(seed: int) -> list[str]:
        plain = discovery(seed).accounts[1].numbers
        return [number.phone_number for number in plain if number.status == "EXPIRED"]

    assert expired(1) == expired(1)
    assert len({expired(seed)[0] for seed in range(10)}) > 1


@pytest.mark.parametrize(("numbers", "spaces"), [(4, 2), (50_001, 2), (14, 0)])
def test_a_fleet_of_a_wrong_size_is_refused(numbers: int, spaces: int) -> None:
    with pytest.raises(ValueError, match="5 to 50000 numbers and at least one space"):
        discovery(numbers=numbers, spaces=spaces)


def test_there_are_fictitious_numbers_for_a_large_fleet() -> None:
    assert len(set(fictitious_numbers())) > 50_000
