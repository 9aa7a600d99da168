"""The scripts and the client on a real server: what they do, and what becomes of them when the server fails."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from exporter.cluster.answers.records import key_text
from exporter.cluster.leases.table import Contact, Member, Take
from exporter.cluster.session import Calls
from exporter.cluster.store import scripts
from exporter.cluster.store.calls import MAX_ANSWERS, MAX_PAYLOAD_BYTES, Store
from exporter.cluster.store.replies import MAX_LIST_BYTES, StoreError
from exporter.cluster.store.scripts import FOREIGN
from exporter.model import Pace
from tests.support.clusterstore import ModelStore
from tests.support.patience import PATIENCE_SECONDS
from tests.support.redisserver import PREFIX, RedisServer, documented_rights, redis_server
from tests.support.storeproxy import StoreProxy

A, B = (Member(name, f"host-{name}", 0, 15.0, 12.5, claims=True, accounts="0123") for name in "ab")
SCRIPTS = (
    scripts.CONTACT,
    scripts.PUBLISH,
    scripts.LIST,
    scripts.TAKE,
    scripts.RELEASE,
    scripts.FORGET,
    scripts.EXCHANGE,
    scripts.CLEAR,
)
HOLD_SECONDS = 0.05
IMPATIENT_SECONDS = 0.3


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="cams-") as folder, redis_server(Path(folder)) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    """A server without data."""
    running.admin("FLUSHALL")
    running.admin("ACL", "SETUSER", "cams", "reset", *documented_rights())
    running.admin("ACL", "LOG", "RESET")
    return running


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    store = server.store()
    yield store
    store.close()


def contact(store: Calls, me: Member, number: int, known: Contact | None = None, **paces: tuple[int, Pace]) -> Contact:
    epoch_and_change = ("", -1) if known is None else (known.epoch, known.change)
    return store.contact(me, number, epoch_and_change, HOLD_SECONDS, paces)


def opened(store: Calls, *members: Member) -> Contact:
    """Wait until the epoch grants; each of `members` made a contact."""
    deadline, number = time.monotonic() + PATIENCE_SECONDS, 1
    while [contact(store, each, number) for each in members][-1].opens_in_seconds > 0:
        assert time.monotonic() < deadline  # bounds a hang
        time.sleep(HOLD_SECONDS / 2)
        number += 1
    return [contact(store, each, 500) for each in members][-1]


def test_every_script_runs_with_the_documented_rights_and_needs_each_of_them(server: RedisServer, store: Store) -> None:
    """In all their branches, as the user of the docs: nothing is refused, and no right is left over."""
    documented = {right[1:] for right in documented_rights() if right[0] == "+"}
    in_scripts = {name.lower() for script in SCRIPTS for name in re.findall(r"redis\.call\('(\w+)'", script)}
    assert in_scripts < documented
    server.admin("CONFIG", "RESETSTAT")
    _played(store)
    epoch = opened(store, A, B).epoch
    assert store.take("a", epoch, [Take("six", 0, "", -1), Take("zero\u200bwidth", 0, "", -1)])
    assert store.accounts_of("c") is None
    store.publish_accounts("b", ["one", "zero\u200bwidth"])
    assert store.accounts_of("b") == ("one", "zero\u200bwidth")
    store.exchange("a", epoch, "0", 60, [("old", 9.0, b"[]"), ("new", 9.0, b"[]")])
    server.admin("HSET", f"{PREFIX}:entries", "old", "1|0|a|x")  # written long ago
    store.exchange("b", epoch, "0", 60, [("new", 0.0, b"[]")])
    assert server.admin("HKEYS", f"{PREFIX}:entries") == [b"new"]
    beats = contact(store, A, 2000).beats
    store.forget([("b", beats["b"])])
    assert "b" not in contact(store, A, 2001).beats
    store.release("a", {"six": (1, Pace())}, leaves=True)
    server.admin("HSET", f"{PREFIX}:beats", "a", "nonsense")
    with pytest.raises(StoreError, match="another program"):
        contact(store, B, 2002)
    assert server.admin("KEYS", "*") == []
    contact(store, B, 2003)
    assert server.admin("ACL", "LOG") == []
    stats: Any = server.admin("INFO", "commandstats")
    assert documented <= {name.removeprefix("cmdstat_") for name in stats}
    keys: Any = server.admin("KEYS", "*")
    assert {key.split(b":")[0] for key in keys} == {PREFIX.encode()}


def test_the_documented_user_can_do_nothing_else(server: RedisServer) -> None:
    """Also not from a script: other commands, other keys, and what empties the store are refused."""
    refused = ("HGET other x", "GET x", "KEYS *", "DEL other", "FLUSHALL", "CONFIG GET *", "PUBLISH x y")
    for words in map(str.split, refused):
        in_script = ["EVAL", f"return redis.call({', '.join(map(repr, words))})", "0"]
        for command in (words, in_script):
            with pytest.raises(redis.ResponseError, match=r"permission|can't (run|access)|not allowed"):
                server.as_user(*command)


def test_another_database_needs_the_right_to_select_it(server: RedisServer) -> None:
    store = server.store(url=f"unix://{server.socket}?db=1")
    with pytest.raises(StoreError, match="select"):
        contact(store, A, 1)
    server.admin("ACL", "SETUSER", "cams", "+select")
    assert contact(store, A, 2).beats == {"a": 2}
    store.close()


def test_the_model_does_what_the_scripts_do(store: Store) -> None:
    """The property test of the leases runs on the model, so the two must agree on every answer."""
    assert _played(store) == _played(ModelStore(time.monotonic))


def _played(store: Calls) -> list[Any]:
    epoch = opened(store, A, B).epoch
    seen: list[Any] = []

    def note(me: Member, number: int, known: Contact | None = None, **paces: tuple[int, Pace]) -> Contact:
        reply = contact(store, me, number, known, **paces)
        seen.append((reply.beats, reply.table, reply.lacks_accounts, reply.epoch == epoch))
        return reply

    takes = [Take("one", 0, "", -1), Take("two", 0, "", -1), Take("three", 1, "", -1), Take("four", 0, "b", 1)]
    seen.append(store.take("a", epoch, takes))
    seen.append(store.take("b", epoch, takes))
    seen.append(store.take("c", epoch, [Take("five", 0, "", -1)]))  # no member
    seen.append(store.take("b", "another epoch", [Take("five", 0, "", -1)]))
    reply = note(A, 1000, one=(1, Pace(0.1)), two=(7, Pace(0.2)))
    note(A, 999, reply)  # executed late: the heartbeat stays
    seen.append(store.take("b", epoch, [Take("one", 1, "a", 999)]))  # it made a contact since
    seen.append(store.take("b", epoch, [Take("one", 2, "a", 1000)]))  # an old or new token
    seen.append(store.take("b", epoch, [Take("one", 1, "a", 1000), Take("two", 1, "a", 999, frees=True)]))
    seen.append(store.take("a", epoch, [Take("two", 1, "a", 1000, frees=True)]))
    seen.append(store.take("a", epoch, [Take("two", 2, "", -1)]))
    store.publish_accounts("b", ["one"])
    note(B, 1001)
    seen.append(store.release("a", {"one": (1, Pace()), "two": (3, Pace(0.1, 2.0, 0.5))}, leaves=False))
    store.forget([("b", 1001), ("a", 999)])  # one holds an account, one made a contact since
    note(replace(B, claims=False), 1002)
    seen.append(store.release("b", {"one": (2, Pace())}, leaves=True))
    note(A, 1003)
    return seen


def test_an_empty_store_grants_nothing_at_first(store: Store) -> None:
    first = store.contact(A, 1, ("", -1), 60.0, {})
    assert first.opens_in_seconds == 60
    assert store.take("a", first.epoch, [Take("one", 0, "", -1)]) == ()
    longer = store.contact(B, 1, ("", -1), 90.0, {})  # one that knows of a longer lease
    assert 60 < longer.opens_in_seconds <= 90


@pytest.mark.parametrize("loss", ["kill", "FLUSHALL", f"DEL {PREFIX}:holders"])
def test_a_store_that_lost_its_data_has_a_new_epoch(server: RedisServer, store: Store, loss: str) -> None:
    before = opened(store, A)
    assert store.take("a", before.epoch, [Take("one", 0, "", -1)]) == ("one",)
    if loss == "kill":
        server.kill()
        with pytest.raises(StoreError):
            contact(store, A, 1001)
        server.start()
    else:
        server.admin(*loss.split())
    assert store.take("a", before.epoch, [Take("two", 0, "", -1)]) == ()
    after = store.contact(A, 1002, ("", -1), 60.0, {})
    assert after.epoch != before.epoch
    assert after.opens_in_seconds == 60
    assert after.table is not None
    assert after.table.holdings == {}


def test_a_store_that_kept_its_data_over_a_restart_has_a_new_epoch() -> None:
    """What it has may be old: a failover loses the last changes."""
    with (
        tempfile.TemporaryDirectory(prefix="cams-") as folder,
        redis_server(Path(folder), "--appendonly", "yes", "--appendfsync", "always") as server,
    ):
        store = server.store()
        before = opened(store, A)
        store.take("a", before.epoch, [Take("one", 0, "", -1)])
        server.kill()
        server.start()
        store.close()
        after = store.contact(A, 1001, (before.epoch, before.change), 60.0, {})
        store.close()
    assert after.epoch != before.epoch
    assert after.opens_in_seconds == 60
    assert after.table is not None
    assert after.table.holdings["one"].holder == "a"


def test_the_clock_of_the_store_never_keeps_an_epoch_closed_for_longer(server: RedisServer, store: Store) -> None:
    """As if the clock was set back by an hour after the epoch began."""
    contact(store, A, 1)
    server.admin("HINCRBY", f"{PREFIX}:epoch", "opens", "3600000")
    assert contact(store, A, 2).opens_in_seconds <= HOLD_SECONDS  # bounds a hang


def test_a_frozen_store_fails_in_time_and_what_it_does_later_is_fenced(server: RedisServer) -> None:
    """The take is executed when the server goes on; it still compares what it was told to."""
    patient, impatient = server.store(), server.store(IMPATIENT_SECONDS)
    epoch = opened(patient, A, B).epoch
    assert patient.take("a", epoch, [Take("one", 0, "", -1)]) == ("one",)
    reply = contact(patient, A, 1000)
    stale = Take("one", 1, "a", reply.beats["a"])
    contact(impatient, B, 1000)
    with server.halted(), pytest.raises(StoreError):
        impatient.take("b", epoch, [replace(stale, beat=999)])
    assert _holder_after(patient, 1001) == "a"
    assert contact(impatient, B, 1002).beats["a"] == 1001  # it connects again
    for each in (patient, impatient):
        each.close()


def _holder_after(store: Store, number: int) -> str:
    table = contact(store, A, number).table
    assert table is not None
    return table.holdings["one"].holder


def test_a_network_that_swallows_everything_fails_in_time_and_heals(server: RedisServer) -> None:
    with StoreProxy(server.socket) as proxy:
        store = server.store(IMPATIENT_SECONDS, proxy.url)
        contact(store, A, 1)
        proxy.is_cut = True
        with pytest.raises(StoreError):
            contact(store, A, 2)
        proxy.is_cut = False
        patient = server.store(url=proxy.url)
        assert contact(patient, A, 3).beats == {"a": 3}
        store.close()
        patient.close()


def test_a_slow_network_is_waited_for(server: RedisServer) -> None:
    with StoreProxy(server.socket) as proxy:
        proxy.delay_seconds = 0.2
        store = server.store(url=proxy.url)
        began = time.monotonic()
        contact(store, A, 1)
        assert time.monotonic() - began >= 0.4
        store.close()


def test_an_error_of_the_server_shows_no_password(server: RedisServer) -> None:
    server.admin("ACL", "SETUSER", "cams", "resetpass", ">another")
    store = server.store()
    with pytest.raises(StoreError) as failure:
        contact(store, A, 1)
    assert "not-a-real-password" not in str(failure.value)


# Answers


def test_each_replica_reads_what_others_wrote_and_once(store: Store) -> None:
    epoch = contact(store, A, 1).epoch
    own = store.exchange("a", epoch, "0", 60, [("one", 0.0, b"1"), ("two", 0.0, b"2|x")])
    assert own is not None
    assert own.entries == ()
    first = store.exchange("b", epoch, "0", 60, [])
    assert first is not None
    assert {entry.key: entry.payload for entry in first.entries} == {"one": b"1", "two": b"2|x"}
    store.exchange("a", epoch, own.count, 60, [("two", 0.0, b"3")])
    second = store.exchange("b", epoch, first.count, 60, [])
    assert second is not None
    assert [(entry.key, entry.payload) for entry in second.entries] == [("two", b"3")]
    assert store.exchange("b", "another epoch", "0", 60, []) is None


def test_an_older_answer_replaces_no_newer_one(server: RedisServer, store: Store) -> None:
    epoch = contact(store, A, 1).epoch
    store.exchange("a", epoch, "0", 60, [("one", 1.0, b"new")])
    store.exchange("b", epoch, "0", 60, [("one", 9.0, b"old")])
    found = store.exchange("c", epoch, "0", 60, [])
    assert found is not None
    assert [entry.payload for entry in found.entries] == [b"new"]
    # The clock was set back by an hour since: then the last one counts.
    written = str(found.now_ms + 3_600_000)
    server.admin("HSET", f"{PREFIX}:entries", "one", f"{written}|0|a|future")
    store.exchange("b", epoch, "0", 60, [("one", 9.0, b"old")])
    found = store.exchange("c", epoch, "0", 60, [])
    assert found is not None
    assert [entry.payload for entry in found.entries] == [b"old"]


def test_many_answers_are_read_in_parts(store: Store) -> None:
    epoch = contact(store, A, 1).epoch
    for part in range(3):
        store.exchange("a", epoch, "0", 60, [(f"{part}-{index}", 0.0, b"x") for index in range(200)])
    first = store.exchange("b", epoch, "0", 60, [])
    assert first is not None
    rest = store.exchange("b", epoch, first.count, 60, [])
    assert rest is not None
    assert [len(each.entries) for each in (first, rest)] == [MAX_ANSWERS, 100]
    assert [each.is_all for each in (first, rest)] == [False, True]


def test_what_nobody_renews_is_forgotten(server: RedisServer, store: Store) -> None:
    epoch = contact(store, A, 1).epoch
    store.exchange("a", epoch, "0", 60, [("gone", 0.0, b"x")])
    server.admin("HSET", f"{PREFIX}:entries", "gone", "1|0|a|x")  # written long ago
    store.exchange("a", epoch, "0", 60, [("kept", 0.0, b"x")])
    assert server.admin("HKEYS", f"{PREFIX}:entries") == [b"kept"]
    assert server.admin("ZCARD", f"{PREFIX}:log") == 1


def test_any_name_of_a_number_is_handed_on(store: Store) -> None:
    """Names in the configuration may be long, and in any script."""
    epoch = contact(store, A, 1).epoch
    keys = {"x" * 900, "\u200bנ", "a\nb", key_text(("number", "\ud800", "נ", "1"))}
    store.exchange("a", epoch, "0", 60, [(key, 0.0, b"x") for key in keys])
    found = store.exchange("b", epoch, "0", 60, [])
    assert found is not None
    assert {entry.key for entry in found.entries} == keys


def test_an_answer_that_another_program_wrote_hides_no_other_and_is_replaced(server: RedisServer, store: Store) -> None:
    """Else one is enough that no replica hears of another, for good."""
    epoch = contact(store, A, 1).epoch
    store.exchange("a", epoch, "0", 60, [(key, 0.0, b"x") for key in ("none", "empty", "cut", "large", "last")])
    for key, value in (("none", "nonsense"), ("empty", ""), ("cut", "1|0"), ("large", f"{'9' * 400}|{'9' * 400}|x|y")):
        server.admin("HSET", f"{PREFIX}:entries", key, value)
    found = store.exchange("b", epoch, "0", 60, [])
    assert found is not None
    assert {entry.key: entry.payload for entry in found.entries} == {"large": b"y", "last": b"x"}
    assert {entry.written_ms <= found.now_ms for entry in found.entries} == {True}
    assert server.admin("HEXISTS", f"{PREFIX}:entries", "none") == 0  # nobody renews it
    store.exchange("a", epoch, "0", 60, [(key, 0.0, b"z") for key in ("none", "empty", "cut", "large")])
    found = store.exchange("b", epoch, "0", 60, [])
    assert found is not None
    assert [entry.payload for entry in found.entries] == [b"x", b"z", b"z", b"z", b"z"]


def test_a_payload_that_is_too_long_is_left_out(server: RedisServer, store: Store) -> None:
    epoch = contact(store, A, 1).epoch
    store.exchange("a", epoch, "0", 60, [("long", 0.0, b"x" * (MAX_PAYLOAD_BYTES + 1)), ("short", 0.0, b"x")])
    found = store.exchange("b", epoch, "0", 60, [])
    assert found is not None
    assert [entry.key for entry in found.entries] == ["short"]


GARBAGE = [
    *(("HSET", key, *value) for key, value in [
        ("members", ("x", "1|[]")),
        ("members", ("x", '1|["n", 1e9, 5, true, "d", ""]')),
        ("members", ("x", '1|["n", 15, 1e9, true, "d", ""]')),
        ("members", ("x", "1|" + "[" * 100_000)),
        ("members", ("x", "x" * 1025)),
        ("holders", ("one", "1")),
        ("holders", ("one", "-1|a")),
        ("holders", ("one", f"{'9' * 400}|a")),
        ("holders", ("o" * 200, "1|a")),
        ("holders", tuple(part for index in range(20_001) for part in (str(index), "1|a"))),
        ("paces", ("one", "[1e99, 0, null]")),
        ("paces", ("one", "[NaN, 0, null]")),
        ("paces", ("one", f"[0, 0, 1{'0' * 400}]")),  # no float is so large
        ("paces", ("one", "nonsense")),
        ("paces", ("one", "x" * 1025)),
        ("beats", ("x", "nan")),
        ("beats", ("a", "nan")),
        ("beats", ("\x1b[31m", "1")),
        ("beats", ("x" * 1025, "1")),
        ("epoch", ("id", "x" * 200)),
        ("epoch", ("id", "\x1b[31m")),
        ("epoch", ("opens", "soon")),
        ("epoch", ("opens", "nan")),
        ("epoch", ("hold", "9" * 14)),
        ("epoch", ("change", "nonsense")),
        ("epoch", ("joined", "-1")),
        ("epoch", ("answers", "9" * 18)),
    ]),
    *(("SET", key, "x") for key in scripts.KEYS),
    ("HSET", "epoch", "answers", "0"),
    ("ZADD", "log", "1e15", "one"),
    ("ZADD", "log", "inf", "one"),
    ("ZADD", "log", "1.5", "two"),
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: " ".join(garbage)[:40])
def test_what_another_program_wrote_costs_a_rest_and_no_more(
    server: RedisServer, store: Store, garbage: tuple[str, ...]
) -> None:
    """The replicas find it at the next look at the latest, and use the store as if it had lost its data."""
    epoch = _all_keys_used(store)
    command, key, *value = garbage
    server.admin(command, f"{PREFIX}:{key}", *value)
    server.admin("HINCRBY", f"{PREFIX}:epoch", "change", "1") if key in {"members", "holders", "paces"} else None
    with pytest.raises(StoreError, match="another program wrote into the store"):
        _look(store, 1001, epoch)
    after = store.contact(A, 1002, ("", -1), 60.0, {})
    assert after.epoch != epoch
    assert after.opens_in_seconds == 60
    assert after.table is not None
    assert not after.table.holdings
    assert _look(store, 1003, after.epoch) is not None


def _all_keys_used(store: Store) -> str:
    """Each key of the store has something; returns the epoch."""
    epoch = opened(store, A, B).epoch
    store.publish_accounts("a", ["one"])
    store.take("a", epoch, [Take("one", 0, "", -1)])
    contact(store, A, 1000, one=(1, Pace(0.1)))
    for key in ("one", "two"):
        store.exchange("a", epoch, "0", 60, [(key, 0.0, b"x")])
    return epoch


def _look(store: Store, number: int, epoch: str) -> object:
    """What a replica asks at each look."""
    contact(store, A, number)
    return store.exchange("b", epoch, "0", 60, [])


@pytest.mark.parametrize(("key", "field", "value"), [("beats", "a", "nonsense"), ("members", "a", "nonsense")])
def test_what_a_contact_writes_anew_is_no_fault(
    server: RedisServer, store: Store, key: str, field: str, value: str
) -> None:
    epoch = _all_keys_used(store)
    server.admin("HSET", f"{PREFIX}:{key}", field, value)
    found = contact(store, A, 1001)
    assert found.epoch == epoch
    assert found.beats["a"] == 1001
    assert found.table is not None
    assert found.table.members["a"].name == A.name


@pytest.mark.parametrize("key", scripts.KEYS)
def test_a_key_that_was_deleted_is_made_anew(server: RedisServer, store: Store, key: str) -> None:
    _all_keys_used(store)
    server.admin("DEL", f"{PREFIX}:{key}")
    deadline, number, heard = time.monotonic() + PATIENCE_SECONDS, 1001, False
    while not heard:
        assert time.monotonic() < deadline  # bounds a hang
        with contextlib.suppress(StoreError):
            epoch = contact(store, A, number).epoch
            store.exchange("a", epoch, "0", 60, [("new", 0.0, str(number).encode())])
            found = store.exchange("b", epoch, "0", 60, [])
            heard = found is not None and "new" in {entry.key for entry in found.entries}
        number += 1


@pytest.mark.parametrize("key", scripts.KEYS)
def test_keys_of_another_program_are_left_alone(server: RedisServer, store: Store, key: str) -> None:
    """The prefix may be one that somebody else uses."""
    for theirs in ("SET", f"{PREFIX}:{key}", "theirs"), ("HSET", f"{PREFIX}:{key}", "their", "own"):
        server.admin(*theirs)
        for _ in range(2):
            with pytest.raises(StoreError, match="another program uses these keys: delete them"):
                contact(store, A, 1)
        assert server.admin("DEL", f"{PREFIX}:{key}") == 1
        assert server.admin("KEYS", "*") == []


def test_a_user_with_fewer_rights_still_uses_the_store(server: RedisServer, store: Store) -> None:
    """As with the line of an earlier version: only another program's values are not found, or not removed."""
    server.admin("ACL", "SETUSER", "cams", "-exists", "-del")
    epoch = _all_keys_used(store)
    assert _look(store, 1001, epoch) is not None
    server.admin("SET", f"{PREFIX}:log", "x")
    with pytest.raises(StoreError, match="can't run this command"):
        _look(store, 1002, epoch)


