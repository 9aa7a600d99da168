"""What became of an account's polls, written down: the state, the counters, the log.  Decides nothing."""

from __future__ import annotations

import logging

from exporter.errors import ApiError
from exporter.logs import fields
from exporter.metrics.catalogue import Counters
from exporter.model import Answer, PhoneNumber, Refused
from exporter.state.store import State

logger = logging.getLogger(__name__)


class Recorder:
    """Records the polls of one account; thread-safe.  `is_retry` marks an attempt that repeats a poll."""

    def __init__(self, account: str, state: State, counters: Counters) -> None:
        self._account = account
        self._state = state
        self._counters = counters

    def waited(self, seconds: float) -> None:
        """A poll that was due waited that long for the budget."""
        self._counters.waited(self._account, seconds)

    def ended(self, number: PhoneNumber, outcome: Answer | ApiError, *, is_retry: bool) -> None:
        """An attempt was made."""
        if isinstance(outcome, ApiError):
            self.failed(number, outcome, is_retry=is_retry)
        else:
            self.succeeded(number, outcome, is_retry=is_retry)

    def succeeded(self, number: PhoneNumber, answer: Answer, *, is_retry: bool) -> None:
        """A request brought a status."""
        self._count_request(answer.elapsed_seconds, is_retry)
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

    def failed(self, number: PhoneNumber, error: ApiError, *, is_retry: bool) -> None:
        """An attempt brought none."""
        self._counters.error(self._account, error.code)
        if error.sent:
            self._count_request(error.elapsed_seconds, is_retry)
        is_news = self._state.failed(number, error)
        logger.log(
            logging.WARNING if is_news else logging.DEBUG,
            "poll failed",
            extra=fields(**number.identity(), **_facts(error), error=number.redacted(error.message)),
        )

    def changed(self, space: str | None, reason: Refused | None) -> None:
        """A space, or the account where `space` is None, is refused from now on for `reason`, or accepted again."""
        scope = "the account" if space is None else "a space"
        where = {"account": self._account} | ({} if space is None else {"cust_space_id": space})
        if reason is None:
            logger.info("%s is accepted again", scope, extra=fields(**where))
        else:
            logger.error(
                "%s is refused, probing it from now on",
                scope,
                extra=fields(**where, code=reason.code, request_id=reason.request_id),
            )

    def _count_request(self, elapsed_seconds: float, is_retry: bool) -> None:
        self._counters.request(self._account, elapsed_seconds)
        if is_retry:
            self._counters.retry(self._account)


def _facts(error: ApiError) -> dict[str, object]:
    return {"code": error.code, "http_status": error.http_status, "request_id": error.request_id}
