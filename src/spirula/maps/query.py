"""Questions about an OSD map that take more than one number: who is full, is a subtree down.

Called by the monitor, its health checks and its commands. Single OSDs are in `state`, places of PGs
in `placement`. Upstream: `src/osd/OSDMap.cc`, the functions of like names.
"""

from __future__ import annotations

from typing import NamedTuple

from spirula.crush.lookup import (
    find_bucket,
    full_location,
    immediate_parent,
    item_id,
    rules_by_osd,
)
from spirula.crush.map import CrushMap
from spirula.errors import InvalidArgument
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.state import OSDMapFlag, OSDState, exists, is_down, is_in, is_out, is_up
from spirula.types.entity import EntityAddr
from spirula.types.pool import PGPool, PoolType

_SHORT_BITS = (int(OSDState.FULL), int(OSDState.BACKFILLFULL), int(OSDState.NEARFULL))
_SHORT = sum(_SHORT_BITS)

# A wish of an operator: its flag for the whole cluster and its bit for OSDs, buckets and classes.
_WISHES = {
    "noup": (OSDMapFlag.NOUP, OSDState.NOUP),
    "nodown": (OSDMapFlag.NODOWN, OSDState.NODOWN),
    "noin": (OSDMapFlag.NOIN, OSDState.NOIN),
    "noout": (OSDMapFlag.NOOUT, OSDState.NOOUT),
}


# ---------------------------------------------------------------------------------------- OSDs


def all_osds(osdmap: OSDMap) -> list[int]:
    """Ids of the OSDs that exist."""
    return [osd for osd in range(osdmap.max_osd) if exists(osdmap, osd)]


def up_osds(osdmap: OSDMap) -> list[int]:
    """Ids of the OSDs that are up."""
    return [osd for osd in range(osdmap.max_osd) if is_up(osdmap, osd)]


def out_osds(osdmap: OSDMap) -> list[int]:
    """Ids of the OSDs that exist and are out."""
    return [osd for osd in all_osds(osdmap) if osdmap.osd_weight[osd] == 0]


def identify_osd(osdmap: OSDMap, who: EntityAddr | bytes, *, heartbeats: bool = False) -> int:
    """The OSD at that address or with that UUID, -1 if there is none.

    Its addresses for heartbeats count only where that is asked for.
    """
    for osd in all_osds(osdmap):
        if isinstance(who, bytes):
            if osdmap.osd_uuid[osd] == who:
                return osd
            continue
        channels = [osdmap.client_addrs[osd], osdmap.cluster_addrs[osd]]
        if heartbeats:
            channels += [osdmap.hb_back_addrs[osd], osdmap.hb_front_addrs[osd]]
        if any(who in channel.addrs for channel in channels):
            return osd
    return -1


def find_osd_on_ip(osdmap: OSDMap, addr: EntityAddr) -> int:
    """The first OSD on that host, -1 if there is none."""
    for osd in all_osds(osdmap):
        for channel in (osdmap.client_addrs[osd], osdmap.cluster_addrs[osd]):
            if any(other.host == addr.host for other in channel.addrs):
                return osd
    return -1


class FullOSDs(NamedTuple):
    """OSDs that are up, in and short of space; each counts where it is worst."""

    full: list[int]
    backfillfull: list[int]
    nearfull: list[int]


def full_osds(osdmap: OSDMap) -> FullOSDs:
    """Which OSDs said that they are short of space."""
    found = FullOSDs([], [], [])
    for osd, state in enumerate(osdmap.osd_state):
        if not state & _SHORT or not (is_up(osdmap, osd) and is_in(osdmap, osd)):
            continue
        for bit, osds in zip(_SHORT_BITS, found, strict=True):
            if state & bit:
                osds.append(osd)
                break
    return found


def has_wish(osdmap: OSDMap, osd: int, wish: str) -> bool:
    """Whether `noup`, `nodown`, `noin` or `noout` holds for an OSD.

    It may have been given for the cluster, the OSD, a bucket around it, or its device class.
    """
    flag, bit = _WISHES[wish]
    if osdmap.flags & flag:
        return True
    if exists(osdmap, osd) and osdmap.osd_state[osd] & bit:
        return True
    if osd_crush_node_flags(osdmap, osd) & bit:
        return True
    number = osdmap.crush.device_classes.get(osd, -1)
    return bool(osdmap.device_class_flags.get(number, 0) & bit)


def osd_crush_node_flags(osdmap: OSDMap, osd: int) -> int:
    """The wishes that were given for the buckets around an OSD (bits of `OSDState`)."""
    if not osdmap.crush_node_flags or osd not in osdmap.crush.item_names:
        return 0
    flags = 0
    for _, name in full_location(osdmap.crush, osd):
        flags |= osdmap.crush_node_flags.get(item_id(osdmap.crush, name), 0)
    return flags


