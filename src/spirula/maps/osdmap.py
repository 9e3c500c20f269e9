"""The OSD map and its incrementals: the values and their bytes.

One map is encoded in two parts, what clients need and what only OSDs need, inside an envelope that
ends with a CRC over everything. Both parts are declared below; the classes tie them together. Where
objects and PGs go is computed elsewhere. Format: upstream `src/osd/OSDMap.h` and `.cc`, as 16.2
encodes maps for peers of any age; the form from before there were two parts is in `osdmap_classic`.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Callable, Iterable
from functools import cached_property
from types import ModuleType
from typing import Annotated, Any, Self

from spirula.crush.wire import CrushWrapper
from spirula.denc import (
    Codec,
    Either,
    Map,
    Nested,
    Pair,
    Set,
    Struct,
    Vec,
    Via,
    blob,
    boolean,
    default,
    f32,
    irregular,
    s32,
    s64,
    since,
    string,
    struct,
    u8,
    u32,
    u64,
    uuid_d,
    when,
)
from spirula.denc.compiler import Field, Header, compile_decode, compile_encode
from spirula.denc.emitter import Emitter
from spirula.denc.features import (
    OSDMAP_ENC,
    PACIFIC,
    SERVER_LUMINOUS,
    SERVER_MIMIC,
    SERVER_NAUTILUS,
    has,
)
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.kernels.crc32c import crc32c
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_info import OsdInfo, OsdXInfo
from spirula.types.pg import PGId
from spirula.types.pool import PGPool

_WRAPPER_VERSION, _WRAPPER_COMPAT = 8, 7
_CRC_SEED = 0xFFFFFFFF
_RELEASE_IN_CHANGE = 6
"""From this version of the OSDs' part on, a change names the release that it requires."""
# Releases and bits of `flags` that reading a map has to know; their names are in `state`.
_JEWEL, _KRAKEN, _LUMINOUS, _NAUTILUS = 10, 11, 12, 14
_REQUIRE_JEWEL, _REQUIRE_KRAKEN, _REQUIRE_LUMINOUS = 1 << 16, 1 << 17, 1 << 18
_RECOVERY_DELETES, _PGLOG_HARDLIMIT = 1 << 19, 1 << 22
_REQUIRE_FLAGS = _REQUIRE_JEWEL | _REQUIRE_KRAKEN | _REQUIRE_LUMINOUS

_LUMINOUS_ON = SERVER_LUMINOUS
_MIMIC_ON = SERVER_LUMINOUS | SERVER_MIMIC
_NAUTILUS_ON = SERVER_LUMINOUS | SERVER_NAUTILUS


class _FlagsWithRelease(Codec):
    """Flags for peers that know of no `require_osd_release`: they had flags for the same."""

    fmt = "I"
    min_size = 4

    def flatten(self, expr: str, emit: Emitter) -> list[str]:
        return [f"{emit.const(_flags_with_release)}({expr}, self.require_osd_release)"]


def _flags_with_release(flags: int, release: int) -> int:
    if release >= _LUMINOUS:
        return flags | _REQUIRE_LUMINOUS | _RECOVERY_DELETES
    return flags | {_KRAKEN: _REQUIRE_KRAKEN, _JEWEL: _REQUIRE_JEWEL}.get(release, 0)


def _legacy_addrs(vectors: list[EntityAddrVec]) -> list[EntityAddr]:
    return [vector.legacy for vector in vectors]


def _legacy_addr_map(vectors: dict[int, EntityAddrVec]) -> dict[int, EntityAddr]:
    return {id: vector.legacy for id, vector in vectors.items()}


def _of_addrs(addrs: list[EntityAddr]) -> list[EntityAddrVec]:
    return [EntityAddrVec([addr]) for addr in addrs]


def _of_addr_map(addrs: dict[int, EntityAddr]) -> dict[int, EntityAddrVec]:
    return {id: EntityAddrVec([addr]) for id, addr in addrs.items()}


def old_states(states: Iterable[int]) -> list[int]:
    """States of OSDs as far as clients from before Luminous know them."""
    return [state & 0xFF for state in states]


