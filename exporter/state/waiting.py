"""What other replicas know of numbers that are not in force here yet: they may have found them first."""

from __future__ import annotations

from exporter.model import NumberKey
from exporter.state.records import NumberState

WAIT_SECONDS = 60.0
MAX_WAITING = 20_000
MAX_WAITING_BYTES = 32 << 20
"""A record waits for so long, and so many do."""


class Waiting:
    """Records by number, the one that has waited longest first.  Not thread-safe; `now` is monotonic."""

    def __init__(self) -> None:
        self._records: dict[NumberKey, tuple[NumberState, int, float]] = {}  # with its size, and until when it waits
        self._bytes = 0

    def keep(self, record: NumberState, size: int, now: float) -> None:
        """Keep a record that has `size` bytes in the store, if there is room."""
        self.forget(now)
        if len(self._records) < MAX_WAITING and self._bytes < MAX_WAITING_BYTES:
            self._records[record.number.key] = record, size, now + WAIT_SECONDS
            self._bytes += size

    def take(self, key: NumberKey) -> NumberState | None:
        """The record of a number, which waits no more."""
        record, size, _ = self._records.pop(key, (None, 0, 0.0))
        self._bytes -= size
        return record

    def forget(self, now: float) -> None:
        """Forget what has waited for long enough."""
        while self._records and next(iter(self._records.values()))[2] <= now:
            self.take(next(iter(self._records)))
