"""The documented refusals, and the exception that refuses a request.

Source: Alibaba Cloud API reference, the CAMS operations and the gateway's common errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Refusal(Enum):
    """The documented refusals: (HTTP status, Code, Message)."""

    NO_SUCH_API = (404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
    NO_SUCH_VERSION = (400, "InvalidVersion", "Specified parameter Version is not valid.")
    INCOMPLETE_SIGNATURE = (
        400,
        "IncompleteSignature",
        "The request signature does not conform to Aliyun standards.",
    )
    UNKNOWN_KEY = (404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    INACTIVE_KEY = (400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
    WRONG_SIGNATURE = (
        400,
        "SignatureDoesNotMatch",
        "Specified signature is not matched with our calculation.",
    )
    EXPIRED_DATE = (400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
    MALFORMED_DATE = (400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
    NONCE_USED = (400, "SignatureNonceUsed", "Specified signature nonce was used already.")
    WRONG_TOKEN = (400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
    MISSING_TOKEN = (400, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
    THROTTLED = (400, "Throttling.User", "Request was denied due to user flow control.")
    FLOW_CONTROL = (400, "System.LimitControl", "The system is under flow control.")
    UNSUBSCRIBED = (400, "Product.Unsubscript", "The product is not subscribed.")
    FORBIDDEN = (
        403,
        "Forbidden.RAM",
        "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
    )
    PERMISSION_DENIED = (400, "Ram.PermissionDeny", "You are not authorized to perform this operation.")
    NOT_YOURS = (400, "Unknown.ResourceOwnerId", "The resource does not belong to the current user.")
    MISSING_SPACE = (400, "MissingCustSpaceId", "CustSpaceId is mandatory for this action.")
    MISSING_NUMBER = (400, "MissingPhoneNumber", "PhoneNumber is mandatory for this action.")
    INVALID_NUMBER = (400, "InvalidParameter.PhoneNumber", "The specified parameter PhoneNumber is not valid.")
    INVALID_PAGE_INDEX = (400, "InvalidParameter.PageIndex", "The specified parameter PageIndex is not valid.")
    INVALID_PAGE_SIZE = (400, "InvalidParameter.PageSize", "The specified parameter PageSize is not valid.")
    MISSING_NODE_TYPE = (400, "MissingNodeType", "NodeType is mandatory for this action.")
    INVALID_NODE_TYPE = (400, "InvalidParameter.NodeType", "The specified parameter NodeType is not valid.")
    INTERNAL = (500, "InternalError", "The request processing has failed due to some unknown error.")
    UNAVAILABLE = (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.value[0]

    @property
    def code(self) -> str:
        """`Code` of the body."""
        return self.value[1]

    @property
    def message(self) -> str:
        """`Message` of the body."""
        return self.value[2]


class RefusedError(Exception):
    """Ends the decision: the request is refused.  `status` replaces the refusal's HTTP status."""

    def __init__(
        self, refusal: Refusal, detail: str = "", *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.refusal = refusal
        self.message = f"{refusal.message} {detail}".strip()
        self.status = status or refusal.status
        self.headers = headers or {}
        super().__init__(refusal.code)
