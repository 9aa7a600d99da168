"""Passwords: which logins are accepted, what a check costs, and what an answer reveals."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.security import basic_auth
from exporter.web.security.basic_auth import DEFAULT_COST, MAX_CACHED, MAX_EQUAL_COST, THREADS, BasicAuth, parse_header
from tests.support.patience import PATIENCE_SECONDS

T = TypeVar("T")

PASSWORD = b"correct horse"
HASHED = bcrypt.hashpw(PASSWORD, bcrypt.gensalt(4)).decode()
LONG = b"x" * 72
USERS = {"alice": HASHED, "long": bcrypt.hashpw(LONG, bcrypt.gensalt(4)).decode()}


def basic(user: bytes | str, password: bytes) -> str:
    name = user.encode() if isinstance(user, str) else user
    return "Basic " + base64.b64encode(name + b":" + password).decode()


def with_auth(use: Callable[[BasicAuth], Awaitable[T]]) -> T:
    """The result of `use` with a running BasicAuth."""

    async def run() -> T:
        checks = BasicAuth()
        for threads in checks.threads:
            threads.start()
        try:
            return await use(checks)
        finally:
            for threads in checks.threads:
                threads.stop()

    return asyncio.run(run())


def admitted(header: str) -> bool:
    return with_auth(lambda checks: checks.admits(USERS, header))


def test_the_right_password_is_right() -> None:
    assert admitted(basic("alice", PASSWORD))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        basic("alice", b"wrong"),
        basic("alice", b""),
        basic("", PASSWORD),
        basic("nobody", PASSWORD),
        basic("ALICE", PASSWORD),
        basic("alice", PASSWORD + b"\n"),
        basic("alice", PASSWORD + b"\0"),
        basic("alice", b"\0"),
        basic(b"alice\xff", PASSWORD),
        "Bearer " + base64.b64encode(b"alice:" + PASSWORD).decode(),
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic alice:correct horse",
        "Basic \udcff",
        "Basic ====",
    ],
)
def test_anything_else_is_wrong(header: str) -> None:
    assert not admitted(header)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_the_scheme_may_be_written_in_any_case(scheme: str) -> None:
    """RFC 9110, 11.1."""
    assert admitted(scheme + basic("alice", PASSWORD).removeprefix("Basic"))


@pytest.mark.parametrize("length", [72, 73, 200, 1400])
def test_of_a_long_password_the_first_72_bytes_count(length: int) -> None:
    """As in exporter-toolkit and in the tool that made the hash: a refusal would be a 401 without a visible reason."""
    assert admitted(basic("long", b"x" * length))
    assert admitted(basic("long", LONG + b"\0"))
    assert not admitted(basic("long", b"x" * 71))
    assert not admitted(basic("long", b"x" * 71 + b"y" * (length - 71)))
    assert not admitted(basic("nobody", b"x" * length))


def test_a_header_beyond_all_measure_is_not_even_decoded() -> None:
    assert parse_header(basic("alice", b"x" * 10_000)) is None


@given(st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), max_size=50), st.binary(max_size=80))
def test_what_a_client_sends_is_what_is_read(user: str, password: bytes) -> None:
    assert parse_header(basic(user, password)) == (user, password)


@given(st.text(max_size=20) | st.text(max_size=20).map(lambda text: f"Basic {text}"))
def test_no_header_is_an_error(header: str) -> None:
    """For any input the answer is yes or no."""
    parse_header(header)


class CountedHashing:
    """`bcrypt.checkpw`, with a record of each computed hash."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[bytes] = []
        real = bcrypt.checkpw

        def checkpw(password: bytes, hashed: bytes) -> bool:
            answer = real(password, hashed)
            self.hashes.append(hashed)  # not where the library refuses to compute it: that takes no time
            return answer

        monkeypatch.setattr(bcrypt, "checkpw", checkpw)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> CountedHashing:
    return CountedHashing(monkeypatch)


def test_an_unknown_user_costs_one_hash_as_a_known_one_does(hashing: CountedHashing) -> None:
    """Otherwise the time of an answer reveals which names exist.  The library must really compute the fake hash."""
    for user in ("alice", "nobody", "someone"):
        assert not admitted(basic(user, b"wrong"))
    assert len(hashing.hashes) == 3
    assert {hashed[:7] for hashed in hashing.hashes} == {b"$2b$04$"}


