"""The collector does not stop the process to look at what stays anyway; threads do not hoard what they freed."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.configs import ACCOUNTS, written
from tests.support.patience import PATIENCE_SECONDS

COLLECTING = """
import gc, sys
from pathlib import Path
from exporter.app import App
from exporter.config import load
from exporter.model import SystemClock
path = Path(sys.argv[1])
app = App(load(path), SystemClock(), version="1", revision="1")
assert gc.get_freeze_count() == 0
app.start()
first = gc.get_freeze_count()
class Cycle:
    def __init__(self): self.own = self
    def __del__(self): print("collected")
Cycle()
gc.freeze()
app.reload(lambda: load(path))
print(first > 10_000, gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 7000)
"""


def test_what_a_configuration_brings_is_out_of_the_collectors_sight_and_a_reload_collects_what_it_left(
    tmp_path: Path,
) -> None:
    """Frozen garbage would never be found again: a reload looks for it first."""
    config = written(tmp_path, f"api: {{endpoint: 'http://127.0.0.1:9'}}\n{ACCOUNTS}")
    ran = subprocess.run(
        [sys.executable, "-c", COLLECTING, str(config)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["collected", "True", "True", "True"]


ALLOCATING = """
import ctypes, sys, threading
from exporter import memory
if sys.argv[2] == "tuned":
    memory.tune()
together = threading.Barrier(9)
def allocate():
    kept = bytearray(2000)
    together.wait()
    together.wait()
for _ in range(8):
    threading.Thread(target=allocate).start()
together.wait()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
together.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such heaps")
def test_threads_share_two_heaps_instead_of_having_one_each(tmp_path: Path) -> None:
    """Without it hundreds of polling threads spread what they free over 16 heaps, where it serves no other thread."""
    heaps = {}
    for how in ("tuned", "untouched"):
        report = tmp_path / how
        command = [sys.executable, "-c", ALLOCATING, str(report), how]
        subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
        heaps[how] = report.read_text().count("<heap nr=")
    assert heaps["tuned"] <= 2 < heaps["untouched"]
