"""The operations of the API, one module each.  `operation` has what they share, which is what `Client.call` needs.

An object of an operation describes one call: its parameters, and how to read the answer.  It does not send it.
"""

from exporter.cams.operations.health import GetWhatsappHealthStatus
from exporter.cams.operations.instances import InstancePage, ListInstance, SpaceListing
from exporter.cams.operations.operation import Operation
from exporter.cams.operations.phone_numbers import NumberListing, QueryChatappPhoneNumbers
from exporter.cams.operations.status import GetPhoneNumberVerificationStatus

__all__ = [
    "GetPhoneNumberVerificationStatus",
    "GetWhatsappHealthStatus",
    "InstancePage",
    "ListInstance",
    "NumberListing",
    "Operation",
    "QueryChatappPhoneNumbers",
    "SpaceListing",
]
