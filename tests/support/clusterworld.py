"""Replicas, a network and a store in virtual time: each of them fails as a test says.

Replicas run the real leases and the real steps.  Their clocks differ, and run a little fast or slow.  A request may be
lost, late or doubled; an answer may be lost, late or doubled.  Every replica sends as much as it is allowed to.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from exporter.cluster.leases.leases import Leases, Moves
from exporter.cluster.leases.table import Contact, Holding
from exporter.cluster.leases.timing import PATH_SECONDS, Timing, timing
from exporter.cluster.session import Call, Session, Step
from exporter.cluster.store.replies import StoreError
from exporter.model import Pace, Right, spare_qps
from tests.support.clusterstore import Data, ModelStore

MAX_SNAPSHOTS = 60
DRIFT = 1e-4


@dataclass(frozen=True)
class Rules:
    """What to leave out, to see that it is missed."""

    silence: bool = True
    fence: bool = True  # tokens are compared, in the store before an account changes hands, and by its new holder
    deadline: bool = True  # a replica looks at the end of its right before each request
    asked_before: bool = True  # the right counts from before the contact
    hold: bool = True  # an unknown store grants nothing at first

    @property
    def leases(self) -> type[Leases]:
        """The leases without what is left out."""
        if not self.fence:
            return Unfenced
        if not self.hold:
            return HoldsNothing
        return Leases if self.asked_before else AskedLate


@dataclass(frozen=True)
class Sent:
    """A request as it left and as it arrived, in true time."""

    account: str
    replica: str
    left_at: float
    arrived_at: float
    is_spare: bool


class AskedLate(Leases):
    """Counts its right from the answer."""

    def answered(self, number: int, asked_at: float, reply: Contact, now: float) -> None:
        super().answered(number, now, reply, now)


class Unfenced(Leases):
    """Believes that it got an account as it asked for it, whatever the token is now."""

    def __init__(self, me: str, timing: Timing, replicas: int, now: float) -> None:
        super().__init__(me, timing, replicas, now)
        self.expected: dict[str, int] = {}

    def moves(self, now: float) -> Moves:
        moves = super().moves(now)
        self.expected.update({take.account: take.token + 1 for take in moves.takes if not take.frees})
        return moves

    def answered(self, number: int, asked_at: float, reply: Contact, now: float) -> None:
        if reply.table is not None:
            holdings = {
                account: Holding(self.expected.get(account, each.token), each.holder)
                if each.holder == self.me
                else each
                for account, each in reply.table.holdings.items()
            }
            reply = replace(reply, table=replace(reply.table, holdings=holdings))
        super().answered(number, asked_at, reply, now)


class HoldsNothing(Leases):
    """Trusts a store that it does not know."""

    @property
    def hold_seconds(self) -> float:
        return 0.0


@dataclass
class Link:
    """How a replica reaches the store."""

    cut: bool = False
    delay: float = 0.01  # seconds, one way, at most
    loss: float = 0.0  # share of messages that get lost


class Replica:
    """One process."""

    def __init__(self, world: World, name: str, accounts: tuple[str, ...]) -> None:
        self.world = world
        self.name = name
        self.offset = world.rng.uniform(-1e6, 1e6)
        self.rate = 1 + world.rng.uniform(-DRIFT, DRIFT)
        self.path = world.rng.uniform(0, PATH_SECONDS)
        self.link = Link()
        self.alive, self.frozen, self.left = True, False, False
        self.leases = world.rules.leases(name, world.timing, world.replicas, self.clock())
        self.session = Session(self.leases, self, self.clock, name)
        self.session.configure(accounts, "")
        self.accounts = accounts
        self.rights: Mapping[str, Right] = {}
        self.is_spare = False
        self.slots: dict[str, float] = {}  # the last slot of each account, by its own clock
        self.spare_slots: dict[str, float] = {}
        self.step: Step | None = None
        self.call = 0
        self.deadline = math.inf
        self.next_look = self.clock()
        self.inbox: deque[tuple[int, object]] = deque()

    def clock(self) -> float:
        return self.world.now * self.rate + self.offset

    # What the session needs of polling

    def allow(self, rights: Mapping[str, Right], *, is_spare: bool) -> None:
        for account, right in rights.items():
            if account not in self.rights or self.rights[account].token != right.token:
                self.slots[account] = max(self.slots.get(account, -math.inf), right.slot_at)
        self.rights, self.is_spare = dict(rights), is_spare

    def pace(self, account: str) -> Pace:
        slot = self.slots.get(account, -math.inf)
        return Pace(0.01, 0.0, None if slot == -math.inf else max(0.0, self.clock() - slot))

    # What it does

    def run(self) -> None:
        """Whatever may go now: steps of the session, then requests."""
        if not self.alive or self.frozen:
            return
        now = self.clock()
        while self.inbox:
            call, answer = self.inbox.popleft()
            if call == self.call and self.step is not None:
                self._advance(answer)
        if self.step is not None and now >= self.deadline:
            self._advance(StoreError("no answer"))
        if self.step is None and now >= self.next_look and not self.left:
            self.begin(self.session.step())
        self._poll()

    def begin(self, step: Step) -> None:
        self.step = step
        self._advance(None)

    def _advance(self, answer: object) -> None:
        assert self.step is not None
        self.call += 1
        now = self.clock()
        try:
            call = self.step.throw(answer) if isinstance(answer, StoreError) else self.step.send(answer)
        except StopIteration as end:
            self.step, self.next_look = None, now if end.value else now + self.world.timing.look_seconds
        except StoreError:
            self.step, self.next_look = None, now + self.world.timing.look_seconds
        else:
            self.deadline = now + self.world.timing.timeout_seconds
            self.world.ask(self, self.call, call, is_contact=answer is None)

    def _poll(self) -> None:
        now = self.clock()
        for account in self.accounts:
            right = self.rights.get(account)
            if right is not None:
                allowed = right.allows(now) or (not self.world.rules.deadline and now >= right.from_at)
                self._send(account, self.slots, 1 / self.world.qps, allowed=allowed, is_spare=False)
            spare = self.world.spare_qps
            if self.is_spare and spare:
                self._send(account, self.spare_slots, 1 / spare, allowed=True, is_spare=True)

    def _send(self, account: str, slots: dict[str, float], gap: float, *, allowed: bool, is_spare: bool) -> None:
        now = self.clock()
        if allowed and now >= slots.get(account, -math.inf) + gap * (1 + 2 * DRIFT):
            slots[account] = now
            self.world.sent.append(Sent(account, self.name, self.world.now, self.world.now + self.path, is_spare))


class World:
    """All of it.  `seed` decides what the network does."""

    def __init__(
        self, seed: int, *, qps: int, quota: int, accounts: int, replicas: int, rules: Rules, lease: float = 3.0
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.qps, self.quota, self.replicas = qps, quota, replicas
        self.spare_qps = spare_qps(qps, quota, replicas)
        self.accounts = tuple(f"account-{index}" for index in range(accounts))
        self.rules = rules
        self.timing = _timing(lease, rules)
        self.skew = self.rng.uniform(-30, 30)
        self.store = ModelStore(lambda: 1e9 + self.now + self.skew, fenced=rules.fence, holds=rules.hold)
        self.store_frozen = self.store_dead = False
        self.tick_seconds = 0.05
        self.slow_share = 0.1  # of the messages: those take up to ten times as long as the link's delay
        self.late_share = 0.2  # of the calls that change the table: those are late by seconds
        self.members: list[Replica] = []
        self.sent: list[Sent] = []
        self.snapshots: deque[Data] = deque(maxlen=MAX_SNAPSHOTS)
        self._names = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queued: list[Callable[[], None]] = []  # at a store that is frozen

    def start(self) -> Replica:
        replica = Replica(self, f"replica-{next(self._names)}", self.accounts)
        self.members.append(replica)
        return replica

    @property
    def alive(self) -> list[Replica]:
        return [each for each in self.members if each.alive]

    def ask(self, replica: Replica, number: int, call: Call, *, is_contact: bool) -> None:
        """Send a call to the store, and its answer back."""
        link = replica.link
        if link.cut or self.rng.random() < link.loss:
            return
        for _ in range(2 if self.rng.random() < 0.1 else 1):  # doubled
            late = self.rng.uniform(0, 4) if not is_contact and self.rng.random() < self.late_share else 0.0
            self._at(self._delay(link) + late, lambda: self._arrives(replica, number, call))

    def _arrives(self, replica: Replica, number: int, call: Call) -> None:
        if self.store_dead:
            return
        if self.store_frozen:
            self._queued.append(lambda: self._arrives(replica, number, call))
            return
        answer = call(self.store)
        link = replica.link
        if link.cut or self.rng.random() < link.loss:
            return
        for _ in range(2 if self.rng.random() < 0.1 else 1):
            self._at(self._delay(link), lambda: self._delivered(replica, number, answer))

    def _delivered(self, replica: Replica, number: int, answer: object) -> None:
        if not isinstance(answer, Exception) and replica.alive:
            replica.inbox.append((number, answer))

    def _delay(self, link: Link) -> float:
        return self.rng.uniform(0, link.delay) * (self.rng.uniform(1, 10) if self.rng.random() < self.slow_share else 1)

    def _at(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            members = list(self.alive)
            self.rng.shuffle(members)
            for replica in members:
                replica.run()
            if self.rng.random() < 0.2:
                self.snapshots.append(self.store.data.copy())
            self.now += self.tick_seconds

    # Faults

    def thaw_store(self) -> None:
        self.store_frozen = False
        queued, self._queued = self._queued, []
        self.rng.shuffle(queued)
        for each in queued:
            each()

    def wipe_store(self) -> None:
        self._queued.clear()
        self.store.restart()

    def fail_over(self, back: int) -> None:
        """Another server takes over, with data from some looks ago and another clock."""
        self._queued.clear()
        data = self.snapshots[max(0, len(self.snapshots) - 1 - back)] if self.snapshots else None
        self.store.restart(data)
        self.skew = self.rng.uniform(-30, 30)

    # What must hold

    def check(self) -> None:
        """Never more than `qps` leave in a sliding second, and never more than `quota` arrive."""
        for account in self.accounts:
            own = sorted(each.left_at for each in self.sent if each.account == account and not each.is_spare)
            _never_more(own, self.qps, f"{account}: more than qps left")
            arrived = sorted(each.arrived_at for each in self.sent if each.account == account)
            _never_more(arrived, self.quota, f"{account}: more than quota arrived")


def _never_more(times: list[float], most: int, what: str) -> None:
    for first, last in zip(times, times[most:], strict=False):
        assert last - first >= 1 - 1e-6, f"{what}: {most + 1} in {last - first:.3f} s at {last:.3f}"


def _timing(lease: float, rules: Rules) -> Timing:
    usual = timing(lease)
    return usual if rules.silence else replace(usual, silence_seconds=0.0)
