"""ListInstance: the instances of the account in pages.  Each is a space of numbers.

The filters are ChannelType, InstanceId and InstanceName.  Other documented filters are ignored.

Source: Alibaba Cloud API reference and the models of its SDK.  These are undocumented, and guessed: the first page has
index 1, a page has 10 entries by default, and a size above the account's `max_page_size` is reduced to it.
"""

from __future__ import annotations

from typing import Any

from exporter.simulator.faults import Fault
from exporter.simulator.messages import INSTANCES
from exporter.simulator.operations.call import Call, Operation
from exporter.simulator.refusals import Refusal, RefusedError
from exporter.simulator.timeline import now
from exporter.simulator.world.accounts import Space

DEFAULT_PAGE_SIZE = 10


def _answer(call: Call) -> dict[str, Any]:
    index = _positive(call, "PageIndex", 1, Refusal.INVALID_PAGE_INDEX)
    size = _positive(call, "PageSize", DEFAULT_PAGE_SIZE, Refusal.INVALID_PAGE_SIZE)
    size = min(size, now(call.account.max_page_size, call.elapsed_seconds))
    entries = [_entry(call, space) for space in call.account.spaces.values() if _is_there(call, space)]
    entries = [entry for entry in entries if _is_wanted(call, entry)]
    page = entries[(index - 1) * size : index * size]
    return {"Success": True, "TotalCount": len(entries), "Data": page}


def _is_there(call: Call, space: Space) -> bool:
    return now(space.exists, call.elapsed_seconds) and now(space.listed, call.elapsed_seconds)


def _entry(call: Call, space: Space) -> dict[str, str]:
    elapsed = call.elapsed_seconds
    ids = {"CustSpaceId": now(space.cust_space_id, elapsed), "InstanceId": now(space.instance_id, elapsed)}
    entry = {
        **{name: None if value is None else call.shown(value) for name, value in ids.items()},
        "InstanceName": now(space.name, elapsed),
        "ChannelType": now(space.channel_type, elapsed),
        "State": now(space.state, elapsed),
        "SubmitTime": now(space.submit_time, elapsed),
        "InstanceDescription": "simulated",
        "ContactMail": "simulated@example.com",
        "CountryId": "1",
        "FacebookBmId": "1",
        "IsvTerms": "",
        "OfficeAddress": "simulated",
        "ResourceGroupId": "rg-simulated",
        "ResourceRegionId": "ap-southeast-1",
    }
    return {name: value for name, value in entry.items() if value is not None}


def _is_wanted(call: Call, entry: dict[str, str]) -> bool:
    """Whether the filters select the entry; upper and lower case are equal."""
    for name in ("ChannelType", "InstanceId", "InstanceName"):
        wanted = call.parameters.get(name, "")
        if wanted and entry.get(name, "").lower() != wanted.lower():
            return False
    return True


def _positive(call: Call, parameter: str, default: int, refusal: Refusal) -> int:
    text = call.parameters.get(parameter, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise RefusedError(refusal)
    return int(text)


def _fault(_call: Call) -> Fault | None:
    return None


OPERATION = Operation(INSTANCES, _answer, _fault)
