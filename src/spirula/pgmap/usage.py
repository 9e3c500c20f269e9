"""How full the cluster and its pools are: `ceph df`, and what clients ask by statfs.

Numbers are computed with the precision of a C float where upstream does so. Called by the service.
Upstream: `src/mon/PGMap.cc` (dump_cluster_stats, dump_pool_stats_full, get_statfs).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spirula.maps.osdmap import OSDMap
from spirula.printing import Items, TextTable, as_f32, count_text, size_text
from spirula.types.osd_stats import OSDStat
from spirula.types.pg_stats import PoolStat, StoreStatfs
from spirula.types.pgmap import PGMapDigest
from spirula.types.pool import PGPool, PoolType


@dataclass(slots=True)
class PoolUsage:
    """What a pool holds and takes, in bytes; `percent_used` is a share of 1."""

    name: str
    id: int
    pool: PGPool
    stat: PoolStat
    stored_data: int
    stored_omap: int
    used_data: int
    used_omap: int
    percent_used: float
    max_avail: int
    stored_raw: int
    avail_raw: int

    @property
    def stored(self) -> int:
        """What users have stored, once."""
        return self.stored_data + self.stored_omap

    @property
    def used(self) -> int:
        """What it takes on all OSDs."""
        return self.used_data + self.used_omap


def per_pool(digest: PGMapDigest) -> bool:
    """Whether all OSDs account by pool."""
    return digest.osd_sum.num_osds == digest.osd_sum.num_per_pool_osds


def raw_used_rate(osdmap: OSDMap, pool: PGPool) -> float:
    """How many bytes a byte takes."""
    if pool.type != PoolType.ERASURE:
        return float(pool.size)
    profile = osdmap.erasure_code_profiles.get(pool.erasure_code_profile, {})
    try:
        k, m = int(profile["k"]), int(profile["m"])
    except (KeyError, ValueError):
        return 0.0
    return as_f32((k + m) / k) if k > 0 else 0.0


def rule_of(osdmap: OSDMap, pool: PGPool) -> int:
    """The rule that places the pool; -1 if there is none for its type and size."""
    for number, rule in enumerate(osdmap.crush.rules):
        if (
            rule is not None
            and (rule.ruleset, rule.type) == (pool.crush_rule, pool.type)
            and rule.min_size <= pool.size <= rule.max_size
        ):
            return number
    return -1


def raw_avail(digest: PGMapDigest, osdmap: OSDMap, pool: PGPool) -> int:
    """Bytes that are left where the pool's rule places objects."""
    return max(digest.avail_space_by_rule.get(rule_of(osdmap, pool), 0), 0)


def pools(digest: PGMapDigest, osdmap: OSDMap) -> Iterator[PoolUsage]:
    """All pools of the map of which there are numbers."""
    for number in sorted(osdmap.pools):
        stat = digest.pg_pool_sum.get(number)
        if stat is not None:
            yield _pool(digest, osdmap, number, stat)


def _pool(digest: PGMapDigest, osdmap: OSDMap, number: int, stat: PoolStat) -> PoolUsage:
    pool, total, store = osdmap.pools[number], stat.stats.sum, stat.store_stats
    rate = raw_used_rate(osdmap, pool)
    if total.num_object_copies > 0:
        present = total.num_object_copies - total.num_objects_degraded
        rate = as_f32(rate * as_f32(as_f32(present) / total.num_object_copies))
    avail = raw_avail(digest, osdmap, pool)
    if per_pool(digest):
        used_data = store.allocated
        stored_data = _divided(store.data_stored, rate)
    else:
        used_data = stored_data = total.num_bytes + total.num_bytes_hit_set_archive
    if digest.osd_sum.num_osds == digest.osd_sum.num_per_pool_omap_osds:
        used_omap = store.omap_allocated
        stored_omap = _divided(store.omap_allocated, rate)
    else:
        used_omap = stored_omap = total.num_omap_bytes
    used = used_data + used_omap
    share = 0.0
    if avail:
        share = as_f32(as_f32(used) / as_f32(as_f32(used) + as_f32(avail)))
    elif used:
        share = 1.0
    return PoolUsage(
        name=osdmap.pool_name.get(number, ""),
        id=number,
        pool=pool,
        stat=stat,
        stored_data=stored_data,
        stored_omap=stored_omap,
        used_data=used_data,
        used_omap=used_omap,
        percent_used=share,
        max_avail=_divided(avail, rate),
        stored_raw=int(as_f32(as_f32(stored_data + stored_omap) * rate)),
        avail_raw=avail,
    )


def _divided(value: int, rate: float) -> int:
    return int(as_f32(as_f32(value) / rate)) if rate else 0


# --- in print


def document(digest: PGMapDigest, osdmap: OSDMap, *, detail: bool) -> dict[str, object]:
    """`ceph df -f json`."""
    total = digest.osd_sum
    return {
        "stats": {
            **_space(total.statfs),
            "num_osds": total.num_osds,
            "num_per_pool_osds": total.num_per_pool_osds,
            "num_per_pool_omap_osds": total.num_per_pool_omap_osds,
        },
        "stats_by_class": {
            name: _space(stat.statfs) for name, stat in sorted(digest.osd_sum_by_class.items())
        },
        "pools": Items(
            "pool",
            [
                {"name": one.name, "id": one.id, "stats": _pool_document(one, detail=detail)}
                for one in pools(digest, osdmap)
            ],
        ),
    }


