"""One request that is not a poll, from the client to whom its answer concerns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.cams.error_codes import INTERNAL_ERROR
from exporter.errors import ApiError, Kind, Stopped
from exporter.logs import fields
from exporter.model import Slot
from exporter.polling.client import Fetcher
from exporter.polling.errands.operation import OptionalOperation, Reply
from exporter.polling.gate import Waiter
from exporter.polling.schedule import Entry

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class Errand(Waiter):
    """One request under way that is not a poll; `credential` says which one signs, as a number."""

    account: str
    operation: OptionalOperation[Any, Any]
    entry: Entry[Any]
    client: Fetcher
    credential: int
    is_probe: bool

    def asked(self, gate: Callable[[], Slot]) -> Reply[Any] | ApiError | None:
        """Send it; None if it may not go any more."""
        try:
            return self.operation.ask(self.client, self.entry.target, gate)
        except Stopped:
            return None
        except ApiError as error:
            return error
        except Exception as bug:  # it must not be lost
            logger.exception("an errand failed", extra=fields(account=self.account, operation=self.operation.name))
            return ApiError(INTERNAL_ERROR, Kind.TRANSIENT, message=type(bug).__name__, operation=self.operation.name)

    def told(self, outcome: Reply[Any] | ApiError) -> Sequence[str] | None:
        """Hand on what came of it; returns the spaces to list from now on if they may be others.  Without the lock."""
        try:
            return self.operation.told(self.entry.target, outcome, is_retry=self.entry.retries > 0)
        except Exception:  # a bug in whom it is handed to must not stop the errands
            logger.exception("an answer was lost", extra=fields(account=self.account, operation=self.operation.name))
            return None
