"""What became of an account's polls and errands, written down: the state, the counters, the log.  Decides nothing."""

from __future__ import annotations

import functools
import logging
import threading

from exporter.cams.error_codes import advice
from exporter.errors import ApiError
from exporter.logs import fields
from exporter.metrics.counters import Counters, OperationCounters
from exporter.model import BLOCKED, Answer, Health, OperationStatus, PhoneNumber, Refused
from exporter.state.store import State

logger = logging.getLogger(__name__)


class Recorder:
    """Records the requests of one account; thread-safe."""

    def __init__(self, account: str, state: State, counters: Counters) -> None:
        self._account = account
        self._state = state
        self._counters = counters
        self._lock = threading.Lock()
        self._listing_errors: dict[str | None, str] = {}  # the code of each space's last listing, if that failed

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

    # Errands

    def requested(
        self, operation: str, elapsed_seconds: float | None, code: str | None = None, *, is_retry: bool
    ) -> None:
        """A request ended, with an error if it has a `code`; `elapsed_seconds` is None if none was sent."""
        self._counters.of(self._account, operation).attempt(0.0, elapsed_seconds, code, is_retry=is_retry)

    def listed(self, space: str | None) -> None:
        """A space was listed, or for None the account's spaces."""
        with self._lock:
            before = self._listing_errors.pop(space, None)
        if before is not None:
            logger.info("listing succeeded again", extra=fields(**place(self._account, space)))

    def listing_failed(self, space: str | None, error: ApiError) -> None:
        """A space was not listed, or for None the account's spaces."""
        with self._lock:
            is_news = self._listing_errors.get(space) != error.code
            self._listing_errors[space] = error.code
        facts = fields(**place(self._account, space), operation=error.operation, **facts_of(error), error=error.message)
        logger.log(logging.WARNING if is_news else logging.DEBUG, "listing failed", extra=facts)

    def checked(self, number: PhoneNumber, health: Health) -> None:
        """A health check brought a verdict."""
        before = self._state.checked(number, health)
        if before is None:
            return
        if before.last_error is not None:
            logger.info("health check succeeded again", extra=fields(**number.identity(), request_id=health.request_id))
        known = "" if before.answer is None else before.answer.verdict
        if known == health.verdict or (not known and health.verdict != BLOCKED):
            return
        reasons = " ".join(f"{error.entity}:{error.code}" for error in health.errors)
        logger.log(
            logging.WARNING if health.verdict == BLOCKED else logging.INFO,
            "verdict changed",
            extra=fields(
                **number.identity(),
                before=known,
                verdict=health.verdict,
                reasons=reasons,
                request_id=health.request_id,
            ),
        )

    def check_failed(self, number: PhoneNumber, error: ApiError) -> None:
        """A health check brought no verdict."""
        is_news = self._state.check_failed(number, error)
        facts = fields(**number.identity(), **facts_of(error), error=number.redacted(error.message))
        logger.log(logging.WARNING if is_news else logging.DEBUG, "health check failed", extra=facts)

    def operation_changed(self, status: OperationStatus) -> None:
        """An operation is down from now on, or up again."""
        facts = {"account": self._account, "operation": status.operation}
        why = status.refused
        if why is None:
            logger.info("an operation is up", extra=fields(**facts))
            return
        facts |= {"code": why.code, "request_id": why.request_id, "advice": advice(why.code, status.operation)}
        logger.warning("an operation is down", extra=fields(**facts))


def place(account: str, space: str | None) -> dict[str, str]:
    """The fields of a log line about a space, or the account where `space` is None."""
    return {"account": account} | ({} if space is None else {"cust_space_id": space})


def facts_of(error: ApiError) -> dict[str, object]:
    """The fields of a log line about an error, but for its message."""
    return {"code": error.code, "http_status": error.http_status, "request_id": error.request_id}
