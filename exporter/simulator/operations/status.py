"""GetPhoneNumberVerificationStatus: the verification status of a number.

Source: Alibaba Cloud API reference.
"""

from __future__ import annotations

from typing import Any

from exporter.simulator.faults import Fault
from exporter.simulator.messages import STATUS
from exporter.simulator.operations.call import Call, Operation
from exporter.simulator.timeline import now


def _answer(call: Call) -> dict[str, Any]:
    number = call.expect_number()
    data = {
        "PhoneNumber": call.shown_number(number),
        "Id": call.shown(number.id),
        "CodeVerificationStatus": now(number.status, call.elapsed_seconds),
    }
    return {"Data": data}


def _fault(call: Call) -> Fault | None:
    return now(call.number.fault, call.elapsed_seconds) if call.number else None


OPERATION = Operation(STATUS, _answer, _fault)
