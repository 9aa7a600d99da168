"""What to do about an error that a health check names: tables only.

Source: Meta, "Messaging Health Status" and "Cloud API Error Codes".  The runbook CamsNumberCannotSend has the same
codes.  Meta's own texts go before these: codes come and change.
"""

from __future__ import annotations

from collections.abc import Mapping

_PAYMENT = "Add or repair the payment method. If Alibaba Cloud pays, check your balance and bill there."
_POLICY = "Read the policy notice in WhatsApp Manager, correct what it says, appeal there."

BY_CODE: Mapping[str, str] = {
    "141006": f"{_PAYMENT} Until then only replies to customers work.",
    "141010": "Finish the verification of the business in Meta Business Manager.",
    "141000": "The number is not connected, or its limit is reached: the description says which.",
    "141002": "A message template is not approved. Edit it, or appeal. Other templates work.",
    "131031": _POLICY,
    "368": f"{_POLICY} Wait until the time that the notice says.",
    "130497": "Do not send to that country, or appeal the category of the business.",
    "131042": _PAYMENT,
    "138024": "Nothing, unless you use calls. Messages work.",
}
"""By Meta's code."""

_CALLS = "138"
"""Codes that begin so are about calls."""

_BY_ENTITY: Mapping[str, str] = {
    "PHONE_NUMBER": "It concerns this number alone. Do what Meta says, in the console.",
    "WABA": "It concerns the WhatsApp Business Account with all of its numbers. Do what Meta says, in the console.",
    "BUSINESS": "It concerns the whole business with all of its numbers. Do what Meta says, in Meta Business Manager.",
}
_OTHER = "Do what Meta says. If that does not help, send the code and the RequestId to Alibaba Cloud support."


def cure_of(entity: str, code: str) -> str:
    """What to do about an error, for people: by its code, or else by the entity."""
    if code.startswith(_CALLS):
        return BY_CODE["138024"]
    return BY_CODE.get(code) or _BY_ENTITY.get(entity, _OTHER)
