"""Names and phone numbers for the scenarios, and number plans made from them.

Every phone number is in a range reserved for fiction: 555-01xx of any area code (NANPA), +44 7700 900xxx (Ofcom),
+33 6 39 98 xx xx (ARCEP).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exporter.simulator.faults import Fault
from exporter.simulator.scenarios.plans import NumberPlan
from exporter.simulator.timeline import Changing

RETAIL = {
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

SUPPORT = {
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

Behaviour = tuple[Changing[str], Changing[Fault | None]]
"""The status, and the fault of status calls."""


def plan_numbers(
    space: str, phones: Mapping[str, str], brands: tuple[str, str], plan: Mapping[str, Behaviour]
) -> tuple[NumberPlan, ...]:
    """One number for each of `phones`, with alternating brands; each brand has its own space."""
    numbers = []
    for place, (name, phone_number) in enumerate(phones.items()):
        brand = place % len(brands)
        labels = (("team", name.split()[0]), ("brand", brands[brand]))
        status, fault = plan.get(name, ("VERIFIED", None))
        numbers.append(NumberPlan(f"{space}{brand + 1}", phone_number, name, labels, status, fault))
    return tuple(numbers)


def fictitious_numbers() -> Iterator[str]:
    """Some 78,000 phone numbers: 100 of each area code from 203 on."""
    for area in range(203, 990):
        if area % 100 != 11:  # N11 are service codes
            yield from (f"1{area}55501{line:02}" for line in range(100))
