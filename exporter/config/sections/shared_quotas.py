"""Warnings where several accounts of the file are one account of Alibaba Cloud, and so share one quota."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Hashable, Sequence
from functools import partial

from exporter.config.secrets import read_key
from exporter.config.settings import AccountConfig, ClusterConfig, CredentialsConfig
from exporter.config.strict_yaml import Section, look_in_time, show
from exporter.model import QUOTA_SHARE, spare_qps


def warn_of_shared_quotas(
    accounts: Sequence[tuple[Section, AccountConfig]], cluster: ClusterConfig | None = None
) -> None:
    """Warn where accounts of this file are one account of Alibaba Cloud and together spend more than its quota.

    Replicas of a `cluster` may do that only while the store is away: each account then uses what `qps` leaves.
    """
    groups: dict[Hashable, list[tuple[Section, AccountConfig]]] = {}
    for section, account in accounts:
        key = _identity(account.credentials, reads_files=section.document.reads_files)
        groups.setdefault(key, []).append((section, account))
    for group in groups.values():
        spent, quota = 0.0, math.inf
        spare = 0
        owners: dict[str, tuple[str, str, int]] = {}
        _warn_of_spaces_listed_twice(group)
        for section, account in group:
            shared = quota < math.inf
            spent, quota = spent + account.qps, min(quota, account.quota)
            if cluster is not None and not cluster.stops_without_store:
                spare += cluster.replicas * spare_qps(account.qps, account.quota, cluster.replicas)
            if shared and spent > quota * QUOTA_SHARE + 1e-9:
                section.warn(
                    "credentials",
                    f"are of the same Alibaba Cloud account as those of account {show(group[0][1].name)}: together "
                    f"they spend {spent:g} requests per second of one quota of {quota:g}, of which {QUOTA_SHARE:.0%} "
                    "can be used; merge the accounts, or lower their qps",
                )
            elif shared and spent + spare > quota + 1e-9:
                section.warn(
                    "credentials",
                    f"are of the same Alibaba Cloud account as those of account {show(group[0][1].name)}: while the "
                    f"store is away they may spend {spent + spare:g} requests per second of one quota of {quota:g}; "
                    "merge the accounts, or write without_store: stop",
                )
            if len(group) > 1:
                _warn_of_numbers_asked_twice(section, account, owners)


def _warn_of_spaces_listed_twice(group: Sequence[tuple[Section, AccountConfig]]) -> None:
    owners: dict[str, str] = {}  # of each space, the first account that lists it
    first = of_all = ""  # the first account that discovers, and the first that lists all spaces
    for section, account in group:
        if account.discover is None:
            continue
        spaces = account.discover.spaces
        other = of_all or (
            first if spaces is None else next((owners[space] for space in spaces if space in owners), "")
        )
        if other:
            section.warn(
                "discover",
                f"lists spaces that account {show(other)} lists too: their numbers are polled twice from the budget "
                "of one Alibaba Cloud account; give each account other spaces, or remove one",
            )
        first = first or account.name
        of_all = of_all or (account.name if spaces is None else "")
        for space in spaces or ():
            owners.setdefault(space, account.name)


def _warn_of_numbers_asked_twice(
    section: Section, account: AccountConfig, owners: dict[str, tuple[str, str, int]]
) -> None:
    """`owners` maps a number to the first account that has it, and its place; the numbers of `account` are added."""
    twice = [number.phone_number for number in account.numbers if number.phone_number in owners]
    if twice:
        owner, file, line = owners[twice[0]]
        where = f"line {line}" if file == section.document.name else f"{file}:{line}"
        some = "one of them is" if len(twice) == 1 else f"{len(twice)} of them are"
        section.warn(
            "numbers" if "numbers" in section else "number_files",
            f"{some} asked by account {show(owner)} too ({where}), twice from the "
            "budget of one Alibaba Cloud account; remove one of the two",
        )
    for number, (file, line) in zip(account.numbers, account.places(), strict=True):
        owners.setdefault(number.phone_number, (account.name, file, line))


def _identity(config: CredentialsConfig, *, reads_files: bool) -> Hashable:
    """Equal for credentials that surely belong to one Alibaba Cloud account, and so share its quota.

    It may hold the value of a key: do not keep or show it.
    """
    if "role_arn" in config.options:
        return "account", str(config.options["role_arn"]).split(":")[3]
    key_id = config.secrets.get("access_key_id")
    if key_id is None:
        return config.type, config.options.get("credentials_uri") or config.options.get("public_key_id")
    if key_id.file is None:
        return "key", key_id.value
    if reads_files:
        with contextlib.suppress(ValueError):
            return "key", look_in_time(key_id.file, partial(read_key, key_id.file.parent, key_id.file.name))
    return "file", key_id.file
