"""A simulated account with numbers, and the configuration that polls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.simulator import World
from tests.support.exporter import account

SPACE = "cams-test"


def phones(count: int, start: int = 0) -> list[str]:
    """`count` phone numbers, of a range reserved for fiction and beyond it."""
    return [f"4477009{index:05d}" for index in range(start, start + count)]


def fleet(world: World, count: int, *, name: str = "main", start: int = 0, **more: Any) -> dict[str, Any]:
    """Add account `name` with `count` VERIFIED numbers to `world`; returns its section of the configuration."""
    world.add_account(name, f"key-{name}", f"secret-{name}")
    numbers = phones(count, start)
    for phone in numbers:
        world.add_number(name, SPACE, phone)
    return account([(SPACE, phone) for phone in numbers], name=name, **more)


def config(endpoint: str, accounts: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A configuration for `accounts` at `endpoint`; keys of `api` are given as ``api_KEY``.

    The default timeout is long, for a busy machine; a test that needs a timeout sets it.
    """
    api = {
        "endpoint": endpoint,
        "timeout": "60s",
        **{key[4:]: more.pop(key) for key in list(more) if key.startswith("api_")},
    }
    return {"scrape_interval": "1s", "api": api, "accounts": list(accounts), **more}