def test_what_comes_late_writes_nothing_into_a_store_that_was_wiped(server: RedisServer, store: Store) -> None:
    """Else whoever starts then would take it for that of another program."""
    _all_keys_used(store)
    server.admin("FLUSHALL")
    store.publish_accounts("a", ["one"])
    store.forget([("b", 500)])
    store.release("a", {"one": (1, Pace())}, leaves=True)
    assert server.admin("KEYS", "*") == []


def test_what_was_garbled_before_this_replica_came_is_no_other_program(server: RedisServer, store: Store) -> None:
    _all_keys_used(store)
    server.admin("SET", f"{PREFIX}:log", "x")
    later = server.store()
    with pytest.raises(StoreError, match="another program wrote into the store"):
        _look(later, 1001, contact(later, A, 1001).epoch)
    later.close()
    assert server.admin("KEYS", "*") == []


def test_two_replicas_may_find_at_once_what_another_program_wrote(server: RedisServer, store: Store) -> None:
    """The second one to remove the keys does not take them for another program's."""
    _all_keys_used(store)
    found = [
        server.admin("EVAL", scripts.CLEAR, str(len(scripts.KEYS)), *(f"{PREFIX}:{key}" for key in scripts.KEYS), "1")
        for _ in range(2)
    ]
    assert all(found)


