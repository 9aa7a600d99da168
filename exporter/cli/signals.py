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

    SIGTERM and SIGINT raise SystemExit wherever the main thread is, as soon as `end_with` has said with which status;
    SIGHUP is remembered in `reload_asked`.  Whoever can do better takes them over.

    Python drops what is raised in a finalizer or a weak reference's callback, and C code may raise something else in
    its place; imports run both.  `end_if_asked`, and leaving the block, then raise SystemExit after all.
    """

    def __init__(self) -> None:
        self.reload_asked = False
        self._end_asked = False
        self._exit_status: int | None = None
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
        if not isinstance(error, SystemExit):
            self.end_if_asked()

    def end_with(self, exit_status: int) -> None:
        """What an end means from now on; one that was asked for before comes now."""
        self._exit_status = exit_status
        self.end_if_asked()

    def end_if_asked(self) -> None:
        """Raise SystemExit if an end was asked for and it is known what that means."""
        if self._end_asked and self._exit_status is not None:
            raise SystemExit(self._exit_status)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._end_asked = True
        self.end_if_asked()

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self.reload_asked = True
