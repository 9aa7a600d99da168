"""The configuration: a YAML file becomes a frozen `Config`, or a ConfigError with every fault it has.

::

    load(path) -> Config                `loader`: top level, api, accounts; `settings`: what comes of it
                                        `credentials`, `numbers`, `hashkey`: their keys; `readers`: values
    plan(config) -> str                 what --config.check prints
    parse_duration, format_duration     30s, 1m30s, 1h

Secrets that have files are not read here: they are read, and read again, by those who need them.
"""

from __future__ import annotations

from exporter.config.durations import format_duration, parse_duration
from exporter.config.loader import load
from exporter.config.plan import plan
from exporter.config.settings import AccountConfig, ApiConfig, Config, CredentialsConfig, Secret

__all__ = [
    "AccountConfig",
    "ApiConfig",
    "Config",
    "CredentialsConfig",
    "Secret",
    "format_duration",
    "load",
    "parse_duration",
    "plan",
]
