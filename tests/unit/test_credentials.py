"""Sources of credentials: available at once, fetched ahead of time, kept while fetching fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.cams.credentials.key_files import KeyFiles, Values
from exporter.cams.credentials.source import (
    FETCH_SECONDS,
    MIN_FETCH_SECONDS,
    CredentialSource,
    FetchedSource,
    KeySource,
    credential_source,
)
from exporter.config import CredentialsConfig, Secret
from exporter.errors import CredentialsError
from exporter.model import Credential
from tests.support.clock import FakeClock
from tests.support.exporter import until
from tests.support.patience import PATIENCE_SECONDS

KEYS = {"access_key_id": Secret("the-key-id", None), "access_key_secret": Secret("the-secret", None)}
TOKEN = {"security_token": Secret("the-token", None)}


def source_of(kind: str, secrets: dict[str, Secret], clock: FakeClock | None = None) -> CredentialSource:
    return credential_source(CredentialsConfig(kind, secrets, {}), clock or FakeClock(), "main")


# keys and tokens of the configuration


def test_a_key_is_at_hand_at_once() -> None:
    source = source_of("access_key", KEYS)
    assert source.ready()
    assert source.get() == Credential("the-key-id", "the-secret")
    assert source.get() is source.get()
    source.close()
    assert source.get() == Credential("the-key-id", "the-secret")


def test_an_sts_token_is_at_hand_at_once() -> None:
    assert source_of("sts", KEYS | TOKEN).get() == Credential("the-key-id", "the-secret", "the-token")


def test_static_keys_start_no_thread() -> None:
    before = threading.active_count()
    source = source_of("access_key", KEYS)
    source.get()
    source.refresh()
    assert threading.active_count() == before


def test_a_rotated_key_is_taken_up(tmp_path: Path) -> None:
    """Within a second, or at once if the API refused the old one."""
    clock, path = FakeClock(), tmp_path / "secret"
    path.write_text("old\n")
    source = source_of("access_key", {**KEYS, "access_key_secret": Secret(None, path)}, clock)
    assert source.get().access_key_secret == "old"
    path.write_text("new\n")
    assert source.get().access_key_secret == "old"
    source.refresh()
    assert source.get().access_key_secret == "new"


def test_a_key_that_came_late_is_a_change(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "secret"
    source = source_of("access_key", {**KEYS, "access_key_secret": Secret(None, path)}, clock)
    assert source.changes() == 0
    path.write_text("late")
    clock.advance(1.0)
    assert source.changes() == 1
    assert source_of("access_key", KEYS).changes() == 1


def test_a_key_that_cannot_be_read_is_an_error_that_names_the_source(tmp_path: Path) -> None:
    source = source_of("access_key", {**KEYS, "access_key_secret": Secret(None, tmp_path / "none")})
    assert source.ready()
    with pytest.raises(CredentialsError, match=r"access_key_secret_file: .* cannot be read: no such file"):
        source.get()


def test_each_type_has_its_source() -> None:
    assert isinstance(source_of("access_key", KEYS), KeySource)
    assert isinstance(source_of("sts", KEYS | TOKEN), KeySource)
    for kind in ("ram_role_arn", "ecs_ram_role", "oidc_role_arn", "credentials_uri", "default"):
        assert isinstance(source_of(kind, {}), FetchedSource)


# fetched ones


class Library:
    """Stands for Alibaba Cloud's library: builds, fetches, fails when told to."""

    def __init__(self) -> None:
        self.built: list[Values] = []
        self.fetched = 0
        self.error: Exception | None = None

    def connect(self, values: Values) -> Library:
        self.built.append(values)
        return self

    def __call__(self) -> Credential:
        self.fetched += 1
        if self.error is not None:
            raise self.error
        return Credential(f"id-{self.fetched}", "secret", f"token-{self.fetched}")


class Unthreaded(FetchedSource):
    """A source whose steps the test runs."""

    def _start(self) -> None:
        pass


def fetched(
    library: Library, clock: FakeClock, secrets: dict[str, Secret] | None = None, kind: str = "ram_role_arn"
) -> FetchedSource:
    return Unthreaded(library.connect, KeyFiles(secrets or {}, clock, "main"), clock, "main", kind)


