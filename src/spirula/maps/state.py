"""What an OSD map's numbers say: states of OSDs, flags, releases; who is up, in, shut out.

For everybody who asks a map about OSDs and clients; changing a map is in `apply`, where PGs are is
in `placement`. Numbers: upstream `src/include/rados.h`, `src/common/ceph_releases.h`.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from ipaddress import ip_address
from typing import Final, NamedTuple

from spirula.errors import WireError
from spirula.maps.osdmap import OSDMap
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec

OSD_IN: Final = 0x10000
"""The weight of an OSD that takes its full share; 0 is out."""
DEFAULT_PRIMARY_AFFINITY: Final = 0x10000


class OSDState(IntFlag):
    """Bits of `OSDMap.osd_state`, one number per OSD."""

    EXISTS = 1 << 0
    UP = 1 << 1
    AUTOOUT = 1 << 2
    NEW = 1 << 3
    FULL = 1 << 4
    NEARFULL = 1 << 5
    BACKFILLFULL = 1 << 6
    DESTROYED = 1 << 7
    NOUP = 1 << 8
    NODOWN = 1 << 9
    NOIN = 1 << 10
    NOOUT = 1 << 11
    STOP = 1 << 12


class OSDMapFlag(IntFlag):
    """Bits of `OSDMap.flags`."""

    NEARFULL = 1 << 0
    FULL = 1 << 1
    PAUSERD = 1 << 2
    PAUSEWR = 1 << 3
    PAUSEREC = 1 << 4
    NOUP = 1 << 5
    NODOWN = 1 << 6
    NOOUT = 1 << 7
    NOIN = 1 << 8
    NOBACKFILL = 1 << 9
    NORECOVER = 1 << 10
    NOSCRUB = 1 << 11
    NODEEP_SCRUB = 1 << 12
    NOTIERAGENT = 1 << 13
    NOREBALANCE = 1 << 14
    SORTBITWISE = 1 << 15
    REQUIRE_JEWEL = 1 << 16
    REQUIRE_KRAKEN = 1 << 17
    REQUIRE_LUMINOUS = 1 << 18
    RECOVERY_DELETES = 1 << 19
    PURGED_SNAPDIRS = 1 << 20
    NOSNAPTRIM = 1 << 21
    PGLOG_HARDLIMIT = 1 << 22


LEGACY_REQUIRE_FLAGS: Final = (
    OSDMapFlag.REQUIRE_JEWEL | OSDMapFlag.REQUIRE_KRAKEN | OSDMapFlag.REQUIRE_LUMINOUS
)
SEMIHIDDEN_FLAGS: Final = (
    LEGACY_REQUIRE_FLAGS
    | OSDMapFlag.RECOVERY_DELETES
    | OSDMapFlag.SORTBITWISE
    | OSDMapFlag.PURGED_SNAPDIRS
    | OSDMapFlag.PGLOG_HARDLIMIT
)
"""Flags that every healthy cluster has: a summary does not show them."""

# By name, in the order in which upstream prints them; others have no name.
_FLAG_NAMES: Final = {
    flag: name
    for name, flag in (
        ("pauserd", OSDMapFlag.PAUSERD),
        ("pausewr", OSDMapFlag.PAUSEWR),
        ("pauserec", OSDMapFlag.PAUSEREC),
        ("noup", OSDMapFlag.NOUP),
        ("nodown", OSDMapFlag.NODOWN),
        ("noout", OSDMapFlag.NOOUT),
        ("noin", OSDMapFlag.NOIN),
        ("nobackfill", OSDMapFlag.NOBACKFILL),
        ("norebalance", OSDMapFlag.NOREBALANCE),
        ("norecover", OSDMapFlag.NORECOVER),
        ("noscrub", OSDMapFlag.NOSCRUB),
        ("nodeep-scrub", OSDMapFlag.NODEEP_SCRUB),
        ("notieragent", OSDMapFlag.NOTIERAGENT),
        ("nosnaptrim", OSDMapFlag.NOSNAPTRIM),
        ("sortbitwise", OSDMapFlag.SORTBITWISE),
        ("require_jewel_osds", OSDMapFlag.REQUIRE_JEWEL),
        ("require_kraken_osds", OSDMapFlag.REQUIRE_KRAKEN),
        ("require_luminous_osds", OSDMapFlag.REQUIRE_LUMINOUS),
        ("recovery_deletes", OSDMapFlag.RECOVERY_DELETES),
        ("purged_snapdirs", OSDMapFlag.PURGED_SNAPDIRS),
        ("pglog_hardlimit", OSDMapFlag.PGLOG_HARDLIMIT),
    )
}


def flag_string(flags: int) -> str:
    """The names of a map's flags, as upstream prints them: `noout,sortbitwise`."""
    return ",".join(name for flag, name in _FLAG_NAMES.items() if flags & flag)


def flag_set(flags: int) -> list[str]:
    """The same as a sorted list; a flag without a name is an empty one there."""
    return sorted({flag_string(1 << bit) for bit in range(32) if flags & 1 << bit})


def state_names(state: int) -> list[str]:
    """The names of an OSD's state bits, sorted; an unknown bit is `???`."""
    known = {int(bit): str(bit.name).lower() for bit in OSDState}
    return sorted({known.get(1 << bit, "???") for bit in range(32) if state & 1 << bit})


