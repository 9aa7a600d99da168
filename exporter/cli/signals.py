"""Signals that arrive before the exporter serves.

Without a handler a signal kills the process at once (SIGHUP, SIGTERM) or ends it with a traceback (SIGINT).  The first
process of a container ignores it.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

ENDING = (signal.SIGTERM, signal.SIGINT)


class EarlySignals:
    """Handles signals inside its `with` block, in the main thread.

    SIGTERM and SIGINT raise SystemExit in the main thread, once `end_with` has set the exit status.  SIGHUP sets
    `reload_asked`.  An event loop replaces these handlers later.

    Python drops an exception that is raised in a finalizer or in the callback of a weak reference, and C code may
    replace it; imports run both.  Then `end_if_asked` and the end of the block raise SystemExit.
    """

    def __init__(self) -> None:
        self.reload_asked = False
        self._end_asked = False
        self._exit_status: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in ENDING:
            self._before[number] = signal.signal(number, self._end)
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if not isinstance(error, SystemExit):
            self.end_if_asked()

    def end_with(self, exit_status: int) -> None:
        """Set the exit status of an end; if a signal came before, raise SystemExit now."""
        self._exit_status = exit_status
        self.end_if_asked()

    def end_if_asked(self) -> None:
        """Raise SystemExit if a signal asked for an end and the exit status is set."""
        if self._end_asked and self._exit_status is not None:
            raise SystemExit(self._exit_status)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._end_asked = True
        self.end_if_asked()

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self.reload_asked = True
