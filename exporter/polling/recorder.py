"""What became of an account's polls, written down: the state, the counters, the log.  Decides nothing."""

from __future__ import annotations

import functools
import logging

from exporter.errors import ApiError
from exporter.logs import fields
from exporter.metrics.counters import Counters, OperationCounters
from exporter.model import Answer, PhoneNumber, Refused
from exporter.state.store import State

logger = logging.getLogger(__name__)


class Recorder:
    """Records the polls of one account; thread-safe."""

    def __init__(self, account: str, state: State, counters: Counters) -> None:
        self._account = account
        self._state = state
        self._counters = counters

    @functools.cached_property
    def _counted(self) -> OperationCounters:
        """The counters of the account's polls; the account is registered before its first poll ends."""
        return self._counters.of(self._account)

    def ended(
        self, number: PhoneNumber, outcome: Answer | ApiError, waited_seconds: float = 0.0, *, is_retry: bool
    ) -> None:
        """An attempt was made, after waiting so long for the budget; `is_retry` marks one that repeats a poll."""
        if isinstance(outcome, ApiError):
            elapsed_seconds = outcome.elapsed_seconds if outcome.sent else None
            self._counted.attempt(waited_seconds, elapsed_seconds, outcome.code, is_retry=is_retry)
            self._failed(number, outcome)
        else:
            self._counted.attempt(waited_seconds, outcome.elapsed_seconds, is_retry=is_retry)
            self._succeeded(number, outcome)

    def _succeeded(self, number: PhoneNumber, answer: Answer) -> None:
        before = self._state.succeeded(number, answer)
        if before is None:
            return
        if before.last_poll_success is False:
            logger.info("poll succeeded again", extra=fields(**number.identity(), request_id=answer.request_id))
        if before.status not in ("", answer.status):
            logger.info(
                "status changed",
                extra=fields(
                    **number.identity(), before=before.status, status=answer.status, request_id=answer.request_id
                ),
            )

    def _failed(self, number: PhoneNumber, error: ApiError) -> None:
        is_news = self._state.failed(number, error)
        logger.log(
            logging.WARNING if is_news else logging.DEBUG,
            "poll failed",
            extra=fields(**number.identity(), **facts_of(error), error=number.redacted(error.message)),
        )

    def changed(self, space: str | None, reason: Refused | None) -> None:
        """A space, or the account where `space` is None, is refused from now on for `reason`, or accepted again."""
        scope = "the account" if space is None else "a space"
        where = place(self._account, space)
        if reason is None:
            logger.info("%s is accepted again", scope, extra=fields(**where))
        else:
            logger.error(
                "%s is refused, probing it from now on",
                scope,
                extra=fields(**where, code=reason.code, request_id=reason.request_id),
            )


def place(account: str, space: str | None) -> dict[str, str]:
    """The fields of a log line about a space, or the account where `space` is None."""
    return {"account": account} | ({} if space is None else {"cust_space_id": space})


def facts_of(error: ApiError) -> dict[str, object]:
    """The fields of a log line about an error, but for its message."""
    return {"code": error.code, "http_status": error.http_status, "request_id": error.request_id}
