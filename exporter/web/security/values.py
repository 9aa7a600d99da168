"""Readers of values that only the web configuration has: lists of strings, Go's names and Go's durations."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from exporter.config.strict_yaml import Section, Sequence, meant, show

_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
_GO_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_GO_DURATION = re.compile(rf"\+?(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h)){{1,20}}")


def value_of(section: Section, key: str) -> Any:
    """The value of a key that is there, whatever it is."""
    value = section.document.data
    for step in (*section.path, key):
        value = value[step]
    return value


def is_empty(section: Section, key: str) -> bool:
    """Whether there is no such key, or nothing at it: ``key:``, which exporter-toolkit takes for no key."""
    return key not in section or value_of(section, key) is None


def strings(section: Section, key: str, read: Callable[[str], str]) -> tuple[str, ...] | None:
    """What `read` makes of each string of the list at `key`; empty where there is none, None where it has a fault."""
    if is_empty(section, key):
        return ()
    document, path = section.document, (*section.path, key)
    value = value_of(section, key)
    if not isinstance(value, Sequence):
        document.fault(path, 'is not a list; write a list: entries that each begin with "- "')
        return None
    found = []
    for index, item in enumerate(value):
        if not isinstance(item, str):
            document.fault((*path, index), "is not a string; write one, in double quotes")
            continue
        try:
            found.append(read(item))
        except ValueError as error:
            document.fault((*path, index), str(error))
    return tuple(found) if len(found) == len(value) else None


def known(what: str, text: str, choices: Collection[str]) -> str:
    """`text`, if it is one of `choices`; else ValueError that begins with `what`."""
    if text in choices:
        return text
    raise ValueError(f"{what}: {show(text)}; {meant(text, choices, 'write one of')}")


def go_duration(text: str) -> float:
    """The seconds of a duration as Go reads it: ``1.5s``, ``1m30s``, ``250ms``, ``0``; ValueError with the cure."""
    if text in {"0", "+0"}:
        return 0.0
    if text.startswith("-"):
        raise ValueError(f"{show(text)} is negative; write for example 1s, or 0 for no limit")
    if not _GO_DURATION.fullmatch(text):
        raise ValueError(f"{show(text)} is not a duration; write for example 1s, 250ms or 1m30s")
    return sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_PART.findall(text))
