"""What monitors are sent of the statistics: sums, and the space that pools' rules can reach.

Upstream: `src/mon/PGMap.cc` (encode_digest, get_rule_avail, calc_purged_snaps).
"""

from __future__ import annotations

import struct

from spirula.crush.lookup import item_class, rule_weights
from spirula.errors import CephError
from spirula.maps.osdmap import OSDMap
from spirula.pgmap.deltas import Rate
from spirula.pgmap.record import PGMap, add_osd
from spirula.pgmap.usage import rule_of
from spirula.types.base import UTime
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_stats import OSDStat
from spirula.types.pg_stats import ObjectStatCollection, PoolStat
from spirula.types.pgmap import PGMapDigest


def make_digest(pgmap: PGMap, osdmap: OSDMap) -> PGMapDigest:
    """The digest as it is now; it shares sums with the map, so encode it before those change."""
    return PGMapDigest(
        num_pg=pgmap.num_pg,
        num_pg_active=pgmap.num_pg_active,
        num_pg_unknown=pgmap.num_pg_unknown,
        num_osd=len(pgmap.osd_stat),
        pg_pool_sum=dict(pgmap.pool_sum),
        pg_sum=pgmap.pg_sum,
        osd_sum=pgmap.osd_sum,
        num_pg_by_state=dict(pgmap.num_pg_by_state),
        num_pg_by_osd=dict(pgmap.num_pg_by_osd),
        num_pg_by_pool=dict(sorted(pgmap.num_pg_by_pool.items())),
        osd_last_seq=_last_seqs(pgmap),
        per_pool_sum_delta={
            pool: (_pool_stat(rate), UTime.at(rate.stamp)) for pool, rate in pgmap.pool_rate.items()
        },
        # By its name one would not think so, but it holds the seconds.
        per_pool_sum_deltas_stamps={
            pool: UTime.at(rate.seconds) for pool, rate in pgmap.pool_rate.items()
        },
        pg_sum_delta=_pool_stat(pgmap.rate),
        stamp_delta=UTime.at(pgmap.rate.seconds),
        avail_space_by_rule=space_by_rule(pgmap, osdmap),
        purged_snaps=purged_snaps(pgmap),
        osd_sum_by_class=sums_by_class(pgmap, osdmap),
    )


def _pool_stat(rate: Rate) -> PoolStat:
    return PoolStat(stats=ObjectStatCollection(sum=rate.total))


def _last_seqs(pgmap: PGMap) -> list[int]:
    seqs = [0] * (max(pgmap.osd_stat, default=-1) + 1)
    for osd, stat in pgmap.osd_stat.items():
        seqs[osd] = stat.seq
    return seqs


def space_by_rule(pgmap: PGMap, osdmap: OSDMap) -> dict[int, int]:
    """Bytes that the rules of pools can still place, by rule."""
    rules = {
        rule_of(osdmap, pool) for number, pool in osdmap.pools.items() if number in pgmap.pool_sum
    }
    return {rule: _space_of_rule(pgmap, osdmap, rule) for rule in sorted(rules)}


def _space_of_rule(pgmap: PGMap, osdmap: OSDMap, rule: int) -> int:
    """What fits until the first OSD, by its share of the weight, is full.

    Computed with C floats where upstream does; a negative errno for a rule that there is not.
    """
    try:
        weights = rule_weights(osdmap.crush, rule)
    except (CephError, LookupError):
        return -2
    if not weights:
        return 0
    least = -1
    for osd, weight in weights.items():
        stat = pgmap.osd_stat.get(osd)
        share = _float(weight)
        if stat is None or not stat.statfs.total or not share:
            continue
        unusable = (stat.statfs.total >> 10) * (1.0 - _float(osdmap.full_ratio))
        left = max(0.0, (stat.statfs.available >> 10) - unusable) * 1024.0
        fits = int(left / share)
        if least < 0 or fits < least:
            least = fits
    return least


def _float(value: float) -> float:
    (single,) = struct.unpack("f", struct.pack("f", value))
    return float(single)


def purged_snaps(pgmap: PGMap) -> dict[int, IntervalSet]:
    """Snapshots, by pool, that every PG of the pool has removed; pools with unknown PGs are out."""
    found: dict[int, IntervalSet] = {}
    unknown: set[int] = set()
    for pgid, stat in pgmap.pg_stat.items():
        pool = pgid.pool
        if pool in unknown:
            continue
        if not stat.state:
            unknown.add(pool)
            found.pop(pool, None)
        elif pool not in found:
            found[pool] = stat.purged_snaps
        elif found[pool] != stat.purged_snaps:
            found[pool] = found[pool].intersection(stat.purged_snaps)
    return dict(sorted(found.items()))


def sums_by_class(pgmap: PGMap, osdmap: OSDMap) -> dict[str, OSDStat]:
    """What OSDs report, added up by device class."""
    sums: dict[str, OSDStat] = {}
    for osd, stat in pgmap.osd_stat.items():
        name = item_class(osdmap.crush, osd)
        if name is not None:
            add_osd(sums.setdefault(name, OSDStat()), stat)
    return dict(sorted(sums.items()))
