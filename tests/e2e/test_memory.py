"""The garbage collector does not stop the process to look at what stays anyway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.configs import ACCOUNTS, written
from tests.support.patience import PATIENCE_SECONDS

COLLECTING = """
import gc, sys
from contextlib import suppress
from pathlib import Path
from exporter.__main__ import main
from exporter.app import App
from exporter.config import load
from exporter.model import SystemClock
path = Path(sys.argv[1])
with suppress(SystemExit):
    main(["--version"])
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
    """Frozen garbage would never be freed, so a reload collects garbage first."""
    config = written(tmp_path, f"api: {{endpoint: 'http://127.0.0.1:9'}}\n{ACCOUNTS}")
    ran = subprocess.run(
        [sys.executable, "-c", COLLECTING, str(config)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[-4:] == ["collected", "True", "True", "True"]