def old_change(states: dict[int, int]) -> dict[int, int]:
    """Changed states, less those of which an old client would see nothing."""
    return {osd: state & 0xFF for osd, state in states.items() if state & 0xFF or not state}


_ONE_ADDR = Via(Vec[EntityAddr], _of_addrs, _legacy_addrs)
_ONE_ADDR_BY_OSD = Via(Map[s32, EntityAddr], _of_addr_map, _legacy_addr_map)
# Until Nautilus a daemon had one address; the clients' part and the rest changed at other versions.
_Addrs = Annotated[list[EntityAddrVec], Either("v >= 7", Vec[EntityAddrVec], _ONE_ADDR)]
_AddrsByOsd = Annotated[
    dict[int, EntityAddrVec], Either("v >= 7", Map[s32, EntityAddrVec], _ONE_ADDR_BY_OSD)
]
_OldStates = Via(Vec[u8], list, old_states)
_OldChange = Via(Map[s32, u8], dict, old_change)


@struct(version=9, compat=1)
class _ClientPart(Struct):
    """What clients need of a map."""

    fsid: uuid_d
    epoch: u32
    created: UTime
    modified: UTime
    pools: Map[s64, PGPool]
    pool_name: Map[s64, string]
    pool_max: s32 = default(-1)
    flags: Annotated[int, Either("v >= 4", u32, _FlagsWithRelease())]
    max_osd: s32
    osd_state: Annotated[list[int], Either("v >= 5", Vec[u32], _OldStates)]
    osd_weight: Vec[u32]
    client_addrs: Annotated[list[EntityAddrVec], Either("v >= 8", Vec[EntityAddrVec], _ONE_ADDR)]
    pg_temp: Map[PGId, Vec[s32]]
    primary_temp: Map[PGId, s32]
    osd_primary_affinity: Vec[u32] = since(2)
    crush: Nested[CrushWrapper]
    erasure_code_profiles: Map[string, Map[string, string]] = since(3)
    pg_upmap: Map[PGId, Vec[s32]] = since(4)
    pg_upmap_items: Map[PGId, Vec[Pair[s32, s32]]] = since(4)
    crush_version: u32 = since(6, 1)
    new_removed_snaps: Map[s64, IntervalSet] = since(7)
    new_purged_snaps: Map[s64, IntervalSet] = since(7)
    last_up_change: UTime = since(9)
    last_in_change: UTime = since(9)
    pg_upmap_primaries: Map[PGId, s32] = since(10)


@struct(version=9, compat=1, raised=("stretch_mode_enabled", 10, 1))
class _MapFields(_ClientPart):
    """All of a map: the clients' part (inherited), what only OSDs and monitors need, the CRC."""

    hb_back_addrs: _Addrs
    osd_info: Vec[OsdInfo]
    blocklist: Map[EntityAddr, UTime]
    cluster_addrs: _Addrs
    cluster_snapshot_epoch: u32
    cluster_snapshot: string
    osd_uuid: Vec[uuid_d]
    osd_xinfo: Vec[OsdXInfo]
    hb_front_addrs: _Addrs
    nearfull_ratio: f32 = since(2)
    full_ratio: f32 = since(2)
    backfillfull_ratio: f32 = since(3)
    min_compat_client_by_name: string = when("v == 4")
    require_min_compat_client: u8 = since(5)
    require_osd_release: u8 = since(5)
    removed_snaps_queue: Map[s64, IntervalSet] = since(6)
    crush_node_flags: Map[s32, u32] = since(8)
    device_class_flags: Map[s32, u32] = since(9)
    stretch_mode_enabled: boolean = since(10)
    stretch_bucket_count: u32 = since(10)
    degraded_stretch_mode: u32 = since(10)
    recovering_stretch_mode: u32 = since(10)
    stretch_mode_bucket: s32 = since(10)
    range_blocklist: Map[EntityAddr, UTime] = since(11)
    crc: u32


