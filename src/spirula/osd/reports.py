"""What an OSD tells of itself: to the monitors (alive, full, failures, beacons), to the manager
(statistics).

State that monitors forget with a session is said again at the next one (`on_mon_session`).
Behaviour: upstream `src/osd/OSD.cc` (send_alive, send_failures, send_beacon, collect_pg_stats,
check_full_status, tick_without_osd_lock).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, runtime_checkable

from spirula.maps.state import OSDState, exists
from spirula.messages.mon_client import MMonGetOSDMap
from spirula.messages.osd_mon import (
    FailureFlag,
    MOSDAlive,
    MOSDBeacon,
    MOSDFailure,
    MOSDFull,
    MOSDPGCreated,
    MOSDPGTemp,
    MPGStats,
)
from spirula.osd.state import OSD, Phase
from spirula.types.entity import EntityAddrVec
from spirula.types.log import LogLevel
from spirula.types.osd_stats import ObjectstorePerfStat, OSDStat
from spirula.types.pg import PGId
from spirula.types.pg_stats import EncodedPGStat, StoreStatfs
from spirula.types.pool import PoolFlag
from spirula.types.service import DaemonHealthMetric, DaemonMetric


@runtime_checkable
class Timed(Protocol):
    """A store that knows how long its commits take."""

    def commit_latency_s(self) -> float:
        """The mean of late, in seconds."""


class FullState(IntEnum):
    """How full an OSD is; each state includes those before it."""

    NONE = 0
    NEARFULL = 1
    BACKFILLFULL = 2
    FULL = 3
    FAILSAFE = 4


_BITS = {
    FullState.NONE: 0,
    FullState.NEARFULL: OSDState.NEARFULL,
    FullState.BACKFILLFULL: OSDState.BACKFILLFULL,
    FullState.FULL: OSDState.FULL,
    FullState.FAILSAFE: OSDState.FULL,
}
FULL_NAMES = {
    "none": FullState.NONE,
    "nearfull": FullState.NEARFULL,
    "backfillfull": FullState.BACKFILLFULL,
    "full": FullState.FULL,
    "failsafe": FullState.FAILSAFE,
}


@dataclass(slots=True)
class Reports:
    """What has been reported, and what is to be."""

    stat: OSDStat = field(default_factory=OSDStat)
    stat_seq: int = 0
    full: FullState = FullState.NONE
    ratio: float = 0.0
    failsafe: bool = False
    """Whether writes have to be dropped, perhaps; see `check_full`."""
    injected: FullState = FullState.NONE
    inject_count: int = 0
    """How often to act as if `injected` held; -1: until told otherwise."""
    last_mon_report: float = 0.0
    last_beacon: float = 0.0
    min_last_epoch_clean: int = 0
    led: list[PGId] = field(default_factory=list)
    """The PGs that were led at the last report to the manager."""
    temp_wanted: dict[PGId, tuple[list[int], bool]] = field(default_factory=dict)
    temp_pending: dict[PGId, tuple[list[int], bool]] = field(default_factory=dict)
    created: set[PGId] = field(default_factory=set)
    told_dead: dict[int, int] = field(default_factory=dict)
    """OSDs whose processes are gone, and by which map that was told."""

    def send_still_alive(self, osd: OSD, other: int) -> None:
        """Take back the report that an OSD failed."""
        found = osd.heartbeats.failure_pending.pop(other, None)
        if found is not None:
            osd.monitors.send(_failure(osd, other, found[1], FailureFlag.ALIVE, 0))

    def send_dead(self, osd: OSD, other: int) -> None:
        """Report that the process of an OSD is gone: no grace is of use. Once for each map."""
        if self.told_dead.get(other) == osd.maps.epoch:
            return
        self.told_dead[other] = osd.maps.epoch
        flags = FailureFlag.IMMEDIATE | FailureFlag.FAILED
        grace = osd.config.get_int("osd_heartbeat_grace")
        addrs = osd.maps.current.client_addrs[other]
        osd.monitors.send(_failure(osd, other, addrs, flags, grace + 1))

    def check_full(self, state: FullState) -> bool:
        """Whether the OSD is that full, or is to act so."""
        if self.inject_count and self.injected >= state:
            if self.inject_count > 0:
                self.inject_count -= 1
            return True
        return self.full >= state

    def would_be_full(self, osd: OSD, extra_bytes: int) -> bool:
        """Whether with so much more the OSD takes no backfill; what is under way counts."""
        if self.check_full(FullState.BACKFILLFULL):
            return True
        ratio = _ratio(self.stat.statfs, extra_bytes + _reserved_bytes(osd))
        return full_state(osd, ratio, self.ratio) >= FullState.BACKFILLFULL


def _failure(
    osd: OSD, other: int, addrs: EntityAddrVec, flag: FailureFlag, failed_for: int
) -> MOSDFailure:
    return MOSDFailure(
        version=osd.maps.epoch,
        fsid=osd.superblock.cluster_fsid,
        target_osd=other,
        target_addrs=addrs,
        epoch=osd.maps.epoch,
        flags=flag,
        failed_for=failed_for,
    )


# ------------------------------------------------------------------------------------ monitors


def on_mon_session(osd: OSD) -> None:
    """A session with a monitor has begun: say what the last one may not have passed on."""
    reports, beats = osd.reports, osd.heartbeats
    send_alive(osd)
    send_full(osd)
    reports.temp_wanted = reports.temp_pending | reports.temp_wanted
    reports.temp_pending = {}
    send_pg_temp(osd)
    for other, (since, _) in beats.failure_pending.items():
        beats.failure_queue[other] = since
    beats.failure_pending.clear()
    send_failures(osd)
    for pgid in reports.created:
        osd.monitors.send(MOSDPGCreated(pgid=pgid))
    osd.pgs.shared.ready_to_merge.tell_again()
    full = osd.maps.still_asked()
    if full is not None:
        ask_full_maps(osd, *full)


def ask_full_maps(osd: OSD, first: int, last: int) -> None:
    """Ask for full maps of these epochs, for a change did not lead where it should."""
    osd.monitors.send(MMonGetOSDMap(full_first=first, full_last=last))


def want_up_thru(osd: OSD, epoch: int) -> None:
    """Have the monitors note us alive through an epoch."""
    if epoch > osd.up_thru_wanted:
        osd.up_thru_wanted = epoch
        send_alive(osd)


def send_alive(osd: OSD) -> None:
    """Say so again if the map does not."""
    osdmap = osd.maps.current
    if not exists(osdmap, osd.whoami):
        return
    if osd.up_thru_wanted > osdmap.osd_info[osd.whoami].up_thru:
        osd.monitors.send(MOSDAlive(version=osdmap.epoch, want=osd.up_thru_wanted))


def send_failures(osd: OSD) -> None:
    """Report those whose heartbeats are overdue and who are not reported yet."""
    beats, now, osdmap = osd.heartbeats, osd.now(), osd.maps.current
    queue, beats.failure_queue = beats.failure_queue, {}
    for other, since in queue.items():
        if other in beats.failure_pending or other >= osdmap.max_osd:
            continue
        addrs = osdmap.client_addrs[other]
        osd.monitors.send(_failure(osd, other, addrs, FailureFlag.FAILED, int(now - since)))
        beats.failure_pending[other] = since, addrs


def cancel_failures(osd: OSD) -> None:
    """Take all reports back."""
    for other in list(osd.heartbeats.failure_pending):
        osd.reports.send_still_alive(osd, other)


def want_pg_temp(osd: OSD, pgid: PGId, acting: list[int], *, forced: bool = False) -> None:
    """Ask for a temporary acting set of a PG; it goes out with the others of this moment."""
    reports = osd.reports
    pending = reports.temp_pending.get(pgid)
    if pending is None or pending[0] != acting or forced:
        if not reports.temp_wanted:
            # no map need come that would have it sent: a backfill is done, others should serve
            osd.ports.loop.call_soon(_send_pg_temp_soon, osd)
        reports.temp_wanted[pgid] = acting, forced


def _send_pg_temp_soon(osd: OSD) -> None:
    if osd.is_active and not osd.is_stopping:
        send_pg_temp(osd)


def remove_pg_temp(osd: OSD, pgid: PGId) -> None:
    """Nothing is wanted for a PG any more."""
    osd.reports.temp_wanted.pop(pgid, None)
    osd.reports.temp_pending.pop(pgid, None)


def send_pg_temp(osd: OSD) -> None:
    """Ask for what is wanted."""
    reports = osd.reports
    for forced in (False, True):
        wanted = {
            pgid: acting for pgid, (acting, force) in reports.temp_wanted.items() if force == forced
        }
        if wanted:
            epoch = osd.maps.epoch
            osd.monitors.send(
                MOSDPGTemp(version=epoch, map_epoch=epoch, pg_temp=wanted, forced=forced)
            )
    reports.temp_pending |= reports.temp_wanted
    reports.temp_wanted = {}


def pg_created(osd: OSD, pgid: PGId) -> None:
    """A PG of a pool that is being created has come to be."""
    osd.reports.created.add(pgid)
    osd.monitors.send(MOSDPGCreated(pgid=pgid))


def prune_created(osd: OSD) -> None:
    """PGs of pools that are complete need not be told of any more."""
    pools = osd.maps.current.pools
    osd.reports.created = {
        pgid
        for pgid in osd.reports.created
        if pgid.pool in pools and pools[pgid.pool].flags & PoolFlag.CREATING
    }


def send_beacon(osd: OSD) -> None:
    """Tell the monitors that we are alive, and since when all PGs that we lead were clean."""
    reports = osd.reports
    reports.last_beacon = osd.now()
    osd.monitors.send(
        MOSDBeacon(
            version=osd.maps.epoch,
            pgs=list(reports.led),
            min_last_epoch_clean=reports.min_last_epoch_clean,
            last_purged_snaps_scrub=osd.superblock.last_purged_snaps_scrub,
            osd_beacon_report_interval=osd.config.get_int("osd_beacon_report_interval"),
        )
    )


def tick(osd: OSD) -> None:
    """Once a second: statistics of the store, reports that are due."""
    refresh_statfs(osd)
    if osd.phase not in (Phase.ACTIVE, Phase.WAITING_FOR_HEALTHY):
        return
    reports, now = osd.reports, osd.now()
    interval = osd.config.get_int("osd_mon_report_interval")
    if needs_full_update(osd) or now - reports.last_mon_report > interval:
        reports.last_mon_report = now
        send_full(osd)
        send_failures(osd)
    if osd.is_active:
        beacon = osd.config.get_int("osd_beacon_report_interval")
        if now - reports.last_beacon > beacon:
            send_beacon(osd)


# --------------------------------------------------------------------------------------- fullness


def refresh_statfs(osd: OSD) -> None:
    """Ask the store how full it is, and judge that by the map's ratios."""
    reports, statfs = osd.reports, osd.store.statfs()
    fake = osd.config.get_int("fake_statfs_for_testing")
    if fake:
        used = min(osd.pgs.stored_bytes(), fake)
        statfs.total, statfs.available, statfs.internally_reserved = fake, fake - used, 0
    reports.stat.set_statfs(statfs)
    osd.counters.stat_bytes.value = statfs.total
    osd.counters.stat_bytes_used.value = statfs.used_raw
    osd.counters.stat_bytes_avail.value = statfs.available
    osd.counters.store.update(osd.store.counters)
    reports.ratio = _ratio(statfs, 0)
    state = full_state(osd, _ratio(statfs, _reserved_bytes(osd)), reports.ratio)
    before, reports.full = reports.full, state
    reports.failsafe = state is FullState.FAILSAFE
    percent = round(reports.ratio * 100)
    if state == FullState.FAILSAFE != before:
        osd.clog(
            LogLevel.ERROR,
            f"full status failsafe engaged, dropping updates, now {percent}% full",
        )
    elif before == FullState.FAILSAFE != state:
        osd.clog(
            LogLevel.ERROR,
            f"full status failsafe disengaged, no longer dropping updates, now {percent}% full",
        )


