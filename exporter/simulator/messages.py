"""Messages: a request as received, and a reply in the documented shapes.  Does not decide, does no I/O.

Source: Alibaba Cloud API reference, the CAMS operations and the gateway's common errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

STATUS = "GetPhoneNumberVerificationStatus"
INSTANCES = "ListInstance"
PHONE_NUMBERS = "QueryChatappPhoneNumbers"
HEALTH = "GetWhatsappHealthStatus"

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


def json_reply(status: int, outcome: str, document: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Any JSON document as a reply."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return Reply(status, outcome, body, {"Content-Type": JSON, **(headers or {})})


def success(request_id: str, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """The documented answer to a successful request; `fields` are those of the operation."""
    document = {"RequestId": request_id, "Code": "OK", "Message": "None", **fields}
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