@struct(version=8, compat=1)
class _ClientChange(Struct):
    """What clients need of an incremental. `-1` in a number means: no change."""

    fsid: uuid_d
    epoch: u32
    modified: UTime
    new_pool_max: s64 = default(-1)
    new_flags: s32 = default(-1)
    fullmap: blob
    crush: blob
    new_max_osd: s32 = default(-1)
    new_pools: Map[s64, PGPool]
    new_pool_names: Map[s64, string]
    old_pools: Set[s64]
    new_up_client: _AddrsByOsd
    new_state: Annotated[dict[int, int], Either("v >= 5", Map[s32, u32], _OldChange)]
    new_weight: Map[s32, u32]
    new_pg_temp: Map[PGId, Vec[s32]]
    new_primary_temp: Map[PGId, s32]
    new_primary_affinity: Map[s32, u32] = since(2)
    new_erasure_code_profiles: Map[string, Map[string, string]] = since(3)
    old_erasure_code_profiles: Vec[string] = since(3)
    new_pg_upmap: Map[PGId, Vec[s32]] = since(4)
    old_pg_upmap: Set[PGId] = since(4)
    new_pg_upmap_items: Map[PGId, Vec[Pair[s32, s32]]] = since(4)
    old_pg_upmap_items: Set[PGId] = since(4)
    new_removed_snaps: Map[s64, IntervalSet] = since(6)
    new_purged_snaps: Map[s64, IntervalSet] = since(6)
    new_last_up_change: UTime = since(8)
    new_last_in_change: UTime = since(8)
    new_pg_upmap_primary: Map[PGId, s32] = since(9)
    old_pg_upmap_primary: Set[PGId] = since(9)


@struct(version=9, compat=1, raised=("change_stretch_mode", 10, 1))
class _ChangeFields(_ClientChange):
    """All of an incremental: the clients' part (inherited), what only OSDs need, the CRCs.

    Negative ratios mean: no change.
    """

    new_hb_back_up: _AddrsByOsd
    new_up_thru: Map[s32, u32]
    new_last_clean_interval: Map[s32, Pair[u32, u32]]
    new_lost: Map[s32, u32]
    new_blocklist: Map[EntityAddr, UTime]
    old_blocklist: Vec[EntityAddr]
    new_up_cluster: _AddrsByOsd
    cluster_snapshot: string
    new_uuid: Map[s32, uuid_d]
    new_xinfo: Map[s32, OsdXInfo]
    new_hb_front_up: _AddrsByOsd
    encode_features: u64 = since(2, PACIFIC)
    new_nearfull_ratio: f32 = since(3, -1.0)
    new_full_ratio: f32 = since(3, -1.0)
    new_backfillfull_ratio: f32 = since(4, -1.0)
    new_min_compat_client_by_name: string = when("v == 5")
    new_require_min_compat_client: u8 = since(6)
    new_require_osd_release: u8 = since(6)
    new_crush_node_flags: Map[s32, u32] = since(8)
    new_device_class_flags: Map[s32, u32] = since(9)
    change_stretch_mode: boolean = since(10)
    new_stretch_bucket_count: u32 = since(10)
    new_degraded_stretch_mode: u32 = since(10)
    new_recovering_stretch_mode: u32 = since(10)
    new_stretch_mode_bucket: s32 = since(10)
    stretch_mode_enabled: boolean = since(10)
    new_range_blocklist: Map[EntityAddr, UTime] = since(11)
    old_range_blocklist: Vec[EntityAddr] = since(11)
    inc_crc: u32
    full_crc: u32


def _classic() -> ModuleType:
    """The form for clients from before 2013, which few processes ever see."""
    from spirula.maps import osdmap_classic  # noqa: PLC0415  # said above

    return osdmap_classic


def _values(*values: Any) -> tuple[Any, ...]:
    return values


_Versions = tuple[tuple[int, int, int], ...]


