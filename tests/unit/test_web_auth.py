"""Passwords: who is let in, what that costs, and what an answer gives away."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import TypeVar

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web import auth
from exporter.web.auth import MAX_CACHED, MAX_WAITING, BasicAuth, Busy, credentials

T = TypeVar("T")

PASSWORD = b"correct horse"
HASHED = bcrypt.hashpw(PASSWORD, bcrypt.gensalt(4)).decode()
LONG = b"x" * 72
USERS = {"alice": HASHED, "long": bcrypt.hashpw(LONG, bcrypt.gensalt(4)).decode()}


def basic(user: bytes | str, password: bytes) -> str:
    name = user.encode() if isinstance(user, str) else user
    return "Basic " + base64.b64encode(name + b":" + password).decode()


def with_auth(use: Callable[[BasicAuth], Awaitable[T]]) -> T:
    """What `use` makes of a BasicAuth that runs."""

    async def run() -> T:
        checks = BasicAuth()
        checks.start()
        try:
            return await use(checks)
        finally:
            checks.stop()

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


def test_a_password_of_72_bytes_is_read_whole_and_a_longer_one_is_never_right() -> None:
    """bcrypt reads no further: what follows must not be ignored, and must not be an error either."""
    assert admitted(basic("long", LONG))
    for length in (71, 73, 200, 1400):
        assert not admitted(basic("long", b"x" * length))


def test_a_header_beyond_all_measure_is_not_even_decoded() -> None:
    assert credentials(basic("alice", b"x" * 10_000)) is None


@given(st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), max_size=50), st.binary(max_size=80))
def test_what_a_client_sends_is_what_is_read(user: str, password: bytes) -> None:
    assert credentials(basic(user, password)) == (user, password)


@given(st.text(max_size=20) | st.text(max_size=20).map(lambda text: f"Basic {text}"))
def test_no_header_is_an_error(header: str) -> None:
    """Whatever comes, the answer is yes or no."""
    credentials(header)


class CountedHashing:
    """`bcrypt.checkpw`, with a note of each hash that was really computed."""

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
    """Else the time an answer takes tells which names exist.  The fake hash must be one that the library computes."""
    for user in ("alice", "nobody", "someone"):
        assert not admitted(basic(user, b"wrong"))
    assert len(hashing.hashes) == 3
    assert {hashed[:7] for hashed in hashing.hashes} == {b"$2b$04$"}


def test_an_unknown_user_costs_what_one_of_the_known_ones_costs(hashing: CountedHashing) -> None:
    users = {"cheap": HASHED, "dear": HASHED.replace("$04$", "$05$")}

    async def ask(checks: BasicAuth) -> None:
        for index in range(40):
            await checks.admits(users, basic(f"nobody-{index}", b"wrong"))

    with_auth(ask)
    assert {hashed[:7] for hashed in hashing.hashes} == {b"$2b$04$", b"$2b$05$"}


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
    """CVE-2022-46146: a key without separators let who knew a hash, but no password, poison the cache and get in."""
    fake = auth._FAKE_HASH.format(4)

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
    """They are made with a salt of this process: a memory dump holds nothing to try passwords against offline."""
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
        assert not await checks.admits(USERS, basic("alice", b"0"))  # forgotten, so hashed anew
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


def test_beyond_a_bound_nobody_waits_and_who_is_known_passes_all_the_same() -> None:
    """A flood of wrong passwords takes one thread, and neither memory nor the event loop."""

    async def ask(checks: BasicAuth) -> list[object]:
        assert await checks.admits(USERS, basic("alice", PASSWORD))
        flood = [checks.admits(USERS, basic("alice", b"%d" % index)) for index in range(MAX_WAITING + 5)]
        answers = asyncio.gather(*flood, return_exceptions=True)
        await asyncio.sleep(0)
        assert await checks.admits(USERS, basic("alice", PASSWORD))
        results: list[object] = list(await answers)
        assert not await checks.admits(USERS, basic("alice", b"after the flood"))
        return results

    results = with_auth(ask)
    assert results[:MAX_WAITING] == [False] * MAX_WAITING
    assert [type(result) for result in results[MAX_WAITING:]] == [Busy] * 5
