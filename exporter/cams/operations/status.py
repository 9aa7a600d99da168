"""GetPhoneNumberVerificationStatus: the verification status of one number.

Source: Alibaba Cloud API reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from exporter.cams.answers import Payload
from exporter.cams.operations.operation import Operation
from exporter.model import OPERATION, Answer, PhoneNumber


@dataclass(frozen=True, slots=True)
class GetPhoneNumberVerificationStatus(Operation[Answer]):
    """Asks for the status of `number`: a non-blank string ``Data.CodeVerificationStatus``, kept unchanged."""

    name = OPERATION
    parameters = (
        ("CustSpaceId", attrgetter("number.cust_space_id")),
        ("PhoneNumber", attrgetter("number.phone_number")),
    )
    hide = None
    number: PhoneNumber

    def read(self, payload: Payload) -> Answer:
        """The status."""
        data = payload.fields.get("Data")
        if not isinstance(data, dict):
            payload.refuse("the answer has no Data")
        status = data.get("CodeVerificationStatus")
        if not isinstance(status, str) or not status.strip():
            payload.refuse("the answer has no CodeVerificationStatus")
        return Answer(
            status=payload.verbatim(status),
            phone_number_id=payload.verbatim(data.get("Id")),
            request_id=payload.request_id,
            elapsed_seconds=payload.elapsed_seconds,
        )
