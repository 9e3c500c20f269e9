"""OSD maps as they were before they had two parts and a checksum: for clients without OSDMAP_ENC.

Those are from before 2013. Version 6 is complete; version 5, for clients that know no 64-bit ids of
pools, has what clients need and no more. Called by `osdmap`, which holds today's form. Upstream:
`src/osd/OSDMap.cc` (encode_classic, encode_client_old, decode_classic).
"""

from __future__ import annotations

import struct as _struct
from typing import TYPE_CHECKING, Annotated, Any

from spirula.crush.wire import CrushWrapper
from spirula.denc import (
    Either,
    Map,
    Pair,
    Set,
    Struct,
    Vec,
    Via,
    blob,
    default,
    s32,
    s64,
    since,
    string,
    struct,
    u8,
    u16,
    u32,
    u64,
    uuid_d,
    when,
)
from spirula.denc.features import PGID64, has
from spirula.errors import IncompatibleVersion
from spirula.maps.osdmap import old_change, old_states
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec
from spirula.types.osd_info import OsdInfo, OsdXInfo
from spirula.types.pg import PGId
from spirula.types.pool import PGPool

if TYPE_CHECKING:
    from spirula.maps.osdmap import Incremental, OSDMap

_OLDEST, _COMPLETE = 5, 6
_OLD_PG = _struct.Struct("<hHI")
_NO_PREFERENCE = -1
_MAX_POOL = 0x7FFFFFFF


def _to_old_pg(pg: PGId) -> int:
    return int.from_bytes(_OLD_PG.pack(_NO_PREFERENCE, pg.seed & 0xFFFF, pg.pool), "little")


def _from_old_pg(number: int) -> PGId:
    _, seed, pool = _OLD_PG.unpack(number.to_bytes(_OLD_PG.size, "little"))
    return PGId(pool, seed)


_OldPG = Via(u64, _from_old_pg, _to_old_pg)
_Pools = Annotated[dict[int, PGPool], Either("v >= 6", Map[s64, PGPool], Map[u32, PGPool])]
_PoolNames = Annotated[dict[int, str], Either("v >= 6", Map[s64, string], Map[u32, string])]
_PGTemp = Annotated[
    dict[PGId, list[int]],
    Either("v >= 6", Map[PGId, Vec[s32]], Map[Annotated[PGId, _OldPG], Vec[s32]]),
]


_PG_IDS_64 = ((PGID64, 6, 0),)


@struct(version=5, bare_version="H", by_feature=_PG_IDS_64)
class _ClassicMap(Struct):
    """A whole map; `extended` is the version of what follows it, which is not for clients."""

    fsid: uuid_d
    epoch: u32
    created: UTime
    modified: UTime
    pools: _Pools
    pool_name: _PoolNames
    pool_max: s32 = default(-1)
    flags: u32
    max_osd: s32
    osd_state: Vec[u8]
    osd_weight: Vec[u32]
    client_addrs: Vec[EntityAddrVec]
    pg_temp: _PGTemp
    crush: blob
    extended: u16 = since(6, 10)
    hb_back_addrs: Vec[EntityAddrVec] = since(6)
    osd_info: Vec[OsdInfo] = since(6)
    blocklist: Map[EntityAddr, UTime] = since(6)
    cluster_addrs: Vec[EntityAddrVec] = when("extended >= 6", since=6)
    cluster_snapshot_epoch: u32 = when("extended >= 7", since=6)
    cluster_snapshot: string = when("extended >= 7", since=6)
    osd_uuid: Vec[uuid_d] = when("extended >= 8", since=6)
    osd_xinfo: Vec[OsdXInfo] = when("extended >= 9", since=6)
    hb_front_addrs: Vec[EntityAddrVec] = when("extended >= 10", since=6)


