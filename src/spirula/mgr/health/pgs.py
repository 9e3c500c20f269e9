"""Checks of PGs: what their states mean for data, scrubs that are late, snapshots in the queue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum

from spirula.mgr.health.view import View
from spirula.types.base import UTime
from spirula.types.pg import PGId, PGState, pg_state_text
from spirula.types.pg_stats import PGStat
from spirula.types.pool import PoolOpt
from spirula.types.service import HealthCheck, HealthStatus


class Consequence(IntEnum):
    """What a state of a PG means for those who use the pool."""

    UNAVAILABLE = 1
    DEGRADED = 2
    BACKFILL_FULL = 3
    DAMAGED = 4
    RECOVERY_FULL = 5


_HEADS = {
    Consequence.UNAVAILABLE: (
        "PG_AVAILABILITY",
        HealthStatus.WARN,
        "Reduced data availability: ",
    ),
    Consequence.DEGRADED: ("PG_DEGRADED", HealthStatus.WARN, "Degraded data redundancy: "),
    Consequence.BACKFILL_FULL: (
        "PG_BACKFILL_FULL",
        HealthStatus.WARN,
        "Low space hindering backfill (add storage if this doesn't resolve itself): ",
    ),
    Consequence.DAMAGED: ("PG_DAMAGED", HealthStatus.ERR, "Possible data damage: "),
    Consequence.RECOVERY_FULL: (
        "PG_RECOVERY_FULL",
        HealthStatus.ERR,
        "Full OSDs blocking recovery: ",
    ),
}


@dataclass(slots=True, frozen=True)
class _Rule:
    """A state that means something.

    `since` is the stamp of when the PG was last not in it: the check waits until that is long ago.
    `absent`: it is the lack of the state that matters.
    """

    state: PGState
    consequence: Consequence
    since: str = ""
    absent: bool = False

    @property
    def name(self) -> str:
        return "inactive" if self.absent else pg_state_text(self.state)


_RULES = sorted(
    (
        _Rule(PGState.INCONSISTENT, Consequence.DAMAGED),
        _Rule(PGState.INCOMPLETE, Consequence.UNAVAILABLE),
        _Rule(PGState.SNAPTRIM_ERROR, Consequence.DAMAGED),
        _Rule(PGState.RECOVERY_UNFOUND, Consequence.DAMAGED),
        _Rule(PGState.BACKFILL_UNFOUND, Consequence.DAMAGED),
        _Rule(PGState.BACKFILL_TOOFULL, Consequence.BACKFILL_FULL),
        _Rule(PGState.RECOVERY_TOOFULL, Consequence.RECOVERY_FULL),
        _Rule(PGState.DEGRADED, Consequence.DEGRADED),
        _Rule(PGState.DOWN, Consequence.UNAVAILABLE),
        _Rule(PGState.PEERING, Consequence.UNAVAILABLE, "last_peered"),
        _Rule(PGState.UNDERSIZED, Consequence.DEGRADED, "last_fullsized"),
        _Rule(PGState.STALE, Consequence.UNAVAILABLE, "last_unstale"),
        _Rule(PGState.ACTIVE, Consequence.UNAVAILABLE, "last_active", absent=True),
    ),
    key=lambda rule: rule.state,
)


@dataclass(slots=True)
class _Causes:
    """Why a consequence is reported: PGs by rule, and a line for each of the first ones."""

    states: Counter[_Rule] = field(default_factory=Counter)
    lines: dict[PGId, str] = field(default_factory=dict)


def checks(view: View) -> dict[str, HealthCheck]:
    """The checks of PGs that do not pass."""
    found = _states(view)
    found |= _unfound(view)
    found |= _late_scrubs(view)
    found |= _snap_trims(view)
    total = view.pgmap.pg_sum.stats.sum
    if total.num_scrub_errors:
        found["OSD_SCRUB_ERRORS"] = HealthCheck(
            HealthStatus.ERR,
            f"{total.num_scrub_errors} scrub errors",
            count=total.num_scrub_errors,
        )
    misplaced, copies = total.num_objects_misplaced, total.num_object_copies
    if misplaced and copies > 0 and view.config.get_bool("mon_warn_on_misplaced"):
        found["OBJECT_MISPLACED"] = HealthCheck(
            HealthStatus.WARN,
            f"{misplaced}/{copies} objects misplaced ({misplaced / copies * 100:.3f}%)",
            count=misplaced,
        )
    return found


def _states(view: View) -> dict[str, HealthCheck]:
    states = view.pgmap.num_pg_by_state
    rules = [
        rule for rule in _RULES if any(bool(state & rule.state) != rule.absent for state in states)
    ]
    if not rules:
        return {}
    causes: dict[Consequence, _Causes] = {}
    cutoff = view.now - view.config.get_int("mon_pg_stuck_threshold")
    for pgid, stat in view.pgmap.pg_stat.items():
        for rule in rules:
            if bool(stat.state & rule.state) == rule.absent:
                continue
            if rule.since and not _is_stuck(stat, rule, cutoff):
                continue
            cause = causes.setdefault(rule.consequence, _Causes())
            cause.states[rule] += 1
            if len(cause.lines) <= view.most_details:
                cause.lines[pgid] = _line(view, pgid, stat, rule)
    return dict(_state_check(view, what, causes[what]) for what in sorted(causes))


def _is_stuck(stat: PGStat, rule: _Rule, cutoff: float) -> bool:
    since: UTime = getattr(stat, rule.since)
    if not since and float(stat.last_change) >= cutoff:
        return False
    return float(since) < cutoff


def _line(view: View, pgid: PGId, stat: PGStat, rule: _Rule) -> str:
    acting = f"[{','.join(map(str, stat.acting))}]"
    if rule.since:
        since: UTime = getattr(stat, rule.since)
        ago = UTime.at(max(view.now - float(since), 0.0)).span_text()
        long = f"for {ago}" if since else "since forever"
        line = (
            f"pg {pgid} is stuck {rule.name} {long}, current state {pg_state_text(stat.state)},"
            f" last acting {acting}"
        )
    else:
        line = f"pg {pgid} is {pg_state_text(stat.state)}, acting {acting}"
        if stat.stats.sum.num_objects_unfound:
            line += f", {stat.stats.sum.num_objects_unfound} unfound"
    pool = view.osdmap.pools.get(pgid.pool)
    if stat.state & PGState.INCOMPLETE and pool is not None and pool.min_size > 1:
        line += (
            f" (reducing pool {view.pool_name(pgid.pool)} min_size from {pool.min_size} may help;"
            " search ceph.com/docs for 'incomplete')"
        )
    return line


def _state_check(view: View, what: Consequence, cause: _Causes) -> tuple[str, HealthCheck]:
    code, severity, summary = _HEADS[what]
    total = view.pgmap.pg_sum.stats.sum
    degraded, copies = total.num_objects_degraded, total.num_object_copies
    if what is Consequence.DEGRADED and degraded and copies > 0:
        share = degraded / copies * 100
        summary += f"{degraded}/{copies} objects degraded ({share:.3f}%), "
    summary += ", ".join(
        f"{count} {'pgs' if count > 1 else 'pg'} {rule.name}"
        for rule, count in sorted(cause.states.items(), key=lambda each: each[0].state)
    )
    lines = [cause.lines[pgid] for pgid in sorted(cause.lines, key=_order)]
    return code, HealthCheck(severity, summary, lines, sum(cause.states.values()))


def _order(pgid: PGId) -> tuple[int, int]:
    return pgid.pool, pgid.seed


def _unfound(view: View) -> dict[str, HealthCheck]:
    total = view.pgmap.pg_sum.stats.sum
    unfound, objects = total.num_objects_unfound, total.num_objects
    if not unfound or not objects:
        return {}
    lines = []
    for pgid, stat in view.pgmap.pg_stat.items():
        count = stat.stats.sum.num_objects_unfound
        if not count:
            continue
        lines.append(f"pg {pgid} has {count} unfound objects")
        if len(lines) > view.most_details:
            lines.append("(additional pgs left out for brevity)")
            break
    summary = f"{unfound}/{objects} objects unfound ({unfound / objects * 100:.3f}%)"
    return {"OBJECT_UNFOUND": HealthCheck(HealthStatus.WARN, summary, lines, unfound)}


_SCRUBS = (
    (
        "PG_NOT_SCRUBBED",
        "scrubbed",
        "last_scrub_stamp",
        "mon_warn_pg_not_scrubbed_ratio",
        PoolOpt.SCRUB_MAX_INTERVAL,
        "osd_scrub_max_interval",
    ),
    (
        "PG_NOT_DEEP_SCRUBBED",
        "deep-scrubbed",
        "last_deep_scrub_stamp",
        "mon_warn_pg_not_deep_scrubbed_ratio",
        PoolOpt.DEEP_SCRUB_INTERVAL,
        "osd_deep_scrub_interval",
    ),
)


def _late_scrubs(view: View) -> dict[str, HealthCheck]:
    found = {}
    for code, done, stamp, ratio_option, pool_option, option in _SCRUBS:
        ratio = view.config.get_float(ratio_option)
        if not ratio:
            continue
        oldest = {}
        for number, pool in view.osdmap.pools.items():
            interval = float(pool.opts.opts.get(pool_option) or view.config.get_float(option))
            oldest[number] = view.now - (1 + ratio) * interval
        late = [
            (pgid, getattr(stat, stamp))
            for pgid, stat in view.pgmap.pg_stat.items()
            if pgid.pool in oldest and float(getattr(stat, stamp)) < oldest[pgid.pool]
        ]
        if late:
            lines = [f"pg {pgid} not {done} since {at}" for pgid, at in late[: view.most_details]]
            if len(late) > len(lines):
                lines.append(f"{len(late) - len(lines)} more pgs... ")
            summary = f"{len(late)} pgs not {done} in time"
            found[code] = HealthCheck(HealthStatus.WARN, summary, lines, len(late))
    return found


def _snap_trims(view: View) -> dict[str, HealthCheck]:
    limit = view.config.get_int("mon_osd_snap_trim_queue_warn_on")
    if limit <= 0:
        return {}
    late = [
        (pgid, stat.snaptrimq_len)
        for pgid, stat in view.pgmap.pg_stat.items()
        if stat.snaptrimq_len >= limit
    ]
    if not late:
        return {}
    lines = [f"snap trim queue for pg {pgid} at {length}" for pgid, length in late]
    if len(lines) >= view.most_details:
        lines = [*lines[: view.most_details - 1], "...more pgs affected"]
    longest = max(late, key=lambda each: each[1])
    lines.append(f"longest queue on pg {longest[0]} at {longest[1]}")
    lines.append(
        'try decreasing "osd snap trim sleep" and/or increasing "osd pg max concurrent snap trims".'
    )
    summary = f"snap trim queue for {len(late)} pg(s) >= {limit} (mon_osd_snap_trim_queue_warn_on)"
    return {"PG_SLOW_SNAP_TRIMMING": HealthCheck(HealthStatus.WARN, summary, lines, len(late))}
