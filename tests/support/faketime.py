"""A wall clock for the exporter that can jump, by Debian's libfaketime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.servers import require_binary


class WallClock:
    """Controls `time.time()` in a process with `environment`; the monotonic clock is not changed."""

    def __init__(self, folder: Path) -> None:
        require_binary("faketime")
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        self._file = folder / "faketime"
        self.jump(0)
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def jump(self, seconds: int) -> None:
        """Run that far ahead of the machine's clock from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}s\n")
        fresh.replace(self._file)
