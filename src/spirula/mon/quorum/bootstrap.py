"""Whom a monitor looks for before it was ever in a quorum: initial members, and hints by hand.

Formats: upstream `src/mon/MonMap.cc` (set_initial_members) and `Monitor.cc`
(_add_bootstrap_peer_hint). The monitor daemon calls this before it makes a `Member`, and for the
commands `add_bootstrap_peer_hint` and `add_bootstrap_peer_hintv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from spirula.errors import InvalidArgument
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec
from spirula.types.mon import MonInfo, MonMap

_AF_INET = 2
_MSGR2_PORT, _LEGACY_PORT = 3300, 6789


def with_initial_members(
    monmap: MonMap, members: Sequence[str], name: str, addrs: EntityAddrVec
) -> tuple[MonMap, list[EntityAddrVec]]:
    """The map that holds just `mon_initial_members`, and where others that it held listen.

    `name` and `addrs` are this monitor's. Members whose address is not known have a blank one; it
    is learned when they probe. The others are to be probed, and no quorum is formed of them. Only
    for monitors that were never in a quorum.
    """
    made = deepcopy(monmap)
    others = [
        made.mon_info.pop(other).public_addrs for other in monmap.ranks if other not in members
    ]
    blanks = 0
    for member in members:
        if member in made.mon_info:
            continue
        known = addrs
        if member != name:
            blanks += 1
            known = EntityAddrVec([EntityAddr(AddrType.LEGACY, blanks, _AF_INET, bytes(14))])
        made.mon_info[member] = MonInfo(member, known)
    info = made.mon_info
    made.ranks = sorted(info, key=lambda member: (info[member].legacy_addr(), member))
    return made, others


def hint_of(addr: str) -> EntityAddrVec:
    """The addresses that `add_bootstrap_peer_hint` means: `ip` (both ports) or `ip:port`.

    Raises InvalidArgument.
    """
    try:
        parsed = EntityAddr.parse(addr, AddrType.ANY)
    except ValueError as error:
        raise InvalidArgument(
            f"failed to parse addrs '{addr}'; syntax is 'add_bootstrap_peer_hint ip[:port]'"
        ) from error
    if not parsed.port:
        return EntityAddrVec(
            [
                EntityAddr.of(parsed.host, _MSGR2_PORT, type=AddrType.MSGR2),
                EntityAddr.of(parsed.host, _LEGACY_PORT, type=AddrType.LEGACY),
            ]
        )
    if parsed.type == AddrType.ANY:
        kind = AddrType.LEGACY if parsed.port == _LEGACY_PORT else AddrType.MSGR2
        parsed = parsed.with_type(kind)
    return EntityAddrVec([parsed])


def hint_of_vector(addrs: str) -> EntityAddrVec:
    """The addresses that `add_bootstrap_peer_hintv` means: `v2:ip:port[,v1:ip:port]`.

    Raises InvalidArgument.
    """
    try:
        return EntityAddrVec.parse(addrs)
    except ValueError as error:
        syntax = "add_bootstrap_peer_hintv v2:ip:port[,v1:ip:port]"
        raise InvalidArgument(f"failed to parse addrs '{addrs}'; syntax is '{syntax}'") from error
