"""The web configuration in force: read again when a file changes, and none in force while a file is broken."""

from __future__ import annotations

import asyncio
import logging
import resource
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from exporter.errors import ConfigError
from exporter.web.security.config import WebConfig
from exporter.web.security.reloader import LOOK_SECONDS, SETTLE_SECONDS, WEAKER_SECONDS, WebSecurity
from tests.support.clock import FakeClock
from tests.support.pki import TLS_FILES, server_files
from tests.support.webserver import LeapingLoop

HASH = "$2b$04$CmdUBs.kZ9/6w6xoscTdV.XPX.ZJvOjNVo/fOtLtRWLda/f4fFxx2"
ALICE, BOB = f"basic_auth_users: {{alice: {HASH}}}\n", f"basic_auth_users: {{bob: {HASH}}}\n"
RATE = "rate_limit: {interval: 1s, burst: 9}\n"
MTLS = f"{TLS_FILES}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"

SYSTEM = f"{TLS_FILES}, client_auth_type: RequireAndVerifyClientCert"
OPTIONAL = f"{TLS_FILES}, client_ca_file: ca.crt, client_auth_type: VerifyClientCertIfGiven"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    server_files(tmp_path, trustme.CA())
    return tmp_path / "web.yml"


def looked(security: WebSecurity) -> WebConfig:
    """What is in force after a look."""
    security.look()
    return security.current()


def written(path: Path, text: str) -> Path:
    """Replace the file atomically; its stamp differs, even in a fast test."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)
    return path


def settle(security: WebSecurity, clock: FakeClock) -> None:
    """Let it read the file, then the files that it names, and each of them again later."""
    for _ in range(2):
        with suppress(ConfigError):
            looked(security)
        clock.advance(SETTLE_SECONDS)


def in_force(security: WebSecurity, clock: FakeClock) -> list[str]:
    """The users in force, once the written file is used."""
    settle(security, clock)
    return sorted(looked(security).users)


def broken(security: WebSecurity, clock: FakeClock) -> str:
    """The faults while no configuration is in force."""
    settle(security, clock)
    with pytest.raises(ConfigError) as refused:
        looked(security)
    return str(refused.value)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_without_a_file_nothing_is_protected() -> None:
    security = WebSecurity(None)
    assert (security.tls, looked(security).tls, looked(security).users) == (False, None, {})


def test_a_broken_file_stops_the_start(path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        WebSecurity(written(path, "basic_auth_user: {}"))


def test_a_file_that_protects_nothing_is_worth_a_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    WebSecurity(written(path, ""))
    WebSecurity(written(path, ALICE))
    assert messages(caplog) == ["web configuration has neither TLS nor users: anyone may ask"]


def test_changed_users_are_in_force_at_once(path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    security = WebSecurity(written(path, ALICE), clock.monotonic)
    assert in_force(security, clock) == ["alice"]
    written(path, BOB)
    assert in_force(security, clock) == ["bob"]
    assert messages(caplog) == ["web configuration read again"]


def test_what_was_read_at_the_start_is_read_once_more_and_then_only_when_it_changes(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have been half written.  Later the same object stays, so TLS sessions do too."""
    caplog.set_level(logging.INFO)
    security = WebSecurity(written(path, ALICE), clock.monotonic)
    first = security.current()
    clock.advance(SETTLE_SECONDS / 2)
    assert looked(security) is first
    clock.advance(SETTLE_SECONDS)
    second = looked(security)
    assert second is not first
    clock.advance(3600)
    assert looked(security) is second
    assert not messages(caplog)


@pytest.mark.parametrize("then", ["", "basic_auth_users: {", "rate_limit: {burst: 1}", BOB, None])
def test_what_was_changed_just_now_does_not_count(path: Path, clock: FakeClock, then: str | None) -> None:
    """It may be half written: the old configuration stays in force until the file is unchanged for a second."""
    security = WebSecurity(written(path, ALICE), clock.monotonic)
    for _ in range(100):
        if then is None:
            path.unlink(missing_ok=True)
        else:
            written(path, then)
        assert sorted(looked(security).users) == ["alice"]
        clock.advance(SETTLE_SECONDS * 0.9)
        assert sorted(looked(security).users) == ["alice"]
        written(path, ALICE)
        assert sorted(looked(security).users) == ["alice"]


