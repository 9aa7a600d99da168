"""The leases, one rule at a time, on replicas in virtual time."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from exporter.cluster.leases.leases import Leases, Moves
from exporter.cluster.leases.table import Contact, Holding, Member, Table, Take
from exporter.cluster.leases.timing import SILENCE_SECONDS, timing
from exporter.cluster.session import Session
from exporter.config.settings import MAX_LEASE_SECONDS, MIN_LEASE_SECONDS
from exporter.model import Pace, spare_qps
from tests.support.clusterworld import Replica, Rules, World

LEASE = 15.0


def world(*, replicas: int = 3, accounts: int = 6, qps: int = 5, lease: float = LEASE) -> World:
    found = World(1, qps=qps, quota=4 * qps, accounts=accounts, replicas=replicas, rules=Rules(), lease=lease)
    found.late_share = found.slow_share = 0.0
    return found


def settled(of: World, replicas: int) -> list[Replica]:
    """Replicas that have held their accounts for a while."""
    found = [of.start() for _ in range(replicas)]
    of.run(2 * of.timing.lease_seconds)
    return found


def counts(of: World) -> list[int]:
    return sorted(len(each.leases.held()) for each in of.alive)


def is_spare(replica: Replica) -> bool:
    return replica.is_spare


def polled(of: World, account: str, since: float) -> list[tuple[float, str]]:
    return [(each.left_at, each.replica) for each in of.sent if each.account == account and each.left_at >= since]


@pytest.mark.parametrize("lease", [MIN_LEASE_SECONDS, 10.0, 15.0, 60.0, MAX_LEASE_SECONDS])
def test_a_dead_holder_is_followed_within_a_lease(lease: float) -> None:
    """Its right, the look of another, and the silence are less than a lease; a right bears a contact that fails."""
    found = timing(lease)
    assert 2 * found.look_seconds + found.right_seconds + found.silence_seconds < lease
    assert found.look_seconds + found.timeout_seconds < found.right_seconds
    assert found.rest_seconds > found.right_seconds + found.silence_seconds
    assert found.timeout_seconds == min(lease / 5, 3.0)


@pytest.mark.parametrize(
    ("qps", "quota", "replicas", "spare"),
    [(5, 10, 3, 1), (5, 10, 5, 1), (5, 10, 6, 0), (10, 10, 2, 0), (0.7, 1.0, 3, 0), (4, 10, 3, 2), (9.7, 10, 1, 0)],
)
def test_the_spare_rate_is_what_is_not_ours_shared_among_all(
    qps: float, quota: float, replicas: int, spare: int
) -> None:
    assert spare_qps(qps, quota, replicas) == spare


def test_accounts_spread_evenly_within_two_leases_of_a_join_and_a_leave() -> None:
    of = world(accounts=7)
    settled(of, 2)
    assert counts(of) == [3, 4]
    third = of.start()
    of.run(2 * LEASE)
    assert counts(of) == [2, 2, 3]
    third.alive = False
    of.run(2 * LEASE)
    assert counts(of) == [3, 4]
    before = [dict(each.leases.held()) for each in of.alive]
    of.run(4 * LEASE)
    assert [dict(each.leases.held()) for each in of.alive] == before, "nothing is swapped for nothing"


def test_after_a_death_no_account_rests_for_longer_than_a_lease() -> None:
    of = world()
    first, *_ = settled(of, 3)
    held, died_at = first.leases.held(), of.now
    first.alive = False
    of.run(LEASE)
    assert all(polled(of, account, died_at) for account in held)
    of.check()


def test_a_clean_stop_hands_over_in_less_than_a_second() -> None:
    of = world()
    first, *_ = settled(of, 3)
    held, stopped_at = first.leases.held(), of.now
    first.left = True
    assert first.step is None
    first.begin(first.session.leave())
    of.tick_seconds = 0.01
    of.run(1.0)
    for account in held:
        assert [replica for _, replica in polled(of, account, stopped_at)][:1] not in ([], [first.name])
    of.check()


def test_a_rolling_restart_leaves_no_account_for_a_second() -> None:
    """With one replica more, the new one first."""
    of = world(replicas=3, accounts=4)
    old = settled(of, 2)
    began_at = of.now
    for each in old:
        of.start()
        of.run(5.0)
        each.left = True
        assert each.step is None
        each.begin(each.session.leave())
        of.run(2.0)
        each.alive = False
    of.run(5.0)
    for account in of.accounts:
        times = [began_at, *(at for at, _ in polled(of, account, began_at)), of.now]
        assert max(after - before for before, after in itertools.pairwise(times)) < 1.5
    of.check()


def test_a_halted_holder_sends_nothing_when_it_goes_on() -> None:
    of = world()
    first, *_ = settled(of, 3)
    first.frozen = True
    of.run(3 * LEASE)
    first.frozen = False
    began_at = of.now
    of.run(0.05)
    assert [each for each in of.sent if each.replica == first.name and each.left_at >= began_at] == []
    assert not first.is_spare
    of.check()


def test_a_replica_that_is_cut_off_polls_at_the_spare_rate_and_the_others_go_on() -> None:
    of = world()
    first, *_ = settled(of, 3)
    first.link.cut = True
    cut_at = of.now
    of.run(of.timing.rest_seconds - 1.0)
    assert not is_spare(first)
    of.run(3.0)
    assert is_spare(first)
    first.link.cut = False
    of.run(of.timing.timeout_seconds + 1.0)
    assert not is_spare(first)
    spare = [each for each in of.sent if each.is_spare]
    assert {each.account for each in spare} == set(of.accounts)
    assert min(each.left_at for each in spare) >= cut_at + LEASE
    of.check()


def test_one_replica_too_many_holds_and_sends_nothing() -> None:
    """`replicas` bounds what is sent while the store is away: each has its share of the spare rate."""
    of = world(replicas=2)
    settled(of, 2)
    extra = of.start()
    of.run(2 * LEASE)
    assert extra.leases.held() == {}
    assert [each.leases.is_extra for each in of.alive] == [each is extra for each in of.alive]
    of.store_dead = True
    of.run(2 * LEASE)
    assert not extra.is_spare
    assert sum(each.is_spare for each in of.alive) == 2


def test_a_replica_that_never_met_the_store_polls_at_the_spare_rate() -> None:
    of = world()
    of.store_dead = True
    alone = of.start()
    of.run(of.timing.rest_seconds - 0.5)
    assert of.sent == []
    of.run(2.0)
    assert alone.is_spare
    assert of.sent


def test_an_account_that_one_configuration_lacks_goes_to_the_others() -> None:
    of = world(accounts=4)
    first, second = settled(of, 2)
    first.session.configure(of.accounts[:1], "another")
    first.accounts = of.accounts[:1]
    of.run(LEASE)
    assert first.leases.held().keys() | second.leases.held().keys() == set(of.accounts)
    assert first.leases.held().keys() <= {of.accounts[0]}


def test_the_guard_goes_to_the_next_holder_also_after_a_death() -> None:
    of = world(accounts=1)
    first, second = settled(of, 2)
    holder, other = (first, second) if first.rights else (second, first)
    holder.alive = False
    of.run(2 * LEASE)
    assert other.rights[of.accounts[0]].guard_seconds == holder.pace(of.accounts[0]).guard_seconds > 0


def test_changes_of_holders_are_counted() -> None:
    of = world(accounts=1)
    first, *_ = settled(of, 1)
    assert first.leases.changes == {of.accounts[0]: 1}


# The algorithm alone

ME = Member("me", "me", 1, LEASE, timing(LEASE).right_seconds, claims=True, accounts="")
OTHER = replace(ME, id="other", joined=2)


def leases() -> Leases:
    found = Leases("me", timing(LEASE), 3, now=0.0)
    found.configure(["one"])
    return found


def reply(holder: str = "", *, beat: int = 1, token: int = 1, pace: Pace | None = None, epoch: str = "e") -> Contact:
    table = Table({"me": ME, "other": OTHER}, {"one": Holding(token, holder)}, {} if pace is None else {"one": pace})
    return Contact(epoch, 0.0, LEASE + 1, token, {"me": 1, "other": beat}, table)


def test_the_right_counts_from_before_the_contact_was_asked() -> None:
    mine = leases()
    mine.answered(mine.ask(), 100.0, reply(), 102.0)
    (take,) = mine.moves(102.0).takes
    mine.answered(mine.ask(), 110.0, reply("me", token=take.token + 1), 112.0)
    right = mine.rights()["one"]
    assert right.until_at == 110.0 + mine.timing.right_seconds
    assert right.allows(right.until_at - 0.001)
    assert not right.allows(right.until_at)


def test_an_answer_that_came_too_late_gives_no_right() -> None:
    mine = leases()
    late, at = mine.ask(), 100.0
    mine.failed(101.0)
    mine.answered(late, at, reply("me"), 105.0)
    assert mine.rights() == {}
    second, third = mine.ask(), mine.ask()
    mine.answered(third, 106.0, reply("other"), 106.1)
    mine.answered(second, 105.5, reply("me"), 106.2)
    assert mine.rights() == {}


def test_the_silence_counts_from_when_the_last_heartbeat_was_seen() -> None:
    mine = leases()
    mine.answered(mine.ask(), 99.9, reply("other", beat=7), 100.0)
    mine.answered(mine.ask(), 101.0, reply("other", beat=8), 101.1)
    mine.answered(mine.ask(), 102.0, reply("other", beat=8), 102.1)
    dead_at = 101.1 + OTHER.right_seconds
    assert mine.moves(dead_at - 0.01).takes == ()
    mine.answered(mine.ask(), dead_at, reply("other", beat=8), dead_at)
    (take,) = mine.moves(dead_at).takes
    assert (take.token, take.holder, take.beat) == (1, "other", 8)
    mine.answered(mine.ask(), dead_at + 0.1, reply("me", token=2), dead_at + 0.2)
    assert mine.rights()["one"].from_at == dead_at + SILENCE_SECONDS


def test_a_lease_that_was_not_asked_for_is_kept_silent() -> None:
    """For example after a failover that lost a later take."""
    mine = leases()
    mine.answered(mine.ask(), 100.0, reply("me", token=9), 100.1)
    assert mine.rights()["one"].from_at >= 100.1 + LEASE


def test_a_list_of_accounts_that_no_replica_has_is_forgotten() -> None:
    """Else each rollout would leave one more in memory."""
    mine = leases()
    asked: list[tuple[str, str]] = []
    for accounts in ("old", "new", "old"):
        members = {"me": ME, "other": replace(OTHER, accounts=accounts)}
        mine.answered(mine.ask(), 100.0, replace(reply(), table=Table(members)), 100.1)
        asked += mine.unknown_lists()
        mine.learn_accounts(accounts, ["one"])
        assert list(mine.unknown_lists()) == []
    assert asked == [("other", "old"), ("other", "new"), ("other", "old")]


def test_a_pause_of_the_api_goes_to_the_next_holder() -> None:
    mine = leases()
    mine.answered(mine.ask(), 100.0, reply(), 100.1)
    mine.moves(100.1)
    mine.answered(mine.ask(), 100.2, reply("me", token=2, pace=Pace(0.1, 30.0, 0.5)), 100.3)
    right = mine.rights()["one"]
    assert right.from_at == 130.3
    assert right.slot_at < 100.3


def test_what_is_being_released_cannot_be_kept() -> None:
    """The store may do it later than it was asked: there is no way back to a right of that token."""
    mine = leases()
    mine.answered(mine.ask(), 100.0, reply(), 100.1)
    mine.moves(100.1)
    mine.answered(mine.ask(), 100.2, reply("me", token=2), 100.3)
    mine.configure([])
    assert mine.moves(100.3).releases == (("one", 2),)
    mine.configure(["one"])
    mine.answered(mine.ask(), 101.0, reply("me", token=2), 101.1)
    assert mine.moves(101.1).releases == (("one", 2),)
    assert mine.rights() == {}


def test_a_new_epoch_gives_no_right_for_a_lease_and_a_second() -> None:
    mine = leases()
    mine.answered(mine.ask(), 100.0, reply(), 100.1)
    mine.answered(mine.ask(), 101.0, reply("me", epoch="new"), 101.1)
    assert mine.rights() == {}
    assert mine.moves(101.1).takes == ()
    mine.answered(mine.ask(), 101.0 + LEASE, reply(epoch="new"), 101.1 + LEASE)
    assert mine.moves(101.1 + LEASE).takes == ()
    mine.answered(mine.ask(), 102.1 + LEASE, reply(epoch="new"), 102.2 + LEASE)
    assert len(mine.moves(102.2 + LEASE).takes) == 1


def test_a_contact_that_the_others_cannot_see_gives_no_right() -> None:
    """Another program raised this replica's heartbeat: the next contacts count from there."""
    mine = leases()
    mine.answered(mine.ask(), 100.0, reply("me"), 100.1)
    assert mine.rights()
    foreign = replace(reply("me"), beats={"me": 900, "other": 1})
    mine.answered(mine.ask(), 101.0, foreign, 101.1)
    assert mine.rights() == {}
    assert mine.ask() == 901
    mine.answered(901, 102.0, replace(foreign, beats={"me": 901, "other": 1}), 102.1)
    assert mine.rights()


