"""The end of a scrub at its primary: totals, what is repaired, what the statistics say then.

Called by `machine` after the last chunk. Upstream: `src/osd/pg_scrubber.cc` (scrub_finish,
scrub_process_inconsistent), `PrimaryLogScrub.cc` (_scrub_finish).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.osd.pg.peering import activate
from spirula.osd.pg.peering.work import Work
from spirula.osd.scrub import repair, schedule
from spirula.types.base import UTime
from spirula.types.log import LogLevel
from spirula.types.pg import PGState

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.osd.scrub.state import Run

_ALWAYS = "num_objects", "num_object_clones", "num_whiteouts", "num_bytes"
"""Counters that must be what was counted."""
_UNLESS_INVALID = (
    ("num_objects_dirty", "dirty_stats_invalid"),
    ("num_objects_omap", "omap_stats_invalid"),
    ("num_objects_pinned", "pin_stats_invalid"),
    ("num_objects_hit_set_archive", "hitset_stats_invalid"),
    ("num_bytes_hit_set_archive", "hitset_bytes_stats_invalid"),
    ("num_objects_manifest", "manifest_stats_invalid"),
)
"""Counters that may be unknown, and which field says so."""
_SHOWN = (
    ("num_objects", "objects"),
    ("num_object_clones", "clones"),
    ("num_objects_dirty", "dirty"),
    ("num_objects_omap", "omap"),
    ("num_objects_pinned", "pinned"),
    ("num_objects_hit_set_archive", "hit_set_archive"),
    ("num_whiteouts", "whiteouts"),
    ("num_bytes", "bytes"),
    ("num_objects_manifest", "manifest objects"),
    ("num_bytes_hit_set_archive", "hit_set_archive bytes."),
)


def finish(pg: PG, run: Run) -> None:
    """Counts what was found, begins to repair it, and stores that the PG was scrubbed."""
    found, clog = run.compared, pg.services.clog
    limit = pg.options.osd_scrub_auto_repair_num_errors
    if run.repair and run.auto_repair and len(found.authoritative) > limit:
        run.repair = False
        pg.set_state(off=PGState.REPAIR)
    if run.deep_scrub_on_error and 0 < len(found.authoritative) <= limit:
        run.rescrub = True
    _check_statistics(pg, run)
    run.repairing = repair.repair_found(pg, run)
    errors = found.shallow + found.deep
    total = pg.info.stats.stats.sum
    text = f"{pg.pgid.pgid} {run.mode} " + (f"{errors} errors" if errors else "ok")
    if not run.deep and total.num_deep_scrub_errors:
        text += f" ( {total.num_deep_scrub_errors} remaining deep scrub error details lost)"
    if run.repair:
        text += f", {run.fixed} fixed"
    clog(LogLevel.ERROR if errors else LogLevel.DEBUG, text)
    if run.repair:
        _judge_repair(pg, run, errors)
    _store(pg, run)


def _check_statistics(pg: PG, run: Run) -> None:
    """What the PG believes to hold must be what was counted."""
    stats, counted = pg.info.stats, run.counted
    total = stats.stats.sum
    if stats.stats_invalid:
        _take_counted(pg, run)
        stats.stats_invalid = False
    names = [*_ALWAYS, *(name for name, invalid in _UNLESS_INVALID if not getattr(stats, invalid))]
    if all(getattr(counted, name) == getattr(total, name) for name in names):
        return
    shown = ", ".join(
        f"{getattr(counted, name)}/{getattr(total, name)} {what}" for name, what in _SHOWN
    )
    pg.services.clog(LogLevel.ERROR, f"{pg.pgid} {run.mode} : stat mismatch, got {shown}")
    run.compared.shallow += 1
    if run.repair:
        run.fixed += 1
        _take_counted(pg, run)
        for _, invalid in _UNLESS_INVALID:
            setattr(stats, invalid, False)


def _take_counted(pg: PG, run: Run) -> None:
    for name in (*_ALWAYS, *(name for name, _ in _UNLESS_INVALID)):
        setattr(pg.info.stats.stats.sum, name, getattr(run.counted, name))


def _judge_repair(pg: PG, run: Run, errors: int) -> None:
    """Which errors were mended is not known one by one: all, or it is looked at again."""
    if run.fixed == errors:
        run.compared.shallow = run.compared.deep = 0
    elif run.repairing:
        pg.scrubber.scrub_after_recovery = True
        pg.scrubber.planned.req_scrub |= run.required
    elif errors:
        pg.set_state(on=PGState.FAILED_REPAIR)


def _store(pg: PG, run: Run) -> None:
    info, found = pg.info, run.compared
    history, total = info.history, info.stats.stats.sum
    now = UTime.at(pg.services.wall())
    history.last_scrub, history.last_scrub_stamp = info.last_update, now
    if run.deep:
        history.last_deep_scrub, history.last_deep_scrub_stamp = info.last_update, now
        if not (found.shallow or found.deep):
            history.last_clean_scrub_stamp = now
        total.num_deep_scrub_errors = found.deep
        total.num_large_omap_objects = run.omap_stats.large_objects
        total.num_omap_bytes = run.omap_stats.omap_bytes
        total.num_omap_keys = run.omap_stats.omap_keys
    elif not found.shallow:
        history.last_clean_scrub_stamp = now
    total.num_shallow_scrub_errors = found.shallow
    total.num_scrub_errors = found.shallow + total.num_deep_scrub_errors
    if total.num_scrub_errors:
        pg.set_state(on=PGState.INCONSISTENT)
    else:
        pg.set_state(off=PGState.INCONSISTENT | PGState.FAILED_REPAIR)
    if run.check_repair and total.num_scrub_errors:
        pg.set_state(on=PGState.FAILED_REPAIR)
    pg.meta.dirty_info = True
    work = Work(pg)
    if pg.is_active() and pg.is_primary:
        activate.share_info(pg, work)
    work.finish()


def afterwards(pg: PG, run: Run) -> None:
    """The scrub is over: copies are made good, or a deeper scrub is wanted."""
    if run.repairing:
        repair.begin_recovery(pg)
    else:
        pg.set_state(off=PGState.REPAIR)
    if run.rescrub:
        pg.scrubber.planned.need_auto = True
        pg.scrubber.job = None
    schedule.look_soon(pg)