def _reserved_bytes(osd: OSD) -> int:
    """What is still to come into PGs that are filled here."""
    return sum(pg.backfill.room.reserved_bytes for pg in osd.pgs.by_id.values())


def _ratio(statfs: StoreStatfs, extra_bytes: int) -> float:
    """The share of space that is used once so much more is."""
    if not statfs.total:
        return 0.0
    available = max(statfs.available - extra_bytes, 0)
    return (statfs.total - available - statfs.internally_reserved) / statfs.total


def full_state(osd: OSD, ratio: float, physical: float) -> FullState:
    """What a share of used space comes to by the map's ratios; each is at least the one below.

    `ratio` counts what is about to be filled in, `physical` does not.
    """
    osdmap = osd.maps.current
    if not osdmap.epoch:
        return FullState.NONE
    near = osdmap.nearfull_ratio
    backfill = max(osdmap.backfillfull_ratio, near)
    full = max(osdmap.full_ratio, backfill)
    failsafe = osd.config.get_float("osd_failsafe_full_ratio")
    failsafe = max(failsafe / 100 if failsafe > 1 else failsafe, full)
    if min(near, backfill, full) <= 0:
        near = backfill = full = failsafe
    if osd.reports.inject_count and osd.reports.injected:
        return osd.reports.injected
    steps = (
        (physical, failsafe, FullState.FAILSAFE),
        (ratio, full, FullState.FULL),
        (ratio, backfill, FullState.BACKFILLFULL),
        (physical, near, FullState.NEARFULL),
    )
    return next((state for share, limit, state in steps if share > limit), FullState.NONE)


