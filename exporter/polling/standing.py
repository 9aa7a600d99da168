"""Whether an operation is up, by its answers; and what is kept of a refusal.  Pure."""

from __future__ import annotations

from collections.abc import Collection

from exporter.cams.error_codes import kind_of
from exporter.errors import ApiError, Kind
from exporter.model import NumberKey, OperationStatus, Refused

REFUSALS = frozenset({Kind.ACCOUNT, Kind.PERMISSION})
"""Errors that refuse an operation, or the account: another credential may bring a success."""

DEFINITE = frozenset({Kind.NUMBER, Kind.PERMISSION})
"""Errors about one number or space, which do not pass by themselves: like a success, they end a row of failures."""


class Standing:
    """The standing of one operation of an account.

    It is down from a refusal until the next success, and from a failed first attempt until the first success.  A space
    of which a number is refused already does not bring it down once more while others are accepted.
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.down: Refused | None = None
        """The refusal that brought it down, or the error of the attempt before its first success; None while up."""
        self.is_clear = False
        """Whether it is up, and nothing is refused: one more success changes nothing."""
        self._kind: Kind | None = None  # of the error that brought it down
        self._succeeded = False
        self._refused: dict[str, set[NumberKey]] = {}  # whose last answer was a refusal, by space

    @property
    def status(self) -> OperationStatus:
        """As it is shown."""
        return OperationStatus(self.operation, up=self.down is None, refused=self.down)

    @property
    def is_forbidden(self) -> bool:
        """Whether it is down for want of permission."""
        return self._kind is Kind.PERMISSION

    def heard(self, key: NumberKey, error: ApiError | None, *, is_whole: bool) -> bool:
        """An attempt about a number or space ended, with success if `error` is None.

        `is_whole` says whether everything is refused now.  Returns whether the operation came up, or went down.
        """
        was_up = self.down is None
        if error is None:
            self._succeeded = True
            self._forget(key)
            self._set(key, None)
        elif error.kind in REFUSALS:
            if not was_up or is_whole or key.cust_space_id not in self._refused:
                self._set(key, error)
            self._refused.setdefault(key.cust_space_id, set()).add(key)
        elif error.kind is Kind.NUMBER and not error.guessed:  # it may be asked, but not about this one
            self._forget(key)
            self._set(key, None if self._succeeded else error)
        elif not self._succeeded and self._kind not in REFUSALS:
            self._set(key, error)
        self.is_clear = self._succeeded and self.down is None and not self._refused
        return was_up != (self.down is None)

    def take_over(self, status: OperationStatus) -> None:
        """Go on from what another replica found."""
        self.down = status.refused
        self._kind = None if status.refused is None else kind_of(status.refused.code, None)
        self._succeeded |= status.up
        self._refused.clear()

    def configure(self, keys: Collection[NumberKey]) -> None:
        """Only these numbers or spaces are left."""
        for key in [key for refused in self._refused.values() for key in refused if key not in keys]:
            self._forget(key)

    def _forget(self, key: NumberKey) -> None:
        """The number or space is not refused."""
        refused = self._refused.get(key.cust_space_id)
        if refused is not None:
            refused.discard(key)
            if not refused:
                del self._refused[key.cust_space_id]

    def _set(self, key: NumberKey, error: ApiError | None) -> None:
        self.down = None if error is None else reason_of(key, error)
        self._kind = None if error is None else error.kind


def reason_of(key: NumberKey, error: ApiError) -> Refused:
    """Why a request about `key` failed, without the number: a reload may change how numbers are shown."""
    message = error.message.replace(key.phone_number, "…") if key.phone_number else error.message
    return Refused(error.code, message, error.request_id)
