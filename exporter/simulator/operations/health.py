"""GetWhatsappHealthStatus: whether a number can send, and the reasons if it cannot.

Only the NodeType of phone numbers is accepted; ``template`` and ``waba`` are refused as invalid.  An entity without
errors has no `Errors`, as in Meta's answers.

Source: Alibaba Cloud API reference and the models of its SDK; Meta, "Messaging Health Status".
"""

from __future__ import annotations

import zlib
from typing import Any

from exporter.simulator.faults import Fault
from exporter.simulator.messages import HEALTH
from exporter.simulator.operations.call import Call, Operation
from exporter.simulator.refusals import Refusal, RefusedError
from exporter.simulator.timeline import now
from exporter.simulator.world.health import EntityHealth


def _answer(call: Call) -> dict[str, Any]:
    node_type = call.parameters.get("NodeType", "")
    if not node_type:
        raise RefusedError(Refusal.MISSING_NODE_TYPE)
    if node_type not in now(call.account.node_types, call.elapsed_seconds):
        raise RefusedError(Refusal.INVALID_NODE_TYPE)
    number = call.expect_number()
    health = now(number.health, call.elapsed_seconds)
    entities = [
        _entity("PHONE_NUMBER", health.phone_number, PhoneNumber=call.shown_number(number)),
        _entity("WABA", health.waba, WabaId=call.shown(_id_of("waba", number.cust_space_id))),
        _entity("BUSINESS", health.business, BusinessId=call.shown(_id_of("business", call.account.name))),
    ]
    return {"Success": True, "Data": {"CanSendMessage": health.verdict, "Entities": entities}}


def _entity(entity_type: str, health: EntityHealth, **ids: str) -> dict[str, Any]:
    entity: dict[str, Any] = {"EntityType": entity_type, "CanSendMessage": health.can_send, **ids}
    if health.errors:
        entity["Errors"] = [
            {"ErrorCode": each.code, "ErrorDescription": each.description, "PossibleSolution": each.solution}
            for each in health.errors
        ]
    return entity


def _id_of(kind: str, name: str) -> str:
    """An ID, the same in every run."""
    return str(10**14 + zlib.crc32(f"{kind} {name}".encode()))


def _fault(call: Call) -> Fault | None:
    return now(call.number.health_fault, call.elapsed_seconds) if call.number else None


OPERATION = Operation(HEALTH, _answer, _fault)