@pytest.mark.parametrize("name", ["server.crt", "server.key", "ca.crt"])
def test_a_changed_certificate_key_or_authority_is_in_force_at_once(path: Path, clock: FakeClock, name: str) -> None:
    security = WebSecurity(written(path, f"tls_server_config: {{{MTLS}}}"), clock.monotonic)
    before = looked(security).tls
    server_files(path.parent, trustme.CA())
    settle(security, clock)
    after = looked(security).tls
    assert before is not None
    assert after is not None
    assert after.context is not before.context
    written(path.parent / name, "broken")
    assert name in broken(security, clock) or "PEM" in broken(security, clock)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "nothing is left of what it protected with"),
        ("basic_auth_users: {}", "nothing is left of what it protected with"),
        ("basic_auth_users:", "nothing is left of what it protected with"),
        ("tls_server_config:", "nothing is left of what it protected with"),
        ("basic_auth_users: {alice: secret}", "is not a bcrypt hash"),
        ("basic_auth_users:\n  ali", "has no value"),
        (f"{ALICE}tls_server_config: {{{TLS_FILES}}}", "tls_server_config: was added while running"),
    ],
)
def test_while_a_file_is_broken_no_request_is_accepted_and_the_fault_is_logged_once(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, text: str, fault: str
) -> None:
    """A typing error or a half-written file must not remove the protection."""
    security = WebSecurity(written(path, ALICE), clock.monotonic)
    written(path, text)
    for _ in range(5):
        assert fault in broken(security, clock) or "is a string" in broken(security, clock)
        clock.advance(LOOK_SECONDS)
    assert len(messages(caplog)) == 1
    assert "no request is accepted until it is fixed" in caplog.messages[0]
    assert HASH not in caplog.text
    assert "secret" not in caplog.text


WEAKER = [
    (ALICE, RATE, "basic_auth_users was removed"),
    (f"tls_server_config: {{{MTLS}}}", f"tls_server_config: {{{TLS_FILES}}}", "no longer required"),
    (
        f"tls_server_config: {{{MTLS}, client_allowed_sans: [a]}}",
        f"tls_server_config: {{{MTLS}}}",
        "client_allowed_sans was removed",
    ),
    (f"tls_server_config: {{{MTLS}}}", f"tls_server_config: {{{OPTIONAL}}}", "no longer required"),
    (f"tls_server_config: {{{MTLS}}}", f"tls_server_config: {{{TLS_FILES}, client_auth_type: ''}}", "no longer"),
    (f"tls_server_config: {{{MTLS}}}", f"tls_server_config: {{{SYSTEM}}}", "client_ca_file was removed"),
    (f"{ALICE}{RATE}", f"basic_auth_users:\n{RATE}", "basic_auth_users was removed"),
]


@pytest.mark.parametrize(("first", "then", "change"), WEAKER)
def test_a_file_that_protects_less_counts_when_two_looks_far_apart_find_it_equal(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, first: str, then: str, change: str
) -> None:
    """A file that is being written may be a valid one for a moment."""
    security = WebSecurity(written(path, RATE), clock.monotonic)
    if "tls" in first:
        security = WebSecurity(written(path, first), clock.monotonic)
    written(path, first)
    settle(security, clock)
    strong = looked(security)
    written(path, then)
    assert looked(security) == strong
    clock.advance(WEAKER_SECONDS * 0.9)
    assert looked(security) == strong
    written(path, then)  # another file with the same text: the two checks begin again
    assert looked(security) == strong
    clock.advance(WEAKER_SECONDS * 0.9)
    assert looked(security) == strong
    clock.advance(WEAKER_SECONDS * 0.1)
    assert looked(security) != strong
    (record,) = [each for each in caplog.records if each.getMessage() == "web configuration protects less than before"]
    assert change in str(vars(record))


@pytest.mark.parametrize(("weak", "strong"), [(TLS_FILES, MTLS), (OPTIONAL, MTLS), (SYSTEM, MTLS)])
def test_a_file_that_protects_more_counts_as_any_other(path: Path, clock: FakeClock, weak: str, strong: str) -> None:
    security = WebSecurity(written(path, f"tls_server_config: {{{weak}}}"), clock.monotonic)
    settle(security, clock)
    written(path, f"tls_server_config: {{{strong}}}")
    settle(security, clock)
    tls = looked(security).tls
    assert tls is not None
    assert (tls.requires_client, tls.trusts_system) == (True, False)


