"""Ask a running exporter whether it is healthy: ``python -m exporter.cli.healthcheck [URL]``, exit status 0 or 1.

For a container's HEALTHCHECK, and for probes that have no TLS client certificate of their own.

URL is ``[http://|https://]HOST:PORT[/PATH]``.  Without a scheme HTTPS is tried first, then HTTP: the same check serves
whatever ``--web.config.file`` says, and the exporter counts no refused connection.  ``/-/healthy`` needs no password.
Certificates are not verified: the check asks its own machine and sends no secret, and an expired certificate is no
reason to restart the exporter.

A server that requires a client certificate refuses a check that has none, and may say nothing.  That it took part in
the TLS handshake proves that its web loop runs, and no more: it counts as healthy and the check says so.  With
``--cert`` the check gets the real answer.

Reads no configuration and imports nothing of the package: it must not fail where the exporter itself would run.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import ssl
import sys
import threading
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_URL = "127.0.0.1:10106/-/healthy"
URL_VARIABLE = "CAMS_EXPORTER_HEALTHCHECK_URL"
CERT_VARIABLE = "CAMS_EXPORTER_HEALTHCHECK_CERT"

TIMEOUT_SECONDS = 5.0
"""For the whole check, both schemes together."""

_MAX_BODY_BYTES = 64 << 10


class Target(NamedTuple):
    """Where to ask.  `schemes` are tried in this order; without a `port` it is the scheme's default."""

    schemes: tuple[str, ...]
    host: str
    port: int | None
    path: str


class Verdict(NamedTuple):
    """Whether the exporter is healthy, and why, in one line."""

    healthy: bool
    reason: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m exporter.cli.healthcheck",
        description="Exit 0 if the exporter is healthy, else 1.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "url",
        nargs="?",
        default=os.environ.get(URL_VARIABLE) or DEFAULT_URL,
        help=f"what to ask; default: ${URL_VARIABLE}, else {DEFAULT_URL}",
    )
    parser.add_argument(
        "--cert",
        default=os.environ.get(CERT_VARIABLE) or None,
        metavar="FILE",
        help=f"PEM file with client certificate and key, for a server that requires one; default: ${CERT_VARIABLE}",
    )
    args = parser.parse_args(arguments)
    try:
        target = parse(args.url)
    except ValueError as error:
        parser.error(f"{args.url!r}: {error}")
    verdict = check(target, args.cert)
    line = f"{'healthy' if verdict.healthy else 'unhealthy'}: {verdict.reason}\n"
    with contextlib.suppress(OSError):  # a stdout that is closed or full does not change the verdict
        os.write(1, line.encode("utf-8", "backslashreplace"))
    return 0 if verdict.healthy else 1


def parse(url: str) -> Target:
    """Read a URL whose scheme and path may be missing; raises ValueError."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    if parts.scheme not in {"", "http", "https"}:
        raise ValueError("the scheme is neither http nor https")
    if not parts.hostname:
        raise ValueError("no host")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("white space, a control character or a letter that is not ASCII")
    schemes = (parts.scheme,) if parts.scheme else ("https", "http")
    return Target(schemes, parts.hostname, parts.port, parts.path or "/-/healthy")


def check(target: Target, cert: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> Verdict:
    """Ask once per scheme until one is answered; blocks at most `timeout_seconds`."""
    verdicts: list[Verdict] = []
    failures: list[str] = []

    def ask() -> None:
        for scheme in target.schemes:
            try:
                verdict = _ask(target, scheme, cert, timeout_seconds)
            except (OSError, ValueError, http.client.HTTPException) as error:  # ssl.SSLError is an OSError
                failures.append(f"{scheme}: {str(error) or type(error).__name__}")
            else:
                if not failures or not verdict.reason.startswith("HTTP 400"):
                    verdicts.append(verdict)
                    return
                failures.append(f"{scheme}: {verdict.reason}")  # a TLS server says so of HTTP: TLS failed before

    # on a thread: a server that sends a byte now and then would renew any timeout of the socket
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout_seconds)
    if asking.is_alive():
        failures.append(f"timed out after {timeout_seconds:g} s")
    return verdicts[0] if verdicts else Verdict(False, " ".join("; ".join(failures).split()))


def _ask(target: Target, scheme: str, cert: str | None, timeout_seconds: float) -> Verdict:
    port = target.port or (443 if scheme == "https" else 80)
    connection = http.client.HTTPConnection(target.host, port, timeout=timeout_seconds)
    context = _context(cert) if scheme == "https" else None
    spoke_tls = False
    try:
        connection.connect()
        if context is not None:
            stream = context.wrap_socket(connection.sock, do_handshake_on_connect=False)
            connection.sock = stream
            try:
                stream.do_handshake()
            finally:
                spoke_tls = stream.cipher() is not None
        connection.request("GET", target.path)
        answer = connection.getresponse()
        text = " ".join(answer.read(_MAX_BODY_BYTES).decode("utf-8", "replace").split())
        return Verdict(answer.status == 200, f"HTTP {answer.status} {text}".strip())
    except OSError as error:
        if not spoke_tls or cert is not None or isinstance(error, TimeoutError):
            raise
        return Verdict(True, "the web loop speaks TLS, but tells more only to a client certificate; see --cert")
    finally:
        connection.close()


def _context(cert: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert)
    return context


if __name__ == "__main__":
    sys.exit(main())
