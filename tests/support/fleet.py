"""A simulated account with numbers, and the configuration that polls or discovers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, account

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


def found(world: World, spaces: Mapping[str, Sequence[str]], *, name: str = "main", **more: Any) -> dict[str, Any]:
    """Add account `name` with VERIFIED numbers in `spaces` to `world`; returns a section that names none of them.

    The section discovers all spaces every second; keys of `discover` are given as ``discover_KEY``.
    """
    world.add_account(name, f"key-{name}", f"secret-{name}")
    for space, numbers in spaces.items():
        world.add_space(name, space)
        for phone in numbers:
            world.add_number(name, space, phone)
    keys = {key.removeprefix("discover_"): more.pop(key) for key in list(more) if key.startswith("discover_")}
    discover = {"spaces": "all", "refresh_interval": "1s", **keys}
    section = account([], name=name, **{"qps": 10, "discover": discover, **more})
    if not section["numbers"]:
        del section["numbers"]
    return section


def never_throttle(world: World) -> None:
    """No account of `world` is throttled: on a busy machine, requests that were sent in turn may arrive together."""
    for rules in (rules for each in world.accounts.values() for rules in each.calls.values()):
        rules.rate_limit = 1000


@contextmanager
def exported(
    world: World, *sections: dict[str, Any], flags: Sequence[str] = (), **more: Any
) -> Iterator[ExporterProcess]:
    """An exporter of `world` with these accounts; keys of the configuration as for `config`."""
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, sections, **more), *flags) as exporter:
        yield exporter


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
