"""The account `retail`: sixteen typed numbers, with statuses, faults and limits that change with time."""

from __future__ import annotations

import random

from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.refusals import Refusal
from exporter.simulator.scenarios.plans import AccountPlan, NumberPlan
from exporter.simulator.timeline import Changing, Cycle

VERIFIED = "VERIFIED"
NOT_VERIFIED = "NOT_VERIFIED"
EXPIRED = "EXPIRED"

PHONES = {
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

BRANDS = ("Northwind", "Tailspin")
"""They alternate, and each has a space."""


def retail_account(chance: random.Random) -> AccountPlan:
    """Sixteen typed numbers; something changes every half minute.

    Most are VERIFIED.  One is always NOT_VERIFIED.  Two expire and recover.  One becomes VERIFIED and loses it again.
    One is always refused, and one gets server errors sometimes.  The account is throttled for 8 s of every 80, as if
    other callers used up its limit.
    """
    plan = _plan(chance)
    numbers = []
    for place, (name, phone_number) in enumerate(PHONES.items()):
        brand = place % len(BRANDS)
        labels = (("team", name.split()[0]), ("brand", BRANDS[brand]))
        numbers.append(NumberPlan(f"cams-sim-retail{brand + 1}", phone_number, name, labels, *plan.get(name, ())))
    return AccountPlan(
        "retail", "SIMULATED-KEY-RETAIL", "simulated-secret-retail", 5, tuple(numbers), Cycle(((72, 10), (8, 0)))
    )


def _plan(chance: random.Random) -> dict[str, tuple[Changing[str], Changing[Fault | None]]]:
    """The status, and the fault of status calls, of those that are not always VERIFIED."""
    # 23 s, not a multiple of the interval: polls then fall into every part of it, whatever their phase
    failing = Cycle[Fault | None](((17, None), (6, _refused(Refusal.INTERNAL))), offset_seconds=chance.uniform(0, 15))
    return {
        "orders Boston": (_expiring(chance, 60, 40), None),
        "returns Chicago": (_expiring(chance, 90, 45), None),
        "delivery Chicago": (VERIFIED, failing),
        "store Denver": (NOT_VERIFIED, None),
        "store Austin": (Cycle(((75, NOT_VERIFIED), (150, VERIFIED))), None),
        "store Miami": (VERIFIED, _refused(Refusal.INVALID_NUMBER)),
    }


def _expiring(chance: random.Random, verified_seconds: float, expired_seconds: float) -> Cycle[str]:
    """VERIFIED at first, for at least half of its phase, so that the numbers do not expire at the same time."""
    offset = chance.uniform(0, verified_seconds / 2)
    return Cycle(((verified_seconds, VERIFIED), (expired_seconds, EXPIRED)), offset)


def _refused(refusal: Refusal) -> Fault:
    return faults.error(refusal.status, refusal.code, refusal.message)
