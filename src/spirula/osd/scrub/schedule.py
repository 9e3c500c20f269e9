"""When PGs are scrubbed: by their age, the hour, the load, and what administrators ask for.

The OSD looks once a second (`tick`) for the PG whose turn it is, and begins at most one. Upstream:
`src/osd/OSD.cc` (sched_scrub, ScrubJob, scrub_time_permit, scrub_load_below_threshold), `PG.cc`
(sched_scrub, verify_scrub_mode).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spirula.maps.state import OSDMapFlag
from spirula.osd.scrub import machine
from spirula.osd.scrub.state import Job, Planned
from spirula.types.base import UTime
from spirula.types.log import LogLevel
from spirula.types.pg import PGState
from spirula.types.pool import PoolFlag, PoolOpt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spirula.osd.pg.settings import Settings
    from spirula.osd.pg.shared import Shared
    from spirula.osd.pg.state import PG

MUST_STAMP = UTime(1, 1)
"""When a scrub is due that was asked for (upstream scrub_must_stamp)."""
_DAY_S, _QUARTER_S = 86400.0, 900.0
_PUSHED_BACK_S = 100.0
_RECOVERS = int(PGState.RECOVERING | PGState.BACKFILLING)


def fresh() -> Planned:
    """Nothing is planned."""
    return Planned()


@dataclass(slots=True)
class Load:
    """The host's load: over a minute as it is told, over longer times as that was seen."""

    processors: int = 1
    minute: float = 0.0
    quarter: float = 0.0
    day: float = 0.0
    _seen: bool = False

    def see(self, minute: float, passed_s: float = 1.0) -> None:
        """The load of the last minute, some seconds after it was told before."""
        self.minute = minute
        if not self._seen:
            self.quarter = self.day = minute
            self._seen = True
        self.quarter += (minute - self.quarter) * min(passed_s / _QUARTER_S, 1.0)
        self.day += (minute - self.day) * min(passed_s / _DAY_S, 1.0)

    def is_low(self, threshold: float) -> bool:
        """Whether there is little to do, or less than there was lately and usually is."""
        if self.minute / max(self.processors, 1) < threshold:
            return True
        return self.minute < self.day and self.minute < self.quarter


def tick(shared: Shared, pgs: Iterable[PG], load: Load) -> None:
    """Once a second: begins a scrub if one is due and may be."""
    options = shared.options
    if not shared.scrubs.is_free(options.osd_max_scrubs):
        return
    repairs_only = False
    if shared.is_recovering() and not options.osd_scrub_during_recovery:
        if not options.osd_repair_during_recovery:
            return
        repairs_only = True
    forced = any(pg.scrubber.planned.must_scrub for pg in pgs)
    if not forced and _chance(shared) < options.osd_scrub_backoff_ratio:
        return
    now = shared.services.wall()
    permitted = is_time(options, now) and load.is_low(options.osd_scrub_load_threshold)
    stamp = UTime.at(now)
    due = [(job_of(pg), pg) for pg in pgs if pg.is_primary and pg.is_active()]
    due = [each for each in due if each[0].at <= stamp]
    for job, pg in sorted(due, key=lambda each: (each[0].at, str(each[1].pgid))):
        late = job.deadline is not None and job.deadline < stamp
        if not (permitted or late or job.forced) or pg.scrubber.run is not None:
            continue
        if repairs_only and not pg.scrubber.planned.must_repair:
            continue
        if try_begin(pg):
            return


def _chance(shared: Shared) -> float:
    """A number from 0 up to 1."""
    return int.from_bytes(shared.services.random(4), "little") / (1 << 32)


def job_of(pg: PG) -> Job:
    """When a PG that we lead is to be scrubbed next."""
    job = pg.scrubber.job
    if job is None:
        job = pg.scrubber.job = _make_job(pg)
    return job


