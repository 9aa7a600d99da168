"""The scenarios over time."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from exporter.simulator import Cycle, World
from exporter.simulator.gateway import decide
from exporter.simulator.scenarios import SCENARIOS, AccountPlan, NumberPlan, Scenario, discovery
from tests.support.clock import FakeClock
from tests.support.simulated import Call

MINUTES = 20
FICTITIOUS = re.compile(r"1[2-9]\d\d55501\d\d|447700900\d\d\d|336399801\d\d")


def outcome(world: World, account: AccountPlan, number: NumberPlan) -> str:
    """A number's status, or the code of the error it is answered with."""
    call = Call(
        {"CustSpaceId": number.cust_space_id, "PhoneNumber": number.phone_number},
        key=account.access_key_id,
        secret=account.access_key_secret,
        unix=world.clock.unix(),
    )
    decision = decide(world, call.request())
    if decision.fault:
        return decision.fault.name
    document = json.loads(decision.reply.body)
    return str(document["Data"]["CodeVerificationStatus"] if document["Code"] == "OK" else document["Code"])


def course(scenario: Scenario) -> dict[str, Counter[str]]:
    """The count of each outcome of each number, polled every 5 s within the limit."""
    clock = FakeClock()
    world = scenario.world(clock=clock)
    seen: dict[str, Counter[str]] = {}
    for _ in range(MINUTES * 12):
        for turn in range(5):
            for account in scenario.accounts:
                for number in account.numbers[turn::5]:
                    seen.setdefault(number.name, Counter())[outcome(world, account, number)] += 1
            clock.advance(1)
    return seen


@pytest.fixture(scope="module")
def seen() -> dict[str, Counter[str]]:
    return course(discovery())


def test_the_demo_has_thirty_numbers_in_two_accounts() -> None:
    accounts = discovery().accounts
    assert [account.name for account in accounts] == ["retail", "support"]
    assert sum(len(account.numbers) for account in accounts) == 30
    assert len({number.cust_space_id for account in accounts for number in account.numbers}) == 4


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_number_is_fictitious_named_and_alone(name: str) -> None:
    numbers = [number for account in SCENARIOS[name](0).accounts for number in account.numbers]
    assert all(FICTITIOUS.fullmatch(number.phone_number) for number in numbers)
    assert len({number.phone_number for number in numbers}) == len(numbers)
    assert len({number.name for number in numbers}) == len(numbers)


@pytest.mark.parametrize("seed", range(5))
def test_the_demo_begins_calm(seed: int) -> None:
    """At the start: most VERIFIED, one NOT_VERIFIED for ever and one for now, one EXPIRED, one refused, one to come."""
    scenario = discovery(seed)
    world = scenario.world(clock=FakeClock())
    for account in world.accounts.values():
        account.rate_limit = 100
    outcomes = Counter(outcome(world, account, number) for account in scenario.accounts for number in account.numbers)
    assert outcomes == {
        "VERIFIED": 25,
        "NOT_VERIFIED": 2,
        "EXPIRED": 1,
        "InvalidParameter.PhoneNumber": 1,
        "Unknown.ResourceOwnerId": 1,
    }


def test_something_moves_within_two_minutes() -> None:
    scenario = discovery()
    clock = FakeClock()
    world = scenario.world(clock=clock)
    numbers = [number for account in world.accounts.values() for number in account.numbers.values()]
    changed: set[str] = set()
    before = _statuses(world)
    for _ in range(120):
        clock.advance(1)
        after = _statuses(world)
        changed |= {phone for phone in after if after[phone] != before[phone]}
        before = after
    assert len(changed) == 3
    assert len(numbers) == 30


def _statuses(world: World) -> dict[str, object]:
    numbers = [number for account in world.accounts.values() for number in account.numbers.values()]
    return {
        number.phone_number: number.status
        if isinstance(number.status, str)
        else number.status.at(world.elapsed_seconds)
        for number in numbers
    }


@pytest.mark.parametrize("name", ["orders Boston", "returns Chicago"])
def test_two_numbers_expire_and_recover(seen: dict[str, Counter[str]], name: str) -> None:
    assert seen[name]["VERIFIED"] > seen[name]["EXPIRED"] > 10


def test_one_number_is_verified_at_last(seen: dict[str, Counter[str]]) -> None:
    assert seen["store Austin"]["NOT_VERIFIED"] > 10
    assert seen["store Austin"]["VERIFIED"] > 10


def test_one_number_is_never_verified(seen: dict[str, Counter[str]]) -> None:
    assert set(seen["store Denver"]) == {"NOT_VERIFIED", "Throttling.User"}


def test_one_number_is_always_refused(seen: dict[str, Counter[str]]) -> None:
    assert set(seen["store Miami"]) == {"InvalidParameter.PhoneNumber", "Throttling.User"}


def test_one_number_meets_server_errors_now_and_then(seen: dict[str, Counter[str]]) -> None:
    failures = seen["delivery Chicago"]
    assert 0.1 < failures["InternalError"] / failures.total() < 0.5
    assert failures["VERIFIED"] > failures["InternalError"]


@pytest.mark.parametrize("phase", range(10))
def test_polls_meet_the_server_errors_whatever_their_phase(phase: int) -> None:
    """With a cycle equal to the interval, only some demos would show them."""
    scenario = discovery()
    (failing,) = (
        number for account in scenario.accounts for number in account.numbers if number.name == "delivery Chicago"
    )
    assert isinstance(failing.fault, Cycle)
    met = {failing.fault.at(phase + poll * scenario.scrape_interval_seconds) is None for poll in range(12)}
    assert met == {True, False}


def test_one_account_is_throttled_now_and_then_and_the_other_never(seen: dict[str, Counter[str]]) -> None:
    throttled = {name for name, outcomes in seen.items() if outcomes["Throttling.User"]}
    assert throttled == {number.name for number in discovery().accounts[0].numbers}
    total = sum(seen[name].total() for name in throttled)
    assert 0.05 < sum(seen[name]["Throttling.User"] for name in throttled) / total < 0.15


def test_the_rest_is_verified(seen: dict[str, Counter[str]]) -> None:
    calm = [name for name, outcomes in seen.items() if set(outcomes) <= {"VERIFIED", "Throttling.User"}]
    assert len(calm) == 21


def test_the_same_seed_is_the_same_demo() -> None:
    assert discovery(3).accounts[0].numbers[1].status == discovery(3).accounts[0].numbers[1].status
    assert discovery(3).accounts[0].numbers[1].status != discovery(4).accounts[0].numbers[1].status


def test_no_secret_stands_in_a_plans_repr() -> None:
    assert "simulated-secret" not in repr(discovery())


def test_steady_takes_its_time_and_never_changes() -> None:
    scenario = SCENARIOS["steady"](0)
    (account,) = scenario.accounts
    assert (len(account.numbers), account.qps) == (300, 10)
    world = scenario.world(clock=FakeClock())
    assert outcome(world, account, account.numbers[299]) == "VERIFIED"
    assert world.draw_latency(None) == pytest.approx(0.3)