def test_warnings_are_logged_when_the_file_is_read(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    security = WebSecurity(written(path, f"{ALICE}tls_server_config:\n"), clock.monotonic)
    written(path, f"{BOB}tls_server_config: {{}}\n")
    assert in_force(security, clock) == ["bob"]
    warned = [str(vars(record)) for record in caplog.records if record.getMessage() == "web configuration"]
    assert len(warned) == 2
    assert all("connections are not encrypted" in record for record in warned)


@pytest.mark.parametrize(
    ("first", "then"), [(TLS_FILES, ALICE), (TLS_FILES, ""), (TLS_FILES, f"{ALICE}tls_server_config:")]
)
def test_tls_ends_with_the_process_only(path: Path, clock: FakeClock, first: str, then: str) -> None:
    security = WebSecurity(written(path, f"tls_server_config: {{{first}}}"), clock.monotonic)
    written(path, then)
    for _ in range(30):
        assert "tls_server_config: was removed while running" in broken(security, clock)
    assert security.tls


@pytest.mark.parametrize("then", ["", "# nothing", "basic_auth_users: {}"])
def test_users_that_were_added_while_running_do_not_go_with_an_empty_file(
    path: Path, clock: FakeClock, then: str
) -> None:
    """A file may stay half written, as on a full disk."""
    security = WebSecurity(written(path, ""), clock.monotonic)
    written(path, ALICE)
    assert in_force(security, clock) == ["alice"]
    written(path, then)
    for _ in range(30):
        assert "nothing is left of what it protected with" in broken(security, clock)
    written(path, BOB)
    assert in_force(security, clock) == ["bob"]


@pytest.mark.parametrize(
    "text", ["rate_limit: {interval: 1s, burst: 9}", "http_server_config: {headers: {X-Frame-Options: deny}}"]
)
def test_an_empty_file_takes_nothing_away(path: Path, clock: FakeClock, text: str) -> None:
    security = WebSecurity(written(path, text), clock.monotonic)
    written(path, "")
    assert "nothing is left of what it protected with" in broken(security, clock)


def test_what_is_fixed_is_in_force_again(path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    security = WebSecurity(written(path, ALICE), clock.monotonic)
    path.unlink()
    assert "no such file" in broken(security, clock)
    written(path, BOB)
    assert in_force(security, clock) == ["bob"]
    assert messages(caplog)[-1] == "web configuration read again"


def test_a_machine_without_threads_looks_at_the_files_all_the_same(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    security = WebSecurity(written(path, ALICE), clock.monotonic)
    written(path, BOB)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    loop = LeapingLoop()

    async def play() -> None:
        watching = asyncio.create_task(security.watch())
        for _ in range(3):
            for _ in range(3):  # turns of the loop
                await asyncio.sleep(0)
            clock.advance(SETTLE_SECONDS)
            loop.ahead_seconds += LOOK_SECONDS
        for _ in range(3):
            await asyncio.sleep(0)
        watching.cancel()

    loop.run_until_complete(play())
    loop.close()
    assert sorted(security.current().users) == ["bob"]


def test_if_the_working_folder_is_gone_no_request_is_accepted(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path does not exist then; the folder may come back."""
    written(path, ALICE)
    monkeypatch.chdir(path.parent)
    security = WebSecurity(Path(path.name), clock.monotonic)
    gone = path.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert path.name in broken(security, clock)
    monkeypatch.chdir(path.parent)
    clock.advance(LOOK_SECONDS)
    assert in_force(security, clock) == ["alice"]


def test_a_failure_to_read_is_tried_again_though_nothing_changed(path: Path, clock: FakeClock) -> None:
    """Reading may have failed: here no file descriptor is left."""
    security = WebSecurity(written(path, ALICE), clock.monotonic)
    written(path, BOB)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        fault = broken(security, clock)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "too many open files" in fault
    clock.advance(LOOK_SECONDS)
    assert in_force(security, clock) == ["bob"]


def test_each_new_fault_is_logged(path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    security = WebSecurity(written(path, ALICE), clock.monotonic)
    for text in ("a: 1\nb: 2", "c: 3"):
        written(path, text)
        broken(security, clock)
    assert len(caplog.records) == 3
