"""Everything this package raises on purpose.

::

    ExporterError
     +- ConfigError        the configuration is refused; carries every fault found, one a line
     +- CredentialsError   no usable credential right now
     +- ApiError           one request brought no status; carries the facts, never prose to be parsed
     +- Stopped            the poll may not go any more: it is abandoned, nothing is recorded
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class ExporterError(Exception):
    """The root: whatever is raised on purpose by this package."""


class ConfigError(ExporterError):
    """The configuration is refused.

    `faults` holds one line each, in the order of the file: ``FILE:LINE: path.to[0].key: what is wrong; what to write``.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class CredentialsError(ExporterError):
    """No usable credential right now; the text names the source and the cure, never a secret."""


class Stopped(ExporterError):  # noqa: N818 - an event, not a fault: the poll was abandoned on purpose
    """Raised out of a wait for the budget where the poll may not go any more.

    The poller stops, a reload took the number or replaced the client, or the account was refused meanwhile.
    """


class Kind(StrEnum):
    """What an API error is about, hence who can fix it and what the poller does."""

    ACCOUNT = "account"
    """Key, subscription or clock: every number of the account is refused alike."""
    PERMISSION = "permission"
    """The account may not ask: about this number, about its space, or at all.  The key itself was accepted."""
    NUMBER = "number"
    """This number or its space is wrong; asking again soon does not help."""
    THROTTLE = "throttle"
    """The account is asked too often: pause and slow down."""
    TRANSIENT = "transient"
    """The network or the service failed; worth a retry."""


class ApiError(ExporterError):
    """One request that brought no status.

    `code` is the API's own code verbatim, or one of ours in lower case (``timeout``, ``connection_error``,
    ``tls_error``, ``invalid_response``, ``http_502``, ``credentials_error``, ``internal_error``).  `http_status` is
    None when no answer came.  `retry_after_seconds` is the pause that the answer asks for.  `server_unix` is the
    answer's ``Date`` (seconds, UTC), for measuring clock skew.  `elapsed_seconds` is the time the request took, without
    any wait for the budget.  `sent` is False when nothing was attempted (no credential); a connection that could not be
    made was an attempt, and used up its slot.  `cured` is True where the key or the time that the API refused is
    another one by now: the next request differs.  `guessed` is True where no table knows the
    code: `kind` is what the HTTP status suggests, and proves nothing.  `message` is the API's text, cut to a bounded
    length, with the phone number replaced by its label; it may be hostile and belongs in no label.
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
        super().__init__(f"{code} (HTTP {http_status}, RequestId {request_id or 'none'}): {message}")