@pytest.mark.parametrize("beat", [2**53 - 1, 2**53])
def test_no_contact_is_answered_without_a_higher_heartbeat(server: RedisServer, store: Store, beat: int) -> None:
    """Beyond these numbers the store's scripts round: the others would take this replica for dead."""
    contact(store, A, 1)
    server.admin("HSET", f"{PREFIX}:beats", "a", str(beat))
    with pytest.raises(StoreError, match="another program wrote into the store"):  # noqa: PT012 - either contact
        contact(store, A, 2)
        contact(store, A, beat + 1)


def test_a_lease_that_another_program_wrote_over_is_never_taken(server: RedisServer, store: Store) -> None:
    """Whoever still knows the table as it was finds it when it asks for the account."""
    epoch = _all_keys_used(store)
    server.admin("HSET", f"{PREFIX}:holders", "one", "nonsense")
    with pytest.raises(StoreError, match="another program wrote into the store"):
        store.take("b", epoch, [Take("one", 1, "a", 1000)])
    assert store.take("b", epoch, [Take("one", 0, "", -1)]) == ()
    _all_keys_used(store)
    server.admin("HSET", f"{PREFIX}:holders", "one", "nonsense")
    with pytest.raises(StoreError, match="another program wrote into the store"):
        store.forget([("b", 500)])


