"""What became of an account's polls, written down: the state, the counters, the log.  Decides nothing."""

from __future__ import annotations

import logging

from exporter.errors import ApiError
from exporter.logs import fields
from exporter.metrics import Counters
from exporter.model import Answer, PhoneNumber
from exporter.state import State

logger = logging.getLogger(__name__)


class Journal:
    """Records the polls of one account; thread-safe.  `is_retry` marks an attempt that repeats a poll."""

    def __init__(self, account: str, state: State, counters: Counters) -> None:
        self._account = account
        self._state = state
        self._counters = counters

    def waited(self, seconds: float) -> None:
        """A poll that was due waited that long for the budget."""
        self._counters.waited(self._account, seconds)

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

    def refused(self, error: ApiError) -> None:
        """The account counts as refused from now on."""
        logger.error("account is refused, probing it from now on", extra=fields(account=self._account, **_facts(error)))

    def let_in(self) -> None:
        """The account is no longer refused."""
        logger.info("account is let in again", extra=fields(account=self._account))

    def _count_request(self, elapsed_seconds: float, is_retry: bool) -> None:
        self._counters.request(self._account, elapsed_seconds)
        if is_retry:
            self._counters.retry(self._account)


def _facts(error: ApiError) -> dict[str, object]:
    return {"code": error.code, "http_status": error.http_status, "request_id": error.request_id}
