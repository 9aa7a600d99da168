"""Which accounts this replica may poll, from when, and until when.  Pure: time and the store's answers are arguments.

A replica contacts the store every `look_seconds`.  That renews all that it holds: its right to send ends
`right_seconds` after the instant *before* it asked, on its own clock.  Whether it holds an account is what the store
says, never what it remembers.

Others see that a contact raised the replica's count of heartbeats.  If it stays the same for `right_seconds`, on their
own clocks, from when they saw it first, then the replica can no longer send.  One of them takes its accounts, and is
silent for `silence_seconds` more.  After that time they set free what is left, and forget the replica: one that started
in between did not see for how long its heartbeat had stayed the same.  No clock of two machines is compared for that,
nor does the store's clock matter: it may be set, or may be another one after a failover.

A store that lost its data, or another server, has a new epoch.  It says for how long it grants nothing; who knew the
old epoch waits for that long on its own clock, too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.cluster.leases.spread import spread
from exporter.cluster.leases.table import Contact, Holding, Member, Table, Take
from exporter.cluster.leases.timing import PATH_SECONDS, Timing
from exporter.model import Pace, Right

SPARE_FAILURES = 2
"""The spare rate needs this many failures in a row: a process that was halted for long has no news of the store."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What to ask of the store now; `forget` has dead members, with their last heartbeat."""

    takes: tuple[Take, ...] = ()
    releases: tuple[tuple[str, int], ...] = ()
    forget: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class _Since:
    """A heartbeat, and when it was seen first."""

    beat: int
    seen_at: float


@dataclass(slots=True)
class _Gain:
    """From when an account may be polled that was taken with `token`, from a holder or after a release."""

    token: int
    from_at: float
    released: bool = False
    slot_at: float = -math.inf


@dataclass(slots=True)
class _Known:
    """What is known of one epoch of the store."""

    epoch: str
    quiet_until: float = -math.inf
    change: int = -1
    table: Table = field(default_factory=Table)
    beats: dict[str, _Since] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)  # holders and members without a heartbeat, and since when


