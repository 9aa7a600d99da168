"""Example worlds: data, with statuses, faults and limits that change with the elapsed time.

Does not serve them (see `server`), and does not write their configuration (see `configfile`).  Every phone number is in
a range reserved for fiction: +1 202 555 01xx (NANPA), +44 7700 900xxx (Ofcom), +33 6 39 98 xx xx (ARCEP).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exporter.simulator import faults
from exporter.simulator.clock import Clock
from exporter.simulator.faults import Fault
from exporter.simulator.messages import Refusal
from exporter.simulator.timeline import Cycle
from exporter.simulator.world import Span, World

VERIFIED = "VERIFIED"
NOT_VERIFIED = "NOT_VERIFIED"
EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """A number as in a configuration, and its behaviour."""

    cust_space_id: str
    phone_number: str
    name: str
    labels: tuple[tuple[str, str], ...]
    status: str | Cycle[str] = VERIFIED
    fault: Fault | Cycle[Fault | None] | None = None


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """An account as in a configuration, its numbers, and its limit of requests per second."""

    name: str
    access_key_id: str
    access_key_secret: str = field(repr=False)
    qps: int
    numbers: tuple[NumberPlan, ...]
    rate_limit: int | Cycle[int] = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """Accounts and numbers: the plan of their configuration, and their world."""

    seed: int
    scrape_interval_seconds: int
    latency_seconds: Span
    accounts: tuple[AccountPlan, ...]

    def world(self, *, speed: float = 1.0, clock: Clock | None = None) -> World:
        """A new world at the start of the scenario; with `speed` 2 its time passes twice as fast."""
        world = World(seed=self.seed, speed=speed, latency_seconds=self.latency_seconds, clock=clock)
        for account in self.accounts:
            world.add_account(
                account.name, account.access_key_id, account.access_key_secret, rate_limit=account.rate_limit
            )
            for number in account.numbers:
                world.add_number(
                    account.name, number.cust_space_id, number.phone_number, number.status, fault=number.fault
                )
        return world


def demo(seed: int = 0) -> Scenario:
    """Thirty numbers in two accounts; something changes every half minute.

    Most are VERIFIED.  One is always NOT_VERIFIED, and one always EXPIRED.  Four expire and recover.  One becomes
    VERIFIED and loses it again.  One is always refused, and one gets server errors sometimes.  The account `retail` is
    throttled for 8 s of every 80, as if other callers used up its limit.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable by design, no secret
    retail = _numbers("cams-sim-retail", _RETAIL, ("Northwind", "Tailspin"), _retail_plan(chance))
    support = _numbers("cams-sim-support", _SUPPORT, ("Contoso", "Fabrikam"), _support_plan(chance))
    return Scenario(
        seed=seed,
        scrape_interval_seconds=10,
        latency_seconds=(0.05, 0.4),
        accounts=(
            AccountPlan(
                "retail", "SIMULATED-KEY-RETAIL", "simulated-secret-retail", 5, retail, Cycle(((72, 10), (8, 0)))
            ),
            AccountPlan("support", "SIMULATED-KEY-SUPPORT", "simulated-secret-support", 5, support),
        ),
    )


def steady(seed: int = 0) -> Scenario:
    """Three hundred VERIFIED numbers in one account, each answer taking 0.3 s: half a minute a pass at 10/s."""
    numbers = tuple(
        NumberPlan("cams-sim-steady", f"447700900{place:03}", f"line {place:03}", ()) for place in range(300)
    )
    account = AccountPlan("steady", "SIMULATED-KEY-STEADY", "simulated-secret-steady", 10, numbers)
    return Scenario(seed=seed, scrape_interval_seconds=60, latency_seconds=(0.3, 0.3), accounts=(account,))


SCENARIOS: Mapping[str, Callable[[int], Scenario]] = {"demo": demo, "steady": steady}
"""The choices of ``--scenario``; each is a function of the seed."""

_RETAIL = {
    "orders New York": "12025550101",
    "orders Boston": "12025550102",
    "orders Chicago": "12025550103",
    "orders Seattle": "12025550104",
    "returns New York": "12025550111",
    "returns Boston": "12025550112",
    "returns Chicago": "12025550113",
    "returns Seattle": "12025550114",
    "delivery New York": "12025550121",
    "delivery Boston": "12025550122",
    "delivery Chicago": "12025550123",
    "delivery Seattle": "12025550124",
    "store Denver": "12025550131",
    "store Austin": "12025550132",
    "store Portland": "12025550133",
    "store Miami": "12025550134",
}

_SUPPORT = {
    "support-line London": "447700900101",
    "support-line Leeds": "447700900102",
    "support-line Bristol": "447700900103",
    "support-line Glasgow": "447700900104",
    "support-line Paris": "33639980101",
    "support-line Lyon": "33639980102",
    "support-line Nantes": "33639980103",
    "billing London": "447700900111",
    "billing Paris": "33639980111",
    "billing Lyon": "33639980112",
    "onboarding London": "447700900121",
    "onboarding Paris": "33639980121",
    "emergency London": "447700900131",
    "emergency Paris": "33639980131",
}

Behaviour = tuple[str | Cycle[str], Fault | Cycle[Fault | None] | None]


def _retail_plan(chance: random.Random) -> dict[str, Behaviour]:
    return {
        "orders Boston": (_expiring(chance, 60, 40), None),
        "returns Chicago": (_expiring(chance, 90, 45), None),
        "store Denver": (NOT_VERIFIED, None),
        "store Austin": (Cycle(((75, NOT_VERIFIED), (150, VERIFIED))), None),
        "store Miami": (VERIFIED, _refused(Refusal.INVALID_NUMBER)),
    }


def _support_plan(chance: random.Random) -> dict[str, Behaviour]:
    # 23 s, not a multiple of the interval: polls then fall into every part of it, whatever their phase
    failing = Cycle[Fault | None](((17, None), (6, _refused(Refusal.INTERNAL))), offset_seconds=chance.uniform(0, 15))
    return {
        "support-line Leeds": (_expiring(chance, 75, 30), None),
        "support-line Nantes": (EXPIRED, None),
        "billing Paris": (_expiring(chance, 110, 60), None),
        "onboarding London": (VERIFIED, failing),
    }


def _expiring(chance: random.Random, verified_seconds: float, expired_seconds: float) -> Cycle[str]:
    """VERIFIED at first, for at least half of its phase, so that the numbers do not expire at the same time."""
    offset = chance.uniform(0, verified_seconds / 2)
    return Cycle(((verified_seconds, VERIFIED), (expired_seconds, EXPIRED)), offset)


def _refused(refusal: Refusal) -> Fault:
    return faults.error(refusal.status, refusal.code, refusal.message)


def _numbers(
    space: str, phones: Mapping[str, str], brands: tuple[str, str], plan: Mapping[str, Behaviour]
) -> tuple[NumberPlan, ...]:
    """One number for each of `phones`, with alternating brands; each brand has its own space."""
    numbers = []
    for place, (name, phone_number) in enumerate(phones.items()):
        brand = place % len(brands)
        labels = (("team", name.split()[0]), ("brand", brands[brand]))
        status, fault = plan.get(name, (VERIFIED, None))
        numbers.append(NumberPlan(f"{space}{brand + 1}", phone_number, name, labels, status, fault))
    return tuple(numbers)
