"""One look at the store after another: contact, then what follows from it.  It says what to ask; others ask it.

A step is a generator.  It yields calls to the store; whoever runs it sends back the answer, or throws StoreError.  So
the same steps run against a server and, in tests, against clocks and networks that fail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, Protocol

from exporter.cluster.leases.leases import Leases
from exporter.cluster.leases.table import Contact, Member, Take
from exporter.cluster.store.replies import MAX_NAME, StoreError
from exporter.model import Pace, Right

PACE_CHANGE_SECONDS = 0.001
"""A guard that changed by less is not told to the store."""


class Calls(Protocol):
    """What is asked of the store: `store.calls.Store`.  All raise StoreError."""

    def contact(
        self,
        me: Member,
        number: int,
        known: tuple[str, int],
        hold_seconds: float,
        paces: Mapping[str, tuple[int, Pace]],
    ) -> Contact:
        """Renew all leases, and learn what changed."""

    def take(self, me: str, epoch: str, takes: Sequence[Take]) -> tuple[str, ...]:
        """Become the holder."""

    def release(self, me: str, paces: Mapping[str, tuple[int, Pace]], *, leaves: bool) -> tuple[str, ...]:
        """Hand accounts over."""

    def forget(self, members: Sequence[tuple[str, int]]) -> None:
        """Remove dead replicas."""

    def publish_accounts(self, me: str, accounts: Sequence[str]) -> None:
        """Tell the names of this replica's accounts."""

    def accounts_of(self, member: str) -> tuple[str, ...] | None:
        """The accounts of another replica."""


class Polling(Protocol):
    """What polls the accounts."""

    def allow(self, rights: Mapping[str, Right], *, is_spare: bool) -> None:
        """Put these rights in force.

        When this returns, no request of another account can leave.  With `is_spare` there are no rights: each account
        is polled at its spare rate.
        """

    def pace(self, account: str) -> Pace:
        """What to pass on of an account; after its right was taken away, also its last slot and its pause."""


Call = Callable[[Calls], object]
Step = Generator[Call, Any, bool]


def digest(accounts: Collection[str]) -> str:
    """A short name for a set of accounts."""
    return hashlib.sha256(json.dumps(sorted(accounts)).encode()).hexdigest()[:16]


class Session:
    """One replica's part in the cluster, from its start to its end.  Not thread-safe.

    `name` and `config_hash` are told to the others.  `clock` is the monotonic, suspend-proof clock.
    """

    def __init__(self, leases: Leases, polling: Polling, clock: Callable[[], float], name: str) -> None:
        self._leases = leases
        self._polling = polling
        self._clock = clock
        self._name = "".join(filter(str.isprintable, name))[:MAX_NAME]  # the others refuse what is longer
        self._config_hash = ""
        self._accounts: tuple[str, ...] = ()
        self._told: dict[str, tuple[int, Pace]] = {}  # what the store knows of the paces of held accounts
        self._is_published = False

    def configure(self, accounts: Collection[str], config_hash: str) -> None:
        """Take over a configuration; accounts that are gone are handed over at the next step."""
        self._accounts = tuple(sorted(accounts))
        self._config_hash = config_hash
        self._is_published = False
        self._leases.configure(accounts)

    def step(self) -> Step:
        """One look; returns whether the next one should follow at once.  Lets StoreError pass, after it took effect."""
        reply = yield from self._contact()
        if reply.lacks_accounts or not self._is_published:
            yield lambda store: store.publish_accounts(self._leases.me, self._accounts)
            self._is_published = True
        for member, name in self._leases.unknown_lists():
            accounts = yield _accounts_of(member)
            if accounts is not None and digest(accounts) == name:
                self._leases.learn_accounts(name, accounts)
        moves = self._leases.moves(self._clock())
        self._allow()
        if moves.releases:
            yield self._release(dict(moves.releases), leaves=False)
        if moves.forget:
            yield lambda store: store.forget(moves.forget)
        if moves.takes:
            epoch = self._leases.known[0]
            yield lambda store: store.take(self._leases.me, epoch, moves.takes)
        return bool(moves.releases or moves.takes)

    def leave(self) -> Step:
        """Hand everything over, and go."""
        self._leases.drain()
        held = self._leases.held()
        self._leases.moves(self._clock())
        self._allow()
        yield self._release(held, leaves=True)
        return False

    def _contact(self) -> Generator[Call, Any, Contact]:
        leases = self._leases
        paces = self._news()
        me = self._about()
        number, asked_at = leases.ask(), self._clock()
        try:
            reply: Contact = yield lambda store: store.contact(me, number, leases.known, leases.hold_seconds, paces)
        except StoreError:
            leases.failed(self._clock())
            self._allow()
            raise
        self._told.update(paces)
        leases.answered(number, asked_at, reply, self._clock())
        self._allow()
        return reply

    def _allow(self) -> None:
        self._polling.allow(self._leases.rights(), is_spare=self._leases.is_spare)

    def _about(self) -> Member:
        timing = self._leases.timing
        return Member(
            id=self._leases.me,
            name=self._name,
            joined=0,  # the store says it
            lease_seconds=timing.lease_seconds,
            right_seconds=timing.right_seconds,
            claims=self._leases.claims,
            accounts=digest(self._accounts),
            config_hash=self._config_hash,
        )

    def _news(self) -> dict[str, tuple[int, Pace]]:
        """The paces of held accounts that changed since the store was told."""
        found = {}
        for account, token in self._leases.held().items():
            pace = Pace(self._polling.pace(account).guard_seconds)
            told_token, told = self._told.get(account, (0, Pace()))
            if token != told_token or abs(pace.guard_seconds - told.guard_seconds) >= PACE_CHANGE_SECONDS:
                found[account] = token, pace
        return found

    def _release(self, held: Mapping[str, int], *, leaves: bool) -> Call:
        paces = {account: (token, self._polling.pace(account)) for account, token in held.items()}
        return lambda store: store.release(self._leases.me, paces, leaves=leaves)


def _accounts_of(member: str) -> Call:
    return lambda store: store.accounts_of(member)