class Leases:
    """The leases of the replica `me`.  Not thread-safe.  `now` is its own monotonic, suspend-proof clock throughout."""

    def __init__(self, me: str, timing: Timing, replicas: int, now: float) -> None:
        self.me = me
        self.timing = timing
        self._replicas = replicas
        self._accounts: frozenset[str] = frozenset()
        self._claims = True
        self._lists: dict[str, frozenset[str]] = {}  # the accounts of others, by digest
        self._known = _Known("")  # before the first contact
        self._asked = self._answered = 0  # contacts
        self._contact_at = now  # before the last contact that was answered, or the start
        self._right_until = -math.inf
        self._gains: dict[str, _Gain] = {}
        self._releasing: dict[str, int] = {}  # with the tokens: the store may do it late, so there is no way back
        self._held: dict[str, int] = {}  # what the store says, with tokens
        self._failures = 0
        self._longest = timing.lease_seconds
        self._spread: tuple[object, dict[str, str]] | None = None
        self.is_extra = False
        """Whether this replica is not among the first `replicas` ones: then it holds and sends nothing."""
        self.is_spare = False
        """Whether the store is away, so that each replica polls at the spare rate."""
        self.changes: dict[str, int] = {}
        """How often this replica got or lost each account."""

    def configure(self, accounts: Collection[str]) -> None:
        """The accounts of this replica's configuration."""
        self._accounts = frozenset(accounts)

    def drain(self) -> None:
        """Claim nothing any more and release everything."""
        self._claims = False

    def learn_accounts(self, digest: str, accounts: Collection[str]) -> None:
        """The accounts that belong to a digest."""
        self._lists[digest] = frozenset(accounts)

    def unknown_lists(self) -> Iterator[tuple[str, str]]:
        """Members and digests whose accounts are not known yet; those that are learnt meanwhile are left out."""
        members = self._known.table.members.values()
        return ((each.id, each.accounts) for each in members if each.id != self.me and each.accounts not in self._lists)

    # The contact

    def ask(self) -> int:
        """Begin a contact: its number."""
        self._asked += 1
        return self._asked

    @property
    def claims(self) -> bool:
        """Whether this replica wants accounts."""
        return self._claims

    @property
    def known(self) -> tuple[str, int]:
        """The epoch and the change of the table that this replica knows."""
        return self._known.epoch, self._known.change

    @property
    def hold_seconds(self) -> float:
        """How long an unknown store grants nothing: the longest lease that was ever seen, and a second."""
        return self._longest + self.timing.rest_seconds - self.timing.lease_seconds

    def answered(self, number: int, asked_at: float, reply: Contact, now: float) -> None:
        """The store answered the contact `number`, which was asked after `asked_at`.  Late answers change nothing."""
        if number <= self._answered:
            return
        self._answered = number
        self._contact_at = asked_at
        self._failures, self.is_spare = 0, False
        known = self._in_epoch(reply, now)
        self._see(known, reply, now)
        beat = reply.beats.get(self.me, 0)
        self._asked = max(self._asked, beat)
        is_seen = beat <= number  # else another program wrote it, and the others saw no contact
        is_granted = is_seen and reply.opens_in_seconds <= 0 and asked_at >= known.quiet_until
        self._right_until = asked_at + self.timing.right_seconds if is_granted else -math.inf
        self.is_extra = self.me in [each.id for each in self.live(now)][self._replicas :]

    def failed(self, now: float) -> None:
        """The last contact failed: no answer in time, or an error.  What it answers later does not count."""
        self._answered = self._asked
        self._failures += 1
        away = now - self._contact_at >= self.timing.rest_seconds
        self.is_spare |= away and self._failures >= SPARE_FAILURES and not self.is_extra

    def _in_epoch(self, reply: Contact, now: float) -> _Known:
        known = self._known
        if known.epoch != reply.epoch:
            quiet_until = now + max(reply.hold_seconds, self.hold_seconds) if known.epoch else -math.inf
            self._known = known = _Known(reply.epoch, quiet_until)
            self._gains.clear()
        return known

    def _see(self, known: _Known, reply: Contact, now: float) -> None:
        for member in known.beats.keys() - reply.beats.keys():
            del known.beats[member]
        for member, beat in reply.beats.items():
            since = known.beats.get(member)
            if since is None or since.beat != beat:
                known.beats[member] = _Since(beat, now)
        if reply.table is not None:
            known.change, known.table = reply.change, reply.table
            self._longest = max(self._longest, *(each.lease_seconds for each in reply.table.members.values()), 0.0)
            self._hold(known, now)
            told = {each.accounts for each in known.table.members.values()}
            self._lists = {digest: accounts for digest, accounts in self._lists.items() if digest in told}
        named = {each.holder for each in known.table.holdings.values()} | known.table.members.keys()
        absent = named - known.beats.keys() - {""}
        known.lost = {holder: known.lost.get(holder, now) for holder in absent}

    def _hold(self, known: _Known, now: float) -> None:
        """Take over from the table what this replica holds."""
        before = self._held
        self._held = {account: each.token for account, each in known.table.holdings.items() if each.holder == self.me}
        for account in before.keys() ^ self._held.keys():
            self.changes[account] = self.changes.get(account, 0) + 1
        for account, token in self._held.items():
            gain = self._gains.get(account)
            if gain is None or gain.token != token:  # not asked for: as if the holder before still sent
                gain = _Gain(token, now + self._longest + self.timing.silence_seconds)
                self._gains[account] = gain
            pace = known.table.paces.get(account)
            if before.get(account) == token or not gain.released:
                continue
            if pace is None and token > 1:  # it got lost: the last slot may be as late as can be
                gain.from_at = max(gain.from_at, now + self.timing.silence_seconds)
            elif pace is not None:
                gain.from_at = max(gain.from_at, now + pace.pause_seconds)
                if pace.slot_age_seconds is not None:
                    gain.slot_at = now - pace.slot_age_seconds + PATH_SECONDS

    # Who is there

    def live(self, now: float) -> list[Member]:
        """The replicas that are alive, in the order in which they came."""
        members = self._known.table.members.values()
        return sorted(
            (each for each in members if each.id == self.me or now < self._dead_at(each.id)),
            key=lambda each: (each.joined, each.id),
        )

    def _dead_at(self, replica: str) -> float:
        """The instant from which on a replica can no longer send, unless it makes a contact."""
        since, member = self._known.beats.get(replica), self._known.table.members.get(replica)
        right_seconds = self._longest if member is None else member.right_seconds
        seen_at = self._known.lost.get(replica, math.inf) if since is None else since.seen_at
        return seen_at + right_seconds

    # What to do

    def moves(self, now: float) -> Moves:
        """What to ask of the store; from now on the right to what is released is gone."""
        live = self.live(now)
        wanted = self._wanted(live)
        self._releasing = releases = {
            account: token
            for account, token in self._held.items()
            if self._releasing.get(account) == token
            or not self._claims
            or account not in self._accounts
            or wanted.get(account, self.me) != self.me
        }
        takes: list[Take] = []
        if now < self._right_until and self._claims:
            mine = sorted(account for account, replica in wanted.items() if replica == self.me)
            takes = [take for account in mine if (take := self._take(account, now)) is not None]
        freed, forget = self._bury(now, {take.account for take in takes}) if now < self._right_until else ([], [])
        return Moves((*takes, *freed), tuple(releases.items()), tuple(forget))

    def _bury(self, now: float, taken: Collection[str]) -> tuple[list[Take], list[tuple[str, int]]]:
        """What dead replicas hold, to be set free; and those that hold nothing, to be forgotten."""
        known = self._known
        dead = {
            replica: known.beats[replica].beat if replica in known.beats else -1
            for replica in known.beats.keys() | known.lost.keys()
            if replica != self.me and now >= self._dead_at(replica) + self.timing.silence_seconds
        }
        freed = [
            Take(account, each.token, each.holder, dead[each.holder], frees=True)
            for account, each in known.table.holdings.items()
            if each.holder in dead and account not in taken
        ]
        holders = {each.holder for each in known.table.holdings.values()}
        return freed, [(replica, beat) for replica, beat in dead.items() if replica not in holders]

    def _wanted(self, live: Sequence[Member]) -> dict[str, str]:
        knows: dict[str, Collection[str]] = {}
        for member in live[: self._replicas]:
            if member.id == self.me:
                knows[member.id] = self._accounts if self._claims else ()
            elif member.claims:
                knows[member.id] = self._lists.get(member.accounts, ())
        facts = (self.known, knows)
        if self._spread is None or self._spread[0] != facts:
            holders = {account: each.holder for account, each in self._known.table.holdings.items()}
            self._spread = facts, spread(knows, holders)
        return self._spread[1]

    def _take(self, account: str, now: float) -> Take | None:
        """How to take the account; None while another may still send, or if it is held already."""
        holding = self._known.table.holdings.get(account, Holding(0, ""))
        holder = holding.holder
        if holder == self.me:
            return None
        beat, from_at = -1, now
        if holder:
            dead_at = self._dead_at(holder)
            if now < dead_at:
                return None
            since = self._known.beats.get(holder)
            beat = -1 if since is None else since.beat
            from_at = dead_at + self.timing.silence_seconds
        self._gains[account] = _Gain(holding.token + 1, from_at, released=not holder)
        return Take(account, holding.token, holder, beat)

    # What came of it

    def rights(self) -> Mapping[str, Right]:
        """The rights to send, by account, after the last contact and the last moves."""
        return {account: self._right(account, token) for account, token in self._held.items() if self._may(account)}

    def _may(self, account: str) -> bool:
        is_kept = self._releasing.get(account) != self._held[account]
        return account in self._accounts and is_kept and self._right_until > -math.inf

    def _right(self, account: str, token: int) -> Right:
        gain = self._gains[account]
        pace = self._known.table.paces.get(account, Pace())
        return Right(token, gain.from_at, self._right_until, gain.slot_at, pace.guard_seconds)

    def held(self) -> Mapping[str, int]:
        """What this replica holds, with the tokens, as the store said last."""
        return dict(self._held)

    def holders(self) -> Mapping[str, str]:
        """Who holds each account: the ids of replicas; empty for one that was released."""
        return {account: each.holder for account, each in self._known.table.holdings.items()}

    @property
    def store_up(self) -> bool:
        """Whether the last contact was answered."""
        return bool(self._known.epoch) and not self._failures
