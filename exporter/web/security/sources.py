"""Where a request comes from, as far as that tells peers apart."""

from __future__ import annotations

import ipaddress


def network_of(address: str | None) -> str:
    """What one subscriber has: an IPv4 address, the first half of an IPv6 address; empty where there is none."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or found.exploded[:19])
    return str(found)