def _make_job(pg: PG) -> Job:
    planned, stats = pg.scrubber.planned, pg.info.stats
    if planned.must_scrub or planned.need_auto:
        return Job(MUST_STAMP, MUST_STAMP, forced=True)
    if stats.stats_invalid and pg.options.osd_scrub_invalid_stats:
        now = UTime.at(pg.services.wall())
        return Job(now, now)
    least = interval(pg, PoolOpt.SCRUB_MIN_INTERVAL, pg.options.osd_scrub_min_interval)
    most = interval(pg, PoolOpt.SCRUB_MAX_INTERVAL, pg.options.osd_scrub_max_interval)
    ratio = pg.options.osd_scrub_interval_randomize_ratio
    since = float(pg.info.history.last_scrub_stamp)
    at = since + least * (1 + ratio * _chance(pg.shared))
    return Job(UTime.at(at), UTime.at(since + most) if most else None)


def interval(pg: PG, option: PoolOpt, usual: float) -> float:
    """Seconds, by the pool's own option if it has one."""
    own = pg.pool.opts.opts.get(int(option), 0)
    return float(own) if not isinstance(own, str) and own > 0 else usual


def is_time(options: Settings, now: float) -> bool:
    """Whether hour and day of the week are those in which scrubs may begin."""
    local = datetime.fromtimestamp(now, tz=UTC).astimezone()
    day = (local.weekday() + 1) % 7  # 0 is Sunday
    return _within(
        day, options.osd_scrub_begin_week_day, options.osd_scrub_end_week_day
    ) and _within(local.hour, options.osd_scrub_begin_hour, options.osd_scrub_end_hour)


def _within(value: int, begin: int, end: int) -> bool:
    if begin < end:
        return begin <= value < end
    return value >= begin or value < end


def sleep_s(pg: PG, *, required: bool) -> float:
    """Seconds between chunks."""
    options = pg.options
    if required or is_time(options, pg.services.wall()):
        return options.osd_scrub_sleep
    return max(options.osd_scrub_extended_sleep, options.osd_scrub_sleep)


def priority(pg: PG) -> int:
    """Of scrubs that nobody asked for."""
    own = pg.pool.opts.opts.get(int(PoolOpt.SCRUB_PRIORITY), 0)
    return own if isinstance(own, int) and own > 0 else pg.options.osd_scrub_priority


def is_recovering(pg: PG) -> bool:
    """Whether this OSD moves objects now, of any PG."""
    return pg.shared.is_recovering()


# ------------------------------------------------------------------------------------- what begins


def try_begin(pg: PG) -> bool:
    """Begins the scrub that a PG is due, unless something is against it."""
    wanted = PGState.ACTIVE | PGState.CLEAN
    if not pg.is_primary or pg.state & wanted != wanted or pg.scrubber.owed:
        return False
    planned = _decide(pg)
    slots = pg.shared.scrubs
    if planned is None or not slots.is_free(pg.options.osd_max_scrubs):
        return False
    slots.local += 1
    pg.scrubber.planned = planned
    machine.begin(pg)
    return True


def allows_deep(pg: PG) -> bool:
    """Whether nobody has forbidden deep scrubs."""
    return not (pg.osdmap.flags & OSDMapFlag.NODEEP_SCRUB or pg.pool.flags & PoolFlag.NODEEP_SCRUB)


def allows_light(pg: PG) -> bool:
    """Whether nobody has forbidden scrubs."""
    return not (pg.osdmap.flags & OSDMapFlag.NOSCRUB or pg.pool.flags & PoolFlag.NOSCRUB)


def _decide(pg: PG) -> Planned | None:
    """Deep or not, with repair or not; None if it is not to be."""
    planned = replace(
        pg.scrubber.planned, time_for_deep=False, deep_scrub_on_error=False, auto_repair=False
    )
    has_deep_errors = pg.info.stats.stats.sum.num_deep_scrub_errors > 0
    prefix = f"osd.{pg.whoami.osd} pg {pg.pgid}"
    options = pg.options
    if planned.must_scrub and not planned.must_deep_scrub and has_deep_errors:
        pg.services.clog(
            LogLevel.ERROR, f"{prefix} Regular scrub request, deep-scrub details will be lost"
        )
    if not planned.must_scrub and not _decide_periodic(
        pg, planned, prefix, has_deep_errors=has_deep_errors
    ):
        return None
    may_repair = options.osd_repair_during_recovery and planned.must_repair
    if is_recovering(pg) and not options.osd_scrub_during_recovery and not may_repair:
        return None
    if planned.need_auto:
        planned.auto_repair = planned.time_for_deep = True
    planned.need_auto = False
    return planned


