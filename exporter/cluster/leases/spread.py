"""Which replica should hold which account.  Pure; every replica computes it from the same facts, with the same result.

An account stays where it is while the replicas differ by one account at most.  A replica gets only accounts that its
own configuration has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def spread(knows: Mapping[str, Collection[str]], holders: Mapping[str, str]) -> dict[str, str]:
    """The replica that should hold each account.

    `knows` has the accounts of each replica that may hold any.  `holders` says who holds an account now; others than
    those in `knows` do not count.
    """
    held: dict[str, set[str]] = {replica: set() for replica in knows}
    free = set[str]().union(*knows.values())
    for account, holder in holders.items():
        if account in free and account in knows.get(holder, ()):
            held[holder].add(account)
            free.discard(account)
    for account in sorted(free):
        replica = min((each for each in knows if account in knows[each]), key=lambda each: (len(held[each]), each))
        held[replica].add(account)
    while (move := _move(knows, held)) is not None:
        account, giver, taker = move
        held[giver].remove(account)
        held[taker].add(account)
    return {account: replica for replica, accounts in held.items() for account in accounts}


def _move(knows: Mapping[str, Collection[str]], held: Mapping[str, set[str]]) -> tuple[str, str, str] | None:
    """An account to move, from whom, to whom; None if no move makes the spread more even."""
    order = sorted(held, key=lambda each: (len(held[each]), each))
    for giver in reversed(order):
        for taker in order:
            if len(held[giver]) - len(held[taker]) < 2:
                break
            account = max((each for each in held[giver] if each in knows[taker]), default=None)
            if account is not None:
                return account, giver, taker
    return None
