"""What the process is told by signals before anything else listens to them.

A signal that finds no handler kills the process at once (SIGHUP, SIGTERM), ends it with a traceback (SIGINT), or, if it
is the first of its container, does nothing at all.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGTERM, signal.SIGINT)


class EarlySignals:
    """Handles signals while it is entered, in the main thread.

    SIGTERM and SIGINT raise SystemExit with `exit_status` wherever the main thread is; SIGHUP is remembered in
    `reload_asked`.  Whoever can do better takes them over.
    """

    def __init__(self, exit_status: int) -> None:
        self.exit_status = exit_status
        self.reload_asked = False
        self._before: dict[signal.Signals, signal._HANDLER] = {}

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

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        raise SystemExit(self.exit_status)

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self.reload_asked = True