def at_cost(cost: int) -> str:
    """A hash of this cost that no password fits."""
    return HASHED.replace("$04$", f"${cost:02d}$")


def spent(hashing: CountedHashing, users: Mapping[str, str], user: str, password: bytes = b"wrong") -> int:
    """The cost of a login, in units of the cheapest hash."""
    before = len(hashing.hashes)
    with_auth(lambda checks: checks.admits(users, basic(user, password)))
    return sum(2 ** (int(hashed[4:6]) - 4) for hashed in hashing.hashes[before:])


def test_each_wrong_login_costs_the_same_whichever_hash_its_user_has(hashing: CountedHashing) -> None:
    """Otherwise the time of an answer reveals which names exist, or the cost of their hashes."""
    users = {"cheap": at_cost(4), "middle": at_cost(5), "dear": at_cost(7)}
    costs = [spent(hashing, users, user) for user in ("cheap", "middle", "dear", "nobody", "cheap2", "x")]
    assert costs == [8] * 6
    assert spent(hashing, users, "cheap", PASSWORD) == 1  # a user who knows the password may know that


class FakeHashing:
    """A fast `bcrypt.checkpw`; hashes in `gates` wait for their gate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[bytes] = []
        self.passwords: list[bytes] = []
        self.gates: dict[bytes, threading.Event] = {}
        self.entered = threading.Semaphore(0)
        monkeypatch.setattr(bcrypt, "checkpw", self._checkpw)

    def _checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.hashes.append(hashed)
        self.passwords.append(password)
        gate = self.gates.get(password)
        self.entered.release()
        assert gate is None or gate.wait(PATIENCE_SECONDS)
        return password == PASSWORD


@pytest.fixture
def fake_hashing(monkeypatch: pytest.MonkeyPatch) -> FakeHashing:
    return FakeHashing(monkeypatch)


def test_a_hash_dearer_than_all_measure_does_not_make_strangers_names_as_dear(fake_hashing: FakeHashing) -> None:
    """A hash of cost 18 takes 22 s, and must not be computed for a name that does not exist."""
    users = {"dear": at_cost(18)}
    with_auth(lambda checks: checks.admits(users, basic("nobody", b"wrong")))
    with_auth(lambda checks: checks.admits({**users, "usual": at_cost(11)}, basic("nobody", b"wrong")))
    assert [int(hashed[4:6]) for hashed in fake_hashing.hashes] == [DEFAULT_COST, 11]
    assert MAX_EQUAL_COST < 18


def test_no_login_waits_for_one_whose_hash_is_dearer(fake_hashing: FakeHashing) -> None:
    users = {"dear": at_cost(18), "usual": at_cost(10)}
    gate = fake_hashing.gates[b"wrong"] = threading.Event()

    async def ask(checks: BasicAuth) -> None:
        wrong = [asyncio.create_task(checks.admits(users, basic("dear", b"wrong"), index)) for index in range(9)]
        assert await checks.admits(users, basic("usual", PASSWORD))
        assert not any(task.done() for task in wrong)
        gate.set()
        assert not any(await asyncio.gather(*wrong))

    with_auth(ask)


@pytest.mark.parametrize("cost", [10, 18])
def test_four_strangers_keep_no_user_waiting(fake_hashing: FakeHashing, cost: int) -> None:
    """A remembered login needs no check.  Another one waits for at most one check of another client."""
    users = {"dear": at_cost(18), "cached": at_cost(18), "user": at_cost(cost)}
    strangers = [b"stranger-%d" % index for index in range(THREADS)]
    gates = [fake_hashing.gates.setdefault(password, threading.Event()) for password in strangers]

    async def ask(checks: BasicAuth) -> None:
        assert await checks.admits(users, basic("cached", PASSWORD), "friend")
        trying = [
            asyncio.create_task(checks.admits(users, basic("nobody", password), password)) for password in strangers
        ]
        while len(fake_hashing.hashes) < 1 + THREADS:  # noqa: ASYNC110 - a list has no event to await
            await asyncio.sleep(0)
        assert {int(hashed[4:6]) for hashed in fake_hashing.hashes[1:]} == {DEFAULT_COST}
        assert await checks.admits(users, basic("cached", PASSWORD), "friend")
        user = asyncio.create_task(checks.admits(users, basic("user", PASSWORD), "friend"))
        if cost <= MAX_EQUAL_COST:
            gates[0].set()
        assert await user
        assert not any(task.done() for task in trying[1:])
        for gate in gates:
            gate.set()
        assert not any(await asyncio.gather(*trying))

    with_auth(ask)


@pytest.mark.parametrize("user", ["dear", "usual"])
def test_wrong_logins_for_a_user_with_a_high_cost_delay_another_login_by_one_check_at_most(
    fake_hashing: FakeHashing, user: str
) -> None:
    users = {"dear": at_cost(18), "usual": at_cost(10)}
    strangers = [b"stranger-%d" % index for index in range(2 * THREADS)]
    gates = [fake_hashing.gates.setdefault(password, threading.Event()) for password in strangers]

    async def ask(checks: BasicAuth) -> None:
        trying = [
            asyncio.create_task(checks.admits(users, basic("dear", password), "stranger")) for password in strangers
        ]
        while len(fake_hashing.hashes) < THREADS:  # noqa: ASYNC110 - a list has no event to await
            await asyncio.sleep(0)
        login = asyncio.create_task(checks.admits(users, basic(user, PASSWORD), "friend"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if user == "dear":  # one other client may be before it, never two
            gates[0].set()
            gates[THREADS].set()
        assert await login
        assert not any(task.done() for task in trying[THREADS + 1 :])
        for gate in gates:
            gate.set()
        assert not any(await asyncio.gather(*trying))

    with_auth(ask)


def test_logins_are_checked_side_by_side(fake_hashing: FakeHashing) -> None:
    """A running check does not block another one."""
    gate = fake_hashing.gates[b"wrong"] = threading.Event()

    async def ask(checks: BasicAuth) -> None:
        wrong = [
            asyncio.create_task(checks.admits(USERS, basic(f"user-{index}", b"wrong"))) for index in range(THREADS - 1)
        ]
        assert await checks.admits(USERS, basic("alice", PASSWORD))
        assert not any(task.done() for task in wrong)
        gate.set()
        await asyncio.gather(*wrong)

    with_auth(ask)


def test_no_waiting_login_is_refused_and_addresses_take_turns(fake_hashing: FakeHashing) -> None:
    """Of 500 logins from one address only the running checks come before a login from another address."""
    for index in range(THREADS):
        fake_hashing.gates[b"%d" % index] = threading.Event()

    async def ask(checks: BasicAuth) -> None:
        flood = [
            asyncio.create_task(checks.admits(USERS, basic("alice", b"%d" % index), "stranger")) for index in range(500)
        ]
        while len(fake_hashing.hashes) < THREADS:  # noqa: ASYNC110 - a list has no event to await
            await asyncio.sleep(0)
        right = asyncio.create_task(checks.admits(USERS, basic("alice", PASSWORD), "friend"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for gate in fake_hashing.gates.values():
            gate.set()
        assert await right
        assert not any(await asyncio.gather(*flood))
        before = fake_hashing.passwords.index(PASSWORD)
        assert before <= 2 * THREADS

    with_auth(ask)


def test_a_login_that_disconnects_before_its_turn_is_not_checked(fake_hashing: FakeHashing) -> None:
    for index in range(THREADS):
        fake_hashing.gates[b"%d" % index] = threading.Event()

    async def ask(checks: BasicAuth) -> None:
        flood = [asyncio.create_task(checks.admits(USERS, basic("alice", b"%d" % index))) for index in range(100)]
        while len(fake_hashing.hashes) < THREADS:  # noqa: ASYNC110 - a list has no event to await
            await asyncio.sleep(0)
        for task in flood:
            task.cancel()
        await asyncio.wait(flood)
        for gate in fake_hashing.gates.values():
            gate.set()
        assert await checks.admits(USERS, basic("alice", PASSWORD))
        assert len(fake_hashing.hashes) == THREADS + 1

    with_auth(ask)


def test_a_password_longer_than_72_bytes_costs_one_hash_too(hashing: CountedHashing) -> None:
    assert not admitted(basic("alice", b"x" * 100))
    assert len(hashing.hashes) == 1


@pytest.mark.parametrize(("password", "right"), [(PASSWORD, True), (b"wrong", False)])
def test_an_answer_is_remembered_until_the_hash_changes(hashing: CountedHashing, password: bytes, right: bool) -> None:
    header = basic("alice", password)
    other = {"alice": bcrypt.hashpw(b"wrong", bcrypt.gensalt(4)).decode()}

    async def ask(checks: BasicAuth) -> list[bool]:
        return [await checks.admits(users, header) for users in [USERS] * 10 + [other]]

    assert with_auth(ask) == [right] * 10 + [not right]
    assert len(hashing.hashes) == 2


def test_a_removed_user_is_out_though_the_answer_was_remembered() -> None:
    async def ask(checks: BasicAuth) -> list[bool]:
        return [await checks.admits(users, basic("alice", PASSWORD)) for users in (USERS, {"bob": HASHED}, USERS)]

    assert with_auth(ask) == [True, False, True]


def test_no_name_or_password_can_pass_for_another_in_the_cache() -> None:
    """CVE-2022-46146: with a cache key without separators, an attacker with a hash but no password could log in."""
    fake = basic_auth._FAKE_HASH.format(4)

    async def ask(checks: BasicAuth) -> list[bool]:
        poison = [
            basic("alice" + HASHED, b"x"),
            basic("alic", b"e" + HASHED.encode()),
            basic("alice", HASHED.encode()),
            basic("alice" + fake, PASSWORD),
            basic("", b"alice" + HASHED.encode() + PASSWORD),
        ]
        return [await checks.admits(USERS, header) for header in [*poison, basic("alice", b"x"), *poison]]

    assert not any(with_auth(ask))


PART = st.text("ab:", max_size=3)


@given(st.sets(st.tuples(PART, PART, PART.map(str.encode)), min_size=2, max_size=5))
def test_cache_keys_are_distinct(asked: set[tuple[str, str, bytes]]) -> None:
    checks = BasicAuth()
    assert len({checks._key(*parts) for parts in asked}) == len(asked)


def test_cache_keys_are_worthless_elsewhere() -> None:
    """They use a salt of this process, so a memory dump does not help to guess passwords offline."""
    parts = ("alice", HASHED, PASSWORD)
    assert BasicAuth()._key(*parts) != BasicAuth()._key(*parts)
    assert PASSWORD not in BasicAuth()._key(*parts)


def test_wrong_passwords_cannot_push_the_right_one_out_of_the_cache(hashing: CountedHashing) -> None:
    right = basic("alice", PASSWORD)

    async def ask(checks: BasicAuth) -> None:
        assert await checks.admits(USERS, right)
        for index in range(MAX_CACHED + 50):
            assert not await checks.admits(USERS, basic("alice", b"%d" % index))
        hashed = len(hashing.hashes)
        assert await checks.admits(USERS, right)
        assert len(hashing.hashes) == hashed
        assert not await checks.admits(USERS, basic("alice", b"0"))  # forgotten, so hashed again
        assert len(hashing.hashes) == hashed + 1

    with_auth(ask)


def test_what_is_asked_often_stays_remembered(hashing: CountedHashing) -> None:
    users = {f"user-{index}": HASHED for index in range(MAX_CACHED + 1)}

    async def ask(checks: BasicAuth) -> None:
        for user in users:
            assert await checks.admits(users, basic(user, PASSWORD))
            assert await checks.admits(users, basic("user-0", PASSWORD))

    with_auth(ask)
    assert len(hashing.hashes) == len(users)


def test_the_same_question_asked_many_times_at_once_is_hashed_once(hashing: CountedHashing) -> None:
    """As after a restart, when several Prometheus servers come with the same password."""

    async def ask(checks: BasicAuth) -> list[bool]:
        return await asyncio.gather(*(checks.admits(USERS, basic("alice", PASSWORD)) for _ in range(20)))

    assert with_auth(ask) == [True] * 20
    assert len(hashing.hashes) == 1
