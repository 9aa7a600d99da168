"""Listen addresses: their syntax, and the bound sockets."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.connections.listen import ListenAddress, listen, listen_all, parse_listen_address, url_of
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import has_ipv6

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


LISTEN_EVERYWHERE = """
import errno, fcntl, os, socket, struct, sys
from exporter.web.connections.listen import ListenAddress, listen, url_of
with socket.socket() as any_socket:
    SIOCSIFFLAGS, IFF_UP = 0x8914, 1
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
if sys.argv[1] == "no":
    class WithoutIPv6(socket.socket):  # as on a kernel started with ipv6.disable=1
        def __init__(self, family=-1, *args, **kwargs):
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family, *args, **kwargs)
    socket.socket = WithoutIPv6
bound = listen(ListenAddress("", 0))
print(url_of(bound))
for host in ("127.0.0.1", "::1"):
    try:
        socket.create_connection((host, bound.getsockname()[1]), timeout=30)
    except OSError:
        continue
    print(host)
"""


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":10106", "", 10106),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:10106", "localhost", 10106),
        ("[::1]:10106", "::1", 10106),
        ("[::]:65535", "::", 65535),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("my_host.example-1.org:80", "my_host.example-1.org", 80),
    ],
)
def test_an_address_stays_the_same_when_read_and_written(text: str, host: str, port: int) -> None:
    assert parse_listen_address(text) == ListenAddress(host, port)
    assert str(parse_listen_address(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10106", 'has no port; write ":10106"'),
        ("localhost", "has no port; write HOST:PORT"),
        ("", "has no port; write HOST:PORT"),
        ("localhost:", '"" is not a port; write a number from 0 to 65535'),
        (":65536", '"65536" is not a port'),
        (":-1", '"-1" is not a port'),
        (":http", '"http" is not a port'),
        (":\u0661", "is not a port"),
        ("::1:10106", 'an IPv6 address needs brackets; write it as "\\[::1\\]:10106"'),
        ("2001:db8::1", 'an IPv6 address needs brackets; write it as "\\[::1\\]:10106"'),
        ("[localhost]:10106", '"localhost" is not an IPv6 address'),
        ("[]:10106", '"" is not an IPv6 address'),
        ("http://localhost:10106", '"http://localhost" is not a host; write HOST:PORT without a scheme'),
        ("a b:1", '"a b" is not a host'),
        ("münchen:1", '"münchen" is not a host'),
    ],
)
def test_a_bad_address_is_refused_with_the_cure(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_listen_address(text)


def refusal(text: str) -> str:
    """Why an address is refused; empty if it is accepted."""
    try:
        parse_listen_address(text)
    except ValueError as error:
        return str(error)
    return ""


@given(st.text(max_size=30) | st.text("[]:.0123456789abf%", max_size=30))
def test_any_text_is_an_address_or_refused_with_what_to_write(text: str) -> None:
    reason = refusal(text)
    if reason:
        assert "; write " in reason
    else:
        address = parse_listen_address(text)
        assert parse_listen_address(str(address)) == address


def test_port_0_is_any_free_port_and_the_url_says_which() -> None:
    with closing(listen(ListenAddress("127.0.0.1", 0))) as bound:
        port = bound.getsockname()[1]
        assert port > 0
        assert url_of(bound) == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(("ipv6", "reached"), [(True, ["127.0.0.1", "::1"]), (False, ["127.0.0.1"])])
def test_an_empty_host_is_one_socket_for_every_family_the_machine_has(ipv6: bool, reached: list[str]) -> None:
    """Two sockets would get two ports for port 0, and the URL in the log would be that of one family only.

    The test listens on all interfaces in its own network namespace, where loopback is the only one.
    """
    enter = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    if ipv6 and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    program = [sys.executable, "-c", LISTEN_EVERYWHERE, "yes" if ipv6 else "no"]
    output = subprocess.run(
        [*enter, *program], timeout=PATIENCE_SECONDS, check=True, capture_output=True, text=True
    ).stdout
    url, *connected = output.split()
    assert url.startswith("http://[::]:" if ipv6 else "http://0.0.0.0:")
    assert connected == reached


@needs_ipv6
def test_an_ipv6_address_is_bound_alone_and_bracketed_in_its_url() -> None:
    with closing(listen(ListenAddress("::1", 0))) as bound:
        port = bound.getsockname()[1]
        assert url_of(bound) == f"http://[::1]:{port}"
        assert bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_host_name_is_bound_at_its_ipv4_address() -> None:
    with closing(listen(ListenAddress("localhost", 0))) as bound:
        assert url_of(bound).startswith("http://127.0.0.1:")


def test_a_port_in_use_is_refused_in_plain_words() -> None:
    with closing(listen(ListenAddress("127.0.0.1", 0))) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(OSError, match=f"^cannot listen on 127.0.0.1:{port}: the port is in use; stop the program"):
            listen(ListenAddress("127.0.0.1", port))


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("203.0.113.7", "this machine does not have that address"),  # TEST-NET-3: no real host
        ("2001:db8::7", "this machine does not have that"),
        ("a..b", "the host is unknown"),
        ("x" * 70, "the host is unknown"),
    ],
)
def test_a_host_that_cannot_be_had_is_refused_in_plain_words(host: str, reason: str) -> None:
    with pytest.raises(OSError, match=f"^cannot listen on .*: {reason}"):
        listen(ListenAddress(host, 0))


def test_if_one_of_several_addresses_cannot_be_bound_no_socket_stays_open() -> None:
    with closing(listen(ListenAddress("127.0.0.1", 0))) as other:
        free = listen(ListenAddress("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        taken = ListenAddress("127.0.0.1", other.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            listen_all([ListenAddress("127.0.0.1", port), taken])
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_the_same_address_twice_is_a_port_in_use() -> None:
    with closing(listen(ListenAddress("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(OSError, match="the port is in use"):
        listen_all([ListenAddress("127.0.0.1", port), ListenAddress("127.0.0.1", port)])
