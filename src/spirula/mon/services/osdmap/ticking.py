"""What time brings about at the leader: silent OSDs go down, those down for long go out, and more.

Called every few seconds. Upstream: `OSDMonitor::tick`, `handle_osd_timeouts`,
`update_pools_status`, `try_prune_purged_snaps`.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from spirula.crush.lookup import type_id
from spirula.maps.query import containing_subtree_is_down
from spirula.maps.state import OSDState, exists, is_destroyed, is_down, is_in, is_up
from spirula.mon.services.osdmap import pruning
from spirula.mon.services.osdmap.osds import failure
from spirula.mon.services.osdmap.osds.judgement import can_mark_down, can_mark_out, mark_down
from spirula.mon.services.osdmap.snaps import purged as purged_snaps
from spirula.printing import size_text
from spirula.types.log import LogLevel
from spirula.types.pool import PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService
    from spirula.types.pg_stats import PoolStat

_DEFAULT_SNAPS_PER_EPOCH = 100_000


def tick(service: OSDMapService) -> None:
    """Look at everything that changes with time alone, and propose what comes of it."""
    config = service.monitor.config
    found = _mark_silent_down(service)
    found |= failure.check_all(service)
    found |= pruning.should_prune(
        config, service.manifest, service.first_committed, service.last_committed
    )
    found |= _mark_out(service)
    found |= _expire_blocklist(service)
    found |= _purge_snaps(service)
    found |= _watch_quotas(service)
    if found or service.pending.new_pg_temp:
        service.propose()


def _mark_silent_down(service: OSDMapService) -> bool:
    """OSDs that send no beacons any more are down, once we lead for so long."""
    monitor, osdmap, reports = service.monitor, service.osdmap, service.last_osd_report
    now = monitor.now()
    timeout = monitor.config.get_int("mon_osd_report_timeout")
    if service.leading_since is None or now - service.leading_since < timeout:
        return False
    found = False
    for osd in [osd for osd in reports if not exists(osdmap, osd)]:
        del reports[osd]
    for osd in range(osdmap.max_osd):
        if not is_up(osdmap, osd):
            continue
        last = reports.setdefault(osd, (now, 0))
        silent = now - last[0]
        # An OSD may miss one beacon.
        if silent > max(timeout, 2 * last[1]) and can_mark_down(service, osd):
            monitor.clog(
                LogLevel.INFO, f"osd.{osd} marked down after no beacon for {silent:.6f} seconds"
            )
            mark_down(service, osd)
            found = True
    return found


def _mark_out(service: OSDMapService) -> bool:
    """OSDs that are down for long are out, so that their data is copied elsewhere."""
    if not service.down_pending_out or not can_mark_out(service):
        return False
    config, osdmap, now = service.monitor.config, service.osdmap, service.monitor.now()
    limit = type_id(osdmap.crush, config.get_str("mon_osd_down_out_subtree_limit")) or 0
    interval = config.get_int("mon_osd_down_out_interval")
    destroyed_interval = config.get_int("mon_osd_destroyed_out_interval")
    known_down: set[int] = set()
    found = False
    for osd, since in list(service.down_pending_out.items()):
        if is_down(osdmap, osd) and is_in(osdmap, osd) and can_mark_out(service, osd):
            if limit > 0 and containing_subtree_is_down(osdmap, osd, limit, known_down):
                # The whole rack is: somebody will see to it, and there is nowhere to copy from.
                service.down_pending_out[osd] = now
                continue
            down_for = now - since
            grace = float(interval)
            if config.get_bool("mon_osd_adjust_down_out_interval"):
                grace += failure.laggy_grace(config, osdmap.osd_xinfo[osd], down_for)
            if is_destroyed(osdmap, osd):
                due = destroyed_interval > 0 and int(down_for) >= destroyed_interval
            else:
                due = interval > 0 and int(down_for) >= grace
            if not due:
                continue
            _out(service, osd)
            service.monitor.clog(
                LogLevel.INFO,
                f"Marking osd.{osd} out (has been down for {int(down_for)} seconds)",
            )
            found = True
        del service.down_pending_out[osd]
    return found


def _out(service: OSDMapService, osd: int) -> None:
    """Out, with a mark that it was not an operator who did it, and the weight it had."""
    inc, osdmap = service.pending, service.osdmap
    inc.new_weight[osd] = 0
    inc.new_state[osd] = int(inc.new_state.get(osd, 0) | OSDState.AUTOOUT)
    info = copy.copy(inc.new_xinfo.get(osd, osdmap.osd_xinfo[osd]))
    info.old_weight = osdmap.osd_weight[osd]
    inc.new_xinfo[osd] = info


def _expire_blocklist(service: OSDMapService) -> bool:
    """Entries whose time is over leave the blocklist."""
    now, inc = service.monitor.wall(), service.pending
    for table, gone in (
        (service.osdmap.blocklist, inc.old_blocklist),
        (service.osdmap.range_blocklist, inc.old_range_blocklist),
    ):
        gone += [a for a, until in table.items() if float(until) < now and a not in gone]
    return bool(inc.old_blocklist or inc.old_range_blocklist)


def _purge_snaps(service: OSDMapService) -> bool:
    """Snapshots that all PGs have purged, by the manager's digest, leave the queue."""
    digest = service.digest
    if digest is None or service.pending.new_purged_snaps:
        return False
    most = service.monitor.config.get_int("mon_max_snap_prune_per_epoch")
    reported = {p: s for p, s in digest.purged_snaps.items() if p in service.osdmap.pools and s}
    found = purged_snaps.purgeable(
        service.monitor.store,
        reported,
        service.osdmap.removed_snaps_queue,
        most or _DEFAULT_SNAPS_PER_EPOCH,
    )
    service.pending.new_purged_snaps.update(found)
    return bool(found)


def _watch_quotas(service: OSDMapService) -> bool:
    """Pools that have reached their quota are full, until they have not any more."""
    digest = service.digest
    if digest is None:
        return False
    found = False
    for number, pool in service.osdmap.pools.items():
        stats = digest.pg_pool_sum.get(number)
        if stats is None:
            continue
        is_full = _is_at_quota(pool, stats)
        if is_full == pool.has_flag(PoolFlag.FULL_QUOTA):
            continue
        name = service.osdmap.pool_name.get(number, "")
        changing = service.pending_pool(number)
        if is_full:
            for what in _reached(pool, stats):
                service.monitor.clog(
                    LogLevel.WARN, f"pool '{name}' is full (reached quota's {what})"
                )
            changing.flags |= PoolFlag.FULL_QUOTA | PoolFlag.FULL
            changing.flags &= ~(PoolFlag.NEARFULL | PoolFlag.BACKFILLFULL)
        else:
            service.monitor.clog(
                LogLevel.INFO, f"pool '{name}' no longer out of quota; removing NO_QUOTA flag"
            )
            changing.flags &= ~(PoolFlag.FULL_QUOTA | PoolFlag.FULL)
        changing.flags = int(changing.flags)
        found = True
    return found


def _is_at_quota(pool: PGPool, stats: PoolStat) -> bool:
    return bool(_reached(pool, stats))


def _reached(pool: PGPool, stats: PoolStat) -> list[str]:
    """The quotas that a pool has reached, in words."""
    found = []
    counts = stats.stats.sum
    if 0 < pool.quota_max_bytes <= counts.num_bytes:
        found.append(f"max_bytes: {size_text(pool.quota_max_bytes)}")
    if 0 < pool.quota_max_objects <= counts.num_objects:
        found.append(f"max_objects: {pool.quota_max_objects}")
    return found
