"""What each error code means, whose trouble it is, and what to do about it.

Pure tables; knows nothing of requests.  Source: Alibaba Cloud's API reference (GetPhoneNumber-
VerificationStatus and the gateway's common errors), and this exporter's own codes, which are in lower case.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.errors import Kind

TIMEOUT = "timeout"
CONNECTION_ERROR = "connection_error"
TLS_ERROR = "tls_error"
INVALID_RESPONSE = "invalid_response"
CREDENTIALS_ERROR = "credentials_error"
INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A code, or a family of codes: `X.*` is X and whatever follows ``X.``; `X*` is whatever begins with X."""

    pattern: str
    kind: Kind
    advice: str

    def matches(self, code: str) -> bool:
        if self.pattern.endswith(".*"):
            return code == self.pattern[:-2] or code.startswith(self.pattern[:-1])
        if self.pattern.endswith("*"):
            return code.startswith(self.pattern[:-1])
        return code == self.pattern


_SLOW_DOWN = (
    "The account is asked too often, by this exporter or by others that use the same account: it pauses and slows "
    "down by itself. Lower qps if this does not cease."
)
_SERVICE = "Alibaba Cloud's fault; it is retried. Give the RequestId to Alibaba Cloud support if it lasts."
_PERMISSION = (
    "Grant cams:GetPhoneNumberVerificationStatus to the RAM user or role. Where other spaces of the account answer, "
    "see to it that this cust_space_id belongs to the account and that no policy denies it."
)
_KEY_PAIR = "The AccessKey secret does not belong to the AccessKey ID, or is mistyped."
_CLOCK = "The clock of this machine is wrong; the exporter corrects its signatures, but fix the clock (NTP)."
_STS = "The STS token expired or belongs to another key; fresh credentials are fetched. See that its source works."
_MISSING = "The API got a request without a parameter it needs: check phone_number and cust_space_id."

_RULES = (
    _Rule("Product.Unsubscript", Kind.ACCOUNT, "Activate Chat App Message Service for the Alibaba Cloud account."),
    _Rule("Ram.PermissionDeny", Kind.PERMISSION, _PERMISSION),
    _Rule("Forbidden.*", Kind.PERMISSION, _PERMISSION),
    _Rule("NoPermission.*", Kind.PERMISSION, _PERMISSION),
    _Rule("Authentication.NoAuth", Kind.PERMISSION, _PERMISSION),
    _Rule("InvalidAccessKeyId.*", Kind.ACCOUNT, "The AccessKey ID is unknown, disabled or deleted."),
    _Rule("SignatureDoesNotMatch", Kind.ACCOUNT, _KEY_PAIR),
    _Rule("IncompleteSignature", Kind.ACCOUNT, "The signature was damaged on its way: look at proxies in between."),
    _Rule("InvalidTimeStamp.*", Kind.ACCOUNT, _CLOCK),
    _Rule("SignatureNonceUsed", Kind.ACCOUNT, "A request arrived twice: look at proxies in between."),
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
    _Rule(TIMEOUT, Kind.TRANSIENT, "No complete answer within api.timeout: look at the network, then raise it."),
    _Rule(
        CONNECTION_ERROR,
        Kind.TRANSIENT,
        "The endpoint could not be reached: check DNS, firewall and HTTPS_PROXY/NO_PROXY from this machine.",
    ),
    _Rule(
        TLS_ERROR,
        Kind.TRANSIENT,
        "The endpoint's certificate is not trusted, or something in between breaks TLS open: set api.ca_file.",
    ),
    _Rule(INVALID_RESPONSE, Kind.TRANSIENT, "The answer was not the API's: look at proxies in between."),
    _Rule(CREDENTIALS_ERROR, Kind.ACCOUNT, "No credential could be had: the log names the source and the reason."),
    _Rule(INTERNAL_ERROR, Kind.TRANSIENT, "A bug of this exporter: report it with the traceback in its log."),
    # No Code, so not the API speaking but something in front of it: says nothing about the number or the account.
    _Rule("http_429", Kind.THROTTLE, _SLOW_DOWN),
    _Rule("http_*", Kind.TRANSIENT, "An HTTP error without an API code: a gateway or proxy in between answered."),
)

_LONGEST_FIRST = sorted(_RULES, key=lambda rule: len(rule.pattern), reverse=True)

_OTHER_ADVICE = "An error code this exporter does not know: look it up in Alibaba Cloud's API reference."

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
"""The codes whose counters start at 0, so that the first error of each kind is an increase that an alert sees."""


def http_code(status: int) -> str:
    """Our code for an HTTP answer that carries none of the API's."""
    return f"http_{status}"


def kind_of(code: str, http_status: int | None) -> Kind:
    """Whose trouble a code is; one that is in no table goes by the HTTP status."""
    rule = _rule(code)
    if rule is not None:
        return rule.kind
    if http_status == 429:
        return Kind.THROTTLE
    if http_status is not None and http_status >= 500:
        return Kind.TRANSIENT
    return Kind.NUMBER


def is_known(code: str) -> bool:
    """Whether a table has the code, so that its kind is more than a guess."""
    return _rule(code) is not None


def advice(code: str) -> str:
    """What to do about a code, for people: one or two sentences."""
    rule = _rule(code)
    return _OTHER_ADVICE if rule is None else rule.advice


def _rule(code: str) -> _Rule | None:
    return next((rule for rule in _LONGEST_FIRST if rule.matches(code)), None)