def test_nothing_is_ready_before_the_first_fetch_ended() -> None:
    library, clock = Library(), FakeClock()
    source = fetched(library, clock)
    assert not source.ready()
    with pytest.raises(CredentialsError, match="no credential was fetched yet"):
        source.get()
    assert source.step() == FETCH_SECONDS
    assert source.ready()
    assert source.get() == Credential("id-1", "secret", "token-1")


def test_a_first_fetch_that_failed_is_an_end_as_well() -> None:
    """A thread that waits for ready() must continue, and get the reason."""
    library = Library()
    library.error = RuntimeError("http_code: 403, result: {'AccessKeySecret': 'leak'}")
    source = fetched(library, FakeClock())
    source.step()
    assert source.ready()
    with pytest.raises(CredentialsError) as caught:
        source.get()
    assert str(caught.value) == (
        "credentials of type ram_role_arn: HTTP 403; check role_arn, its trust policy, and the key that assumes it"
    )


def test_the_library_is_asked_each_minute_and_built_once() -> None:
    library, clock = Library(), FakeClock()
    source = fetched(library, clock)
    for minute in range(1, 4):
        assert source.step() == FETCH_SECONDS
        assert source.get().access_key_id == f"id-{minute}"
        clock.advance(FETCH_SECONDS / 2)
        assert source.step() == FETCH_SECONDS / 2  # not yet
        clock.advance(FETCH_SECONDS / 2)
    assert (len(library.built), library.fetched) == (1, 3)


def test_the_old_credential_stays_while_fetching_fails(caplog: pytest.LogCaptureFixture) -> None:
    """If STS is down, the last credential is still valid for some time."""
    library, clock = Library(), FakeClock()
    source = fetched(library, clock)
    source.step()
    library.error = OSError("Read timed out.")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            clock.advance(FETCH_SECONDS)
            source.step()
            assert source.get() == Credential("id-1", "secret", "token-1")
        library.error = None
        clock.advance(FETCH_SECONDS)
        source.step()
    assert source.get().access_key_id == "id-5"
    assert [record.getMessage() for record in caplog.records] == [
        "cannot fetch credentials",
        "credentials are fetched again",
    ]
    assert caplog.records[0].fields["error"].startswith("no answer in time; check")  # type: ignore[attr-defined] # logs.fields


def test_after_failures_the_source_waits_longer_and_builds_its_provider_again() -> None:
    library, clock = Library(), FakeClock()
    library.error = ValueError("no")
    source = fetched(library, clock)
    waits = []
    for _ in range(9):
        waits.append(source.step())
        clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(library.built) == 9


def test_a_refused_credential_is_fetched_anew_at_once_but_not_in_a_loop() -> None:
    library, clock = Library(), FakeClock()
    source = fetched(library, clock)
    source.step()
    clock.advance(MIN_FETCH_SECONDS)
    source.refresh()
    assert source.step() == FETCH_SECONDS
    assert (len(library.built), source.get().access_key_id) == (2, "id-2")
    source.refresh()
    clock.advance(1.0)
    assert source.step() == MIN_FETCH_SECONDS - 1.0
    assert library.fetched == 2
    clock.advance(MIN_FETCH_SECONDS - 1.0)
    source.step()
    assert library.fetched == 3


def test_changed_key_files_are_taken_up(tmp_path: Path) -> None:
    library, clock, path = Library(), FakeClock(), tmp_path / "secret"
    path.write_text("old")
    source = fetched(library, clock, {**KEYS, "access_key_secret": Secret(None, path)})
    source.step()
    path.write_text("new")
    clock.advance(FETCH_SECONDS)
    source.step()
    assert [values["access_key_secret"] for values in library.built] == ["old", "new"]


def test_another_credential_counts_as_a_change_and_the_same_one_does_not() -> None:
    library, clock = Library(), FakeClock()
    source = fetched(library, clock)
    assert source.changes() == 0
    seen = []
    for token in ("a", "a", "b"):
        library.fetched = {"a": 0, "b": 1}[token]
        source.step()
        seen.append(source.changes())
        clock.advance(FETCH_SECONDS)
    assert seen == [1, 1, 2]


