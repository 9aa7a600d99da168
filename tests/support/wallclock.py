"""A wall clock for the exporter that can jump.

``python -m tests.support.wallclock FILE`` is `python -m exporter`, but `time.time` is ahead by as many seconds as the
file says.  The monotonic clocks are not changed.  Debian's libfaketime could do the same, but with it the waits of
Python's threads take a third of a core.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class WallClock:
    """The clock of a process that has this `program` and `environment`."""

    def __init__(self, folder: Path, ahead: float = 0.0) -> None:
        self._file = folder / "seconds"
        self.program: Sequence[str] = (sys.executable, "-m", __name__, str(self._file))
        self.environment: Mapping[str, str] = {"PYTHONPATH": str(Path(__file__).parents[2])}
        self.jump(ahead)

    def jump(self, ahead: float) -> None:
        """Run that far ahead of the machine's clock from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(ahead))
        fresh.replace(self._file)


def main() -> None:
    file, machine = Path(sys.argv.pop(1)), time.time
    time.time = lambda: machine() + float(file.read_text())
    runpy.run_module("exporter", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
