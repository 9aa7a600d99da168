"""Ask a running exporter whether it is healthy: ``python -m exporter.cli.healthcheck [URL]``, exit status 0 or 1.

For a container's HEALTHCHECK, and for probes that have no TLS client certificate of their own to show.

URL is ``[http://|https://]HOST:PORT[/PATH]``.  Without a scheme HTTP is tried first, then HTTPS, so that the same check
serves whatever ``--web.config.file`` says.  ``/-/healthy`` needs no password.  Certificates are not verified: the check
asks its own machine, sends no secret, and an expired certificate is no reason to restart the exporter.

A server that insists on a client certificate hangs up on a check that has none, often without a word (asyncio sends no
TLS alert).  That it took part in the handshake proves that its web loop turns, and no more: it counts as healthy and
the check says so.  With ``--cert`` the check hears the real answer.

Reads no configuration and imports nothing of the package: it must not fail where the exporter itself would run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

DEFAULT_URL = "127.0.0.1:10106/-/healthy"
URL_VARIABLE = "CAMS_EXPORTER_HEALTHCHECK_URL"
CERT_VARIABLE = "CAMS_EXPORTER_HEALTHCHECK_CERT"

TIMEOUT_SECONDS = 5.0
"""For the whole check, both schemes together."""

_READ_BYTES = 8192
_MAX_ANSWER_BYTES = 16 * _READ_BYTES
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TLS_HANDSHAKE = b"\x16"
"""The first byte of a TLS record that carries a handshake message."""


class HungUp(OSError):  # noqa: N818 - an event: the peer spoke TLS and left
    """The server took part in the TLS handshake, then closed or refused without an answer."""


class Target(NamedTuple):
    """Where to ask; `schemes` in the order they are tried."""

    schemes: tuple[str, ...]
    host: str
    port: int | None
    path: str

    def address(self, scheme: str) -> tuple[str, int]:
        """Host and port to connect to."""
        return self.host, self.port or _DEFAULT_PORTS[scheme]

    def request(self, scheme: str) -> bytes:
        """The request to send."""
        host, port = self.address(scheme)
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"GET {self.path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()


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
        type=Path,
        default=os.environ.get(CERT_VARIABLE) or None,
        metavar="FILE",
        help=f"PEM file with client certificate and key, for a server that insists on one; default: ${CERT_VARIABLE}",
    )
    args = parser.parse_args(arguments)
    try:
        target = parse(args.url)
    except ValueError as error:
        parser.error(f"{args.url!r}: {error}")
    verdict = check(target, args.cert)
    _say(f"{'healthy' if verdict.healthy else 'unhealthy'}: {verdict.reason}\n")
    return 0 if verdict.healthy else 1


def _say(line: str) -> None:
    """Write to stdout if it takes it: closed, full or of another encoding, it does not change the verdict."""
    with contextlib.suppress(OSError):
        os.write(1, line.encode("utf-8", "backslashreplace"))


def parse(url: str) -> Target:
    """Read a URL whose scheme and path may be missing; raises ValueError."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    if parts.scheme not in {"", *_DEFAULT_PORTS}:
        raise ValueError("the scheme is neither http nor https")
    if not parts.hostname:
        raise ValueError("no host")
    if not url.isprintable() or " " in url:
        raise ValueError("white space or a control character")
    schemes = (parts.scheme,) if parts.scheme else ("http", "https")
    return Target(schemes, parts.hostname, parts.port, parts.path or "/-/healthy")


def check(target: Target, cert: Path | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> Verdict:
    """Ask once per scheme until one is answered; blocks at most `timeout_seconds` and raises nothing."""
    deadline = time.monotonic() + timeout_seconds
    failures = []
    for scheme in target.schemes:
        try:
            return judge(_ask(target, scheme, cert, deadline))
        except HungUp as error:
            if cert is None:
                return Verdict(True, "the web loop speaks TLS, but tells more only to a client certificate; see --cert")
            failures.append(f"{scheme}: {error}")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            failures.append(f"{scheme}: {error}")
    return Verdict(False, "; ".join(failures))


def judge(answer: bytes) -> Verdict:
    """Read an HTTP answer; raises ValueError if it is none."""
    head, _, body = answer.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b" ")
    if protocol not in {b"HTTP/1.0", b"HTTP/1.1"} or not rest[:3].isdigit():
        raise ValueError("the answer is not HTTP")
    status = int(rest[:3])
    text = " ".join(body.decode("utf-8", "replace").split())
    return Verdict(status == 200, f"HTTP {status} {text}".strip())


def _ask(target: Target, scheme: str, cert: Path | None, deadline: float) -> bytes:
    request = target.request(scheme)
    context = _context(cert) if scheme == "https" else None
    with socket.create_connection(target.address(scheme), _remaining(deadline)) as stream:
        if context is not None:
            return _Tls(stream, context, deadline).ask(request)
        stream.sendall(request)
        return _all(lambda: _received(stream, deadline))


def _context(cert: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert)
    return context


class _Tls:
    """One TLS exchange over a connected socket, its records in our hands.

    What an SSLSocket hides is whether a server that hung up had spoken TLS before.
    """

    def __init__(self, stream: socket.socket, context: ssl.SSLContext, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self._first_byte = b""

    def ask(self, request: bytes) -> bytes:
        """The server's answer to `request`; raises HungUp or another OSError if there is none."""
        answer = b""
        try:
            self._driven(self._tls.do_handshake)
            self._driven(lambda: self._tls.write(request))
            answer = _all(lambda: self._driven(lambda: self._tls.read(_READ_BYTES)))
        except TimeoutError:
            raise
        except OSError as error:
            if self._first_byte != _TLS_HANDSHAKE:
                raise
            raise HungUp(str(error)) from error
        if not answer:
            raise HungUp("the server closed the connection without an answer")
        return answer

    def _driven(self, step: Callable[[], T]) -> T:
        """Do a step of the exchange, carrying its records over the socket until it is done."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._flush()
            data = _received(self._stream, self._deadline)
            self._first_byte = self._first_byte or data[:1]
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _flush(self) -> None:
        with contextlib.suppress(ConnectionError):  # hung up on; what the server said before is still to be read
            self._stream.sendall(self._outgoing.read())


def _all(read: Callable[[], bytes]) -> bytes:
    """What `read` gives until it gives nothing or fails, up to a limit; a failure counts only before the first byte."""
    answer = b""
    while len(answer) < _MAX_ANSWER_BYTES:
        try:
            chunk = read()
        except TimeoutError:
            raise
        except OSError:
            if not answer:
                raise
            break
        if not chunk:
            break
        answer += chunk
    return answer


def _received(stream: socket.socket, deadline: float) -> bytes:
    stream.settimeout(_remaining(deadline))
    return stream.recv(_READ_BYTES)


def _remaining(deadline: float) -> float:
    """Seconds left; raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


if __name__ == "__main__":
    sys.exit(main())