class _Parts:
    """The halves of a two-part type, each compiled when it is first used: the clients' fields
    (those of `client`) and the rest of `kind`'s, less the last `outside` (CRCs).
    """

    def __init__(
        self,
        kind: type[Struct],
        client: type[Struct],
        outside: int,
        headers: tuple[Header, Header],
    ) -> None:
        self._kind, self._part_of_clients, self._outside = kind, client, outside
        self._headers = headers
        self._name = "OSDMap" if kind is _MapFields else "Incremental"

    @cached_property
    def _client(self) -> list[Field]:
        return list(self._part_of_clients._denc_fields)

    @cached_property
    def _osd(self) -> list[Field]:
        fields = self._kind._denc_fields
        return list(fields[len(self._client) : len(fields) - self._outside])

    @cached_property
    def encode_client(self) -> Callable[..., None]:
        return compile_encode(self._name, self._client, self._headers[0])

    @cached_property
    def encode_osd(self) -> Callable[..., None]:
        return compile_encode(self._name, self._osd, self._headers[1])

    @cached_property
    def decode_client(self) -> Callable[..., tuple[tuple[Any, ...], int]]:
        return compile_decode(self._name, _values, self._client, self._headers[0])

    @cached_property
    def decode_osd(self) -> Callable[..., tuple[tuple[Any, ...], int]]:
        return compile_decode(self._name, _values, self._osd, self._headers[1])


def _header(versions: _Versions, reads: int, *raised: tuple[str, int, int]) -> Header:
    return Header("envelope", versions, reads, raised=raised)


# What only newer peers understand raises the version, but not for peers that want an older one.
_MAP = _Parts(
    _MapFields,
    _ClientPart,
    1,
    (
        _header(
            ((_NAUTILUS_ON, 9, 1), (_MIMIC_ON, 7, 1), (_LUMINOUS_ON, 6, 1), (0, 3, 1)),
            10,
            ("pg_upmap_primaries and v >= 9", 10, 1),
        ),
        _header(
            ((_NAUTILUS_ON, 9, 1), (_MIMIC_ON, 6, 1), (_LUMINOUS_ON, 5, 1), (0, 1, 1)),
            12,
            ("stretch_mode_enabled and v >= 9", 10, 1),
            ("range_blocklist and v >= 9", 11, 1),
        ),
    ),
)
_CHANGE = _Parts(
    _ChangeFields,
    _ClientChange,
    2,
    (
        _header(
            ((_NAUTILUS_ON, 8, 1), (_MIMIC_ON, 6, 1), (_LUMINOUS_ON, 5, 1), (0, 3, 1)),
            10,
            ("(new_pg_upmap_primary or old_pg_upmap_primary) and v >= 8", 9, 1),
        ),
        _header(
            ((_NAUTILUS_ON, 9, 1), (_LUMINOUS_ON, 6, 1), (0, 2, 1)),
            12,
            ("change_stretch_mode and v >= 9", 10, 1),
            ("(new_range_blocklist or old_range_blocklist) and v >= 9", 11, 1),
        ),
    ),
)


def _open_wrapper(buf: bytes, pos: int, end: int) -> int:
    """Checks the outer envelope at `pos`; returns where it ends."""
    version, compat, size = _struct.unpack_from("<BBI", buf, pos)
    if compat > _WRAPPER_VERSION:
        raise IncompatibleVersion(f"version {version} needs a reader of {compat}", offset=pos)
    after: int = pos + 6 + size
    if after > end:
        raise Truncated("length runs past the end", offset=pos, limit=end)
    return after


def _check_crc(buf: bytes, start: int, crc_at: int, after: int) -> int:
    """Verifies the CRC that stands at `crc_at` over all of the envelope but itself; returns it."""
    if crc_at + 4 > after:
        raise Truncated("ends before its checksum", offset=crc_at, limit=after)
    stored = int.from_bytes(buf[crc_at : crc_at + 4], "little")
    view = memoryview(buf)
    found = crc32c(crc32c(_CRC_SEED, view[start:crc_at]), view[crc_at + 4 : after])
    if found != stored:
        raise WireError(f"checksum is {found:#010x}, the map says {stored:#010x}", offset=crc_at)
    return stored


def _close_wrapper(out: bytearray, start: int, crc_at: int) -> int:
    """Fills in the outer length and the CRC; returns the CRC."""
    _struct.pack_into("<I", out, start + 2, len(out) - start - 6)
    with memoryview(out) as view:
        crc = crc32c(crc32c(_CRC_SEED, view[start:crc_at]), view[crc_at + 4 :])
    _struct.pack_into("<I", out, crc_at, crc)
    return crc


