"""What every operation of the API has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from exporter.cams.answers import Payload
from exporter.cams.attempt import MAX_BODY_BYTES
from exporter.model import PhoneNumber

T = TypeVar("T")


class Operation(ABC, Generic[T]):
    """One call of an operation; immutable.  `read` makes a `T` of its answer."""

    __slots__ = ()

    name: ClassVar[str]
    """The header `x-acs-action`, the label `operation`, and after ``cams:`` the action in a RAM policy."""

    parameters: ClassVar[tuple[tuple[str, Callable[[Any], object]], ...]]
    """The parameters of the query, and how to get each from the call."""

    max_qps: ClassVar[float | None] = None
    """The documented limit, in requests per second and account; None if only the account's quota limits it."""

    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES
    """The largest body of an answer."""

    number: PhoneNumber | None
    """The number that is asked about; None if it is not one number."""

    hide: Callable[[str], str] | None
    """Takes other phone numbers that must not be shown out of a text; None if there is nothing to hide."""

    @abstractmethod
    def read(self, payload: Payload) -> T:
        """The value of a successful answer.  Raises ApiError, by `Payload.refuse`, and nothing else."""