def test_a_key_file_that_changed_has_a_credential_fetched_at_once(tmp_path: Path) -> None:
    """Also if the last fetch failed a moment ago, and the next is due in a minute."""
    library, clock, path = Library(), FakeClock(), tmp_path / "secret"
    source = fetched(library, clock, {**KEYS, "access_key_secret": Secret(None, path)})
    for _ in range(8):
        assert source.changes() == 0
        clock.advance(source.step())
    assert source.step() == FETCH_SECONDS
    path.write_text("late")
    clock.advance(1.0)
    assert source.changes() == 0
    assert source.step() == FETCH_SECONDS
    assert source.changes() == 1


def test_an_unreadable_key_file_is_the_reason_given(tmp_path: Path) -> None:
    source = fetched(Library(), FakeClock(), {"access_key_secret": Secret(None, tmp_path / "none")})
    source.step()
    with pytest.raises(
        CredentialsError, match=r"credentials of type ram_role_arn: access_key_secret_file: .* no such file"
    ):
        source.get()


def test_a_closed_source_fetches_no_more_and_keeps_what_it_has() -> None:
    library, clock = Library(), FakeClock()
    source = fetched(library, clock)
    source.step()
    source.close()
    clock.advance(1000.0)
    source.step()
    assert library.fetched == 1
    assert source.get().access_key_id == "id-1"


def test_the_thread_starts_when_asked_for_and_ends_when_closed() -> None:
    """Never on the caller's thread; an unused source has no thread."""
    library, clock = Library(), FakeClock()
    came = threading.Event()
    threads: list[threading.Thread] = []

    def connect(values: Values) -> Library:
        threads.append(threading.current_thread())
        came.set()
        return library

    source = FetchedSource(connect, KeyFiles({}, clock, "main"), clock, "main", "default")
    assert not threads
    source.ready()
    assert came.wait(PATIENCE_SECONDS)
    (thread,) = threads
    assert thread is not threading.current_thread()
    assert thread.daemon
    source.close()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_a_hundred_reloads_leave_no_thread_behind() -> None:
    library, clock = Library(), FakeClock()
    sources = [
        FetchedSource(library.connect, KeyFiles({}, clock, "main"), clock, "main", "default") for _ in range(100)
    ]
    for source in sources:
        source.ready()
        source.close()
    for source in sources:
        assert source._thread is not None
        source._thread.join(PATIENCE_SECONDS)
        assert not source._thread.is_alive()


def test_a_refresh_wakes_the_thread() -> None:
    library, clock = Library(), FakeClock()
    twice = threading.Semaphore(0)

    def connect(values: Values) -> Library:
        twice.release()
        return library

    source = FetchedSource(connect, KeyFiles({}, clock, "main"), clock, "main", "default")
    source.ready()
    assert twice.acquire(timeout=PATIENCE_SECONDS)

    def is_woken() -> bool:
        clock.advance(MIN_FETCH_SECONDS)  # the first fetch may end after that: then it is too early
        source.refresh()
        return twice.acquire(timeout=0.05)

    until(is_woken, "it fetches again")
    source.close()


def test_no_secret_in_a_repr() -> None:
    library, clock = Library(), FakeClock()
    source = fetched(library, clock, KEYS)
    source.step()
    for shown in (repr(source), repr(source.get()), repr(source_of("access_key", KEYS)), repr(KEYS)):
        assert not any(word in shown for word in ("the-key-id", "the-secret", "token-1"))


def test_a_thread_that_could_not_be_started_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Container runtimes bound the number of threads."""

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    clock = FakeClock()
    ended = threading.Event()

    def connect(_: Values) -> Callable[[], Credential]:
        def fetch() -> Credential:
            ended.set()
            return Credential("the-key-id", "the-secret")

        return fetch

    source = FetchedSource(connect, KeyFiles({}, clock, "main"), clock, "main", "default")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(OSError, match="no thread can be started"):
            source.ready()
    source.ready()
    assert ended.wait(PATIENCE_SECONDS)
    source.close()
