"""Statistics as OSDs report them go into the map of all PGs; reports to the monitors come out.

Called by `manager`. Behaviour: upstream `src/mgr/ClusterState.cc` (ingest_pgstats, notify_osdmap),
`src/mgr/DaemonServer.cc` (maybe_ready, send_report).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.query import up_osds
from spirula.maps.state import is_in
from spirula.messages.mgr import MMonMgrReport
from spirula.mgr import services
from spirula.mgr.health import all_checks
from spirula.mgr.session import session_of
from spirula.pgmap.digest import make_digest
from spirula.pgmap.osd_changes import note_osd_map
from spirula.pgmap.record import Changes, apply
from spirula.types.osd_stats import OSDStat

if TYPE_CHECKING:
    from spirula.messages.osd_mon import MPGStats
    from spirula.mgr.state import Manager

_PERIODS_TO_WAIT = 4
"""For so many periods of reports the first ones of all OSDs are waited for."""


def on_pg_stats(manager: Manager, message: MPGStats) -> None:
    """An OSD's statistics and those of the PGs that it leads; older ones than known are dropped."""
    osd = session_of(message.connection).osd
    if osd < 0:
        return
    changes, pgmap = manager.changes, manager.pgmap
    stat = message.osd_stat
    if not is_in(manager.osdmap, osd):
        stat = OSDStat(seq=stat.seq)
    changes.osd_stat[osd] = stat
    for pgid, encoded in message.pg_stat.items():
        if pgid.seed >= manager.known_pg_num.get(pgid.pool, 0):
            continue
        if manager.reported_pgs.get(pgid) == encoded.raw:
            continue  # it is what it was at the last report
        manager.reported_pgs[pgid] = encoded.raw
        known, pg_stat = pgmap.pg_stat.get(pgid), encoded.decoded()
        version = (pg_stat.reported_epoch, pg_stat.reported_seq)
        if known is not None and (known.reported_epoch, known.reported_seq) > version:
            continue
        changes.pg_stat[pgid] = pg_stat
    for pool, statfs in message.pool_stat.items():
        changes.pool_statfs[pool, osd] = statfs
    if not manager.pgmap_ready:
        _note_first(manager, osd)


def _note_first(manager: Manager, osd: int) -> None:
    manager.reported_osds.add(osd)
    if manager.is_active and manager.reported_osds.issuperset(up_osds(manager.osdmap)):
        _set_ready(manager)
        send_report(manager)


def _set_ready(manager: Manager) -> None:
    manager.pgmap_ready = True
    manager.reported_osds.clear()


def on_osd_map(manager: Manager) -> None:
    """A new map: PGs come and go, and are stale where their primaries are down."""
    osdmap, now = manager.osdmap, manager.ports.wall()
    note_osd_map(manager.pgmap, osdmap, manager.changes, now)
    manager.known_pg_num = {number: pool.pg_num for number, pool in osdmap.pools.items()}
    # What follows from the map is not what was reported: the next report counts again.
    for pgid in (*manager.changes.pg_stat, *manager.changes.pg_gone):
        manager.reported_pgs.pop(pgid, None)
    take_changes(manager)
    manager.pgmap.last_osdmap_epoch = osdmap.epoch
    manager.modules.notify("osd_map")


def take_changes(manager: Manager) -> None:
    """Takes what was reported into the statistics."""
    changes, manager.changes = manager.changes, Changes()
    config = manager.config
    apply(
        manager.pgmap,
        changes,
        manager.ports.wall(),
        config.get_int("mon_stat_smooth_intervals"),
        config.get_float("mon_delta_reset_interval"),
    )


def send_report(manager: Manager) -> None:
    """Tells the monitors how the cluster is, unless too little is known as yet."""
    now = manager.ports.loop.time()
    if not manager.pgmap_ready:
        period = manager.config.get_int("mgr_stats_period")
        if now - manager.active_since <= period * _PERIODS_TO_WAIT:
            return
        manager.log(1, "not all OSDs have reported: statistics may be incomplete")
        _set_ready(manager)
    take_changes(manager)
    report = MMonMgrReport(service_map_bl=services.encode_changes(manager), gid=manager.gid)
    report.health_checks.checks = all_checks(manager)
    report.progress_events = dict(sorted(manager.progress.items()))
    report.data = make_digest(manager.pgmap, manager.osdmap).encode()
    manager.session.monitors.send(report)
