"""Which addresses lie outside: nobody's laptop, cluster or cloud metadata. Pure, asks no resolver.

``ipaddress.is_private`` and ``is_global`` are no filters: they pass forms of private addresses
that translate back on the way (NAT64, 6to4), shared address space and multicast.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# IANA's special-purpose registries, multicast, and 168.63.129.16: Azure's host seen from inside.
_INSIDE_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
        "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24",
        "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_PUBLIC_V6 = IPv6Network("2000::/3")
# Teredo, ORCHID and other protocols; documentation; 6to4.
_INSIDE_V6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
# An IPv4 address in other clothes, in the last 32 bits: mapped, and NAT64's well-known prefix.
_CARRIES_V4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))

_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*", re.ASCII)
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.ASCII)


def is_outside(address: Address) -> bool:
    """Whether an address is reached through the public internet only."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _INSIDE_V4)
    if any(address in network for network in _CARRIES_V4):
        return is_outside(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _PUBLIC_V6 and not any(address in network for network in _INSIDE_V6)


def literal(host: str) -> Address | None:
    """The address that a host is, if it is none by name; ``%`` zones are not read."""
    try:
        return None if "%" in host else ipaddress.ip_address(host)
    except ValueError:
        return None


def why_not_a_host(host: str) -> str:
    """What is wrong with a host, in plain words; empty: it is a name, or an address as usual."""
    if literal(host) is not None:
        return ""
    if not _NAME.fullmatch(host):
        return "its host is neither a name nor an address"
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return "its host is an address in an unusual form; write it as usual"
    return ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator lets channels reach although it lies inside, or speaks without TLS."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read ``10.0.0.0/8, alertmanager:9093, ::1``.

        Raises:
            ValueError: an entry is neither a network nor a host.
        """
        networks: list[Network] = []
        hosts: list[tuple[str, int | None]] = []
        for entry in text.replace(",", " ").lower().split():
            network = _network(entry)
            if network is not None:
                networks.append(network)
            else:
                hosts.append(_host(entry))
        return cls(tuple(networks), frozenset(hosts))

    def names(self, host: str, port: int) -> bool:
        """Whether the host is among them by its name."""
        return not self.hosts.isdisjoint({(host, port), (host, None)})

    def holds(self, address: Address) -> bool:
        """Whether the address is in one of the networks."""
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self.networks)


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        return None


def _host(entry: str) -> tuple[str, int | None]:
    host, colon, port = entry.rpartition(":") if ":" in entry else (entry, "", "")
    host = host.removeprefix("[").removesuffix("]")
    is_port = not colon or (port.isascii() and port.isdecimal() and 0 < int(port) < 65536)
    if not is_port or "/" in entry or why_not_a_host(host):
        raise ValueError(
            f"GRADWATCH_OUTGOING_ALLOW: {entry!r} is neither a network nor host[:port]"
        )
    return host, int(port) if colon else None
