"""What one replica says of itself, step by step, on a model of the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from exporter.cluster.answers.records import Key
from exporter.cluster.leases.leases import Leases
from exporter.cluster.leases.table import Contact, Member
from exporter.cluster.leases.timing import timing
from exporter.cluster.replica import KEEP_SECONDS, Replica
from exporter.cluster.session import Session
from exporter.cluster.store.calls import Exchange
from exporter.cluster.store.replies import StoreError
from exporter.model import Pace, Right
from tests.support.clock import FakeClock
from tests.support.clusterstore import ModelStore


class Leading(ModelStore):
    """A model of the store that keeps no answers, and notes what it is asked.

    `lists_asked` are the members whose accounts were asked for.  `paces_told` are how many paces came with each
    contact, `written` the keys that each exchange wrote.  After `left` exchanges there is nothing left to read.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        super().__init__(time)
        self.lists_asked: list[str] = []
        self.paces_told: list[int] = []
        self.written: list[list[str]] = []
        self.left = 0
        self.refuses_answers = False
        self.read: list[tuple[str, str]] = []  # by whom, and since when

    def contact(
        self,
        me: Member,
        number: int,
        known: tuple[str, int],
        hold_seconds: float,
        paces: Mapping[str, tuple[int, Pace]],
    ) -> Contact:
        self.paces_told.append(len(paces))
        return super().contact(me, number, known, hold_seconds, paces)

    def accounts_of(self, member: str) -> tuple[str, ...] | None:
        self.lists_asked.append(member)
        return super().accounts_of(member)

    def exchange(
        self, me: str, epoch: str, since: str, keep_seconds: float, answers: Sequence[tuple[str, float, bytes]]
    ) -> Exchange | None:
        if self.refuses_answers:
            raise StoreError("no permission")
        self.read.append((me, since))
        self.written.append([key for key, _, _ in answers])
        self.left -= 1
        return Exchange(0, "7", (), is_all=self.left <= 0)

    def close(self) -> None:
        """Nothing is open."""


class Silent:
    """Polls nothing, and knows what `ages` has: implements `session.Polling` and `replica.Answers`."""

    def __init__(self) -> None:
        self.ages: dict[Key, float] = {}

    def allow(self, rights: Mapping[str, Right], *, is_spare: bool) -> None:
        """Nothing is polled."""

    def pace(self, account: str) -> Pace:
        return Pace()

    def begin(self) -> None:
        """Nothing waits."""

    def known(self) -> Collection[Key]:
        return ()

    def written(self, keys: Sequence[Key]) -> Mapping[Key, tuple[float, bytes]]:
        return {key: (self.ages[key], b"[]") for key in keys}

    def read(self, entries: Sequence[tuple[Key, bytes, float]]) -> None:
        """Nothing is kept."""


def joined(name: str, store: Leading, clock: FakeClock, silent: Silent | None = None) -> Replica:
    """One of at most one replica."""
    leases = Leases(name, timing(3.0), 1, clock.monotonic())
    silent = silent or Silent()
    replica = Replica(store, leases, Session(leases, silent, clock.monotonic, name), silent, clock)
    replica.configure(["main"], "hash")
    return replica


def test_one_replica_too_many_says_so_once_and_once_when_that_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter.cluster.replica")
    clock = FakeClock()
    store = Leading(clock.monotonic)
    first, extra = joined("first", store, clock), joined("extra", store, clock)
    for _ in range(5):
        for replica in (first, extra):
            replica.step()
        clock.advance(0.3)
    assert [replica.status().is_extra for replica in (first, extra)] == [False, True]
    first.leave()
    for _ in range(3):
        extra.step()
        clock.advance(0.3)
    assert not extra.status().is_extra
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "this replica polls nothing, since there are more than `replicas` says; raise that, or end one"),
        ("INFO", "this replica polls: there are no more than `replicas` says"),
    ]


def test_only_accounts_that_are_held_can_fail_to_be_handed_over(caplog: pytest.LogCaptureFixture) -> None:
    """A replica that never reached the store has none to tell of."""
    clock = FakeClock()
    store = Leading(clock.monotonic)
    holder, other = joined("first", store, clock), joined("other", store, clock)
    while not holder.holds("main"):
        holder.step()
        clock.advance(0.3)
    store.refuses_answers = True
    for replica in (other, holder):
        replica.leave()
    (record,) = caplog.records
    assert record.getMessage() == "accounts cannot be handed over: they rest for a lease"