def _decide_periodic(pg: PG, planned: Planned, prefix: str, *, has_deep_errors: bool) -> bool:
    deep, light = allows_deep(pg), allows_light(pg)
    if not deep:
        if has_deep_errors:
            pg.services.clog(
                LogLevel.ERROR,
                f"{prefix} Regular scrub skipped due to deep-scrub errors and nodeep-scrub set",
            )
            return False
        return light
    planned.time_for_deep = planned.need_auto or _is_time_for_deep(
        pg, prefix, light=light, has_deep_errors=has_deep_errors
    )
    if pg.options.osd_scrub_auto_repair and not pg.pool.is_erasure:
        if planned.time_for_deep:
            planned.auto_repair = True
        elif light:
            planned.deep_scrub_on_error = True
    return light or planned.time_for_deep


def _is_time_for_deep(pg: PG, prefix: str, *, light: bool, has_deep_errors: bool) -> bool:
    options = pg.options
    every = interval(pg, PoolOpt.DEEP_SCRUB_INTERVAL, options.osd_deep_scrub_interval)
    if pg.services.wall() >= float(pg.info.history.last_deep_scrub_stamp) + every:
        return True
    if has_deep_errors:
        pg.services.clog(
            LogLevel.INFO, f"{prefix} Deep scrub errors, upgrading scrub to deep-scrub"
        )
        return True
    return light and _chance(pg.shared) < options.osd_deep_scrub_randomize_ratio


# ------------------------------------------------------------------------------------ what is asked


def request(pg: PG, *, deep: bool, repair: bool) -> None:
    """An administrator wants the PG scrubbed, now."""
    if not pg.is_primary:
        return
    planned = pg.scrubber.planned
    planned.must_scrub = planned.req_scrub = True
    planned.must_deep_scrub = deep or repair
    planned.must_repair = repair
    planned.need_auto = False
    pg.scrubber.job = None


def pretend_old(pg: PG, *, deep: bool, seconds: float) -> UTime:
    """Puts the time of the last scrub back, so that the next one is due; that time.

    By so many seconds, or if that is 0 by as many as make it overdue.
    """
    options = pg.options
    if not seconds and deep:
        seconds = interval(pg, PoolOpt.DEEP_SCRUB_INTERVAL, options.osd_deep_scrub_interval)
    elif not seconds:
        seconds = interval(pg, PoolOpt.SCRUB_MAX_INTERVAL, options.osd_scrub_max_interval)
    stamp = UTime.at(max(pg.services.wall() - seconds - _PUSHED_BACK_S, 0.0))
    history = pg.info.history
    if deep:
        history.last_deep_scrub_stamp = stamp
    else:
        history.last_scrub_stamp = stamp
    pg.meta.dirty_info = True
    pg.scrubber.job = None
    return stamp


def look_soon(pg: PG) -> None:
    """What is due has changed: it is worked out anew at the next look."""
    pg.scrubber.job = None


def dump(pgs: Iterable[PG]) -> list[dict[str, object]]:
    """What is planned, the next one first, as the admin socket shows it."""
    jobs = [(job_of(pg), pg) for pg in pgs if pg.is_primary and pg.is_active()]
    return [
        {
            "pgid": str(pg.pgid),
            "sched_time": str(job.at),
            "deadline": str(job.deadline or UTime()),
            "forced": job.forced,
        }
        for job, pg in sorted(jobs, key=lambda each: (each[0].at, str(each[1].pgid)))
    ]
