"""The `network ADDRESS/BITS` clause of a grant: where the client must come from.

Not for the daemons' own `public_network` options. Called by the four caps languages.
Follows upstream `src/common/ipaddr.cc`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

Address = IPv4Address | IPv6Address | None
"""Where a client's connection comes from; None where it is not known or not an IP address."""

_BITS: Final = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Network:
    """A network that a grant is restricted to.

    `text` is kept as written. A text that is no network (no `/BITS`, brackets around an IPv6
    address, a malformed address) is accepted by the grammar, as upstream does, and contains no
    address: a grant with it grants nothing. More bits than the address has mean the whole
    address. Upstream lets 2^32 bits wrap around to 0 (everybody); here that contains nobody.
    """

    text: str
    _version: int = field(init=False, repr=False, compare=False)
    _shift: int = field(init=False, repr=False, compare=False)
    _prefix: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        version = shift = prefix = 0
        host, slash, bits = self.text.partition("/")
        if slash and _BITS.fullmatch(bits) and int(bits) < 1 << 32:
            try:
                address = ip_address(host)
            except ValueError:
                pass
            else:
                version = address.version
                shift = max(address.max_prefixlen - int(bits), 0)
                prefix = int(address) >> shift
        object.__setattr__(self, "_version", version)
        object.__setattr__(self, "_shift", shift)
        object.__setattr__(self, "_prefix", prefix)

    @property
    def valid(self) -> bool:
        """Whether `text` is a network; if not, `contains` is always False."""
        return self._version != 0

    def contains(self, address: Address) -> bool:
        """Whether `address` lies in the network. IPv4 addresses mapped into IPv6 do not count."""
        return (
            address is not None
            and address.version == self._version
            and int(address) >> self._shift == self._prefix
        )


def network_of(text: str) -> Network | None:
    """The value of an optional clause: None where there is none."""
    return Network(text) if text else None
