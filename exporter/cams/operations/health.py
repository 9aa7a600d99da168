"""GetWhatsappHealthStatus: whether a number can send, and the reasons if it cannot.

Source: Alibaba Cloud API reference and the models of its SDK; Meta, "Messaging Health Status".  It is not documented
whether the node type is in upper or lower case: see `NodeType`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from exporter.cams.answers import Payload
from exporter.cams.operations.operation import Operation
from exporter.errors import ApiError, Kind
from exporter.model import Health, HealthError, PhoneNumber

MAX_ERRORS = 16
"""The most errors that are kept of one answer: each is a series."""


class NodeType:
    """The spelling of the node type that the API accepts: ``PHONE`` or ``phone``.  Each client has one; thread-safe.

    Before the first success, an error about the number or a parameter changes the spelling.  After that only an error
    that names the parameter does.
    """

    SPELLINGS = ("PHONE", "phone")

    def __init__(self) -> None:
        self.spelling = self.SPELLINGS[0]
        """The spelling to send."""
        self._is_settled = False

    def accepted(self, sent: str) -> None:
        """A request with the spelling `sent` succeeded."""
        self.spelling, self._is_settled = sent, True

    def refused(self, sent: str, error: ApiError) -> bool:
        """A request with the spelling `sent` failed.  Returns whether to repeat it with the other spelling."""
        if error.kind is not Kind.NUMBER or (self._is_settled and "nodetype" not in f"{error}".lower()):
            return False
        self._is_settled = False
        self.spelling = next(other for other in self.SPELLINGS if other != sent)
        return sent == self.SPELLINGS[0]


@dataclass(frozen=True, slots=True)
class GetWhatsappHealthStatus(Operation[Health]):
    """Asks whether `number` can send: a non-blank ``Data.CanSendMessage``."""

    name = "GetWhatsappHealthStatus"
    parameters = (
        ("CustSpaceId", attrgetter("number.cust_space_id")),
        ("NodeType", attrgetter("node_type")),
        ("PhoneNumber", attrgetter("number.phone_number")),
    )
    max_qps = 5.0
    hide = None
    number: PhoneNumber
    node_type: str = NodeType.SPELLINGS[0]

    def read(self, payload: Payload) -> Health:
        """The verdict and its reasons.  Reasons that cannot be read are skipped: the verdict matters more."""
        payload.expect_success()
        data = payload.fields.get("Data")
        verdict = payload.text(data.get("CanSendMessage")) if isinstance(data, dict) else ""
        if not isinstance(data, dict) or not verdict:
            payload.refuse("the answer has no CanSendMessage")
        errors = {(error.entity, error.code): error for error in _errors(payload, data)}
        return Health(
            verdict=verdict,
            errors=tuple(errors.values())[:MAX_ERRORS],
            request_id=payload.request_id,
            elapsed_seconds=payload.elapsed_seconds,
        )


def _errors(payload: Payload, data: Mapping[str, object]) -> Iterator[HealthError]:
    for entity in _objects(data.get("Entities")):
        for error in _objects(entity.get("Errors")):
            yield HealthError(
                entity=payload.text(entity.get("EntityType")),
                code=payload.text(error.get("ErrorCode")),
                description=payload.message(error.get("ErrorDescription")),
                solution=payload.message(error.get("PossibleSolution")),
            )


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))
