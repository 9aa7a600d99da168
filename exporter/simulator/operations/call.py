"""One call of an operation, and the description of an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.simulator.faults import Fault
from exporter.simulator.refusals import Refusal, RefusedError
from exporter.simulator.timeline import now
from exporter.simulator.world.accounts import Account, Calls, Space
from exporter.simulator.world.numbers import Number

HIDDEN = "****"
"""The end of a masked value, as in the documentation's examples."""


@dataclass(slots=True, eq=False)
class Call:
    """A call that the gateway accepted.

    `space` and `number` are those that the call names; None if the account does not have them now.
    """

    account: Account
    rules: Calls
    parameters: Mapping[str, str]
    elapsed_seconds: float
    cust_space_id: str = field(init=False)
    phone_number: str = field(init=False)
    space: Space | None = field(init=False)
    number: Number | None = field(init=False)

    def __post_init__(self) -> None:
        self.cust_space_id = self.parameters.get("CustSpaceId", "")
        self.phone_number = self.parameters.get("PhoneNumber", "")
        self.space = self.account.find_space(self.cust_space_id, self.elapsed_seconds)
        number = self.account.numbers.get((self.cust_space_id, self.phone_number)) if self.space else None
        self.number = number if number and now(number.exists, self.elapsed_seconds) else None

    def expect_space(self) -> Space:
        """The space that the call names.  Raises RefusedError."""
        if not self.cust_space_id:
            raise RefusedError(Refusal.MISSING_SPACE)
        if self.space is None:
            raise RefusedError(Refusal.NOT_YOURS)
        return self.space

    def expect_number(self) -> Number:
        """The number that the call names.  Raises RefusedError."""
        if not self.cust_space_id:
            raise RefusedError(Refusal.MISSING_SPACE)
        if not self.phone_number:
            raise RefusedError(Refusal.MISSING_NUMBER)
        if not (self.phone_number.isascii() and self.phone_number.isdigit()):
            raise RefusedError(Refusal.INVALID_NUMBER)
        if self.number is None:
            raise RefusedError(Refusal.NOT_YOURS)
        return self.number

    def shown(self, text: str) -> str:
        """An ID or a phone number in this call's answer, masked if the rules say so."""
        return f"{text[: -len(HIDDEN)]}{HIDDEN}" if now(self.rules.masked, self.elapsed_seconds) else text

    def shown_number(self, number: Number) -> str:
        """The phone number in this call's answer."""
        return now(number.shown_as, self.elapsed_seconds) or self.shown(number.phone_number)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the API.

    `answer` returns the fields of its answer without RequestId, Code and Message, or raises RefusedError.  `fault`
    returns the fault of the number or space that the call names.
    """

    name: str
    answer: Callable[[Call], dict[str, Any]]
    fault: Callable[[Call], Fault | None]
