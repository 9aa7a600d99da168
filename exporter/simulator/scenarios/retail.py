"""The account `retail`: sixteen typed numbers, with statuses, faults and limits that change with time."""

from __future__ import annotations

import random

from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.refusals import Refusal
from exporter.simulator.scenarios.fleets import RETAIL, Behaviour, plan_numbers
from exporter.simulator.scenarios.plans import AccountPlan
from exporter.simulator.timeline import Cycle

VERIFIED = "VERIFIED"
NOT_VERIFIED = "NOT_VERIFIED"
EXPIRED = "EXPIRED"


def retail_account(chance: random.Random) -> AccountPlan:
    """Sixteen typed numbers; something changes every half minute.

    Most are VERIFIED.  One is always NOT_VERIFIED.  Two expire and recover.  One becomes VERIFIED and loses it again.
    One is always refused, and one gets server errors sometimes.  The account is throttled for 8 s of every 80, as if
    other callers used up its limit.
    """
    numbers = plan_numbers("cams-sim-retail", RETAIL, ("Northwind", "Tailspin"), _plan(chance))
    return AccountPlan(
        "retail", "SIMULATED-KEY-RETAIL", "simulated-secret-retail", 5, numbers, Cycle(((72, 10), (8, 0)))
    )


def _plan(chance: random.Random) -> dict[str, Behaviour]:
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
