"""Everything this package raises on purpose.

::

    ExporterError
     +- ConfigError        the configuration is refused; carries every fault found, one a line
     +- CredentialsError   no usable credential right now
     +- ApiError           one request failed; carries facts in attributes
     +- Stopped            the poll is no longer allowed; nothing is recorded
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class ExporterError(Exception):
    """The root of all exceptions that this package raises on purpose."""


class ConfigError(ExporterError):
    """The configuration is refused.

    `faults` holds one line each, in the order of the file: ``FILE:LINE: path.to[0].key: what is wrong; what to write``.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class CredentialsError(ExporterError):
    """No usable credential right now.  The text names the source and how to fix it, never a secret."""


class Stopped(ExporterError):  # noqa: N818 - an event, not a fault: the poll was abandoned on purpose
    """Raised from a wait for the budget if the poll is no longer allowed.

    The poller stops, a reload removed the number or replaced the client, or the account was refused in the meantime.
    """


class Kind(StrEnum):
    """What an API error concerns.  This decides what the poller does, and who can fix it."""

    ACCOUNT = "account"
    """Key, subscription or clock: every number of the account is refused."""
    PERMISSION = "permission"
    """The account lacks permission: for this number, for its space, or for all.  The key itself was accepted."""
    NUMBER = "number"
    """This number or its space is wrong; a retry does not help."""
    THROTTLE = "throttle"
    """The account sends too many requests: pause and slow down."""
    TRANSIENT = "transient"
    """The network or the service failed; a retry may help."""


class ApiError(ExporterError):
    """One failed request.

    `code` is the API's code, unchanged, or one of our own in lower case (``timeout``, ``connection_error``,
    ``tls_error``, ``invalid_response``, ``http_502``, ``credentials_error``, ``internal_error``).  `http_status` is
    None if no answer came.  `retry_after_seconds` is the pause that the answer demands, 0 to 60.  `server_unix` is
    the answer's ``Date`` (seconds, UTC), for measuring clock skew.  `elapsed_seconds` is the time the request took,
    without any wait for the budget.  `sent` is False if nothing was attempted (no credential).  A failed connection was
    an attempt, and used its slot.  `cured` is True if what the API refused has changed since (the key, the time, the
    spelling of a parameter): the next request will differ.  `guessed` is True if the code is unknown: then `kind` is
    only a guess from the HTTP status.  `operation` is the API operation that failed, or empty.
    `message` is the API's text, cut to a bounded length, with the label in place of the phone number.  It may be
    hostile, so never use it as a metric label.
    """

    def __init__(
        self,
        code: str,
        kind: Kind,
        *,
        message: str = "",
        http_status: int | None = None,
        request_id: str = "",
        retry_after_seconds: float | None = None,
        server_unix: float | None = None,
        elapsed_seconds: float = 0.0,
        sent: bool = True,
        cured: bool = False,
        guessed: bool = False,
        operation: str = "",
    ) -> None:
        self.code = code
        self.kind = kind
        self.message = message
        self.http_status = http_status
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        self.server_unix = server_unix
        self.elapsed_seconds = elapsed_seconds
        self.sent = sent
        self.cured = cured
        self.guessed = guessed
        self.operation = operation
        super().__init__(f"{code} (HTTP {http_status}, RequestId {request_id or 'none'}): {message}")
