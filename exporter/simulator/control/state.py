"""The world as JSON, with the current values of all that can be changed.  Changes nothing (see `changes`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from exporter.simulator.control.fields import ACCOUNT, NUMBER, OPERATION, SPACE
from exporter.simulator.faults import Fault
from exporter.simulator.refusals import Refusal
from exporter.simulator.timeline import now
from exporter.simulator.world import Account, Health, Number, Space, World


def of_world(world: World) -> dict[str, Any]:
    """Everything except secrets and the log."""
    elapsed_seconds = world.elapsed_seconds
    return {
        "elapsed_seconds": round(elapsed_seconds, 3),
        "accounts": [of_account(world, account, elapsed_seconds) for account in world.accounts.values()],
    }


def of_account(world: World, account: Account, elapsed_seconds: float) -> dict[str, Any]:
    """An account with its operations, spaces and numbers."""
    return {
        "name": account.name,
        "rate_limit": now(account.rate_limit, elapsed_seconds),
        **_values(account, ACCOUNT, elapsed_seconds),
        "busiest_second": world.busiest_second(account.name),
        "outcomes": world.outcomes(account.name),
        "operations": {name: of_operation(world, account, name, elapsed_seconds) for name in account.calls},
        "spaces": [of_space(space, elapsed_seconds) for space in account.spaces.values()],
        "numbers": [of_number(number, elapsed_seconds) for number in account.numbers.values()],
    }


def of_operation(world: World, account: Account, operation: str, elapsed_seconds: float) -> dict[str, Any]:
    """The rules of an operation of an account, and its arrivals."""
    return {
        **_values(account.calls[operation], OPERATION, elapsed_seconds),
        "busiest_second": world.busiest_second(account.name, operation),
        "outcomes": world.outcomes(account.name, operation),
    }


def of_space(space: Space, elapsed_seconds: float) -> dict[str, Any]:
    """A space without its numbers."""
    return {"id": space.id, **_values(space, SPACE, elapsed_seconds)}


def of_number(number: Number, elapsed_seconds: float) -> dict[str, Any]:
    """A number with all its values."""
    names = {"cust_space_id": number.cust_space_id, "phone_number": number.phone_number}
    return {**names, **_values(number, NUMBER, elapsed_seconds)}


def _values(thing: object, names: Iterable[str], elapsed_seconds: float) -> dict[str, Any]:
    return {name: _shown(now(getattr(thing, name), elapsed_seconds)) for name in names}


def _shown(value: object) -> object:
    match value:
        case Refusal():
            return value.code
        case Fault():
            return value.name
        case Health():
            return asdict(value) | {"can_send": value.verdict}
        case frozenset():
            return sorted(value)
    return value
