"""The row of the dashboard "CAMS exporter" about replicas that share accounts: who holds what, and who is a member.

Without the section `cluster` no such series exists, and the panels say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.metrics import catalogue
from grafana.panels import BAD_IF_ANY, GREEN, RED, WARN_IF_ANY, Text, graph, now, over_time, single
from grafana.queries import each_exporter, of_account, of_job
from grafana.tables import Column, listing, rows

if TYPE_CHECKING:
    from grafana import board

NO_CLUSTER = "cluster is not used"
_INSTANCE = "job, instance"
_HELD_STATE = {"1": ("yes", GREEN), "0": ("no", RED)}
_STORE_STATE = {"1": ("answers", GREEN), "0": ("away", RED)}
_STORE_UP = each_exporter(catalogue.CLUSTER_STORE_UP.name)
_HELD = of_account(catalogue.ACCOUNT_HELD)
_SPARE = of_account(catalogue.SPARE_QPS)
_HELD_BY_REPLICA = f"sum by ({_INSTANCE}) (max by (account, {_INSTANCE}) ({_HELD}))"


def cluster(it: board.Board) -> None:
    """Counts, the replicas, the holder of each account, and how often accounts change hands."""
    _counts(it)
    _replicas(it)
    _holders(it)
    _history(it)


def _counts(it: board.Board) -> None:
    holders = f"sum by (account, job) (max by (account, {_INSTANCE}) ({_HELD}))"
    stats = (
        (
            Text(
                "Replicas without the store",
                "Replicas that do not reach the store. While none does, each polls all accounts at the spare rate.",
                ("CamsClusterStoreDown", "CamsReplicaNotMember"),
            ),
            f"sum(1 - {_STORE_UP})",
            BAD_IF_ANY,
        ),
        (
            Text("Accounts without a holder", "Accounts that no replica holds.", ("CamsAccountUnheld",)),
            f"count({holders} == 0) or 0 * count({holders})",
            BAD_IF_ANY,
        ),
        (
            Text("Accounts with several holders", "Accounts that more than one replica holds.", ("CamsClusterSplit",)),
            f"count({holders} > 1) or 0 * count({holders})",
            BAD_IF_ANY,
        ),
        (
            Text(
                "Not polled without the store",
                "Accounts with a spare rate of 0: while the store is away, no replica polls them.",
                ("CamsClusterStoreDown",),
            ),
            f"sum(max by (account) ({_SPARE}) == bool 0)",
            WARN_IF_ANY,
        ),
    )
    for text, query, steps in stats:
        it.add(single(text, now(query), steps=steps).no_value(NO_CLUSTER), width=6, height=4)


def _replicas(it: board.Board) -> None:
    replicas = (
        Column("job", "Job"),
        Column("instance", "Instance"),
        Column("Value #A", "Store", colours=_STORE_STATE),
        Column("Value #B", "Live replicas", unit="short"),
        Column("Value #C", "Accounts held", unit="short"),
        Column("Value #D", "Configuration", unit="none"),
    )
    text = Text(
        "Replicas",
        "Live replicas: as this one sees them in the store, itself included. Configuration: a number that equal "
        "configurations share.",
        ("CamsReplicaNotMember", "CamsConfigDiffers"),
    )
    hash_of = (
        f"{each_exporter(catalogue.CONFIG_HASH.name)}\nand on ({_INSTANCE}) {of_job(catalogue.CLUSTER_STORE_UP.name)}"
    )
    asked = rows(
        _STORE_UP,
        each_exporter(catalogue.CLUSTER_REPLICAS.name),
        _HELD_BY_REPLICA,
        hash_of,
    )
    it.add(listing(text, asked, replicas, empty=NO_CLUSTER, sort="Instance"), width=12, height=8)


def _holders(it: board.Board) -> None:
    accounts = (
        Column("account", "Account"),
        Column("instance", "Holder", empty="none"),
        Column("Value #A", "Held", colours=_HELD_STATE),
        Column("Value #B", "Without the store", unit="reqps"),
    )
    text = Text(
        "Who holds which account",
        "One row for each holder of an account, and one for an account without a holder. Without the store: requests "
        "per second that each replica may then send for the account; 0: it is not polled.",
        ("CamsAccountUnheld", "CamsClusterSplit"),
    )
    is_holder = f"on (account, {_INSTANCE}) {_HELD} == 1"
    asked = rows(
        f"max by (account, {_INSTANCE}) ({_HELD} == 1)\nor on (account) max by (account) ({_HELD})",
        f"max by (account, {_INSTANCE}) ({_SPARE} and {is_holder})\nor on (account) max by (account) ({_SPARE})",
    )
    it.add(listing(text, asked, accounts, empty=NO_CLUSTER, sort="Account"), width=12, height=8)


def _history(it: board.Board) -> None:
    it.add(
        graph(
            Text(
                "Accounts held by replica", "How many of the chosen accounts each replica held.", ("CamsAccountUnheld",)
            ),
            over_time(_HELD_BY_REPLICA, "{{instance}}"),
            stacked=True,
            empty=NO_CLUSTER,
        ),
        width=8,
        height=8,
    )
    it.add(
        graph(
            Text(
                "Live replicas",
                "How many live replicas each one saw in the store. If the lines differ for long, they use different "
                "stores.",
                ("CamsReplicaNotMember",),
            ),
            over_time(each_exporter(catalogue.CLUSTER_REPLICAS.name), "{{instance}}"),
            empty=NO_CLUSTER,
        ),
        width=8,
        height=8,
    )
    it.add(
        graph(
            Text(
                "Lease changes by account",
                "How often replicas got or lost the account, per step. A hand-over counts twice: one replica loses it, "
                "another gets it.",
                ("CamsAccountUnheld",),
            ),
            over_time(
                f"sum by (account) (increase({of_account(catalogue.LEASE_CHANGES)}[$__rate_interval])) > 0",
                "{{account}}",
            ),
            empty="No account changed hands in this range",
        ),
        width=8,
        height=8,
    )
