"""A process that gets its listening socket as systemd gives it: descriptor 3, LISTEN_FDS and LISTEN_PID."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, until
from tests.support.fleet import config, fleet
from tests.support.patience import PATIENCE_SECONDS

AS_SYSTEMD = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print("handed over", listener.getsockname()[1], file=sys.stderr)
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "exporter", *sys.argv[2:]])  # without the listen address
"""


def test_it_serves_on_the_socket_that_it_is_given() -> None:
    world = World()
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config(simulator.url, [fleet(world, 1)]),
            "--web.systemd-socket",
            "--web.disable-exporter-metrics",
            program=(sys.executable, "-c", AS_SYSTEMD),
        ) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        (port,) = re.findall(r"handed over (\d+)", exporter.log)
        assert exporter.url == f"http://127.0.0.1:{port}"
        assert not [name for name, _ in exporter.scrape() if name.startswith(("process_", "python_"))]


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        ([], 1, "systemd hands over no socket; start the exporter by a socket unit of systemd"),
        (["--web.listen-address=:0"], 2, "--web.systemd-socket takes the place of --web.listen-address"),
    ],
)
def test_without_a_socket_or_with_an_address_as_well_it_does_not_start(
    flags: list[str], status: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "--demo", "--web.systemd-socket", *flags],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == status
    assert said in done.stderr
