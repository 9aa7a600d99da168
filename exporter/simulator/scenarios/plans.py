"""The parts of a scenario: accounts and numbers as in a configuration, and their behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.simulator.clock import Clock
from exporter.simulator.faults import Fault
from exporter.simulator.timeline import Changing
from exporter.simulator.world import Span, World

Traits = Mapping[str, Any]
"""Fields of `world.Number` by name."""


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """A number as in a configuration, and its behaviour."""

    cust_space_id: str
    phone_number: str
    name: str
    labels: tuple[tuple[str, str], ...]
    status: Changing[str] = "VERIFIED"
    fault: Changing[Fault | None] = None
    traits: Traits = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DiscoveryPlan:
    """The durations for a configuration that discovers an account's numbers and asks for their health."""

    refresh_interval_seconds: int
    forget_after_seconds: int
    health_interval_seconds: int


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """An account as in a configuration, its numbers, and its limit of status calls per second.

    If `discovery` is set, the configuration contains no numbers of it.
    """

    name: str
    access_key_id: str
    access_key_secret: str = field(repr=False)
    qps: int
    numbers: tuple[NumberPlan, ...]
    rate_limit: Changing[int] = 10
    discovery: DiscoveryPlan | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What happens to a number, for people; `at_seconds` is in the scenario's time."""

    at_seconds: float
    phone_number: str
    text: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """Accounts and numbers: the plan of their configuration, and their world.  `events` ascend."""

    seed: int
    scrape_interval_seconds: int
    latency_seconds: Span
    accounts: tuple[AccountPlan, ...]
    events: tuple[Event, ...] = ()

    def world(self, *, speed: float = 1.0, clock: Clock | None = None) -> World:
        """A new world at the start of the scenario; with `speed` 2 its time passes twice as fast."""
        world = World(seed=self.seed, speed=speed, latency_seconds=self.latency_seconds, clock=clock)
        for account in self.accounts:
            world.add_account(
                account.name, account.access_key_id, account.access_key_secret, rate_limit=account.rate_limit
            )
            for number in account.numbers:
                world.add_number(
                    account.name,
                    number.cust_space_id,
                    number.phone_number,
                    number.status,
                    fault=number.fault,
                    **number.traits,
                )
        return world