def test_after_a_release_whose_pace_is_gone_the_account_is_silent() -> None:
    """When the last request left is not known."""
    mine = leases()
    mine.answered(mine.ask(), 100.0, reply(), 100.1)
    mine.moves(100.1)
    mine.answered(mine.ask(), 100.2, reply("me", token=2), 100.3)
    assert mine.rights()["one"].from_at == 100.3 + SILENCE_SECONDS


def test_a_replica_without_a_heartbeat_is_dead_after_its_right_and_forgotten() -> None:
    mine = leases()
    found = replace(reply("me"), beats={"me": 1})
    mine.answered(mine.ask(), 100.0, found, 100.1)
    dead_at = 100.1 + OTHER.right_seconds
    mine.answered(mine.ask(), dead_at + 1.0, found, dead_at + 1.0)
    assert [each.id for each in mine.live(dead_at - 0.01)] == ["me", "other"]
    assert [each.id for each in mine.live(dead_at)] == ["me"]
    assert mine.moves(dead_at + SILENCE_SECONDS).forget == (("other", -1),)


def test_dead_replicas_are_forgotten_once_what_they_held_is_free() -> None:
    mine = leases()
    mine.configure([])  # others are to have the account
    mine.answered(mine.ask(), 100.0, reply("other", beat=4), 100.1)
    dead_at = 100.1 + OTHER.right_seconds
    mine.answered(mine.ask(), dead_at + 1.0, reply("other", beat=4), dead_at + 1.0)
    assert mine.moves(dead_at + SILENCE_SECONDS - 0.01) == Moves()
    moves = mine.moves(dead_at + SILENCE_SECONDS)
    assert moves == Moves(takes=(Take("one", 1, "other", 4, frees=True),))
    mine.answered(mine.ask(), dead_at + 1.5, reply("", token=2, beat=4), dead_at + 1.5)
    assert mine.moves(dead_at + 1.5) == Moves(forget=(("other", 4),))