def test_what_is_too_large_stays_in_the_store(server: RedisServer, store: Store) -> None:
    """Else it fills the memory of all replicas, before they can refuse it."""
    for key, value in (("beats", "x" * 1025), ("lists", "x" * (MAX_LIST_BYTES + 1))):
        contact(store, A, 1)
        server.admin("HSET", f"{PREFIX}:{key}", "x", value)
        with pytest.raises(StoreError, match=FOREIGN):
            contact(store, A, 2) if key == "beats" else store.accounts_of("x")


def test_a_replica_of_a_newer_version_is_understood(server: RedisServer, store: Store) -> None:
    contact(store, A, 0)
    server.admin("HSET", f"{PREFIX}:members", "new", '7|["host", 15, 12, true, "d", "hash", "more"]')
    server.admin("HSET", f"{PREFIX}:paces", "one", "[0.1, 0, null, 5]")
    table = contact(store, A, 1).table
    assert table is not None
    assert table.members["new"] == Member("new", "host", 7, 15.0, 12.0, claims=True, accounts="d", config_hash="hash")
    assert table.paces["one"] == Pace(0.1)


def test_a_list_of_accounts_of_another_shape_is_refused(server: RedisServer, store: Store) -> None:
    for value in ("nonsense", "{}", "[1]"):
        contact(store, A, 1)
        server.admin("HSET", f"{PREFIX}:lists", "x", value)
        with pytest.raises(StoreError, match="another program wrote into the store"):
            store.accounts_of("x")
    assert server.admin("KEYS", "*") == []
