"""Listen addresses as Prometheus's own programs write them, and the sockets bound to them.

One address is one socket, hence one URL, as in Go: a host name is bound at the first of its addresses, IPv4 before
IPv6.  Imports no web library: the command line checks its flags here.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

BACKLOG = 1024
"""Connections that the kernel completes before this process accepts them; later ones wait a second and longer."""

_EXAMPLES = 'for example ":10106", "127.0.0.1:10106" or "[::1]:10106"'
_HOST = re.compile(r"[A-Za-z0-9_.-]*", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_MAX_PORT = 65535

_ABSENT = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""The kernel's errors for an address family, or an address, that the machine does not have."""

_CURES = {
    errno.EADDRINUSE: "the port is in use; stop the program that has it, or choose another port",
    errno.EACCES: "permission denied; a port below 1024 takes a privilege, choose a higher one",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EAFNOSUPPORT: "this machine does not have that kind of address",
}


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen.  An empty `host` is every interface, IPv4 and IPv6; port 0 is any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """``HOST:PORT``, ``:PORT`` or ``[IPV6]:PORT``; ValueError, with what to write instead, for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon:
        cure = f'write ":{text}"' if _PORT.fullmatch(text) else f"write HOST:PORT, {_EXAMPLES}"
        raise ValueError(f'"{text}" has no port; {cure}')
    if not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        raise ValueError(f'"{text}": "{port}" is not a port; write a number from 0 to {_MAX_PORT}, {_EXAMPLES}')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise ValueError(f'"{text}": "{host}" is not an IPv6 address; write HOST:PORT, {_EXAMPLES}')
    elif _is_ipv6(host) or _is_ipv6(text):
        raise ValueError(f'"{text}": an IPv6 address needs brackets; write it as "[::1]:10106"')
    elif not _HOST.fullmatch(host):
        raise ValueError(f'"{text}": "{host}" is not a host; write HOST:PORT without a scheme or path, {_EXAMPLES}')
    return ListenAddress(host, int(port))


def listen(address: ListenAddress) -> socket.socket:
    """A listening, non-blocking socket; OSError with a text for the user where that fails.

    Blocks while a host name is looked up.
    """
    absent = OSError("it has no address")
    for family, where in _candidates(address):
        try:
            return _listen_at(family, where)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise _explained(address, error) from error
            absent = error
    raise _explained(address, absent) from absent


def listen_all(addresses: Iterable[ListenAddress]) -> list[socket.socket]:
    """One listening socket for each address, or none at all: OSError as from `listen`."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(listen(address)) for address in addresses]
        opened.pop_all()
        return sockets


def url_of(bound: socket.socket, scheme: str = "http") -> str:
    """The URL of a bound socket, with the port it really has."""
    host, port = bound.getsockname()[:2]
    if ":" in host:
        host = f"[{host.replace('%', '%25')}]"  # RFC 6874: the zone of a link-local address
    return f"{scheme}://{host}:{port}"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _candidates(address: ListenAddress) -> list[tuple[int, tuple[object, ...]]]:
    """Families and addresses to try in turn; the first that this machine has is the one."""
    if not address.host:
        return [(socket.AF_INET6, ("::", address.port)), (socket.AF_INET, ("0.0.0.0", address.port))]  # noqa: S104 - asked for
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise OSError(f"cannot listen on {address}: the host is unknown") from error
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return [(info[0], info[4]) for info in found]


def _listen_at(family: int, where: tuple[object, ...]) -> socket.socket:
    # One socket for both families of "::": two would get two different ports for port 0.
    both = where[0] == "::" and socket.has_dualstack_ipv6()
    bound = socket.create_server(where, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    bound.setblocking(False)
    return bound


def _explained(address: ListenAddress, error: OSError) -> OSError:
    reason = _CURES.get(error.errno or 0, error.strerror or str(error))
    return OSError(f"cannot listen on {address}: {reason}")
