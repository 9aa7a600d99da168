"""The configuration: a YAML file becomes a frozen `Config`, or a ConfigError with all its faults.

::

    load(path) -> Config                `loader`: top level, api, accounts; `settings`: the result
    read(path) -> Reading               the same for --config.check
    Source(path, variables)             `source`: the file over time, for reloads
                                        `sections`: their larger parts; `numbers`, `readers`: values
    config.shown() -> bytes             `shown`: the configuration as YAML, without secrets
    parse_key, read_key                 `secrets`: keys and tokens, inline and in files
    FollowedFiles.look(config)          `number_files`: lists of numbers in files, also while the exporter runs
    AccountConfig.times() -> Times      `times`: how long polls, listings and health checks really take
    crowded(account, times)             `crowding`: what the check and the log say where that is too long
    config_number(config) -> int        `digest`: equal on replicas with equal configurations
    plan(config) -> str                 what --config.check prints
    parse_duration, format_duration     30s, 1m30s, 1h

Key files are only checked here.  The code that needs the keys reads them, again and again.
"""

from __future__ import annotations

from exporter.config.digest import config_number
from exporter.config.durations import format_duration, parse_duration
from exporter.config.loader import Reading, load, read
from exporter.config.number_files.follow import FollowedFiles
from exporter.config.plan import plan
from exporter.config.secrets import parse_key, read_key
from exporter.config.settings import AccountConfig, ApiConfig, ClusterConfig, Config, CredentialsConfig, Secret
from exporter.config.source import Source
from exporter.config.strict_yaml import Variables
from exporter.config.times import Times

__all__ = [
    "AccountConfig",
    "ApiConfig",
    "ClusterConfig",
    "Config",
    "CredentialsConfig",
    "FollowedFiles",
    "Reading",
    "Secret",
    "Source",
    "Times",
    "Variables",
    "config_number",
    "format_duration",
    "load",
    "parse_duration",
    "parse_key",
    "plan",
    "read",
    "read_key",
]
