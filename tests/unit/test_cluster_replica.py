"""What one replica says of itself, step by step, on a model of the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from exporter.cluster.answers.records import Key
from exporter.cluster.leases.leases import Leases
from exporter.cluster.leases.timing import timing
from exporter.cluster.replica import Replica
from exporter.cluster.session import Session
from exporter.cluster.store.calls import Exchange
from exporter.cluster.store.replies import StoreError
from exporter.model import Pace, Right
from tests.support.clock import FakeClock
from tests.support.clusterstore import ModelStore


class Leading(ModelStore):
    """A model of the store that keeps no answers; `lists_asked` are the members whose accounts were asked for."""

    def __init__(self, time: Callable[[], float]) -> None:
        super().__init__(time)
        self.lists_asked: list[str] = []
        self.refuses_answers = False
        self.read: list[tuple[str, str]] = []  # by whom, and since when

    def accounts_of(self, member: str) -> tuple[str, ...] | None:
        self.lists_asked.append(member)
        return super().accounts_of(member)

    def exchange(
        self, me: str, epoch: str, since: str, keep_seconds: float, answers: Sequence[tuple[str, float, bytes]]
    ) -> Exchange | None:
        if self.refuses_answers:
            raise StoreError("no permission")
        self.read.append((me, since))
        return Exchange(0, "7", (), is_all=True)

    def close(self) -> None:
        """Nothing is open."""


class Silent:
    """Polls nothing and knows nothing: implements `session.Polling` and `replica.Answers`."""

    def allow(self, rights: Mapping[str, Right], *, is_spare: bool) -> None:
        """Nothing is polled."""

    def pace(self, account: str) -> Pace:
        return Pace()

    def begin(self) -> None:
        """Nothing waits."""

    def known(self) -> Collection[Key]:
        return ()

    def written(self, keys: Sequence[Key]) -> Mapping[Key, tuple[float, bytes]]:
        return {}

    def read(self, entries: Sequence[tuple[Key, bytes, float]]) -> None:
        """Nothing is kept."""


def joined(name: str, store: Leading, clock: FakeClock) -> Replica:
    """One of at most one replica."""
    leases = Leases(name, timing(3.0), 1, clock.monotonic())
    silent = Silent()
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