def net_marked_out(inc: Incremental, before: OSDMap) -> int:
    """How many more OSDs are out after the change than before."""
    return sum((weight == 0) - is_out(before, osd) for osd, weight in inc.new_weight.items())


def net_marked_down(inc: Incremental, before: OSDMap) -> int:
    """How many more OSDs the change marks down than up."""
    flipped = [osd for osd, bits in inc.new_state.items() if bits & OSDState.UP]
    return sum(1 if is_up(before, osd) else -1 for osd in flipped)


# ------------------------------------------------------------------------------------ subtrees


def subtree_is_down(osdmap: OSDMap, id: int, known: set[int] | None = None) -> bool:
    """Whether no OSD at or below `id` is up.

    `known` remembers buckets that are, for several questions about one map.
    """
    if id >= 0:
        return is_down(osdmap, id)
    known = set() if known is None else known
    if id in known:
        return True
    waiting, seen = [id], {id}
    while waiting:
        bucket = find_bucket(osdmap.crush, waiting.pop())
        for item in bucket.items if bucket else ():
            if item >= 0:
                if is_up(osdmap, item):
                    return False
            elif item not in seen:
                seen.add(item)
                if item not in known:
                    waiting.append(item)
    known |= seen  # nothing in there is up
    return True


def containing_subtree_is_down(
    osdmap: OSDMap, id: int, type: int, known: set[int] | None = None
) -> bool:
    """Whether the subtree around `id` that is of that type, or of a larger one, is down as a whole.

    False also where there is no subtree so large. For `known` see `subtree_is_down`.
    """
    known = set() if known is None else known
    seen = {id}
    while True:
        bucket = find_bucket(osdmap.crush, id)
        kind = bucket.type if bucket else 0
        if not subtree_is_down(osdmap, id, known):
            return False
        if kind >= type:
            return True
        parent = immediate_parent(osdmap.crush, id)
        if parent is None or parent.id in seen:
            return False
        id = parent.id
        seen.add(id)


# --------------------------------------------------------------------------------------- pools


def find_pool(osdmap: OSDMap, name: str) -> int | None:
    """The number of the pool with that name, or None."""
    return next((number for number, known in osdmap.pool_name.items() if known == name), None)


def crush_rule_in_use(osdmap: OSDMap, rule: int) -> bool:
    """Whether a pool names that CRUSH rule."""
    return any(pool.crush_rule == rule for pool in osdmap.pools.values())


def pools_by_osd(osdmap: OSDMap, osd: int) -> set[int]:
    """Pools whose rule can choose that OSD."""
    rules = set(rules_by_osd(osdmap.crush, osd))
    return {number for number, pool in osdmap.pools.items() if pool.crush_rule in rules}


class FullPools(NamedTuple):
    """Pools that may have data on OSDs that are short of space."""

    full: set[int]
    backfillfull: set[int]
    nearfull: set[int]


def full_pools(osdmap: OSDMap) -> FullPools:
    """Which pools are held back by OSDs that are short of space."""

    def pools(osds: list[int]) -> set[int]:
        return set().union(*(pools_by_osd(osdmap, osd) for osd in osds))

    found = full_osds(osdmap)
    return FullPools(pools(found.full), pools(found.backfillfull), pools(found.nearfull))


def pool_raw_used_rate(osdmap: OSDMap, pool: PGPool) -> float:
    """How many bytes of disks a byte of the pool takes; 0.0 for a profile without k and m."""
    if pool.type != PoolType.ERASURE:
        return float(pool.size)
    profile = osdmap.erasure_code_profiles.get(pool.erasure_code_profile, {})
    try:
        k, m = int(profile["k"]), int(profile["m"])
    except (KeyError, ValueError):
        return 0.0
    return (k + m) / k if k > 0 else 0.0


def validate_crush_rules(osdmap: OSDMap, crush: CrushMap) -> None:
    """InvalidArgument when another CRUSH map lacks a rule that a pool needs, or has one that does
    not fit the pool.
    """
    for number, pool in sorted(osdmap.pools.items()):
        wanted = pool.crush_rule
        rule = crush.rules[wanted] if wanted < len(crush.rules) else None
        if rule is None:
            raise InvalidArgument(
                f"pool {number} references crush_rule {wanted} but it is not present"
            )
        if rule.ruleset != wanted:
            raise InvalidArgument(f"rule {wanted} mask ruleset does not match rule id")
        if rule.type != pool.type:
            raise InvalidArgument(f"pool {number} type does not match rule {wanted}")
        if not rule.min_size <= pool.size <= rule.max_size:
            raise InvalidArgument(
                f"pool {number} size {pool.size} does not fall within rule {wanted}"
                f" min_size {rule.min_size} and max_size {rule.max_size}"
            )
