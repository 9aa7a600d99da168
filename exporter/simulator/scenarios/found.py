"""Two accounts, one of them discovered: within ten minutes its numbers appear, vanish and are banned."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from exporter.simulator.scenarios.fleets import SUPPORT, fictitious_numbers
from exporter.simulator.scenarios.plans import AccountPlan, DiscoveryPlan, NumberPlan, Scenario
from exporter.simulator.scenarios.typed import retail_account
from exporter.simulator.timeline import Steps
from exporter.simulator.world import Health, HealthError, Traits, phone_health

LEAST_NUMBERS = 5
"""The numbers of `_special_numbers`."""

MOST_NUMBERS = 50_000

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
    """When each change happens, in seconds of the scenario's time.  `yellow`, `red` and `banned` must ascend."""

    appears: float = 90
    yellow: float = 120
    red: float = 180
    vanishes: float = 270
    banned: float = 390


def discovery(seed: int = 0, *, numbers: int = 14, spaces: int = 2, timing: Timing = Timing()) -> Scenario:
    """The demo's account `retail`, and the account `support`, which is discovered.

    `support` has that many numbers, evenly in that many spaces.  One number appears, one vanishes, one turns YELLOW,
    then RED, then BANNED, one is EXPIRED but can send, and one is BLOCKED with an error.  The seed selects them.  The
    others are healthy.  Raises ValueError for too few or too many numbers, or no space.
    """
    if not (LEAST_NUMBERS <= numbers <= MOST_NUMBERS and spaces >= 1):
        raise ValueError(f"the scenario needs {LEAST_NUMBERS} to {MOST_NUMBERS} numbers and at least one space")
    chance = random.Random(seed)  # noqa: S311 - repeatable by design, no secret
    retail = retail_account(chance)
    support = AccountPlan(
        "support",
        "SIMULATED-KEY-SUPPORT",
        "simulated-secret-support",
        5,
        tuple(_numbers(chance, numbers, spaces, timing)),
        discovery=DiscoveryPlan(refresh_interval_seconds=15, health_interval_seconds=15),
    )
    return Scenario(seed=seed, scrape_interval_seconds=10, latency_seconds=(0.05, 0.4), accounts=(retail, support))


def _numbers(chance: random.Random, count: int, spaces: int, timing: Timing) -> Iterator[NumberPlan]:
    special = dict(zip(chance.sample(range(count), LEAST_NUMBERS), _special_numbers(timing), strict=True))
    phones = islice(chain(SUPPORT.items(), ((phone, phone) for phone in fictitious_numbers())), count)
    for place, (name, phone_number) in enumerate(phones):
        status, traits = special.get(place, ("VERIFIED", Traits()))
        traits.verified_name = BRANDS[place % len(BRANDS)]
        yield NumberPlan(f"cams-sim-support{place % spaces + 1}", phone_number, name, (), status=status, traits=traits)


def _special_numbers(timing: Timing) -> tuple[tuple[str, Traits], ...]:
    """Status and traits of the numbers that are not simply healthy."""
    quality = Steps("GREEN", ((timing.yellow, "YELLOW"), (timing.red, "RED"), (timing.banned, "UNKNOWN")))
    banned = Traits(
        quality_rating=quality,
        messaging_limit_tier=Steps("TIER_10K", ((timing.red, "TIER_1K"),)),
        connection_status=Steps("CONNECTED", ((timing.banned, "BANNED"),)),
        health=Steps(Health(), ((timing.banned, phone_health("BLOCKED", LOCKED)),)),
    )
    return (
        ("VERIFIED", Traits(exists=Steps(False, ((timing.appears, True),)))),
        ("VERIFIED", Traits(exists=Steps(True, ((timing.vanishes, False),)))),
        ("VERIFIED", banned),
        ("EXPIRED", Traits()),
        ("VERIFIED", Traits(health=phone_health("BLOCKED", PAYMENT))),
    )