class Release(IntEnum):
    """Ceph's releases, as `require_osd_release` and `require_min_compat_client` name them."""

    UNKNOWN = 0
    ARGONAUT = 1
    BOBTAIL = 2
    CUTTLEFISH = 3
    DUMPLING = 4
    EMPEROR = 5
    FIREFLY = 6
    GIANT = 7
    HAMMER = 8
    INFERNALIS = 9
    JEWEL = 10
    KRAKEN = 11
    LUMINOUS = 12
    MIMIC = 13
    NAUTILUS = 14
    OCTOPUS = 15
    PACIFIC = 16
    QUINCY = 17
    REEF = 18
    SQUID = 19
    TENTACLE = 20

    @classmethod
    def name_of(cls, number: int) -> str:
        """The name that upstream prints for the number of a release."""
        return cls(number).name.lower() if number in cls._value2member_map_ else "unknown"


NO_RELEASE: Final = 0xFF
"""In an incremental: the required release stays what it is."""


_ADDRS = ("client_addrs", "cluster_addrs", "hb_back_addrs", "hb_front_addrs")


def check_sizes(osdmap: OSDMap) -> None:
    """WireError unless the map's lists have one entry for each OSD that it has room for."""
    for name in ("osd_state", "osd_weight", "osd_info", "osd_xinfo", "osd_uuid", *_ADDRS):
        if len(getattr(osdmap, name)) != osdmap.max_osd:
            raise WireError(f"not one entry for each of {osdmap.max_osd} OSDs", path=name)
    if len(osdmap.osd_primary_affinity) not in (0, osdmap.max_osd):
        raise WireError("not one entry for each OSD, and not none", path="osd_primary_affinity")


# As plain numbers: they are asked of each OSD, again and again.
_EXISTS, _RUNS = int(OSDState.EXISTS), int(OSDState.EXISTS | OSDState.UP)


def exists(osdmap: OSDMap, osd: int) -> bool:
    """True for an OSD that was created and not removed (a destroyed one exists)."""
    return 0 <= osd < osdmap.max_osd and bool(osdmap.osd_state[osd] & _EXISTS)


def is_up(osdmap: OSDMap, osd: int) -> bool:
    """True for an OSD that runs, as far as the monitors know."""
    return 0 <= osd < osdmap.max_osd and osdmap.osd_state[osd] & _RUNS == _RUNS


def is_in(osdmap: OSDMap, osd: int) -> bool:
    """True for an OSD that is given data."""
    return exists(osdmap, osd) and osdmap.osd_weight[osd] != 0


def is_down(osdmap: OSDMap, osd: int) -> bool:
    """True for an OSD that does not run, or is not there at all."""
    return not is_up(osdmap, osd)


def is_out(osdmap: OSDMap, osd: int) -> bool:
    """True for an OSD that is given no data, or is not there at all."""
    return not is_in(osdmap, osd)


def is_dead(osdmap: OSDMap, osd: int) -> bool:
    """True for an OSD that surely is not running: it said so before it went down."""
    if not exists(osdmap, osd):
        return False
    return osdmap.osd_xinfo[osd].dead_epoch > osdmap.osd_info[osd].up_from


class OSDCounts(NamedTuple):
    """How many OSDs exist, and how many of them are up and in."""

    all: int
    up: int
    in_: int


def count_osds(osdmap: OSDMap) -> OSDCounts:
    """Counts all OSDs."""
    there = [osd for osd in range(osdmap.max_osd) if exists(osdmap, osd)]
    return OSDCounts(
        len(there),
        sum(is_up(osdmap, osd) for osd in there),
        sum(is_in(osdmap, osd) for osd in there),
    )


def is_destroyed(osdmap: OSDMap, osd: int) -> bool:
    """True for an OSD whose data is gone and whose id waits for a successor."""
    return exists(osdmap, osd) and bool(osdmap.osd_state[osd] & OSDState.DESTROYED)


def primary_affinity(osdmap: OSDMap, osd: int) -> int:
    """How willingly the OSD is primary: 0x10000 always, 0 only if nobody else can."""
    known = osdmap.osd_primary_affinity
    return known[osd] if osd < len(known) else DEFAULT_PRIMARY_AFFINITY


def is_blocklisted(osdmap: OSDMap, addrs: EntityAddr | EntityAddrVec) -> bool:
    """True when the client at that address, or at any of them, is shut out, or all of its host or
    network.
    """
    if not osdmap.blocklist and not osdmap.range_blocklist:
        return False
    if isinstance(addrs, EntityAddrVec):
        return any(is_blocklisted(osdmap, addr) for addr in addrs.addrs)
    nautilus = osdmap.require_osd_release >= Release.NAUTILUS
    entry = addrs.with_type(AddrType.ANY if nautilus else AddrType.LEGACY)
    if entry in osdmap.blocklist:
        return True
    if entry.is_ip and entry.with_port(0).with_nonce(0) in osdmap.blocklist:
        return True
    return any(in_network(network, addrs) for network in osdmap.range_blocklist)


def in_network(network: EntityAddr, addr: EntityAddr) -> bool:
    """Whether `addr` lies in a network, whose nonce is the length of its prefix."""
    if network.family != addr.family or not addr.is_ip:
        return False
    found, wanted = ip_address(addr.host), ip_address(network.host)
    shift = max(found.max_prefixlen - network.nonce, 0)
    return int(found) >> shift == int(wanted) >> shift
