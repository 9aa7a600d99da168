"""An API endpoint that costs almost nothing: every number is VERIFIED, CONNECTED and can send.

    python -m benchmarks.endpoint [CERTIFICATE_AND_KEY]

Answers over kept-alive connections.  Each account has one space of `NUMBERS_PER_ACCOUNT` numbers, as `benchmarks.fleet`
numbers them.  A listing names one in 50 numbers BANNED, and the health of that number has an error.

Runs as its own process.  It does not check signatures or limits as the simulator does: at a thousand requests a second
the benchmark would measure these checks.  Says ``serving URL`` once it serves; ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import ssl
import sys
from functools import lru_cache
from typing import cast

from benchmarks.fleet import NUMBERS_PER_ACCOUNT, account_of_key, account_of_space, phone_number, space

_ACTION = re.compile(rb"\r\nx-acs-action: *(\w+)", re.IGNORECASE)
_NUMBER = re.compile(rb"PhoneNumber=(\d+)")
_SPACE = re.compile(rb"CustSpaceId=([\w-]+)")
_KEY = re.compile(rb"Credential=([\w-]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BODY = b'{"RequestId":"01B2C3D4-E5F6-7890-ABCD-%012d","Code":"OK","Message":"None",%s}'
_BLOCKED = (
    b'"Data":{"CanSendMessage":"BLOCKED","Entities":[{"EntityType":"WABA","CanSendMessage":"BLOCKED",'
    b'"Errors":[{"ErrorCode":"141006","ErrorDescription":"There is an issue with the payment.",'
    b'"PossibleSolution":"Pay."}]}]}'
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: %d\r\n\r\n"


_served = itertools.count()


class Endpoint(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) >= 4:
            head = self._received[:end]
            length = _LENGTH.search(head)
            end += int(length[1]) if length else 0
            if len(self._received) < end:
                return
            self._received = self._received[end:]
            self._transport.write(_answer(head))


def _answer(head: bytes) -> bytes:
    action = _found(_ACTION, head)
    body = _BODY % (next(_served), _ANSWERS.get(action, _status)(head))
    return _HEAD % len(body) + body


def _status(head: bytes) -> bytes:
    digits = _found(_NUMBER, head)
    return b'"Data":{"PhoneNumber":"%s","Id":"1%s","CodeVerificationStatus":"VERIFIED"}' % (digits, digits)


def _instances(head: bytes) -> bytes:
    name = space(account_of_key(_found(_KEY, head).decode()))
    return b'"TotalCount":1,"Data":[{"CustSpaceId":"%s","ChannelType":"WHATSAPP"}]' % name.encode()


def _numbers(head: bytes) -> bytes:
    return b'"PhoneNumbers":[%s]' % _listed(account_of_space(_found(_SPACE, head).decode()))


@lru_cache
def _listed(account: int) -> bytes:
    first = account * NUMBERS_PER_ACCOUNT
    return ",".join(
        f'{{"PhoneNumber":"{phone_number(index)}","Status":"{_connection(phone_number(index))}",'
        f'"QualityRating":"GREEN","MessagingLimitTier":"TIER_1K","NameStatus":"APPROVED",'
        f'"CodeVerificationStatus":"VERIFIED","VerifiedName":"Contoso {index}"}}'
        for index in range(first, first + NUMBERS_PER_ACCOUNT)
    ).encode()


def _health(head: bytes) -> bytes:
    return _BLOCKED if _is_bad(int(_found(_NUMBER, head))) else b'"Data":{"CanSendMessage":"AVAILABLE"}'


def _connection(number: str) -> str:
    return "BANNED" if _is_bad(int(number)) else "CONNECTED"


def _is_bad(digits: int) -> bool:
    return digits % 50 == 49


def _found(pattern: re.Pattern[bytes], head: bytes) -> bytes:
    match = pattern.search(head)
    return match[1] if match else b"0"


_ANSWERS = {
    b"ListInstance": _instances,
    b"QueryChatappPhoneNumbers": _numbers,
    b"GetWhatsappHealthStatus": _health,
}


async def _serve(certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Endpoint, "127.0.0.1", 0, ssl=context, backlog=1024)
    scheme = "http" if context is None else "https"
    print(f"serving {scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1] if len(sys.argv) > 1 else None))
