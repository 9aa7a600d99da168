"""The sections `discover` and `health` of an account, and the warnings that compare them with its numbers."""

from __future__ import annotations

from collections.abc import Callable

from exporter.config.durations import HOUR, WEEK, YEAR, format_duration
from exporter.config.numbers import parse_phone_number, parse_space_id
from exporter.config.readers import duration
from exporter.config.settings import (
    DEFAULT_FORGET_AFTER_SECONDS,
    DEFAULT_HEALTH_INTERVAL_SECONDS,
    DEFAULT_MAX_NUMBERS,
    DEFAULT_REFRESH_INTERVAL_SECONDS,
    AccountConfig,
    DiscoverConfig,
    HealthConfig,
)
from exporter.config.strict_yaml import Mapping, Section, Sequence, show
from exporter.model import PhoneNumber

DISCOVER_KEYS = ("spaces", "refresh_interval", "exclude", "max_numbers", "forget_after")
HEALTH_KEYS = ("interval",)

ALL = "all"
"""The value of `spaces` for all spaces that the API lists."""

MIN_INTERVAL_SECONDS = 1.0

MIN_FORGET_AFTER_SECONDS = 2 * HOUR
"""If vanished numbers leave sooner, the alert rule CamsNumbersVanished, which waits for an hour, may not fire."""


def read_discover(section: Section) -> DiscoverConfig | None:
    """`discover` of the account in `section`; None where there is none, or where it is no mapping."""
    given = _section(section, "discover", DISCOVER_KEYS, "to find the numbers of all spaces")
    if given is None:
        return None
    refresh = duration(given, "refresh_interval", MIN_INTERVAL_SECONDS, WEEK, DEFAULT_REFRESH_INTERVAL_SECONDS)
    forget = duration(given, "forget_after", MIN_INTERVAL_SECONDS, YEAR, DEFAULT_FORGET_AFTER_SECONDS)
    if refresh and forget:
        _compare(given, refresh, forget)
    return DiscoverConfig(
        _read_spaces(given),
        refresh or DEFAULT_REFRESH_INTERVAL_SECONDS,
        frozenset(_read_list(given, "exclude", parse_phone_number, "a number")),
        given.whole_number("max_numbers", 1, DEFAULT_MAX_NUMBERS) or DEFAULT_MAX_NUMBERS,
        forget or DEFAULT_FORGET_AFTER_SECONDS,
    )


def read_health(section: Section) -> HealthConfig | None:
    """`health` of the account in `section`; None where there is none, or where it is no mapping."""
    given = _section(section, "health", HEALTH_KEYS, "to check each number every 5m")
    if given is None:
        return None
    interval = duration(given, "interval", MIN_INTERVAL_SECONDS, WEEK, DEFAULT_HEALTH_INTERVAL_SECONDS)
    return HealthConfig(interval or DEFAULT_HEALTH_INTERVAL_SECONDS)


def warn_of_numbers(section: Section, account: AccountConfig) -> None:
    """Warn of numbers of `account` that `discover` excludes, or whose space it does not list.  Shows no number."""
    discover = account.discover
    if discover is None:
        return
    places = [(number, *place) for number, place in zip(account.numbers, account.places(), strict=True)]
    excluded = [place for place in places if place[0].phone_number in discover.exclude]
    if excluded:
        (_, file, line), *_ = excluded
        section.document.warn(
            (*section.path, "discover", "exclude"),
            f"{_counted(excluded)} in this account's numbers too (the first in {_where(section, file, line)}) and "
            "polled there: exclude concerns found numbers only; remove one of the two, unless two spaces list it",
        )
    listed = account.known_spaces
    unlisted = [place for place in places if place[0].cust_space_id not in listed]
    if unlisted:
        (number, file, line), *_ = unlisted
        section.document.warn(
            (*section.path, "discover", "spaces"),
            f"lacks {show(number.cust_space_id)}, the space of a number in {_where(section, file, line)}: "
            f"{len(unlisted)} of the account's numbers get no data from listings; add their spaces, or write {ALL}",
        )


def _section(section: Section, key: str, keys: tuple[str, ...], purpose: str) -> Section | None:
    value = section.value(key)
    if key in section and not isinstance(value, Mapping):
        what = "is empty" if value is None else "is not a mapping"
        section.fault(key, f"{what}; write {key}: {{}} {purpose}, or remove the line")
        return None
    return section.section(key, keys)


def _compare(given: Section, refresh: float, forget: float) -> None:
    short, long = format_duration(forget), format_duration(refresh)
    if forget < refresh and "forget_after" in given:
        given.fault("forget_after", f"{short} is shorter than refresh_interval ({long}); write at least that")
    elif forget < refresh:
        what = f"{long} is longer than forget_after, {short} unless given; write forget_after too"
        given.fault("refresh_interval", what)
    elif forget < MIN_FORGET_AFTER_SECONDS:
        least = format_duration(max(MIN_FORGET_AFTER_SECONDS, refresh))
        what = f"{short} is short: vanished numbers leave before the rule CamsNumbersVanished fires; write {least}"
        given.warn("forget_after", what)


def _read_spaces(given: Section) -> tuple[str, ...] | None:
    value = given.value("spaces")
    if "spaces" in given and not isinstance(value, Sequence):
        if value != ALL:
            given.fault("spaces", f"is neither {ALL} nor a list; write {ALL}, or a list of space IDs")
        return None
    return _read_list(given, "spaces", _parse_space, "a space") or None


def _parse_space(text: str) -> str:
    if text == ALL:
        raise ValueError(f"{ALL} is for all spaces and no item of a list; write spaces: {ALL}, or name the spaces")
    return parse_space_id(text)


def _read_list(given: Section, key: str, read: Callable[[str], str], item: str) -> tuple[str, ...]:
    """The list at `key`, if there is one: not empty, each item once."""
    seen: set[str] = set()

    def read_once(text: str) -> str:
        parsed = read(text)
        if parsed in seen:
            raise ValueError("is listed twice; remove one")
        seen.add(parsed)
        return parsed

    if key in given and given.value(key) in (None, []):
        given.fault(key, f"is empty; name {item}, or remove the line")
    return given.texts(key, read_once) or ()


def _counted(places: list[tuple[PhoneNumber, str, int]]) -> str:
    return "one of them is" if len(places) == 1 else f"{len(places)} of them are"


def _where(section: Section, file: str, line: int) -> str:
    return f"line {line}" if file == section.document.name else f"{file}:{line}"
