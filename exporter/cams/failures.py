"""Turn an exception of sockets, TLS, HTTP or credentials into an ApiError.

The message says what failed and why.  It never contains a URL, which holds the phone number.
"""

from __future__ import annotations

import http.client
import ssl

from exporter.cams import error_codes
from exporter.cams.attempt import Attempt
from exporter.errors import ApiError, CredentialsError

FAILURES = (OSError, http.client.HTTPException, ValueError)
"""All that connecting, sending and reading raise.  ValueError comes from malformed framing of an answer."""

_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""TLS errors that only say that the connection ended."""


def api_error(error: Exception, attempt: Attempt) -> ApiError:
    """`error`, one of `FAILURES` or a CredentialsError, as the poller understands it."""
    if isinstance(error, CredentialsError):
        code, message = error_codes.CREDENTIALS_ERROR, str(error)
    elif isinstance(error, TimeoutError):
        code, message = error_codes.TIMEOUT, f"timed out while {attempt.doing}"
    else:
        code, reason = _code_and_reason(error)
        message = f"{attempt.doing}: {reason}"
    return ApiError(
        code,
        error_codes.kind_of(code, None),
        message=message,
        elapsed_seconds=attempt.elapsed_seconds,
        sent=code != error_codes.CREDENTIALS_ERROR,
    )


def _code_and_reason(error: Exception) -> tuple[str, str]:
    match error:
        case http.client.RemoteDisconnected():
            return error_codes.CONNECTION_ERROR, "the server closed the connection without an answer"
        case http.client.IncompleteRead():
            return error_codes.CONNECTION_ERROR, "the answer was cut off"
        case http.client.HTTPException() | ValueError() if not isinstance(error, OSError):
            return error_codes.INVALID_RESPONSE, "the answer is not HTTP"
        case ssl.SSLCertVerificationError():
            return error_codes.TLS_ERROR, error.verify_message
        case ssl.SSLError() if not isinstance(error, _CUT_OFF):
            return error_codes.TLS_ERROR, (error.reason or "failed").replace("_", " ").lower()
        case ssl.SSLError():
            return error_codes.CONNECTION_ERROR, "the server closed the connection"
        case OSError():
            return error_codes.CONNECTION_ERROR, error.strerror or str(error) or type(error).__name__
        case _:
            raise AssertionError("not one of FAILURES")
