"""Which replica should hold which account."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.cluster.leases.spread import spread

REPLICAS = st.sampled_from("abcde")
ACCOUNTS = st.sampled_from([f"account-{index}" for index in range(12)])


@given(st.sets(REPLICAS, min_size=1), st.sets(ACCOUNTS, min_size=1), st.dictionaries(ACCOUNTS, REPLICAS))
def test_replicas_with_the_same_accounts_differ_by_one_at_most(
    replicas: set[str], accounts: set[str], holders: dict[str, str]
) -> None:
    wanted = spread(dict.fromkeys(replicas, accounts), holders)
    assert wanted.keys() == accounts
    counts = Counter(wanted.values())
    assert max(counts.values()) - min(counts[replica] for replica in replicas) <= 1


@given(st.sets(REPLICAS, min_size=1), st.sets(ACCOUNTS, min_size=1), st.dictionaries(ACCOUNTS, REPLICAS))
def test_an_even_spread_is_left_alone(replicas: set[str], accounts: set[str], holders: dict[str, str]) -> None:
    """Its own result is where it stays: no account is swapped for nothing."""
    knows = dict.fromkeys(replicas, accounts)
    wanted = spread(knows, holders)
    assert spread(knows, wanted) == wanted


@given(st.sets(REPLICAS, min_size=1), st.sets(ACCOUNTS, min_size=1), st.dictionaries(ACCOUNTS, REPLICAS), REPLICAS)
def test_a_join_moves_no_more_than_it_must(
    replicas: set[str], accounts: set[str], holders: dict[str, str], newcomer: str
) -> None:
    before = spread(dict.fromkeys(replicas, accounts), holders)
    after = spread(dict.fromkeys(replicas | {newcomer}, accounts), before)
    moved = [account for account in accounts if before[account] != after[account]]
    assert {after[account] for account in moved} <= {newcomer}
    assert len(moved) <= len(accounts) // len(replicas | {newcomer})


@given(st.dictionaries(REPLICAS, st.sets(ACCOUNTS), min_size=1), st.dictionaries(ACCOUNTS, REPLICAS))
def test_an_account_goes_to_a_replica_that_has_it(knows: dict[str, set[str]], holders: dict[str, str]) -> None:
    """Also where that makes the spread uneven: an account is never without a holder for that."""
    wanted = spread(knows, holders)
    assert wanted.keys() == set[str]().union(*knows.values())
    assert all(account in knows[replica] for account, replica in wanted.items())


def test_nobody_holds_what_nobody_may_hold() -> None:
    assert spread({}, {"one": "a"}) == {}
