"""Changes a running world.  The caller holds the world's lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exporter.simulator.control import fields, state
from exporter.simulator.control.fields import Read
from exporter.simulator.world import Account, Number, World

Target = Callable[[Mapping[str, Any]], Any]
"""Makes the changes of a body and returns the new state.  Raises ValueError and then changes nothing."""


def find_target(world: World, words: tuple[str, ...]) -> Target | None:
    """The target of a path; None if there is none."""
    match words:
        case ("numbers",):
            return lambda body: _add_number(world, body)
        case ("numbers", phone_number) if numbers := world.find_numbers(phone_number):
            return lambda body: _change_numbers(world, numbers, body)
        case ("accounts", name, *rest) if account := world.accounts.get(name):
            return _find_in_account(world, account, tuple(rest))
    return None


def _find_in_account(world: World, account: Account, words: tuple[str, ...]) -> Target | None:
    match words:
        case ():
            return lambda body: _change_account(world, account, body)
        case ("spaces", space_id) if space_id:
            return lambda body: _change_space(world, account, space_id, body)
        case ("operations", operation) if operation in account.calls:
            return lambda body: _change_operation(world, account, operation, body)
    return None


def _add_number(world: World, body: Mapping[str, Any]) -> Any:
    names = ("account", "cust_space_id", "phone_number")
    account, cust_space_id, phone_number = (_read_one(name, fields.text, body.get(name)) for name in names)
    _expect_account(world, account)
    if (cust_space_id, phone_number) in world.accounts[account].numbers:
        raise ValueError("the account has that number in that space")
    read = _read(world, fields.NUMBER, {name: value for name, value in body.items() if name not in names})
    number = world.add_number(account, cust_space_id, phone_number)
    return _set(world, number, read, state.of_number)


def _change_numbers(world: World, numbers: tuple[Number, ...], body: Mapping[str, Any]) -> Any:
    move = {name: _read_one(name, fields.text, body[name]) for name in ("account", "cust_space_id") if name in body}
    read = _read(world, fields.NUMBER, {name: value for name, value in body.items() if name not in move})
    if move:
        if len(numbers) > 1:
            raise ValueError("several spaces have that number; which one moves is not clear")
        _move(world, numbers[0], move)
    return [_set(world, number, read, state.of_number) for number in numbers]


def _move(world: World, number: Number, move: Mapping[str, str]) -> None:
    (home,) = (account for account in world.accounts.values() if number in account.numbers.values())
    account = move.get("account", home.name)
    _expect_account(world, account)
    world.move_number(number, account, move.get("cust_space_id", number.cust_space_id))


def _change_account(world: World, account: Account, body: Mapping[str, Any]) -> Any:
    read = _read(world, fields.ACCOUNT, body)
    return _set(world, account, read, lambda changed, elapsed: state.of_account(world, changed, elapsed))


def _change_space(world: World, account: Account, space_id: str, body: Mapping[str, Any]) -> Any:
    read = _read(world, fields.SPACE, body)
    return _set(world, world.add_space(account.name, space_id), read, state.of_space)


def _change_operation(world: World, account: Account, operation: str, body: Mapping[str, Any]) -> Any:
    rules, read = account.calls[operation], _read(world, fields.OPERATION, body)
    return _set(world, rules, read, lambda _changed, elapsed: state.of_operation(world, account, operation, elapsed))


def _expect_account(world: World, name: str) -> None:
    if name not in world.accounts:
        raise ValueError(f"there is no account {name!r}")


def _read(world: World, readers: Mapping[str, Read], body: Mapping[str, Any]) -> dict[str, Any]:
    elapsed_seconds = world.elapsed_seconds
    read = {}
    for name, value in body.items():
        if name not in readers:
            raise ValueError(f"there is no field {name!r}; write any of {', '.join(readers)}")
        read[name] = _read_one(name, fields.changing(readers[name], elapsed_seconds), value)
    return read


def _read_one(name: str, reader: Read, value: Any) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _set(world: World, thing: Any, values: Mapping[str, Any], show: Callable[[Any, float], Any]) -> Any:
    for name, value in values.items():
        setattr(thing, name, value)
    return show(thing, world.elapsed_seconds)
