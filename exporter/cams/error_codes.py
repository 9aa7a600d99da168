"""What each error code is about, and what to do about it: tables only.

Source: Alibaba Cloud's API reference (the operations of CAMS and the gateway's common errors), and the exporter's own
codes, in lower case.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from exporter.errors import Kind
from exporter.model import OPERATION

TIMEOUT = "timeout"
CONNECTION_ERROR = "connection_error"
TLS_ERROR = "tls_error"
INVALID_RESPONSE = "invalid_response"
CREDENTIALS_ERROR = "credentials_error"
INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A code, or a family of codes: ``X.*`` is X and all that begins with ``X.``; ``X*`` is all that begins with X."""

    pattern: str
    kind: Kind
    advice: str

    def matches(self, code: str) -> bool:
        return fnmatchcase(code, self.pattern) or fnmatchcase(f"{code}.", self.pattern)


_SLOW_DOWN = (
    "The account sends too many requests, from this exporter or from other callers. The exporter pauses and slows down "
    "by itself. If this continues, lower qps."
)
_SERVICE = (
    "A fault at Alibaba Cloud; the exporter retries. If it continues, send the RequestId to Alibaba Cloud support."
)
_PERMISSION = (
    "Grant cams:{operation} to the RAM user or role. If other spaces of the account work, check "
    "that this cust_space_id belongs to the account and that no policy denies it."
)
_KEY_PAIR = "The AccessKey secret does not belong to the AccessKey ID, or has a typing error."
_CLOCK = (
    "The clock of this machine is wrong. The exporter corrects the time in its signatures, but fix the clock (NTP)."
)
_STS = "The STS token expired or belongs to another key. The exporter fetches a new one. Check its source."
_MISSING = "A required parameter is missing in the request: check phone_number and cust_space_id."

_RULES = (
    _Rule("Product.Unsubscript", Kind.ACCOUNT, "Activate Chat App Message Service for the Alibaba Cloud account."),
    _Rule("Ram.PermissionDeny", Kind.PERMISSION, _PERMISSION),
    _Rule("Forbidden.*", Kind.PERMISSION, _PERMISSION),
    _Rule("NoPermission.*", Kind.PERMISSION, _PERMISSION),
    _Rule("Authentication.NoAuth", Kind.PERMISSION, _PERMISSION),
    _Rule("InvalidAccessKeyId.*", Kind.ACCOUNT, "The AccessKey ID is unknown, disabled or deleted."),
    _Rule("SignatureDoesNotMatch", Kind.ACCOUNT, _KEY_PAIR),
    _Rule("IncompleteSignature", Kind.ACCOUNT, "The signature was changed on its way: check proxies in between."),
    _Rule("InvalidTimeStamp.*", Kind.ACCOUNT, _CLOCK),
    _Rule("SignatureNonceUsed", Kind.ACCOUNT, "A request arrived twice: check proxies in between."),
    _Rule("InvalidSecurityToken.*", Kind.ACCOUNT, _STS),
    _Rule("System.LimitControl", Kind.THROTTLE, _SLOW_DOWN),
    _Rule("Throttling.*", Kind.THROTTLE, _SLOW_DOWN),
    _Rule("Rejected.Throttling", Kind.THROTTLE, _SLOW_DOWN),
    _Rule(
        "Unknown.ResourceOwnerId",
        Kind.NUMBER,
        "The number or its space does not belong to this Alibaba Cloud account: check cust_space_id and the key.",
    ),
    _Rule(
        "InvalidParameter.*",
        Kind.NUMBER,
        "The number or its space is wrong, or the number was never submitted for verification.",
    ),
    _Rule("Missing*", Kind.NUMBER, _MISSING),
    _Rule("InternalError", Kind.TRANSIENT, _SERVICE),
    _Rule("ServiceUnavailable", Kind.TRANSIENT, _SERVICE),
    _Rule("UnknownError", Kind.TRANSIENT, _SERVICE),
    _Rule(TIMEOUT, Kind.TRANSIENT, "No complete answer within api.timeout: check the network, or raise api.timeout."),
    _Rule(
        CONNECTION_ERROR,
        Kind.TRANSIENT,
        "The endpoint could not be reached: check DNS, firewall and HTTPS_PROXY/NO_PROXY from this machine.",
    ),
    _Rule(
        TLS_ERROR,
        Kind.TRANSIENT,
        "The endpoint's certificate is not trusted, or a proxy intercepts TLS: set api.ca_file.",
    ),
    _Rule(INVALID_RESPONSE, Kind.TRANSIENT, "The answer did not come from the API: check proxies in between."),
    _Rule(CREDENTIALS_ERROR, Kind.ACCOUNT, "No credential is available: the log shows the source and the reason."),
    _Rule(INTERNAL_ERROR, Kind.TRANSIENT, "A bug of this exporter: report it with the traceback in its log."),
    # No Code: the answer comes from something in front of the API, and says nothing about the number or the account.
    _Rule("http_429", Kind.THROTTLE, _SLOW_DOWN),
    _Rule("http_*", Kind.TRANSIENT, "An HTTP error without an API code, from a gateway or proxy in between."),
)