@pytest.mark.parametrize("after_seconds", [0.5, 4.0, 8.0, 12.0])
def test_a_death_and_a_join_at_once_leave_no_account_for_longer_than_a_lease(after_seconds: float) -> None:
    """The one that joins did not see the dead one alive; it has to rely on the others."""
    of = world()
    first, *_ = settled(of, 3)
    died_at = of.now
    first.alive = False
    of.run(after_seconds)
    of.start()
    of.run(2 * LEASE)
    assert counts(of) == [2, 2, 2]
    for account in of.accounts:
        times = [died_at, *(at for at, _ in polled(of, account, died_at)), of.now]
        assert max(after - before for before, after in itertools.pairwise(times)) < LEASE
    of.check()


def test_a_second_of_latency_to_the_store_costs_no_lease_of_ten_seconds() -> None:
    of = world(lease=10.0, accounts=4)
    settled(of, 2)
    for each in of.alive:
        each.link.delay = 0.5  # each way
    began_at, changes = of.now, [dict(each.leases.changes) for each in of.alive]
    of.run(60.0)
    assert [each.leases.changes for each in of.alive] == changes
    for account in of.accounts:
        times = [began_at, *(at for at, _ in polled(of, account, began_at)), of.now]
        assert max(after - before for before, after in itertools.pairwise(times)) < 1.0


def test_a_long_name_of_a_replica_is_cut_to_what_the_others_read() -> None:
    of = world(accounts=1)
    session = Session(leases(), of.start(), lambda: 0.0, "pod\n" * 99)
    call = next(session.step())
    call(of.store)
    assert of.store.data.members["me"].name == ("pod" * 99)[:128]


def test_counters_are_of_this_replica_alone() -> None:
    of = world(accounts=2)
    settled(of, 2)
    assert Counter(each for replica in of.alive for each in replica.leases.changes) == Counter(of.accounts)
