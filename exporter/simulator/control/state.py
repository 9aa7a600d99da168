"""The world as JSON, with the current values.  Changes nothing (see `changes`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from exporter.simulator.faults import Fault
from exporter.simulator.refusals import Refusal
from exporter.simulator.timeline import Changing, now
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
    node_types = now(account.node_types, elapsed_seconds)
    return {
        "name": account.name,
        "rate_limit": now(account.rate_limit, elapsed_seconds),
        "refusal": _code(account.refusal, elapsed_seconds),
        "fault": _name(account.fault, elapsed_seconds),
        "max_page_size": now(account.max_page_size, elapsed_seconds),
        "node_types": sorted(node_types),
        "busiest_second": world.busiest_second(account.name),
        "outcomes": world.outcomes(account.name),
        "operations": {name: of_operation(world, account, name, elapsed_seconds) for name in account.calls},
        "spaces": [of_space(space, elapsed_seconds) for space in account.spaces.values()],
        "numbers": [of_number(number, elapsed_seconds) for number in account.numbers.values()],
    }


def of_operation(world: World, account: Account, operation: str, elapsed_seconds: float) -> dict[str, Any]:
    """The rules of an operation of an account, and its arrivals."""
    rules = account.calls[operation]
    return {
        "rate_limit": now(rules.rate_limit, elapsed_seconds),
        "refusal": _code(rules.refusal, elapsed_seconds),
        "fault": _name(rules.fault, elapsed_seconds),
        "masked": now(rules.masked, elapsed_seconds),
        "busiest_second": world.busiest_second(account.name, operation),
        "outcomes": world.outcomes(account.name, operation),
    }


def of_space(space: Space, elapsed_seconds: float) -> dict[str, Any]:
    """A space without its numbers."""
    return {
        "id": space.id,
        "cust_space_id": now(space.cust_space_id, elapsed_seconds),
        "instance_id": now(space.instance_id, elapsed_seconds),
        "name": now(space.name, elapsed_seconds),
        "exists": now(space.exists, elapsed_seconds),
        "listed": now(space.listed, elapsed_seconds),
        "channel_type": now(space.channel_type, elapsed_seconds),
        "state": now(space.state, elapsed_seconds),
        "submit_time": now(space.submit_time, elapsed_seconds),
        "refusal": _code(space.refusal, elapsed_seconds),
        "fault": _name(space.fault, elapsed_seconds),
    }


def of_number(number: Number, elapsed_seconds: float) -> dict[str, Any]:
    """A number with all its values."""
    return {
        "cust_space_id": number.cust_space_id,
        "phone_number": number.phone_number,
        "status": now(number.status, elapsed_seconds),
        "exists": now(number.exists, elapsed_seconds),
        "listed": now(number.listed, elapsed_seconds),
        "shown_as": now(number.shown_as, elapsed_seconds),
        "listed_status": now(number.listed_status, elapsed_seconds),
        "connection_status": now(number.connection_status, elapsed_seconds),
        "quality_rating": now(number.quality_rating, elapsed_seconds),
        "messaging_limit_tier": now(number.messaging_limit_tier, elapsed_seconds),
        "name_status": now(number.name_status, elapsed_seconds),
        "new_name_status": now(number.new_name_status, elapsed_seconds),
        "verified_name": now(number.verified_name, elapsed_seconds),
        "is_official": now(number.is_official, elapsed_seconds),
        "health": _health(now(number.health, elapsed_seconds)),
        "fault": _name(number.fault, elapsed_seconds),
        "health_fault": _name(number.health_fault, elapsed_seconds),
    }


def _health(health: Health) -> dict[str, Any]:
    entities = asdict(health)
    del entities["can_send"]
    return {"can_send": health.verdict, **entities}


def _code(refusal: Changing[Refusal | None], elapsed_seconds: float) -> str | None:
    current = now(refusal, elapsed_seconds)
    return current.code if current else None


def _name(fault: Changing[Fault | None], elapsed_seconds: float) -> str | None:
    current = now(fault, elapsed_seconds)
    return current.name if current else None
