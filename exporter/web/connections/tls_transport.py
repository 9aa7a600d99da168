"""TLS for one connection, on `ssl.MemoryBIO`: the protocol of a TCP transport, and the transport of an HTTP protocol.

asyncio's own TLS drops the alert that tells a client why it is refused, and takes 256 KiB for each connection before a
byte has come.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, cast

from exporter.metrics.catalogue import Refusal
from exporter.web.connections.connection import MAX_UNREAD_BYTES, READ_BUFFER, Connection, error_answer
from exporter.web.connections.refusals import reason_of
from exporter.web.security.tls import TlsServer

_NOT_HTTPS = error_answer(400, "Client sent an HTTP request to an HTTPS server.")
"""As Go answers."""


class TlsTransport(asyncio.BufferedProtocol, asyncio.Transport):
    """Shakes hands by the rules of `tls`, then carries what `connection` reads and writes."""

    def __init__(self, tls: TlsServer, connection: Connection) -> None:
        self._tls = tls
        self._connection = connection
        self._tcp: asyncio.Transport
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = tls.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._begun = self._established = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection is there."""
        self._tcp = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone."""
        self._connection.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go."""
        return READ_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        received = READ_BUFFER[:nbytes]
        if not self._begun and received[0] != 0x16:  # how TLS begins
            if bytes(received[:1]).isupper():
                self._tcp.write(_NOT_HTTPS)
            self._end(Refusal.NOT_TLS, "the client does not speak TLS")
            return
        self._begun = True
        self._incoming.write(received)
        if not self._established:
            self._shake_hands()
        if self._established:
            self._read()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """The client has read what was waiting."""
        self._connection.resume_writing()

    def _shake_hands(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert
            self._end(reason_of(error), error)
        else:
            self._flush()
            if self._tls.admits(self._ssl.getpeercert()):
                self._established = True
                self._connection.connection_made(self)
            else:
                self._end(Refusal.NAME_NOT_ALLOWED, "no name in the client certificate is allowed")

    def _end(self, reason: Refusal, detail: object) -> None:
        self._connection.refuse(reason, detail)
        self._tcp.close()

    def _read(self) -> None:
        """Hand on what can be decrypted."""
        try:
            while not self._tcp.is_closing():
                if data := self._ssl.read(len(READ_BUFFER)):
                    self._connection.data_received(data)
                else:  # the client ends the connection
                    self.close()
        except ssl.SSLWantReadError:
            self._flush()
            if self._tcp.get_write_buffer_size() > MAX_UNREAD_BYTES:
                self.abort()
        except ssl.SSLError:
            self.abort()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._tcp.is_closing():
            self._tcp.write(self._outgoing.read())

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and send."""
        rest = memoryview(data)
        try:
            while rest and not self._tcp.is_closing():
                rest = rest[self._ssl.write(rest) :]
        except ssl.SSLError:
            self.abort()
        self._flush()

    def close(self) -> None:
        """Send what is written, then the end of TLS, and close.  The client's end of TLS is not waited for."""
        if not self._tcp.is_closing():
            with suppress(ssl.SSLError):  # the client has not ended TLS yet
                self._ssl.unwrap()
            self._flush()
            self._tcp.close()

    def abort(self) -> None:
        """Close at once."""
        self._tcp.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._tcp.is_closing()

    def pause_reading(self) -> None:
        """Read no more; what was read is still handed on."""
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._tcp.resume_reading()

    def get_protocol(self) -> Connection:
        """The HTTP protocol."""
        return self._connection

    def get_extra_info(self, name: str, default: object = None) -> Any:
        """What the TCP transport knows, and the `sslcontext`."""
        return self._tls.context if name == "sslcontext" else self._tcp.get_extra_info(name, default)