def _ratio(space: StoreStatfs) -> float:
    return as_f32(as_f32(space.used_raw) / as_f32(space.total)) if space.total else 0.0


def _space(space: StoreStatfs) -> dict[str, object]:
    return {
        "total_bytes": space.total,
        "total_avail_bytes": space.available,
        "total_used_bytes": space.used,
        "total_used_raw_bytes": space.used_raw,
        "total_used_raw_ratio": _ratio(space),
    }


def _pool_document(one: PoolUsage, *, detail: bool) -> dict[str, object]:
    total, store = one.stat.stats.sum, one.stat.store_stats
    more: list[dict[str, object]] = [{}, {}, {}]
    if detail:
        more = [
            {"stored_data": one.stored_data, "stored_omap": one.stored_omap},
            {"data_bytes_used": one.used_data, "omap_bytes_used": one.used_omap},
            {
                "quota_objects": one.pool.quota_max_objects,
                "quota_bytes": one.pool.quota_max_bytes,
                "dirty": _dirty(one),
                "rd": total.num_rd,
                "rd_bytes": total.num_rd_kb * 1024,
                "wr": total.num_wr,
                "wr_bytes": total.num_wr_kb * 1024,
                "compress_bytes_used": store.data_compressed_allocated,
                "compress_under_bytes": store.data_compressed_original,
                "stored_raw": one.stored_raw,
                "avail_raw": one.avail_raw,
            },
        ]
    return {
        "stored": one.stored,
        **more[0],
        "objects": total.num_objects,
        "kb_used": (one.used + 1023) >> 10,
        "bytes_used": one.used,
        **more[1],
        "percent_used": one.percent_used,
        "max_avail": one.max_avail,
        **more[2],
    }


def _dirty(one: PoolUsage) -> int:
    """Objects to write back: only a pool that stands before another has any, whatever it counts."""
    return one.stat.stats.sum.num_objects_dirty if one.pool.tier_of >= 0 else 0


def plain(digest: PGMapDigest, osdmap: OSDMap, *, detail: bool) -> str:
    """`ceph df`."""
    space = TextTable([("CLASS", "<"), *((name, ">") for name in _SPACE_COLUMNS)], "<>>>>>")
    rows: list[tuple[str, OSDStat]] = sorted(digest.osd_sum_by_class.items())
    for name, stat in [*rows, ("TOTAL", digest.osd_sum)]:
        sizes = (stat.statfs.total, stat.statfs.available, stat.statfs.used, stat.statfs.used_raw)
        space.add(name, *map(size_text, sizes), _percent(_ratio(stat.statfs)))
    columns = _POOL_COLUMNS_DETAIL if detail else _POOL_COLUMNS
    listed = TextTable(
        [("POOL", "<"), *((name, ">") for name in columns)], "<" + ">" * len(columns)
    )
    for one in pools(digest, osdmap):
        listed.add(*_cells(one, detail=detail))
    return f"--- RAW STORAGE ---\n{space} \n--- POOLS ---\n{listed}"


_SPACE_COLUMNS = ("SIZE", "AVAIL", "USED", "RAW USED", "%RAW USED")
_POOL_COLUMNS = ("ID", "PGS", "STORED", "OBJECTS", "USED", "%USED", "MAX AVAIL")
_POOL_COLUMNS_DETAIL = (
    *("ID", "PGS", "STORED", "(DATA)", "(OMAP)", "OBJECTS", "USED", "(DATA)", "(OMAP)"),
    *("%USED", "MAX AVAIL", "QUOTA OBJECTS", "QUOTA BYTES", "DIRTY"),
    *("USED COMPR", "UNDER COMPR"),
)


def _percent(share: float) -> str:
    percent = as_f32(share * 100.0)
    return "0" if percent < 0.01 else f"{percent:.2f}"


def _cells(one: PoolUsage, *, detail: bool) -> list[str]:
    pool, store = one.pool, one.stat.store_stats
    cells = [one.name, str(one.id), str(pool.pg_num), size_text(one.stored)]
    if detail:
        cells += [size_text(one.stored_data), size_text(one.stored_omap)]
    cells += [count_text(one.stat.stats.sum.num_objects), size_text(one.used)]
    if detail:
        cells += [size_text(one.used_data), size_text(one.used_omap)]
    cells += [_percent(one.percent_used), size_text(one.max_avail)]
    if detail:
        cells += [
            count_text(pool.quota_max_objects) if pool.quota_max_objects else "N/A",
            size_text(pool.quota_max_bytes) if pool.quota_max_bytes else "N/A",
            count_text(_dirty(one)) if pool.tier_of >= 0 else "N/A",
            size_text(store.data_compressed_allocated),
            size_text(store.data_compressed_original),
        ]
    return cells