def test_replicas_with_equal_accounts_are_asked_for_them_once() -> None:
    """Else a look takes a round trip for each, and over a slow path the right ends meanwhile."""
    clock = FakeClock()
    store = Leading(clock.monotonic)
    for name in ("a", "b", "c"):
        joined(name, store, clock).step()
    store.lists_asked.clear()
    joined("last", store, clock).step()
    assert store.lists_asked == ["a"]


def test_a_right_ends_also_where_no_step_follows() -> None:
    """A thread that hangs must not leave `cams_account_held` at 1: another replica polls the account meanwhile."""
    clock = FakeClock()
    replica = joined("only", Leading(clock.monotonic), clock)
    for _ in range(20):
        replica.step()
        clock.advance(0.3)
    assert replica.holds("main")
    assert not replica.holds("other")
    clock.advance(3.0)
    assert not replica.holds("main")


def test_a_store_that_takes_no_answers_is_not_up() -> None:
    """Its user may lack a right for that alone; without this, nothing but old answers would tell."""
    clock = FakeClock()
    store = Leading(clock.monotonic)
    replica = joined("one", store, clock)
    ups = []
    for store.refuses_answers in (False, True, False):
        replica.step()
        ups.append(replica.status().store_up)
        clock.advance(0.3)
    assert ups == [True, False, True]


def test_a_new_configuration_reads_all_answers_again_its_own_too() -> None:
    """A number may be new in it that others have polled for long, or this replica until a reload took it away."""
    clock = FakeClock()
    store = Leading(clock.monotonic)
    replica = joined("one", store, clock)
    for _ in range(2):
        replica.step()
    replica.configure(["main", "other"], "hash")
    for _ in range(2):
        replica.step()
    (before, began), (same, went_on), (after, began_again), _ = store.read
    assert (began, went_on, began_again) == ("0", "7", "0")
    assert before == same != after


def looks(replica: Replica, clock: FakeClock, count: int) -> list[float]:
    """After how many seconds the replica wants its next look, each time; the looks are 0.3 s apart."""
    found = []
    for _ in range(count):
        found.append(round(replica.step() - clock.monotonic(), 3))
        clock.advance(0.3)
    return found


def test_the_look_after_a_take_follows_at_once() -> None:
    """It says whether the account was got: else each hand-over would take a look more."""
    clock = FakeClock()
    wanted = looks(joined("only", Leading(clock.monotonic), clock), clock, 20)
    assert wanted.count(0.0) == 1
    assert set(wanted) == {0.0, 0.3}


def test_a_pace_that_is_known_is_not_told_again() -> None:
    clock = FakeClock()
    store = Leading(clock.monotonic)
    looks(joined("only", store, clock), clock, 20)
    assert sum(store.paces_told) == 1


def test_the_names_of_the_accounts_are_told_when_they_change_and_when_the_store_lost_them() -> None:
    clock = FakeClock()
    store = Leading(clock.monotonic)
    replica = joined("only", store, clock)
    replica.step()
    replica.configure(["main", "second"], "other")
    replica.step()
    assert store.data.lists == {"only": ("main", "second")}
    store.data.lists.clear()
    replica.step()
    assert store.data.lists == {"only": ("main", "second")}


def test_names_that_do_not_fit_what_their_replica_says_are_asked_for_again() -> None:
    """It changed its configuration in between."""
    clock = FakeClock()
    store = Leading(clock.monotonic)
    first, second = joined("a", store, clock), joined("b", store, clock)
    second.configure(["main", "second"], "hash")
    second.step()
    store.data.lists["b"] = ("main",)
    for asked in (["b"], ["b", "b"]):
        first.step()
        assert store.lists_asked == asked
    store.data.lists["b"] = ("main", "second")
    first.step()
    first.step()
    assert store.lists_asked == ["b", "b", "b"]


def test_a_look_reads_until_nothing_is_left() -> None:
    clock = FakeClock()
    store = Leading(clock.monotonic)
    store.left = 5
    joined("only", store, clock).step()
    assert len(store.written) == 5


def test_what_the_store_would_forget_at_once_is_not_written() -> None:
    clock = FakeClock()
    store, silent = Leading(clock.monotonic), Silent()
    replica = joined("only", store, clock, silent)
    silent.ages = {("number", "old"): KEEP_SECONDS + 1, ("number", "new"): KEEP_SECONDS - 1}
    for key in silent.ages:
        replica.post(key)
    replica.step()
    assert store.written == [['["number","new"]']]
