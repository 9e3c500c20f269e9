"""Checks of pools: quotas, numbers of PGs, applications, large omaps, cache targets."""

from __future__ import annotations

from collections.abc import Iterator

from spirula.maps.state import count_osds
from spirula.mgr.health.view import View
from spirula.printing import as_f32, count_text, general, size_text
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.pool import PGPool
from spirula.types.service import HealthCheck, HealthStatus

_MILLION = 1_000_000


def checks(view: View) -> dict[str, HealthCheck]:
    """The checks of pools that do not pass."""
    found = _quotas(view)
    found |= _pgs_per_osd(view)
    found |= _pg_numbers(view)
    found |= _large_omaps(view)
    found |= _cache_targets(view)
    if view.config.get_bool("mon_warn_on_pool_no_app"):
        found |= _applications(view)
    return found


def _pools(view: View) -> Iterator[tuple[str, PGPool, ObjectStatSum]]:
    """Pools of which something is known: name, pool, counters."""
    for number, pool in sorted(view.osdmap.pools.items()):
        stat = view.pgmap.pool_sum.get(number)
        if stat is not None:
            yield view.pool_name(number), pool, stat.stats.sum


def _warning(summary: str, count: int, lines: list[str] | None = None) -> HealthCheck:
    return HealthCheck(HealthStatus.WARN, summary, lines or [], count)


def _quotas(view: View) -> dict[str, HealthCheck]:
    warn = as_f32(view.config.get_int("mon_pool_quota_warn_threshold") / 100)
    full = as_f32(view.config.get_int("mon_pool_quota_crit_threshold") / 100)
    lines: dict[str, list[str]] = {"full": [], "nearfull": []}
    pools: dict[str, set[str]] = {"full": set(), "nearfull": set()}
    for name, pool, total in _pools(view):
        for used, most, text in (
            (
                total.num_objects,
                pool.quota_max_objects,
                f"{total.num_objects} objects (max {pool.quota_max_objects})",
            ),
            (
                total.num_bytes,
                pool.quota_max_bytes,
                f"{size_text(total.num_bytes)} (max {size_text(pool.quota_max_bytes)})",
            ),
        ):
            if not most or used >= most:  # the monitors tell of pools that are full
                continue
            if full > 0 and used >= most * full:
                state = "full"
            elif warn > 0 and used >= most * warn:
                state = "nearfull"
            else:
                continue
            lines[state].append(f"pool '{name}' has {text}")
            pools[state].add(name)
    found = {}
    if pools["full"]:
        count = len(pools["full"])
        found["POOL_FULL"] = HealthCheck(
            HealthStatus.ERR, f"{count} pools full", lines["full"], count
        )
    if pools["nearfull"]:
        count = len(pools["nearfull"])
        found["POOL_NEAR_FULL"] = _warning(f"{count} pools nearfull", count, lines["nearfull"])
    return found


def _pgs_per_osd(view: View) -> dict[str, HealthCheck]:
    config, osdmap = view.config, view.osdmap
    counts = count_osds(osdmap)
    found = {}
    if counts.in_:
        per = max(view.pgmap.pg_sum.up, view.pgmap.num_pg) // counts.in_
        least, most = (
            config.get_int("mon_pg_warn_min_per_osd"),
            config.get_int("mon_max_pg_per_osd"),
        )
        if least > 0 and osdmap.pools and 0 < per < least:
            found["TOO_FEW_PGS"] = _warning(
                f"too few PGs per OSD ({per} < min {least})", least - per
            )
        if 0 < most < per:
            found["TOO_MANY_PGS"] = _warning(
                f"too many PGs per OSD ({per} > max {most})", per - most
            )
    size = config.get_int("osd_pool_default_size")
    if config.get_bool("mon_warn_on_too_few_osds") and counts.all < size:
        found["TOO_FEW_OSDS"] = _warning(
            f"OSD count {counts.all} < osd_pool_default_size {size}", size - counts.all
        )
    return found