@irregular("OSDMap")
class OSDMap(_MapFields):
    """A whole map.

    `crc` is that of the encoding it came from; encoding sets it anew.
    """

    __slots__ = ()

    def _enc(self, out: bytearray, features: int) -> None:
        if not has(features, OSDMAP_ENC):
            _classic().encode_map(self, out, features)
            return
        start = len(out)
        out += _struct.pack("<BBI", _WRAPPER_VERSION, _WRAPPER_COMPAT, 0)
        _MAP.encode_client(self, out, features)
        _MAP.encode_osd(self, out, features)
        crc_at = len(out)
        out += bytes(4)
        self.crc = _close_wrapper(out, start, crc_at)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        if buf[pos] < _WRAPPER_COMPAT:
            fields, pos = _classic().decode_map(buf, pos, end, features)
            made = cls(**fields)
            _settle_release(made)
            return made, pos
        start, after = pos, _open_wrapper(buf, pos, end)
        client, pos = _MAP.decode_client(buf, pos + 6, after, features)
        osd, pos = _MAP.decode_osd(buf, pos, after, features)
        crc = _check_crc(buf, start, pos, after) if buf[start] >= _WRAPPER_VERSION else 0
        made = cls(*client, *osd, crc)
        _settle_release(made)
        return made, after


def _settle_release(made: OSDMap) -> None:
    """Brings the flags and the release that a map requires into line, as upstream reads a map."""
    if not made.require_osd_release:
        if made.flags & _REQUIRE_LUMINOUS:
            made.require_osd_release = _LUMINOUS
        elif made.flags & _REQUIRE_KRAKEN:
            made.require_osd_release = _KRAKEN
        elif made.flags & _REQUIRE_JEWEL:
            made.require_osd_release = _JEWEL
    if made.require_osd_release >= _NAUTILUS:
        made.flags |= _PGLOG_HARDLIMIT
    if made.require_osd_release >= _LUMINOUS:
        made.flags &= ~_REQUIRE_FLAGS
        made.flags |= _RECOVERY_DELETES


@irregular("OSDMap::Incremental")
class Incremental(_ChangeFields):
    """What changes from one epoch to the next.

    `full_crc` is the CRC that the full map must have after the change, when encoded for
    `encode_features` (set it to what you encode for); `inc_crc` is that of this encoding (encoding
    sets it anew).
    """

    __slots__ = ()

    def _enc(self, out: bytearray, features: int) -> None:
        if not has(features, OSDMAP_ENC):
            _classic().encode_incremental(self, out, features)
            return
        start = len(out)
        out += _struct.pack("<BBI", _WRAPPER_VERSION, _WRAPPER_COMPAT, 0)
        _CHANGE.encode_client(self, out, features)
        _CHANGE.encode_osd(self, out, features)
        crc_at = len(out)
        out += bytes(4) + _struct.pack("<I", self.full_crc)
        self.inc_crc = _close_wrapper(out, start, crc_at)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        if buf[pos] < _WRAPPER_COMPAT:
            fields, pos = _classic().decode_incremental(buf, pos, end, features)
            return cls(**fields), pos
        start, after = pos, _open_wrapper(buf, pos, end)
        client, pos = _CHANGE.decode_client(buf, pos + 6, after, features)
        by_flags = buf[pos] < _RELEASE_IN_CHANGE
        osd, pos = _CHANGE.decode_osd(buf, pos, after, features)
        inc_crc = full_crc = 0
        if buf[start] >= _WRAPPER_VERSION:
            inc_crc = _check_crc(buf, start, pos, after)
            (full_crc,) = _struct.unpack_from("<I", buf, pos + 4)
        made = cls(*client, *osd, inc_crc, full_crc)
        if by_flags and made.new_flags >= 0:
            _settle_new_release(made)
        return made, after


def _settle_new_release(made: Incremental) -> None:
    """The release that a change from before Luminous requires, which it says by flags."""
    if made.new_flags & _REQUIRE_LUMINOUS:
        made.new_require_osd_release = _LUMINOUS
        made.new_flags &= ~_REQUIRE_FLAGS
    elif made.new_flags & _REQUIRE_KRAKEN:
        made.new_require_osd_release = _KRAKEN
    elif made.new_flags & _REQUIRE_JEWEL:
        made.new_require_osd_release = _JEWEL
