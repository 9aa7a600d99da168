"""Messages: a request as received, a reply in the documented shapes, and the documented refusals.

Decides nothing and does no I/O.

Source: Alibaba Cloud API reference, GetPhoneNumberVerificationStatus and the gateway's common errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

ACTION = "GetPhoneNumberVerificationStatus"
VERSION = "2020-06-06"
HOST_ID = "cams.ap-southeast-1.aliyuncs.com"
RECOMMEND = "https://api.alibabacloud.com/troubleshoot?q={code}&product=Cams&requestId={request_id}"
JSON = "application/json;charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received: `target` is the second word of the request line, `headers` has lower-case names.

    `since` is the earliest monotonic instant at which it may have arrived; None if it was read without delay.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    since: float | None = None

    @property
    def path(self) -> str:
        """The path in the request line."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query in the request line, still encoded."""
        return self.target.partition("?")[2]

    def parameters(self) -> dict[str, str]:
        """Parameters of query and form body.  The query takes precedence, and the last of equal names."""
        form = ""
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            form = self.body.decode("utf-8", "replace")
        pairs = parse_qsl(form, keep_blank_values=True) + parse_qsl(self.query, keep_blank_values=True)
        return dict(pairs)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: `outcome` is its `Code`, for the log of arrivals; `close` ends the connection after it."""

    status: int
    outcome: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False

    def encode(self) -> bytes:
        """The reply as HTTP/1.1 bytes, for faults that write to the connection themselves."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unassigned"
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


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


def json_reply(status: int, outcome: str, document: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Any JSON document as a reply."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return Reply(status, outcome, body, {"Content-Type": JSON, **(headers or {})})


def success(
    request_id: str, phone_number: str, number_id: str, status: str, headers: Mapping[str, str] | None = None
) -> Reply:
    """The documented answer with a status."""
    data = {"PhoneNumber": phone_number, "Id": number_id, "CodeVerificationStatus": status}
    document = {"RequestId": request_id, "Code": "OK", "Message": "None", "Data": data}
    return json_reply(200, "OK", document, {"x-acs-request-id": request_id, **(headers or {})})


def failure(request_id: str, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """The documented answer to a request that is refused."""
    document = {
        "RequestId": request_id,
        "HostId": HOST_ID,
        "Code": code,
        "Message": message,
        "Recommend": RECOMMEND.format(code=code, request_id=request_id),
    }
    return json_reply(status, code, document, {"x-acs-request-id": request_id, **(headers or {})})
