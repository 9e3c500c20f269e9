"""What an OSD reports about itself: space, latencies, heartbeat times, alerts.

Formats: upstream `src/osd/osd_types.h` (osd_stat_t, objectstore_perf_stat_t),
`src/common/histogram.h`. Counters of objects and PGs are in `pg_stats`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from spirula.denc import (
    ArrayOf,
    Map,
    Struct,
    Vec,
    irregular,
    removed,
    s32,
    s64,
    since,
    string,
    struct,
    u32,
    u64,
)
from spirula.denc.features import OS_PERF_STAT_NS, has
from spirula.errors import IncompatibleVersion, Truncated
from spirula.types.pg_stats import StoreStatfs

_NS_PER_MS = 1_000_000


@irregular("objectstore_perf_stat_t")
@dataclass(slots=True)
class ObjectstorePerfStat(Struct):
    """A store's mean latencies in nanoseconds; peers without OS_PERF_STAT_NS get milliseconds."""

    _denc_min_size: ClassVar[int] = 14

    os_commit_latency_ns: int = 0
    os_apply_latency_ns: int = 0

    def _enc(self, out: bytearray, features: int) -> None:
        commit, apply = self.os_commit_latency_ns, self.os_apply_latency_ns
        if has(features, OS_PERF_STAT_NS):
            out += _struct.pack("<BBIQQ", 2, 2, 16, commit, apply)
        else:
            out += _struct.pack("<BBIII", 1, 1, 8, commit // _NS_PER_MS, apply // _NS_PER_MS)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        v, compat, size = _struct.unpack_from("<BBI", buf, pos)
        pos += 6
        if compat > 2:
            raise IncompatibleVersion(f"version {v} needs a reader of {compat}", offset=pos)
        if size < (16 if v >= 2 else 8) or pos + size > end:
            raise Truncated("length does not fit", offset=pos, limit=end)
        commit, apply = _struct.unpack_from("<QQ" if v >= 2 else "<II", buf, pos)
        unit = 1 if v >= 2 else _NS_PER_MS
        return cls(commit * unit, apply * unit), pos + size

    def plain(self) -> dict[str, float]:
        """As upstream's JSON shows it."""
        return {
            "commit_latency_ms": self.os_commit_latency_ns / _NS_PER_MS,
            "apply_latency_ms": self.os_apply_latency_ns / _NS_PER_MS,
            "commit_latency_ns": self.os_commit_latency_ns,
            "apply_latency_ns": self.os_apply_latency_ns,
        }


@struct(name="pow2_hist_t", version=1, compat=1)
class Pow2Hist(Struct):
    """A histogram: bin i counts values of more than 2**(i-1) up to 2**i."""

    h: Vec[s32]

    def add_value(self, value: int) -> None:
        """Counts one more value (>= 0)."""
        index = value.bit_length()
        self._expand(index + 1)
        self.h[index] += 1

    def add(self, other: Self) -> None:
        """Adds the counts of `other`."""
        self._expand(len(other.h))
        for i, count in enumerate(other.h):
            self.h[i] += count
        self._contract()

    def sub(self, other: Self) -> None:
        """Subtracts the counts of `other`."""
        self._expand(len(other.h))
        for i, count in enumerate(other.h):
            self.h[i] -= count
        self._contract()

    def decay(self, bits: int = 1) -> None:
        """Halves every count `bits` times."""
        self.h = [count >> bits for count in self.h]
        self._contract()

    @property
    def upper_bound(self) -> int:
        """No counted value is larger."""
        return 1 << len(self.h)

    def _expand(self, length: int) -> None:
        self.h.extend([0] * (length - len(self.h)))

    def _contract(self) -> None:
        while self.h and not self.h[-1]:
            self.h.pop()


@struct
class PingTimes(Struct):
    """Heartbeat times to one OSD in microseconds.

    Means, minima and maxima over 1, 5 and 15 minutes.
    """

    last_update: u32
    back_pingtime: Annotated[list[int], ArrayOf(u32, 3)]
    back_min: Annotated[list[int], ArrayOf(u32, 3)]
    back_max: Annotated[list[int], ArrayOf(u32, 3)]
    back_last: u32
    front_pingtime: Annotated[list[int], ArrayOf(u32, 3)]
    front_min: Annotated[list[int], ArrayOf(u32, 3)]
    front_max: Annotated[list[int], ArrayOf(u32, 3)]
    front_last: u32


@struct(name="osd_stat_t", version=14, compat=2, legacy=(2, 2))
class OSDStat(Struct):
    """An OSD's report.

    The `kb` fields repeat parts of `statfs`: change both through `set_statfs`.
    """

    kb: s64
    kb_used: s64
    kb_avail: s64
    snap_trim_queue_len: s32
    num_snap_trimming: s32
    hb_peers: Vec[s32]
    num_hb_out: Vec[s32] = removed(default=[])
    op_queue_age_hist: Pow2Hist = since(3)
    os_perf_stat: ObjectstorePerfStat = since(4)
    up_from: u32 = since(6)
    seq: u64 = since(6)
    num_pgs: u32 = since(7)
    kb_used_data: s64 = since(8)
    kb_used_omap: s64 = since(8)
    kb_used_meta: s64 = since(8)
    statfs: StoreStatfs = since(9)
    os_alerts: Map[s32, Map[string, string]] = since(10)
    num_shards_repaired: u64 = since(11)
    num_osds: u32 = since(12)
    num_per_pool_osds: u32 = since(12)
    num_per_pool_omap_osds: u32 = since(13)
    hb_pingtime: Map[s32, PingTimes] = since(14)

    def set_statfs(self, statfs: StoreStatfs) -> None:
        """Takes over `statfs`, in bytes and in the fields that older releases read."""
        self.statfs = statfs
        self.kb = statfs.total >> 10
        self.kb_used = statfs.used_raw >> 10
        self.kb_avail = statfs.available >> 10
        self.kb_used_data = statfs.allocated >> 10
        self.kb_used_omap = statfs.omap_allocated >> 10
        self.kb_used_meta = statfs.internal_metadata >> 10
