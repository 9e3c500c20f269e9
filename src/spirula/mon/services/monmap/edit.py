"""Changes to a monitor map: adding, removing and reordering monitors.

Called by the service and its commands on a pending map. Rules: upstream `src/mon/MonMap.h`.
"""

from __future__ import annotations

from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec
from spirula.types.mon import MonFeature, MonFeatures, MonInfo, MonMap

PORT_MSGR2 = 3300
"""Where monitors listen for msgr2 unless told otherwise (upstream CEPH_MON_PORT_IANA)."""
PORT_LEGACY = 6789
SUPPORTED = sum(bit for bit in MonFeature if bit <= MonFeature.PINGING)
"""All features of monitors that 16.2 knows of; every one of them persists once it is set."""
_RELEASES = (
    (MonFeature.PACIFIC, 16),
    (MonFeature.OCTOPUS, 15),
    (MonFeature.NAUTILUS, 14),
    (MonFeature.MIMIC, 13),
    (MonFeature.LUMINOUS, 12),
    (MonFeature.KRAKEN, 11),
)


def copy(monmap: MonMap) -> MonMap:
    """A map of its own to change."""
    return MonMap.decode(monmap.encode())


def required_features(monmap: MonMap) -> int:
    """The features without which a monitor may not be in the quorum."""
    return monmap.persistent_features.features | monmap.optional_features.features


def release_of(features: int) -> int:
    """The release whose features these are (upstream infer_ceph_release_from_mon_features)."""
    return next((release for bit, release in _RELEASES if features & bit), 0)


def add_features(monmap: MonMap, features: int) -> None:
    """Let the map ask for more."""
    monmap.persistent_features = MonFeatures(monmap.persistent_features.features | features)


def name_at(monmap: MonMap, addrs: EntityAddrVec) -> str | None:
    """The monitor that has one of these addresses."""
    for name, info in monmap.mon_info.items():
        if any(addr in info.public_addrs.addrs for addr in addrs.addrs):
            return name
    return None


def add(
    monmap: MonMap, name: str, addrs: EntityAddrVec, crush_loc: dict[str, str] | None = None
) -> None:
    """A new monitor, of the last rank. Neither its name nor an address of it is there yet.

    In maps from before Nautilus ranks follow the order of addresses.
    """
    monmap.mon_info[name] = MonInfo(name, addrs, crush_loc=crush_loc or {})
    monmap.mon_info = dict(sorted(monmap.mon_info.items()))
    monmap.ranks.append(name)
    if not required_features(monmap) & MonFeature.NAUTILUS:
        order_by_address(monmap)


def remove(monmap: MonMap, name: str) -> None:
    """A monitor is none any more. `removed_ranks` tells the others that scores move up."""
    monmap.removed_ranks.add(monmap.rank_of(name))
    monmap.ranks.remove(name)
    del monmap.mon_info[name]
    monmap.disallowed_leaders.discard(name)
    if not required_features(monmap) & MonFeature.NAUTILUS:
        order_by_address(monmap)


def order_by_address(monmap: MonMap) -> None:
    """Let ranks follow the order of addresses (upstream calc_legacy_ranks)."""
    info = monmap.mon_info
    monmap.ranks = sorted(info, key=lambda name: (info[name].public_addrs.legacy_or_front, name))


def set_rank(monmap: MonMap, name: str, rank: int) -> None:
    """Give a monitor another rank; a rank that is none changes nothing, as upstream."""
    if 0 <= rank < len(monmap.ranks):
        monmap.ranks.remove(name)
        monmap.ranks.insert(rank, name)


def addrs_of_new(addr: EntityAddr) -> EntityAddrVec:
    """Where a monitor is to listen that was added by one address.

    Without a port, or with the old default one, it gets both default ports.
    """
    if addr.port == PORT_MSGR2:
        return EntityAddrVec([addr.with_type(AddrType.MSGR2)])
    if addr.port not in (0, PORT_LEGACY):
        return EntityAddrVec([addr])
    return EntityAddrVec(
        [
            addr.with_type(AddrType.MSGR2).with_port(PORT_MSGR2),
            addr.with_type(AddrType.LEGACY).with_port(PORT_LEGACY),
        ]
    )


def enable_msgr2(monmap: MonMap) -> bool:
    """Let monitors that only have the old default port listen for msgr2, too; whether any did."""
    changed = False
    for info in monmap.mon_info.values():
        addrs = info.public_addrs.addrs
        if len(addrs) == 1 and (addrs[0].type, addrs[0].port) == (AddrType.LEGACY, PORT_LEGACY):
            newer = addrs[0].with_type(AddrType.MSGR2).with_port(PORT_MSGR2)
            info.public_addrs = EntityAddrVec([newer, addrs[0]])
            changed = True
    return changed


def parse_location(words: list[str]) -> dict[str, str]:
    """`["datacenter=a", "rack=b"]` as a map: what stands before the first word that is no pair."""
    location = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            break
        location[key] = value
    return dict(sorted(location.items()))


def min_quorum(size: int) -> int:
    """How many of `size` monitors make a quorum."""
    return size // 2 + 1
