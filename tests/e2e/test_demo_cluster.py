"""`make demo-cluster` on a real Redis: two replicas, one of them killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.exporter import series, statuses, until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import require_binary

DEMO = (sys.executable, "-m", "scripts.demo_cluster")
GOT = re.compile(r'(replica-\d) \| .*"accounts are polled by this replica from now on".* accounts="?([^"\n]+)')


class Demo:
    """The demo with a short lease and free ports, and what it says."""

    def __init__(self) -> None:
        require_binary("redis-server")
        command = [*DEMO, "--lease=3s", "--addresses", "127.0.0.1:0", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.said += line

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        status = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return status

    @property
    def pids(self) -> Mapping[str, int]:
        return {name: int(pid) for name, pid in re.findall(r"(replica-\d)  pid (\d+)", self.said)}

    @property
    def holders(self) -> Mapping[str, str]:
        """Who said last that it polls each account."""
        return {account: name for name, accounts in GOT.findall(self.said) for account in accounts.split(", ")}

    def statuses(self, name: str) -> Mapping[str, str]:
        found = re.findall(rf"{name} \| .* address=(http:\S+)", self.said)
        with urllib.request.urlopen(f"{found[-1]}/metrics", timeout=PATIENCE_SECONDS) as answer:
            return statuses(series(answer.read().decode()))


@pytest.fixture
def demo() -> Iterator[Demo]:
    made = Demo()
    yield made
    made.end()


def test_the_demo_says_what_to_kill_and_who_polls_then(demo: Demo) -> None:
    until(lambda: len(set(demo.holders.values())) == 2, "each replica polls one of the two accounts")
    killed = demo.holders["retail"]
    (other,) = demo.pids.keys() - {killed}
    assert f"kill -9 {demo.pids['replica-1']}\n" in demo.said
    os.kill(demo.pids[killed], signal.SIGKILL)
    until(lambda: demo.holders["retail"] == other, "the other polls its account")
    until(lambda: f"{killed} was ended by SIGKILL; to start it again:\n" in demo.said, "what to do is said")
    until(lambda: "VERIFIED" in demo.statuses(other).values(), "it shows the numbers")
    assert demo.end() == 0
    assert "ended with status" not in demo.said, "a stop is no event"
    for pid in demo.pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("server", "address", "said"),
    [
        ("exit 3", "127.0.0.1:0", "redis-server ended with status 3, so the demo ends\n"),
        ("exec /bin/sleep 600", "nowhere", "both replicas ended, so the demo ends\n"),
    ],
)
def test_it_ends_where_nothing_is_left_to_show(server: str, address: str, said: str, tmp_path: Path) -> None:
    stand_in = tmp_path / "redis-server"
    stand_in.write_text(f"#!/bin/sh\n{server}\n")
    stand_in.chmod(0o755)
    done = subprocess.run(
        [*DEMO, "--addresses", address, address],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(said)


def test_without_a_server_for_the_store_it_says_how_to_get_one(tmp_path: Path) -> None:
    done = subprocess.run(
        DEMO,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "demo-cluster needs redis-server, which is not installed: sudo apt-get install redis-server\n"
    )