@struct(version=5, bare_version="H", by_feature=_PG_IDS_64)
class _ClassicChange(Struct):
    """A change; see `_ClassicMap`."""

    fsid: uuid_d
    epoch: u32
    modified: UTime
    new_pool_max: Annotated[int, Either("v >= 6", s64, s32)] = default(-1)
    new_flags: s32 = default(-1)
    fullmap: blob
    crush: blob
    new_max_osd: s32 = default(-1)
    new_pools: _Pools
    new_pool_names: _PoolNames
    old_pools: Annotated[set[int], Either("v >= 6", Set[s64], Set[u32])]
    new_up_client: Map[s32, EntityAddrVec]
    new_state: Map[s32, u8]
    new_weight: Map[s32, u32]
    new_pg_temp: _PGTemp
    extended: u16 = since(6, 10)
    new_hb_back_up: Map[s32, EntityAddrVec] = since(6)
    new_up_thru: Map[s32, u32] = since(6)
    new_last_clean_interval: Map[s32, Pair[u32, u32]] = since(6)
    new_lost: Map[s32, u32] = since(6)
    new_blocklist: Map[EntityAddr, UTime] = since(6)
    old_blocklist: Vec[EntityAddr] = since(6)
    new_up_cluster: Map[s32, EntityAddrVec] = when("extended >= 6", since=6)
    cluster_snapshot: string = when("extended >= 7", since=6)
    new_uuid: Map[s32, uuid_d] = when("extended >= 8", since=6)
    new_xinfo: Map[s32, OsdXInfo] = when("extended >= 9", since=6)
    new_hb_front_up: Map[s32, EntityAddrVec] = when("extended >= 10", since=6)


_MAP_FIELDS = [f.name for f in _ClassicMap._denc_fields if f.name != "extended"]
_CHANGE_FIELDS = [f.name for f in _ClassicChange._denc_fields if f.name != "extended"]


def _features(features: int) -> int:
    """What parts are encoded for: who knows no 64-bit ids is taken to know nothing."""
    return features if has(features, PGID64) else 0


def encode_map(osdmap: OSDMap, out: bytearray, features: int) -> None:
    """Append a whole map."""
    values = {name: getattr(osdmap, name) for name in _MAP_FIELDS}
    values |= {"osd_state": old_states(osdmap.osd_state), "crush": osdmap.crush.encode(0)}
    _ClassicMap(**values)._enc(out, _features(features))


def encode_incremental(inc: Incremental, out: bytearray, features: int) -> None:
    """Append a change."""
    values = {name: getattr(inc, name) for name in _CHANGE_FIELDS}
    values["new_state"] = old_change(inc.new_state)
    _ClassicChange(**values)._enc(out, _features(features))


def decode_map(buf: bytes, pos: int, end: int, features: int) -> tuple[dict[str, Any], int]:
    """The fields of a whole map by name, and where it ends. Raises WireError."""
    _check_version(buf, pos)
    found, after = _ClassicMap._dec(buf, pos, end, features)
    values = {name: getattr(found, name) for name in _MAP_FIELDS}
    values["crush"] = CrushWrapper.decode(found.crush)
    # Mended as upstream does: some version left the largest id of a pool at 0.
    values["pool_max"] = min(max([found.pool_max, *found.pools]), _MAX_POOL)
    for name in ("hb_back_addrs", "cluster_addrs", "hb_front_addrs"):
        if not values[name]:
            values[name] = [EntityAddrVec() for _ in found.client_addrs]
    if not found.osd_info:
        values["osd_info"] = [OsdInfo() for _ in range(len(found.client_addrs))]
    if not found.osd_uuid:
        values["osd_uuid"] = [bytes(16)] * len(found.client_addrs)
    if not found.osd_xinfo:
        values["osd_xinfo"] = [OsdXInfo() for _ in found.client_addrs]
    return values, after


def decode_incremental(buf: bytes, pos: int, end: int, features: int) -> tuple[dict[str, Any], int]:
    """The fields of a change by name, and where it ends. Raises WireError."""
    version = _check_version(buf, pos)
    found, after = _ClassicChange._dec(buf, pos, end, features)
    values = {name: getattr(found, name) for name in _CHANGE_FIELDS}
    values["encode_features"] = PGID64 if version >= _COMPLETE else 0
    return values, after


def _check_version(buf: bytes, pos: int) -> int:
    (version,) = _struct.unpack_from("<H", buf, pos)
    if not _OLDEST <= version <= _COMPLETE:
        raise IncompatibleVersion(f"version {version} is from before 2012", offset=pos)
    return int(version)
