"""What a peer must be able to do to work with an OSD map, as feature bits and as a release.

The monitor refuses peers without these, and commands that would shut out clients in use. Upstream:
`src/osd/OSDMap.cc` (get_features, get_min_compat_client, get_up_osd_features).
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import NamedTuple

from spirula.crush import features as crush_features
from spirula.crush.msr import is_msr
from spirula.denc.features import (
    CEPHX_V2,
    CRUSH_CHOOSE_ARGS,
    CRUSH_MSR,
    CRUSH_TUNABLES,
    CRUSH_TUNABLES2,
    CRUSH_TUNABLES3,
    CRUSH_TUNABLES5,
    CRUSH_V2,
    CRUSH_V4,
    MSG_ADDR2,
    OSD_CACHEPOOL,
    OSD_PRIMARY_AFFINITY,
    OSDHASHPSPOOL,
    OSDMAP_PG_UPMAP,
    SERVER_JEWEL,
    SERVER_KRAKEN,
    STRETCH_MODE,
    has,
)
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement
from spirula.maps.state import DEFAULT_PRIMARY_AFFINITY, Release, is_up
from spirula.types.entity import EntityType
from spirula.types.pool import PGPool, PoolFlag

_CRUSH = (
    CRUSH_TUNABLES
    | CRUSH_TUNABLES2
    | CRUSH_TUNABLES3
    | CRUSH_TUNABLES5
    | CRUSH_V2
    | CRUSH_V4
    | CRUSH_CHOOSE_ARGS
    | CRUSH_MSR
)
_ALWAYS_ASKED = (
    _CRUSH | OSDMAP_PG_UPMAP | OSDHASHPSPOOL | OSD_CACHEPOOL | OSD_PRIMARY_AFFINITY | CEPHX_V2
)
_ASKED_OF_OSDS = SERVER_JEWEL | SERVER_KRAKEN | MSG_ADDR2

# What gives a client's release away, the newest first.
_RELEASES = (
    ((CRUSH_MSR,), Release.SQUID),
    ((OSDMAP_PG_UPMAP, CRUSH_CHOOSE_ARGS), Release.LUMINOUS),
    ((CRUSH_TUNABLES5,), Release.JEWEL),
    ((CRUSH_V4,), Release.HAMMER),
    ((OSD_PRIMARY_AFFINITY, CRUSH_TUNABLES3, OSD_CACHEPOOL), Release.FIREFLY),
    ((CRUSH_TUNABLES2, OSDHASHPSPOOL), Release.DUMPLING),
)


class Demands(NamedTuple):
    """Feature bits that a map demands, and all that a map could demand of that kind of peer."""

    features: int
    mask: int


def map_features(osdmap: OSDMap, peer: int) -> Demands:
    """What the map demands of a peer of that `EntityType`."""
    found = _crush_demands(osdmap)
    if osdmap.pg_upmap or osdmap.pg_upmap_items:
        found |= OSDMAP_PG_UPMAP
    if any(affinity != DEFAULT_PRIMARY_AFFINITY for affinity in osdmap.osd_primary_affinity):
        found |= OSD_PRIMARY_AFFINITY
    for pool in osdmap.pools.values():
        found |= _pool_demands(pool)
    mask = _ALWAYS_ASKED
    if peer == EntityType.OSD:
        mask |= _ASKED_OF_OSDS
        if osdmap.require_osd_release >= Release.JEWEL:
            found |= SERVER_JEWEL
        if osdmap.require_osd_release >= Release.KRAKEN:
            found |= SERVER_KRAKEN | MSG_ADDR2
        if osdmap.stretch_mode_enabled:
            found |= STRETCH_MODE
            mask |= STRETCH_MODE
    # From Nautilus on messages are signed in the second way: by OSDs first, then by everybody.
    if osdmap.require_min_compat_client >= Release.NAUTILUS or (
        osdmap.require_osd_release >= Release.NAUTILUS and peer == EntityType.OSD
    ):
        found |= CEPHX_V2
    return Demands(found, mask)


def _crush_demands(osdmap: OSDMap) -> int:
    crush = osdmap.crush
    found = 0
    for asks, bits in (
        (crush_features.has_nondefault_tunables, CRUSH_TUNABLES),
        (crush_features.has_nondefault_tunables2, CRUSH_TUNABLES2),
        (crush_features.has_nondefault_tunables3, CRUSH_TUNABLES3),
        (crush_features.has_v4_buckets, CRUSH_V4),
        (crush_features.has_nondefault_tunables5, CRUSH_TUNABLES5),
        (crush_features.has_incompat_choose_args, CRUSH_CHOOSE_ARGS),
        (crush_features.has_nondefault_tunables_msr, CRUSH_MSR),
    ):
        if asks(crush):
            found |= bits
    places = Placement(osdmap)
    used = {places.find_rule(pool) for pool in osdmap.pools.values()} - {-1}
    for number in used:
        rule = crush.rules[number]
        if crush_features.is_v2_rule(rule):
            found |= CRUSH_V2
        if crush_features.is_v3_rule(rule):
            found |= CRUSH_TUNABLES3
        if crush_features.is_v5_rule(rule):
            found |= CRUSH_TUNABLES5
        if rule is not None and is_msr(rule):
            found |= CRUSH_MSR
    return found


def _pool_demands(pool: PGPool) -> int:
    found = OSDHASHPSPOOL if pool.has_flag(PoolFlag.HASHPSPOOL) else 0
    if pool.tiers or pool.tier_of >= 0:
        found |= OSD_CACHEPOOL
    return found


def min_compat_client(osdmap: OSDMap) -> Release:
    """The oldest release whose clients understand the map."""
    found = map_features(osdmap, EntityType.CLIENT).features
    for features, release in _RELEASES:
        if any(has(found, feature) for feature in features):
            return release
    return Release.ARGONAUT


def up_osd_features(osdmap: OSDMap) -> int:
    """What all OSDs that are up can do (those that never told are left out); 0 if none told."""
    told = [
        osdmap.osd_xinfo[osd].features
        for osd in range(osdmap.max_osd)
        if is_up(osdmap, osd) and osdmap.osd_xinfo[osd].features
    ]
    return reduce(and_, told) if told else 0