def _pg_numbers(view: View) -> dict[str, HealthCheck]:
    if not view.pgmap.num_pg:
        return {}
    config = view.config
    total = view.pgmap.pg_sum.stats.sum.num_objects
    average = total // view.pgmap.num_pg
    skew = config.get_float("mon_pg_warn_max_object_skew")
    behind, many = [], []
    for name, pool, counters in _pools(view):
        if pool.pg_num_target > pool.pgp_num_target:
            behind.append(
                f"pool {name} pg_num {pool.pg_num_target} > pgp_num {pool.pgp_num_target}"
            )
        if (
            average > 0 < skew
            and total >= config.get_int("mon_pg_warn_min_objects")
            and counters.num_objects >= config.get_int("mon_pg_warn_min_pool_objects")
        ):
            per_pg = counters.num_objects // pool.pg_num_target
            ratio = as_f32(per_pg / average)
            if ratio > skew:
                many.append(
                    f"pool {name} objects per pg ({per_pg}) is more than {general(ratio)}"
                    f" times cluster average ({average})"
                )
    found = {}
    if behind:
        found["SMALLER_PGP_NUM"] = _warning(
            f"{len(behind)} pools have pg_num > pgp_num", len(behind), behind
        )
    if many:
        summary = f"{len(many)} pools have many more objects per pg than average"
        found["MANY_OBJECTS_PER_PG"] = _warning(summary, len(many), many)
    return found


def _large_omaps(view: View) -> dict[str, HealthCheck]:
    lines = [
        f"{total.num_large_omap_objects} large objects found in pool '{name}'"
        for name, _, total in _pools(view)
        if total.num_large_omap_objects
    ]
    if not lines:
        return {}
    count = view.pgmap.pg_sum.stats.sum.num_large_omap_objects
    lines.append("Search the cluster log for 'Large omap object found' for more details.")
    return {"LARGE_OMAP_OBJECTS": _warning(f"{count} large omap objects", count, lines)}


def _cache_targets(view: View) -> dict[str, HealthCheck]:
    share = view.config.get_float("mon_cache_target_full_warn_ratio")
    lines, pools = [], set()
    for name, pool, total in _pools(view):
        full = pool.cache_target_full_ratio_micro
        ratio = (full + int((_MILLION - full) * share)) / _MILLION
        objects = total.num_objects - total.num_objects_hit_set_archive
        if pool.target_max_objects and objects > pool.target_max_objects * ratio:
            lines.append(
                f"cache pool '{name}' with {count_text(total.num_objects)} objects at/near target"
                f" max {count_text(pool.target_max_objects)} objects"
            )
            pools.add(name)
        held = total.num_bytes - total.num_bytes_hit_set_archive
        if pool.target_max_bytes and held > pool.target_max_bytes * ratio:
            lines.append(
                f"cache pool '{name}' with {size_text(total.num_bytes)} at/near target max"
                f" {size_text(pool.target_max_bytes)}"
            )
            pools.add(name)
    if not pools:
        return {}
    summary = f"{len(pools)} cache pools at or near target size"
    return {"CACHE_POOL_NEAR_FULL": _warning(summary, len(pools), lines)}


def _applications(view: View) -> dict[str, HealthCheck]:
    lines = [
        f"application not enabled on pool '{name}'"
        for name, pool, total in _pools(view)
        if total.num_objects > 0 and not pool.application_metadata and pool.tier_of < 0
    ]
    if not lines:
        return {}
    count = len(lines)
    lines.append(
        "use 'ceph osd pool application enable <pool-name> <app-name>', where <app-name> is"
        " 'cephfs', 'rbd', 'rgw', or freeform for custom applications."
    )
    summary = f"{count} pool(s) do not have an application enabled"
    return {"POOL_APP_NOT_ENABLED": _warning(summary, count, lines)}
