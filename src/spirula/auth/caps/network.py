"""The `network ADDRESS/BITS` clause of a grant: where the client must come from.

Not for the daemons' own `public_network` options. Called by the four caps languages.
Follows upstream `src/common/ipaddr.cc`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from spirula.types.entity import EntityAddr

Address = EntityAddr | None
"""Where a client's connection comes from; None where it is not known."""

_AF_INET: Final = 2
_AF_INET6: Final = 10

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
    _family: int = field(init=False, repr=False, compare=False)
    _shift: int = field(init=False, repr=False, compare=False)
    _prefix: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        family = shift = prefix = 0
        host, slash, bits = self.text.partition("/")
        if slash and _BITS.fullmatch(bits) and int(bits) < 1 << 32:
            try:
                address = ip_address(host)
            except ValueError:
                pass
            else:
                family = _AF_INET if address.version == 4 else _AF_INET6
                shift = max(address.max_prefixlen - int(bits), 0)
                prefix = int(address) >> shift
        object.__setattr__(self, "_family", family)
        object.__setattr__(self, "_shift", shift)
        object.__setattr__(self, "_prefix", prefix)

    @property
    def valid(self) -> bool:
        """Whether `text` is a network; if not, `contains` is always False."""
        return self._family != 0

    def contains(self, address: Address) -> bool:
        """Whether `address` lies in the network. IPv4 addresses mapped into IPv6 do not count."""
        if address is None or address.family != self._family or not self._family:
            return False
        packed = address.sockaddr[2:6] if self._family == _AF_INET else address.sockaddr[6:22]
        return int.from_bytes(packed) >> self._shift == self._prefix


def network_of(text: str) -> Network | None:
    """The value of an optional clause: None where there is none."""
    return Network(text) if text else None
