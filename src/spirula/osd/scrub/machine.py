"""A scrub at its primary: reservations, then chunk after chunk, each compared with all replicas.

    RESERVING ──all have a slot─► PENDING ──► a chunk is chosen ──► BUILD_MAP ──► WAIT_REPLICAS
        │                            ▲          │        ▲              │preempted      │
        │one has none                │   RANGE_BLOCKED, WAIT_PUSHES     ▼               ▼
        ▼                            ├──────────────────────── DRAIN_MAPS            compare
      (over)                         └────more chunks──── WAIT_DIGEST_UPDATE ◄──────────┘
                                                                 └──► finish.finish

Writes to the chunk in hand push it aside (it is begun again, smaller) until that happened too
often; then they wait. Begun by `schedule`. Upstream: `src/osd/scrub_machine.cc`,
`pg_scrubber.cc`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spirula.errors import CephError, WireError
from spirula.messages.osd_scrub import MOSDRepScrub, MOSDScrubReserve, ScrubReserveType
from spirula.osd.ops import prepare
from spirula.osd.ops.caps import WRITE, OpNeeds
from spirula.osd.ops.context import OpContext, copy_info
from spirula.osd.pg import snap_trim
from spirula.osd.scrub import build, compare, finish, replica, schedule, snap_index, snapsets
from spirula.osd.scrub.findings import Findings
from spirula.osd.scrub.state import Phase, Preemption, Run
from spirula.types.hobject import HMAX, HMIN, HObject
from spirula.types.log import LogLevel
from spirula.types.object_info import NO_DIGEST, ObjectFlag
from spirula.types.pg import PGShard, PGState, SPGId
from spirula.types.pg_log import LogOp

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.messages.osd_scrub import MOSDRepScrubMap
    from spirula.osd.pg.state import PG
    from spirula.types.scrub import ScrubObject

_LEAST_OF_CHUNK = 3
_LOOK_AGAIN_S = 0.1
"""How often it is looked whether a chunk can be had that somebody works on."""
_NEEDS = OpNeeds(WRITE)
_STATES = PGState.SCRUBBING | PGState.DEEP_SCRUB


def begin(pg: PG) -> None:
    """Starts the scrub that is planned; a slot here is taken already."""
    scrubber = pg.scrubber
    planned, scrubber.planned = scrubber.planned, schedule.fresh()
    options = pg.options
    deep = planned.must_deep_scrub or planned.need_auto or planned.time_for_deep
    auto_repair = planned.auto_repair or planned.need_auto
    asked = planned.must_scrub or planned.need_auto
    run = scrubber.run = Run(
        deep=deep,
        repair=planned.must_repair or auto_repair,
        required=planned.req_scrub or planned.must_scrub,
        auto_repair=auto_repair,
        check_repair=planned.check_repair,
        deep_scrub_on_error=planned.deep_scrub_on_error,
        priority=options.osd_requested_scrub_priority if asked else schedule.priority(pg),
        preemption=Preemption(options.osd_scrub_max_preemptions),
        compared=compare.Compared(),
        epoch=pg.osdmap.epoch,
        has_slot=True,
        must_deep=planned.must_deep_scrub,
        job=scrubber.job,
    )
    scrubber.job = None
    pg.set_state(off=PGState.REPAIR)
    pg.set_state(
        on=PGState.SCRUBBING
        | (PGState.DEEP_SCRUB if run.deep else 0)
        | (PGState.REPAIR if run.repair else 0)
    )
    pg.shared.stats_changed(pg)
    others = _others(pg)
    if not others:
        _start(pg, run)
    run.asked = set(others)
    for shard in others:
        _tell(pg, shard, ScrubReserveType.REQUEST)


def _others(pg: PG) -> list[PGShard]:
    return sorted(pg.replicas, key=lambda each: (each.osd, each.shard))


def _tell(pg: PG, shard: PGShard, what: ScrubReserveType) -> None:
    epoch = pg.osdmap.epoch
    message = MOSDScrubReserve(SPGId(pg.pgid.pgid, shard.shard), epoch, what, pg.whoami)
    pg.services.send_osd(shard.osd, message, epoch)


# ----------------------------------------------------------------------------------- reservations


def on_reserve(pg: PG, message: MOSDScrubReserve) -> None:
    """A replica has a slot for us, or none; or a primary asks for ours."""
    if message.type == ScrubReserveType.REQUEST:
        replica.on_request(pg, message)
    elif message.type == ScrubReserveType.RELEASE:
        replica.release(pg)
    elif message.type == ScrubReserveType.GRANT:
        _on_grant(pg, message.from_)
    elif message.type == ScrubReserveType.REJECT:
        _on_reject(pg, message.from_)


def _on_grant(pg: PG, shard: PGShard) -> None:
    run = pg.scrubber.run
    if run is None or run.phase is not Phase.RESERVING or shard not in run.asked:
        if run is None or shard not in run.reserved:
            _tell(pg, shard, ScrubReserveType.RELEASE)  # too late: nobody wants it any more
        return
    run.asked.discard(shard)
    run.reserved.add(shard)
    if not run.asked:
        _start(pg, run)


def _on_reject(pg: PG, shard: PGShard) -> None:
    run = pg.scrubber.run
    if run is not None and run.phase is Phase.RESERVING and shard in run.asked:
        run.asked.discard(shard)
        abort(pg)


# ----------------------------------------------------------------------------------------- chunks


def _start(pg: PG, run: Run) -> None:
    """Everybody takes part."""
    pg.services.clog(LogLevel.DEBUG, f"{pg.pgid.pgid} {run.mode} starts")
    pg.scrubber.findings = Findings.create(pg)
    run.start = run.end = pg.pgid.pgid.first_object()
    _pend(pg, run)


def _pend(pg: PG, run: Run) -> None:
    """The next chunk, after a pause where one is wanted."""
    run.phase = Phase.PENDING
    _set_range(pg, None)
    pause = schedule.sleep_s(pg, required=run.required)
    _later(pg, run, pause, _new_chunk)


def _later(pg: PG, run: Run, seconds: float, then: Callable[[PG, Run], None]) -> None:
    if run.timer is not None:
        run.timer.cancel()
    run.timer = pg.services.loop.call_later(seconds, _fire, pg, run, then)


def _fire(pg: PG, run: Run, then: Callable[[PG, Run], None]) -> None:
    run.timer = None
    if pg.scrubber.run is not run:
        return
    if _must_stop(pg, run):
        abort(pg)
    else:
        then(pg, run)


def _must_stop(pg: PG, run: Run) -> bool:
    """Whether the administrator has forbidden it since; what was asked for goes on."""
    if run.required:
        return False
    return not (schedule.allows_deep(pg) if run.deep else schedule.allows_light(pg))


def _new_chunk(pg: PG, run: Run) -> None:
    run.preemption.adjust()
    run.maps.clear()
    run.awaited.clear()
    run.local = None
    end = _chunk_end(pg, run)
    if _is_busy(pg, run.start, end):
        run.phase = Phase.RANGE_BLOCKED
        _later(pg, run, _LOOK_AGAIN_S, _new_chunk)
        return
    run.end = end
    _set_range(pg, (run.start, end))
    _wait_pushes(pg, run)


def _chunk_end(pg: PG, run: Run) -> HObject:
    """Where the chunk ends: not between a head and its newest clone, for clones are made there."""
    options, divisor = pg.options, run.preemption.divisor
    least = max(_LEAST_OF_CHUNK, options.osd_scrub_chunk_min // divisor)
    most = max(least, options.osd_scrub_chunk_max // divisor)
    objects, end = build.list_some(pg, run.start, least, most)
    while objects and end.is_head and not end.max and end == objects[-1].head():
        end = objects.pop()
    return end.boundary() if end.is_head else end


def _is_busy(pg: PG, start: HObject, end: HObject) -> bool:
    """Whether a write to the range has begun and waits for something."""
    return any(start <= ctx.soid < end and ctx.needs.may_write for ctx in pg.waiting.in_progress)


def _set_range(pg: PG, chosen: tuple[HObject, HObject] | None) -> None:
    """Which objects' writes have to ask first; those that waited and need not any more go on."""
    pg.scrubber.range = chosen
    if chosen is None:
        waiting, pg.waiting.for_scrub = pg.waiting.for_scrub, []
        callbacks, pg.scrubber.callbacks = pg.scrubber.callbacks, []
        pg.requeue(waiting)
        for resume in callbacks:
            resume()


