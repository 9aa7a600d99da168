"""QueryChatappPhoneNumbers: all numbers of one space, without pages or a total.  The documented values are strings.

A call without CustSpaceId is refused; this is guessed, as the reference does not call it required.  IsvCode is ignored.

Source: Alibaba Cloud API reference and the models of its SDK.
"""

from __future__ import annotations

from typing import Any

from exporter.simulator.faults import Fault
from exporter.simulator.messages import PHONE_NUMBERS
from exporter.simulator.operations.call import Call, Operation
from exporter.simulator.timeline import now
from exporter.simulator.world.numbers import Number


def _answer(call: Call) -> dict[str, Any]:
    space, elapsed = call.expect_space(), call.elapsed_seconds
    entries = [
        _entry(call, number)
        for number in call.account.numbers_of(space.id)
        if now(number.exists, elapsed) and now(number.listed, elapsed)
    ]
    wanted = call.parameters.get("Status", "")
    return {"Success": True, "PhoneNumbers": [entry for entry in entries if wanted in ("", entry.get("Status"))]}


def _entry(call: Call, number: Number) -> dict[str, Any]:
    elapsed = call.elapsed_seconds
    entry = {
        "PhoneNumber": call.shown_number(number),
        "Status": now(number.connection_status, elapsed),
        "QualityRating": now(number.quality_rating, elapsed),
        "MessagingLimitTier": now(number.messaging_limit_tier, elapsed),
        "NameStatus": now(number.name_status, elapsed),
        "NewNameStatus": now(number.new_name_status, elapsed),
        "CodeVerificationStatus": now(number.listed_status, elapsed) or now(number.status, elapsed),
        "VerifiedName": now(number.verified_name, elapsed),
        "IsOfficial": now(number.is_official, elapsed),
        "StatusCallbackUrl": "https://example.com/status",
        "StatusQueue": "Alicom-Queue-Simulated-ChatAppStatus",
        "UpCallbackUrl": "https://example.com/inbound",
        "UpQueue": "Alicom-Queue-Simulated-ChatAppInbound",
        "CallingConfigure": {"Calling": {"Status": "DISABLED"}},
    }
    return {name: value for name, value in entry.items() if value is not None}


def _fault(call: Call) -> Fault | None:
    return now(call.space.fault, call.elapsed_seconds) if call.space else None


OPERATION = Operation(PHONE_NUMBERS, _answer, _fault)
