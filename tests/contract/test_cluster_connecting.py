"""The way to the store by TLS, with certificates of both sides.

For Sentinel see `tests/e2e/test_cluster_faults.py`.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.cluster.leases.table import Contact, Member
from exporter.cluster.store import connecting
from exporter.cluster.store.calls import Store
from exporter.cluster.store.replies import StoreError
from exporter.config.settings import ClusterConfig
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rawserver import Peer, RawServer
from tests.support.servers import require_binary, reserved_port

ME = Member("a", "host", 0, 15.0, 12.5, claims=True, accounts="0123")


def store(config: ClusterConfig) -> Store:
    return Store(
        lambda: connecting.connected(config, None, PATIENCE_SECONDS),
        connecting.asked,
        "cams-exporter",
        PATIENCE_SECONDS,
    )


def contact(of: Store, number: int = 1) -> Contact:
    return of.contact(ME, number, ("", -1), 60.0, {})


def contact_at_last(of: Store, number: int) -> Contact:
    """The answer, as soon as there is one."""
    found: list[Contact] = []

    def is_answered() -> bool:
        with contextlib.suppress(StoreError):
            found.append(contact(of, number))
        return bool(found)

    wait_until("the store answers", is_answered)
    return found[0]


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([require_binary("redis-server"), *arguments], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(what: str, is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what  # bounds a hang
        time.sleep(0.05)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cams-") as path:
        yield Path(path)


def test_tls_with_certificates_of_both_sides(folder: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key", "stranger")}
    authority.cert_pem.write_to_path(str(files["ca"]))
    stranger.cert_pem.write_to_path(str(files["stranger"]))
    issued.cert_chain_pems[0].write_to_path(str(files["cert"]))
    issued.private_key_pem.write_to_path(str(files["key"]))
    with reserved_port() as port:
        tls = [f"--tls-{name}-file" for name in ("ca-cert", "cert", "key")]
        paths = [str(files[name]) for name in ("ca", "cert", "key")]
        options = [part for pair in zip(tls, paths, strict=True) for part in pair]
        config = ClusterConfig(
            replicas=2,
            url=f"rediss://127.0.0.1:{port}/0",
            ca_file=files["ca"],
            cert_file=files["cert"],
            key_file=files["key"],
        )
        with server("--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options):
            good = store(config)
            contact_at_last(good, 1)
            for fault in (
                {"ca_file": files["stranger"]},
                {"cert_file": None, "key_file": None},
                {"url": f"rediss://localhost:{port}/0"},  # not the name in the certificate
            ):
                refused = store(ClusterConfig(**{**_fields(config), **fault}))
                with pytest.raises(StoreError):
                    contact(refused)
                refused.close()
            good.close()


def _fields(config: ClusterConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__slots__}


@pytest.mark.parametrize("answer", [b":8613800001234x\r\n", b"*1\r\n" * 5000, b"8613800001234\r\n", b"*x\r\n"])
def test_a_garbled_answer_is_a_failure_like_any_other(answer: bytes) -> None:
    """Whatever redis-py makes of it: else the step would end without what follows from a failure.  It is not shown."""

    def garbled(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send(answer)
        peer.hang()

    with RawServer(garbled) as running:
        of = store(ClusterConfig(1, f"redis://127.0.0.1:{running.port}/0"))
        with pytest.raises(StoreError) as raised:
            contact(of)
        of.close()
    assert "8613800001234" not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n", "unknown command 'AUTH'"),
        (b"-ERR no place for 8613800001234\r\n", r"no place for 861380\*\*\*\*\*34"),
        (b"-WRONGPASS invalid pair.\r\n", "invalid pair; check cluster.username and its password"),
        (b"-NOPERM no right\r\n", "no right; give the user the ACL line of docs/security.md, with cluster.key_prefix"),
        (b'["number","main","cams-1","8613800001234"]\r\n', r"none of a store \(InvalidResponse\)"),
        (b":8613800001234x\r\n", r"none of a store \(ValueError\)"),
        (b"$99999999999999999999\r\n", r"none of a store \(OverflowError\)"),
    ],
)
def test_the_text_of_a_failure_has_no_password_and_no_phone_number(answer: bytes, text: str) -> None:
    """A server without AUTH repeats the password, and one that is out of step sends what is stored.

    What a person can fix has its cure.
    """

    def repeating(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send(answer)
        peer.hang()

    with RawServer(repeating) as running:
        config = ClusterConfig(1, f"redis://127.0.0.1:{running.port}/0")
        of = Store(
            lambda: connecting.connected(config, "hunter2", PATIENCE_SECONDS),
            connecting.asked,
            "cams-exporter",
            PATIENCE_SECONDS,
        )
        with pytest.raises(StoreError, match=f"^(the answer is )?{text}$"):
            contact(of)
        of.close()


def test_a_password_file_on_a_mount_that_hangs_is_a_failure_like_any_other() -> None:
    mount_is_back = threading.Event()

    def connected() -> Any:
        mount_is_back.wait(PATIENCE_SECONDS)
        raise StoreError("too late")

    of = Store(connected, connecting.asked, "cams-exporter", 0.05)
    try:
        with pytest.raises(StoreError, match="no connection within"):
            contact(of)
    finally:
        mount_is_back.set()
        of.close()
