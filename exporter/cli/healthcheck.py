"""Ask a running exporter whether it is healthy: ``python -m exporter.cli.healthcheck [URL]``, exit status 0 or 1.

For a container's HEALTHCHECK, and for probes that have no TLS client certificate of their own.

URL is ``[http://|https://]HOST:PORT[/PATH]``.  Without a scheme HTTPS is tried first, then HTTP: the same check serves
whatever ``--web.config.file`` says, and the exporter counts no refused connection.  ``/-/healthy`` needs no password.
Certificates are not verified: the check asks its own machine and sends no secret, and an expired certificate is no
reason to restart the exporter.

A server that requires a client certificate refuses a check that has none.  The refusal proves that its web loop runs,
and no more: it counts as healthy and the check says so.  With ``--cert`` the check gets the real answer.

Reads no configuration and imports nothing of the package: it must not fail where the exporter itself would run.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import ssl
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

DEFAULT_URL = "127.0.0.1:10106/-/healthy"
URL_VARIABLE = "CAMS_EXPORTER_HEALTHCHECK_URL"
CERT_VARIABLE = "CAMS_EXPORTER_HEALTHCHECK_CERT"

TIMEOUT_SECONDS = 5.0
"""For each step of the network.  Docker and Kubernetes end a check that takes longer than they allow."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m exporter.cli.healthcheck", description="Exit 0 if the exporter is healthy, else 1."
    )
    url = os.environ.get(URL_VARIABLE) or DEFAULT_URL
    parser.add_argument(
        "url", nargs="?", default=url, help=f"what to ask; default: ${URL_VARIABLE}, else {DEFAULT_URL}"
    )
    cert_help = f"PEM file with client certificate and key, for a server that requires one; default: ${CERT_VARIABLE}"
    parser.add_argument("--cert", default=os.environ.get(CERT_VARIABLE) or None, metavar="FILE", help=cert_help)
    args = parser.parse_args(arguments)
    healthy, reason = check(args.url, args.cert)
    line = f"{'healthy' if healthy else 'unhealthy'}: {reason}\n"
    with contextlib.suppress(OSError):  # a stdout that is closed or full does not change the result
        os.write(1, line.encode("utf-8", "backslashreplace"))
    return 0 if healthy else 1


def check(url: str, cert: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> tuple[bool, str]:
    """Whether the exporter is healthy, and why, in one line."""
    faults = []
    for full_url in (url,) if "://" in url else (f"https://{url}", f"http://{url}"):
        scheme = full_url.partition(":")[0]
        try:
            healthy, reason = _ask(full_url, cert, timeout_seconds)
        except (OSError, ValueError, http.client.HTTPException) as error:
            faults.append(f"{scheme}: {' '.join(str(error).split()) or type(error).__name__}")
            if isinstance(error, TimeoutError):
                break
        else:
            if not faults or not reason.startswith("HTTP 400"):
                return healthy, reason
            faults.append(f"{scheme}: {reason}")  # a TLS server answers so to HTTP: the fault is that of HTTPS
    return False, "; ".join(faults)


def _ask(url: str, cert: str | None, timeout_seconds: float) -> tuple[bool, str]:
    parts = urlsplit(url)
    host, port, is_https = parts.hostname, parts.port, parts.scheme == "https"
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("write HOST:PORT, http://HOST:PORT/PATH or https://HOST:PORT/PATH")
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    if is_https:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if cert is not None:
            context.load_cert_chain(cert)
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=context)
    has_tls = False
    with contextlib.closing(connection):
        try:
            connection.connect()
            has_tls = is_https
            connection.request("GET", parts.path or "/-/healthy")
            answer = connection.getresponse()
            text = " ".join(answer.read(64 << 10).decode("utf-8", "replace").split())
        except OSError as error:
            has_tls = has_tls or (isinstance(error, ssl.SSLError) and "ALERT" in str(error))
            if not has_tls or cert is not None or isinstance(error, TimeoutError):
                raise
            return True, "the web loop speaks TLS, but tells more only to a client certificate; see --cert"
    return answer.status == 200, f"HTTP {answer.status} {text}".strip()


if __name__ == "__main__":
    sys.exit(main())
