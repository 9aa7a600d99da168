"""What can be changed, and how its values are read.  A reader raises ValueError that says what to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, isfunction, signature
from typing import Any, get_origin

from exporter.simulator import faults, listing_faults
from exporter.simulator.faults import Fault
from exporter.simulator.refusals import Refusal
from exporter.simulator.timeline import Steps
from exporter.simulator.world import EntityHealth, Health, HealthError

Read = Callable[[Any], Any]

FAULTS: Mapping[str, Callable[..., Fault]] = {
    name: make
    for module in (faults, listing_faults)
    for name, make in vars(module).items()
    if isfunction(make) and make.__module__ == module.__name__ and name[0] != "_" and name not in {"edited", "raw"}
}
"""The functions of `faults` and `listing_faults` by name, but for those that take what JSON has not."""

_REFUSALS = {refusal.code: refusal for refusal in Refusal}


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("write a string")  # noqa: TRY004 - an error in the request, like the others here
    return value


def optional_text(value: Any) -> str | None:
    """A string, or null for none."""
    return None if value is None else text(value)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("write true or false")  # noqa: TRY004 - as above
    return value


def count(value: Any) -> int:
    """A whole number, at least 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("write a whole number, at least 0")
    return value


def texts(value: Any) -> frozenset[str]:
    """A list of strings."""
    if not isinstance(value, list):
        raise ValueError("write a list of strings")  # noqa: TRY004 - as above
    return frozenset(text(each) for each in value)


def refusal(value: Any) -> Refusal | None:
    """The code of a documented refusal, or null for none."""
    if value is None:
        return None
    if not isinstance(value, str) or value not in _REFUSALS:
        raise ValueError(f"write null or one of {', '.join(_REFUSALS)}")
    return _REFUSALS[value]


def fault(value: Any) -> Fault | None:
    """The name of a fault, or ``{"name": NAME, ARGUMENT: VALUE, ...}``, or null for none."""
    if value is None:
        return None
    arguments = dict(value) if isinstance(value, dict) else {"name": value}
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in FAULTS:
        raise ValueError(f'write null, NAME or {{"name": NAME, ...}}, NAME one of {", ".join(FAULTS)}')
    try:
        bound = signature(FAULTS[name], eval_str=True).bind(**arguments)
    except TypeError:
        bound = None
    if bound is None or not all(_fits(bound.signature.parameters[each], value) for each, value in arguments.items()):
        raise ValueError(f"the fault {name!r} has no such arguments, or needs others")
    return FAULTS[name](**arguments)


def _fits(parameter: Parameter, value: Any) -> bool:
    """Whether an argument has the parameter's type; anything fits `Any`."""
    if parameter.annotation is float:
        return type(value) in (int, float)
    if get_origin(parameter.annotation) is Mapping:
        return isinstance(value, dict)
    return type(value) is parameter.annotation or parameter.annotation not in (int, str, bool)


def health(value: Any) -> Health:
    """The verdict of the phone number as a string, or an object with some of these parts.

    ``{"phone_number": {"can_send": ..., "errors": [{"code": ...}]}, "waba": ..., "business": ..., "can_send": ...}``
    """
    document = {"phone_number": {"can_send": value}} if isinstance(value, str) else value
    try:
        entities = {name: _entity(part) for name, part in document.items() if name != "can_send"}
        return Health(**entities, can_send=optional_text(document.get("can_send")))
    except (AttributeError, TypeError):
        raise ValueError(
            'write "BLOCKED", or {"phone_number": {"can_send": "BLOCKED", "errors": [{"code": "141006"}]}}; '
            "further entities: waba, business; of an error: code, description, solution"
        ) from None


def _entity(part: Any) -> EntityHealth:
    errors = (HealthError(**{name: text(value) for name, value in error.items()}) for error in part.get("errors", ()))
    return EntityHealth(text(part.get("can_send", "AVAILABLE")), tuple(errors))


def changing(read: Read, elapsed_seconds: float) -> Read:
    """Like `read`; also accepts ``{"now": VALUE, "then": [[SECONDS, VALUE], ...]}``, with seconds from now."""

    def read_steps(value: Any) -> Any:
        if not isinstance(value, dict) or set(value) != {"now", "then"}:
            return read(value)
        try:
            later = tuple((elapsed_seconds + float(seconds), read(each)) for seconds, each in value["then"])
        except TypeError:
            raise ValueError('write {"now": VALUE, "then": [[SECONDS, VALUE], ...]}') from None
        return Steps(read(value["now"]), later)

    return read_steps


NUMBER: Mapping[str, Read] = {
    "status": text,
    "exists": flag,
    "listed": flag,
    "shown_as": optional_text,
    "listed_status": optional_text,
    "connection_status": optional_text,
    "quality_rating": optional_text,
    "messaging_limit_tier": optional_text,
    "name_status": optional_text,
    "new_name_status": optional_text,
    "verified_name": optional_text,
    "is_official": optional_text,
    "health": health,
    "fault": fault,
    "health_fault": fault,
}

SPACE: Mapping[str, Read] = {
    "exists": flag,
    "listed": flag,
    "cust_space_id": optional_text,
    "instance_id": optional_text,
    "name": optional_text,
    "channel_type": optional_text,
    "state": optional_text,
    "submit_time": optional_text,
    "refusal": refusal,
    "fault": fault,
}

OPERATION: Mapping[str, Read] = {
    "rate_limit": count,
    "refusal": refusal,
    "fault": fault,
    "masked": flag,
}

ACCOUNT: Mapping[str, Read] = {
    "refusal": refusal,
    "fault": fault,
    "max_page_size": count,
    "node_types": texts,
}
