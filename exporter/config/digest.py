"""A number made from a configuration: equal replicas have equal numbers.

Every setting counts, with the value that is in force: with variables expanded, and with the default if it is not
written.  `LEFT_OUT` names the exceptions.  The order of a list does not count.  A phone number counts as people see it,
because a hash of one number would be reversed in seconds.  Numbers that discovery finds are no part of a configuration.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from exporter.config.settings import (
    AccountConfig,
    ApiConfig,
    ClusterConfig,
    Config,
    CredentialsConfig,
    DiscoverConfig,
    NumberFiles,
)
from exporter.model import PhoneNumber

DIGITS = 12
"""Hexadecimal: 48 bits, which a float keeps exactly."""

LEFT_OUT: Mapping[type, Collection[str]] = {
    Config: {
        *("path", "digest", "shown", "warnings", "key_faults"),  # of the file, not of what it says
        "labeller",  # the labels count
    },
    AccountConfig: {
        "lists",  # where the numbers stand
        "stale_after_seconds",  # follows from what is written and from the numbers
    },
    ApiConfig: {"ca_file", "written_endpoint"},
    CredentialsConfig: {"secrets"},
    NumberFiles: {"folder", "shown_folder", "labeller", "redact"},
    ClusterConfig: {"password", "ca_file", "cert_file", "key_file", "written_url"},
    PhoneNumber: {"account", "phone_number", "key", "found"},  # `label` counts
}
"""What does not count of each class: secrets, where files lie, and what follows from the rest."""

OPTIONS_LEFT_OUT = frozenset({"credentials_uri", "external_id", "oidc_token_file_path", "private_key_file"})
"""The same of `CredentialsConfig.options`."""


def config_number(config: Config) -> int:
    """The number of a configuration."""
    text = _text(_facts(config, config.labeller))
    return int(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:DIGITS], 16)


def _facts(value: Any, label: Callable[[str], str]) -> object:
    """What counts of a value, for `json`, which refuses a setting of a class that is not thought of here."""
    if isinstance(value, PhoneNumber):  # there may be 50,000
        return [value.cust_space_id, value.label, value.name, *sorted(value.labels)]
    kind: type = type(value)
    if is_dataclass(kind):
        return {name: _facts(_of(value, name, label), label) for name in _names(kind)}
    if isinstance(value, Mapping):
        return {key: _facts(each, label) for key, each in value.items()}
    if isinstance(value, tuple | frozenset):
        return sorted((each if isinstance(each, tuple) else _facts(each, label) for each in value), key=_text)
    return value


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    """The names of the fields that count."""
    return tuple(field.name for field in fields(kind) if field.name not in LEFT_OUT.get(kind, ()))


def _of(value: object, name: str, label: Callable[[str], str]) -> object:
    """A field of `value`, without what must not count of it."""
    found: object = getattr(value, name)
    if isinstance(value, ApiConfig) and name == "proxy":
        scheme, slashes, rest = value.proxy.rpartition("//")
        return scheme + slashes + rest.rpartition("@")[2]  # a user name may be a token
    if isinstance(value, CredentialsConfig) and name == "options":
        return {key: option for key, option in value.options.items() if key not in OPTIONS_LEFT_OUT}
    if isinstance(value, DiscoverConfig) and name == "exclude":
        return tuple(map(label, value.exclude))
    return found


def _text(facts: object) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))
