"""The demo: two accounts, one of them discovered.  Within ten minutes its numbers appear, vanish and are banned."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from exporter.simulator.scenarios.plans import AccountPlan, DiscoveryPlan, Event, NumberPlan, Scenario, Traits
from exporter.simulator.scenarios.retail import retail_account
from exporter.simulator.timeline import Steps
from exporter.simulator.world import Health, HealthError, phone_health

LEAST_NUMBERS = 5
"""The special numbers, see `_special_numbers`."""

MOST_NUMBERS = 50_000

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

BRANDS = ("Contoso", "Fabrikam")

PAYMENT = HealthError(
    "141006",
    "There is an error with the payment method.",
    "There was an error with your payment method. Please add a new payment method to the account.",
)
LOCKED = HealthError(
    "131031",
    "The account has been locked.",
    "See the account's quality and its policy violations in WhatsApp Manager, and appeal there.",
)


@dataclass(frozen=True, slots=True)
class Timing:
    """When each change happens, in seconds of the scenario's time.  `yellow`, `red` and `banned` must ascend.

    A number that vanished is forgotten `forgotten_after` seconds later.
    """

    appears: float = 90
    yellow: float = 120
    red: float = 180
    vanishes: float = 270
    banned: float = 390
    forgotten_after: int = 180


def discovery(seed: int = 0, *, numbers: int = 14, spaces: int = 2, timing: Timing = Timing()) -> Scenario:
    """The account `retail` with its typed numbers, and the account `support`, which is discovered.

    `support` has that many numbers, evenly in that many spaces.  One number appears, one vanishes, one turns YELLOW,
    then RED, then BANNED, one is EXPIRED but can send, and one is BLOCKED with an error.  The seed selects them.  The
    others are healthy.  Raises ValueError for too few or too many numbers, or no space.
    """
    if not (LEAST_NUMBERS <= numbers <= MOST_NUMBERS and spaces >= 1):
        raise ValueError(f"the scenario needs {LEAST_NUMBERS} to {MOST_NUMBERS} numbers and at least one space")
    chance = random.Random(seed)  # noqa: S311 - repeatable by design, no secret
    retail = retail_account(chance)
    phones = dict(islice(chain(SUPPORT.items(), ((phone, phone) for phone in fictitious_numbers())), numbers))
    special = dict(zip(chance.sample(sorted(phones), LEAST_NUMBERS), _special_numbers(timing), strict=True))
    support = AccountPlan(
        "support",
        "SIMULATED-KEY-SUPPORT",
        "simulated-secret-support",
        5,
        tuple(_numbers(phones, spaces, special)),
        discovery=DiscoveryPlan(15, timing.forgotten_after, health_interval_seconds=15),
    )
    return Scenario(
        seed=seed,
        scrape_interval_seconds=10,
        latency_seconds=(0.05, 0.4),
        accounts=(retail, support),
        events=tuple(sorted(_events([phones[name] for name in special], timing), key=lambda event: event.at_seconds)),
    )


def fictitious_numbers() -> Iterator[str]:
    """Some 78,000 phone numbers: 100 of each area code from 203 on."""
    for area in range(203, 990):
        if area % 100 != 11:  # N11 are service codes
            yield from (f"1{area}55501{line:02}" for line in range(100))


def _numbers(phones: Mapping[str, str], spaces: int, special: Mapping[str, tuple[str, Traits]]) -> Iterator[NumberPlan]:
    for place, (name, phone_number) in enumerate(phones.items()):
        status, traits = special.get(name, ("VERIFIED", {}))
        traits = {"verified_name": BRANDS[place % len(BRANDS)], **traits}
        yield NumberPlan(f"cams-sim-support{place % spaces + 1}", phone_number, name, (), status=status, traits=traits)


def _special_numbers(timing: Timing) -> tuple[tuple[str, Traits], ...]:
    """Status and traits of the numbers that are not simply healthy."""
    quality = Steps("GREEN", ((timing.yellow, "YELLOW"), (timing.red, "RED"), (timing.banned, "UNKNOWN")))
    banned = {
        "quality_rating": quality,
        "messaging_limit_tier": Steps("TIER_10K", ((timing.red, "TIER_1K"),)),
        "connection_status": Steps("CONNECTED", ((timing.banned, "BANNED"),)),
        "health": Steps(Health(), ((timing.banned, phone_health("BLOCKED", LOCKED)),)),
    }
    return (
        ("VERIFIED", {"exists": Steps(False, ((timing.appears, True),))}),
        ("VERIFIED", {"exists": Steps(True, ((timing.vanishes, False),))}),
        ("VERIFIED", banned),
        ("EXPIRED", {}),
        ("VERIFIED", {"health": phone_health("BLOCKED", PAYMENT)}),
    )


def _events(phones: list[str], timing: Timing) -> Iterator[Event]:
    """What happens to the special numbers, in their order."""
    appearing, vanishing, banned, expired, blocked = phones
    yield Event(0, expired, "is EXPIRED and CONNECTED: it can send")
    yield Event(0, blocked, f"is BLOCKED by the error {PAYMENT.code}")
    yield Event(timing.appears, appearing, "appears")
    yield Event(timing.yellow, banned, "turns YELLOW")
    yield Event(timing.red, banned, "turns RED")
    yield Event(timing.vanishes, vanishing, "vanishes: no listing holds it, and its polls fail")
    yield Event(timing.banned, banned, f"is BANNED, and BLOCKED by the error {LOCKED.code}")
    yield Event(timing.vanishes + timing.forgotten_after, vanishing, "is forgotten")
