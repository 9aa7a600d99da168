"""Which addresses count as one peer."""

from __future__ import annotations

import pytest

from exporter.web.security.access_control import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::5", "2001:0db8:0000:0001"),
        ("2001:db8:0:1:ffff:1:2:3", "2001:0db8:0000:0001"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("", ""),
        (None, ""),
        ("no address", ""),
    ],
)
def test_a_subscriber_has_one_ipv4_address_or_half_an_ipv6_address(address: str | None, network: str) -> None:
    """A client with its own network has 2**64 addresses; they count as one."""
    assert network_of(address) == network