_OTHER_ADVICE = "An unknown error code: look it up in Alibaba Cloud's API reference."

DOCUMENTED_CODES = (
    "Product.Unsubscript",
    "Ram.PermissionDeny",
    "System.LimitControl",
    "Unknown.ResourceOwnerId",
    "Throttling",
    "Throttling.User",
    "Throttling.Api",
    "Rejected.Throttling",
    "InvalidAccessKeyId.NotFound",
    "InvalidAccessKeyId.Inactive",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "InvalidTimeStamp.Expired",
    "InvalidTimeStamp.Format",
    "SignatureNonceUsed",
    "InvalidSecurityToken.Expired",
    "InvalidSecurityToken.Malformed",
    "InvalidSecurityToken.MismatchWithAccessKey",
    "Forbidden.RAM",
    "NoPermission",
    "Authentication.NoAuth",
    "InvalidParameter.PhoneNumber",
    "InvalidParameter.CustSpaceId",
    "MissingPhoneNumber",
    "MissingCustSpaceId",
    "InternalError",
    "ServiceUnavailable",
    "UnknownError",
    TIMEOUT,
    CONNECTION_ERROR,
    TLS_ERROR,
    INVALID_RESPONSE,
    CREDENTIALS_ERROR,
    INTERNAL_ERROR,
    "http_500",
    "http_502",
    "http_503",
    "http_504",
)
"""Counters of these codes start at 0, so that an alert sees the first error of each kind as an increase."""

OPTIONAL_CODES = (
    "Ram.PermissionDeny",
    "Forbidden.RAM",
    "NoPermission",
    "System.LimitControl",
    "Throttling.User",
    "Throttling.Api",
    "InvalidParameter.CustSpaceId",
    "Unknown.ResourceOwnerId",
    "InternalError",
    "ServiceUnavailable",
    TIMEOUT,
    CONNECTION_ERROR,
    INVALID_RESPONSE,
    CREDENTIALS_ERROR,
)
"""Of listings and health checks only these start at 0, to keep the series few.  They are what one operation may meet
alone (permission, its own limit, a space, its service, an answer that is not whole) and that nothing answers at all.
Errors of the key and the clock come to every operation of the account, and those of polls start at 0."""


def http_code(status: int) -> str:
    """Our code for an HTTP answer without a code of the API."""
    return f"http_{status}"


def kind_of(code: str, http_status: int | None) -> Kind:
    """What a code is about.  If no table has it, the HTTP status decides."""
    rule = _rule(code)
    if rule is not None:
        return rule.kind
    if http_status == 429:
        return Kind.THROTTLE
    if http_status is not None and http_status >= 500:
        return Kind.TRANSIENT
    return Kind.NUMBER


def is_known(code: str) -> bool:
    """Whether a table has the code; if not, its kind is a guess."""
    return _rule(code) is not None


def advice(code: str, operation: str = OPERATION) -> str:
    """What to do about a code that a request of `operation` brought, for people: one or two sentences."""
    rule = _rule(code)
    return _OTHER_ADVICE if rule is None else rule.advice.replace("{operation}", operation)


def _rule(code: str) -> _Rule | None:
    return next((rule for rule in _RULES if rule.matches(code)), None)
