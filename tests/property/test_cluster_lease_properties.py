"""Invariants of the leases over generated faults: of replicas, of their clocks, of the network, of the store."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from exporter.cluster.leases.table import Member
from tests.support.clusterworld import Rules, World

REPLICAS = 3


class Leases(RuleBasedStateMachine):
    """Replicas and a store, with faults in any order.  What must hold is checked after each."""

    in_force = Rules()
    limits: ClassVar[tuple[tuple[int, int], ...]] = ((1, 4), (2, 8), (3, 3), (4, 13))  # qps and quota

    @initialize(seed=st.integers(0, 2**32), which=st.integers(0, 9), start=st.integers(2, 3))
    def begin(self, seed: int, which: int, start: int) -> None:
        qps, quota = self.limits[which % len(self.limits)]
        self.world = World(seed, qps=qps, quota=quota, accounts=3, replicas=REPLICAS, rules=self.in_force)
        for _ in range(start):
            self.world.start()
        self.world.run(6)

    @rule(seconds=st.sampled_from([0.2, 1.0, 2.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.run(seconds)
        self.world.check()

    @precondition(lambda self: len(self.world.alive) < REPLICAS)
    @rule()
    def start(self) -> None:
        self.world.start()

    @precondition(lambda self: len(self.world.alive) > 1)
    @rule(which=st.integers(0, 9))
    def kill(self, which: int) -> None:
        self.pick(which).alive = False
        self.pass_time(1.0)

    @rule(which=st.integers(0, 9), seconds=st.sampled_from([0.5, 1.5, 3.0, 9.0]))
    def freeze(self, which: int, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later: the clock went on."""
        replica = self.pick(which)
        replica.frozen = True
        self.world.run(seconds)
        replica.frozen = False
        self.pass_time(0.5)

    @precondition(lambda self: len(self.world.alive) > 1)
    @rule(which=st.integers(0, 9))
    def stop(self, which: int) -> None:
        """A clean end: it hands over."""
        replica = self.pick(which)
        replica.left = True
        if replica.step is not None:
            replica.step.close()
        replica.begin(replica.session.leave())
        self.world.run(0.6)
        replica.alive = False

    @rule(which=st.integers(0, 9), seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def cut_off(self, which: int, seconds: float) -> None:
        link = self.pick(which).link
        link.cut = True
        self.pass_time(seconds)
        link.cut = False

    @rule(which=st.integers(0, 9), delay=st.sampled_from([0.01, 0.2, 0.4, 1.0]), loss=st.sampled_from([0.0, 0.1, 0.5]))
    def network(self, which: int, delay: float, loss: float) -> None:
        link = self.pick(which).link
        link.delay, link.loss = delay, loss

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def freeze_store(self, seconds: float) -> None:
        self.world.store_frozen = True
        self.pass_time(seconds)
        self.world.thaw_store()

    @rule(seconds=st.sampled_from([0.1, 2.0, 8.0]))
    def kill_store(self, seconds: float) -> None:
        """It comes back empty."""
        self.world.store_dead = True
        self.world.run(seconds)
        self.world.wipe_store()
        self.world.store_dead = False
        self.pass_time(1.0)

    @rule()
    def flush_store(self) -> None:
        self.world.store.flush()
        self.pass_time(1.0)

    @rule(which=st.integers(0, 9))
    def write_as_another_program(self, which: int) -> None:
        """Values that no exporter can tell from its own; what it can tell makes it flush the store."""
        data = self.world.store.data
        data.beats[self.pick(which).name] = data.joined * 1000
        data.paces.clear()
        data.members["foreign"] = Member("foreign", "", 0, 3.0, 2.0, claims=True, accounts="none")
        self.pass_time(0.2)

    @rule(back=st.integers(0, 30))
    def fail_over(self, back: int) -> None:
        self.world.fail_over(back)
        self.pass_time(1.0)

    @rule(seconds=st.sampled_from([-30.0, -1.0, 1.0, 30.0]))
    def set_the_clock_of_the_store(self, seconds: float) -> None:
        self.world.skew += seconds
        self.pass_time(0.5)

    def teardown(self) -> None:
        """Once nothing fails any more, every account is held, evenly, and polled."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for replica in world.alive:
            replica.link.cut, replica.link.delay, replica.link.loss = False, 0.01, 0.0
        world.run(5 * world.timing.lease_seconds)
        began = len(world.sent)
        world.run(2.0)
        world.check()
        holders = {each.account: each.replica for each in world.sent[began:] if not each.is_spare}
        assert holders.keys() == set(world.accounts)
        counts = Counter({replica.name: 0 for replica in world.alive})
        counts.update(holders.values())
        assert max(counts.values()) - min(counts.values()) <= 1

    def pick(self, which: int):  # type: ignore[no-untyped-def]
        return self.world.alive[which % len(self.world.alive)]


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_no_fault_lets_more_than_qps_leave_or_more_than_quota_arrive() -> None:
    run_state_machine_as_test(
        Leases, settings=settings(max_examples=40, stateful_step_count=50, suppress_health_check=QUIET)
    )


@pytest.mark.parametrize(
    "missing",
    [
        Rules(silence=False),
        Rules(fence=False),
        Rules(deadline=False),
        Rules(asked_before=False),
        Rules(hold=False),
    ],
    ids=["silence", "fence", "deadline", "asked before", "hold"],
)
def test_without_any_one_of_the_rules_a_violation_is_found(missing: Rules) -> None:
    """Otherwise the property above would hold for want of faults."""

    class Broken(Leases):
        in_force = missing
        # At one request a second a missing second shows best.
        limits: ClassVar[tuple[tuple[int, int], ...]] = Leases.limits if missing.silence else ((1, 4),)

    found = settings(
        max_examples=1000,
        stateful_step_count=50,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        suppress_health_check=QUIET,
    )
    with pytest.raises(AssertionError, match="more than"):
        run_state_machine_as_test(Broken, settings=found)