_FULL_BITS = OSDState.FULL | OSDState.BACKFILLFULL | OSDState.NEARFULL


def needs_full_update(osd: OSD) -> bool:
    """Whether the map says otherwise of how full we are."""
    osdmap, known = osd.maps.current, 0
    if exists(osdmap, osd.whoami):
        state = osdmap.osd_state[osd.whoami]
        marks = (OSDState.FULL, OSDState.BACKFILLFULL, OSDState.NEARFULL)
        known = next((mark for mark in marks if state & mark), 0)
    return known != _BITS[osd.reports.full]


def send_full(osd: OSD) -> None:
    """Have the map say how full we are, if it does not."""
    if needs_full_update(osd):
        epoch = osd.maps.epoch
        osd.monitors.send(MOSDFull(version=epoch, map_epoch=epoch, state=_BITS[osd.reports.full]))


# ---------------------------------------------------------------------------------------- manager


def statistics(osd: OSD) -> MPGStats:
    """What goes to the manager: our own numbers, those of all PGs that we lead, space by pool."""
    reports, now = osd.reports, osd.now()
    stat = reports.stat
    stat.hb_peers = sorted(osd.heartbeats.peers)
    stat.num_pgs = osd.pgs.count()
    stat.up_from = osd.up_epoch
    reports.stat_seq += 1
    stat.seq = (osd.up_epoch << 32) + reports.stat_seq
    if isinstance(osd.store, Timed):
        latency = int(osd.store.commit_latency_s() * 1e9)
        # As in BlueStore, what is applied is what is committed.
        stat.os_perf_stat = ObjectstorePerfStat(latency, latency)
    osd.tracker.age_histogram(stat.op_queue_age_hist, now)
    limit = osd.config.get_int("osd_mon_heartbeat_stat_stale")
    wall = int(osd.ports.wall())
    for other, times in list(stat.hb_pingtime.items()):
        if limit and wall - times.last_update > limit:
            del stat.hb_pingtime[other]
    stat.num_shards_repaired = osd.pgs.shared.shards_repaired
    message = MPGStats(fsid=osd.superblock.cluster_fsid, epoch=osd.maps.epoch, osd_stat=stat)
    reports.min_last_epoch_clean = osd.maps.epoch
    reports.led = []
    for pgid, pg_stat in osd.pgs.statistics():
        message.pg_stat[pgid] = EncodedPGStat.of(pg_stat)
        reports.led.append(pgid)
        reports.min_last_epoch_clean = min(reports.min_last_epoch_clean, pg_stat.last_epoch_clean)
    for pool in osd.pgs.pools():
        message.pool_stat[pool] = osd.store.pool_statfs(pool)
    stat.num_osds = 1
    stat.num_per_pool_osds = stat.num_per_pool_omap_osds = int(bool(message.pool_stat))
    return message


def health_metrics(osd: OSD) -> list[DaemonHealthMetric]:
    """Numbers that the manager turns into warnings: slow requests, PGs that wait to be made."""
    slow, oldest_s = osd.tracker.slow(osd.now())
    return [
        DaemonHealthMetric(DaemonMetric.SLOW_OPS, (oldest_s << 32) | slow),
        DaemonHealthMetric(DaemonMetric.PENDING_CREATING_PGS, osd.pgs.pending_creates()),
    ]