def blocks_write(pg: PG, hoid: HObject) -> bool:
    """Whether a write to an object has to wait; else the chunk is done again if it is of it."""
    scrubber = pg.scrubber
    chosen = scrubber.range
    if chosen is None or not chosen[0] <= hoid < chosen[1]:
        return False
    run = scrubber.run
    if run is None:
        replica.preempt(pg, hoid)
        return False
    if run.preemption.preemptable:
        run.preemption.preempted = True
        return False
    return True


def _wait_pushes(pg: PG, run: Run) -> None:
    """What recovery brings changes objects: that comes first."""
    if pg.recovery.pulls or pg.recovery.pushes:
        run.phase = Phase.WAIT_PUSHES
        _later(pg, run, _LOOK_AGAIN_S, _wait_pushes)
        return
    run.phase = Phase.BUILD_MAP
    epoch = pg.osdmap.epoch
    for shard in _others(pg):
        run.awaited.add(shard)
        asked = MOSDRepScrub(
            pgid=pg.pgid.pgid,
            scrub_to=pg.info.last_update,
            map_epoch=epoch,
            start=run.start,
            end=run.end,
            deep=run.deep,
            shard=shard.shard,
            min_epoch=pg.last_peering_reset,
            allow_preemption=run.preemption.preemptable,
            scrub_priority=run.priority,
            high_priority=bool(pg.waiting.for_scrub),
        )
        pg.services.send_osd(shard.osd, asked, epoch)
    run.builder = build.MapBuilder(pg, run.start, run.end, deep=run.deep)
    run.builder.run(partial(_on_built, pg, run), lambda: not run.preemption.preempted)


