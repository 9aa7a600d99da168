"""A number made from a configuration: equal replicas have equal numbers.

Left out are secrets, and what may differ between equal replicas: where files lie, and the order of numbers.  A phone
number counts as people see it, because a hash of one number would be reversed in seconds.  Numbers that discovery finds
are no part of a configuration.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from exporter.config.settings import AccountConfig, ClusterConfig, Config, CredentialsConfig, DiscoverConfig

DIGITS = 12
"""Hexadecimal: 48 bits, which a float keeps exactly."""

_SECRET_OPTIONS = frozenset({"credentials_uri", "external_id"})


def config_number(config: Config) -> int:
    """The number of a configuration."""
    facts = [
        config.scrape_interval_seconds,
        config.stale_after_seconds,
        config.phone_number_label,
        [config.api.endpoint, config.api.timeout_seconds],
        _cluster(config.cluster),
        [_account(account, config) for account in sorted(config.accounts, key=lambda each: each.name)],
    ]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return int(hashlib.sha256(text.encode()).hexdigest()[:DIGITS], 16)


def _account(account: AccountConfig, config: Config) -> list[object]:
    files = account.number_files
    return [
        account.name,
        account.qps,
        account.quota,
        _credentials(account.credentials),
        _discover(account.discover, config),
        None if account.health is None else account.health.interval_seconds,
        [] if files is None else [files.globs, files.label_columns],
        sorted((each.cust_space_id, each.label, each.name, sorted(each.labels)) for each in account.numbers),
    ]


def _credentials(credentials: CredentialsConfig) -> list[object]:
    options = {name: value for name, value in credentials.options.items() if name not in _SECRET_OPTIONS}
    return [credentials.type, options]


def _discover(discover: DiscoverConfig | None, config: Config) -> object:
    if discover is None:
        return None
    return asdict(discover) | {"exclude": sorted(map(config.labeller, discover.exclude))}


def _cluster(cluster: ClusterConfig | None) -> object:
    if cluster is None:
        return None
    return [
        cluster.replicas,
        cluster.url,
        sorted(cluster.sentinels),
        cluster.master_name,
        cluster.tls,
        cluster.username,
        cluster.lease_seconds,
        cluster.key_prefix,
        cluster.stops_without_store,
    ]