def _on_built(pg: PG, run: Run) -> None:
    """Our own map is made, or not needed any more."""
    if pg.scrubber.run is not run or run.builder is None:
        return
    run.local, run.builder = run.builder.map, None
    if run.preemption.preempted:
        run.phase = Phase.DRAIN_MAPS
    else:
        run.phase = Phase.WAIT_REPLICAS
    _check_maps(pg, run)


def on_map(pg: PG, message: MOSDRepScrubMap) -> None:
    """A replica's map of the chunk in hand. Raises WireError."""
    if message.map_epoch < pg.info.history.same_interval_since:
        return
    shard, scrubber = message.from_, pg.scrubber
    if scrubber.owed.get(shard):
        scrubber.owed[shard] -= 1  # of a scrub that was broken off
        if not scrubber.owed[shard]:
            del scrubber.owed[shard]
        return
    run = scrubber.run
    if run is None or shard not in run.awaited:
        return
    found = message.scrub_map()
    run.awaited.discard(shard)
    run.maps[shard] = found
    if message.preempted:
        run.preemption.preempted = True
    _check_maps(pg, run)


def _check_maps(pg: PG, run: Run) -> None:
    if run.awaited or run.local is None:
        return
    if _must_stop(pg, run):
        abort(pg)
    elif run.preemption.preempted:
        _pend(pg, run)
    else:
        _compare(pg, run)


def _compare(pg: PG, run: Run) -> None:
    """All have looked at the chunk: compares, and goes on behind it."""
    local = run.local
    if local is None:
        return
    run.preemption.preemptable = False
    terms = compare.Terms(
        pgid=str(pg.pgid.pgid),
        spgid=str(pg.pgid),
        me=pg.whoami,
        is_erasure=pg.pool.is_erasure,
        repair=run.repair,
        max_object_size=pg.options.osd_max_object_size,
        digest_min_age=pg.options.osd_deep_scrub_update_digest_min_age,
        now=pg.services.wall(),
    )
    maps = {shard: each.objects for shard, each in run.maps.items()}
    maps[pg.whoami] = local.objects
    _count_omaps(pg, run, local.objects)
    found, clog = run.compared, pg.services.clog
    found.digests.clear()
    first = len(found.objects)
    best: dict[HObject, ScrubObject] = dict(local.objects)
    if len(maps) > 1:
        found.lines.clear()
        compare.compare_maps(terms, maps, found)
        for line in found.lines:
            clog(LogLevel.ERROR, line)
        for hoid, authority in found.authoritative.items():
            if run.start <= hoid < run.end:
                best[hoid] = maps[authority.shards[-1]][hoid]
    findings = pg.scrubber.findings
    if findings is not None:
        for each in found.objects[first:]:
            findings.add_object(each)
    del found.objects[first:]
    _check_snapsets(pg, run, best)
    if findings is not None:
        findings.flush(keep=not run.repair)
    _store_digests(pg, run)
    run.start = run.end
    run.phase = Phase.WAIT_DIGEST_UPDATE
    _set_range(pg, None)
    _check_digests(pg, run)


def _count_omaps(pg: PG, run: Run, objects: dict[HObject, ScrubObject]) -> None:
    stats = run.omap_stats
    for hoid, each in sorted(objects.items()):
        stats.omap_bytes += each.object_omap_bytes
        stats.omap_keys += each.object_omap_keys
        if each.large_omap_object_found:
            stats.large_objects += 1
            raw = f"{hoid.pool}.{hoid.hash:x}"
            pg.services.clog(
                LogLevel.WARN,
                f"Large omap object found. Object: {hoid} PG: {raw} ({pg.pgid.pgid}) "
                f"Key count: {each.large_omap_object_key_count} "
                f"Size (bytes): {each.large_omap_object_value_size}",
            )


def _check_snapsets(pg: PG, run: Run, best: dict[HObject, ScrubObject]) -> None:
    """Heads with their clones; those at the chunk's end whose head comes later wait for it."""
    objects = {**run.leftover, **best}
    run.leftover = {}
    if not run.end.max:
        for hoid in sorted(objects, reverse=True):
            if hoid.is_head or (run.leftover and hoid.head() != next(iter(run.leftover)).head()):
                break
            run.leftover[hoid] = objects.pop(hoid)
    report = snapsets.check(
        str(pg.pgid),
        run.mode,
        objects,
        hit_set_nspace=pg.options.osd_hit_set_namespace,
    )
    for line in report.errors:
        pg.services.clog(LogLevel.ERROR, line)
    for line in report.notes:
        pg.services.clog(LogLevel.INFO, line)
    run.compared.shallow += report.shallow
    run.counted.add(report.counted)
    if pg.scrubber.findings is not None:
        for each in report.snapsets:
            pg.scrubber.findings.add_snapset(each)
    snap_index.check(pg, objects)


def _store_digests(pg: PG, run: Run) -> None:
    """Records checksums with the objects that have none."""
    for hoid, (data, omap) in run.compared.digests.items():
        try:
            obc = pg.objects.get(hoid, can_create=False)
        except (CephError, WireError):
            obc = None
        if obc is None:
            pg.services.clog(
                LogLevel.ERROR,
                f"{pg.pgid} {run.mode} cannot get object context for object {hoid}",
            )
            continue
        ctx = OpContext(pg, obc, [], _NEEDS)
        ctx.at_version = pg.next_version()
        info = ctx.info = copy_info(obc.info)
        for flag, name, digest in (
            (int(ObjectFlag.DATA_DIGEST), "data_digest", data),
            (int(ObjectFlag.OMAP_DIGEST), "omap_digest", omap),
        ):
            info.flags = info.flags & ~flag if digest is None else info.flags | flag
            setattr(info, name, NO_DIGEST if digest is None else digest)
        prepare.finish(ctx, LogOp.MODIFY, 0)
        run.digests_pending += 1
        pg.simple_submit(ctx, partial(_on_digest, pg, run))


def _on_digest(pg: PG, run: Run) -> None:
    run.digests_pending -= 1
    if pg.scrubber.run is run and run.phase is Phase.WAIT_DIGEST_UPDATE:
        _check_digests(pg, run)


def _check_digests(pg: PG, run: Run) -> None:
    if run.digests_pending:
        return
    if not run.end.max:
        run.preemption = Preemption(pg.options.osd_scrub_max_preemptions)
        _pend(pg, run)
        return
    finish.finish(pg, run)
    _clear(pg, run)
    finish.afterwards(pg, run)


# -------------------------------------------------------------------------------------------- ends


def abort(pg: PG) -> None:
    """Breaks off a scrub within its interval: a slot was refused, or it is forbidden now."""
    run = pg.scrubber.run
    if run is None:
        return
    for shard in run.awaited:
        pg.scrubber.owed[shard] = pg.scrubber.owed.get(shard, 0) + 1
    pg.set_state(off=PGState.REPAIR)
    _clear(pg, run)


def reset(pg: PG) -> None:
    """The interval is over, and all scrubs of it: nobody is told, for all see it by the map."""
    scrubber = pg.scrubber
    run = scrubber.run
    if run is not None:
        run.asked.clear()
        run.reserved.clear()
        pg.set_state(off=PGState.REPAIR)
        _clear(pg, run)
    replica.reset(pg)
    scrubber.owed.clear()
    scrubber.callbacks.clear()
    scrubber.job = None
    scrubber.scrub_after_recovery = False
    scrubber.rotten.clear()
    if scrubber.findings is not None:
        scrubber.findings.remove()
        scrubber.findings = None


def _clear(pg: PG, run: Run) -> None:
    """Nothing of it is under way any more; slots are given back."""
    if run.timer is not None:
        run.timer.cancel()
        run.timer = None
    if run.builder is not None:
        run.builder.cancel()
        run.builder = None
    for shard in sorted(run.reserved | run.asked, key=lambda each: each.osd):
        _tell(pg, shard, ScrubReserveType.RELEASE)
    if run.has_slot:
        pg.shared.scrubs.local -= 1
        run.has_slot = False
    pg.scrubber.run = None
    pg.set_state(off=_STATES)
    _set_range(pg, None)
    run.start, run.end = HMIN, HMAX
    pg.stats_changed = True
    pg.shared.stats_changed(pg)
    if not pg.deleted:
        snap_trim.kick(pg)
