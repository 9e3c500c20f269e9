"""Checks of OSDs: slow heartbeats, repaired reads, what their stores complain of."""

from __future__ import annotations

from dataclasses import dataclass

from spirula.crush.lookup import full_location
from spirula.errors import NotFound
from spirula.maps.state import is_down
from spirula.mgr.health.view import View
from spirula.types.osd_stats import PingTimes
from spirula.types.service import HealthCheck, HealthStatus

_MOST_SLOW = 10
_ALERTS = {
    "BLUEFS_SPILLOVER": "experiencing BlueFS spillover",
    "BLUESTORE_NO_COMPRESSION": "have broken BlueStore compression",
    "BLUESTORE_LEGACY_STATFS": "reporting legacy (not per-pool) BlueStore stats",
    "BLUESTORE_DISK_SIZE_MISMATCH": (
        "have dangerous mismatch between BlueStore block device and free list sizes"
    ),
    "BLUESTORE_NO_PER_PG_OMAP": "reporting legacy (not per-pg) BlueStore omap usage stats",
    "BLUESTORE_SPURIOUS_READ_ERRORS": "have spurious read errors",
}


def checks(view: View) -> dict[str, HealthCheck]:
    """The checks of OSDs that do not pass."""
    return _slow_pings(view) | _repairs(view) | _alerts(view)


# --------------------------------------------------------------------------------------- heartbeats


@dataclass(slots=True, frozen=True, order=True)
class _Slow:
    microseconds: int
    origin: int
    to: int
    improving: bool


def slow_limit_us(view: View) -> float:
    """From which time on a heartbeat counts as slow, in microseconds."""
    limit = view.config.get_float("mon_warn_on_slow_ping_time") * 1000
    if limit:
        return limit
    ratio = view.config.get_float("mon_warn_on_slow_ping_ratio")
    return view.config.get_int("osd_heartbeat_grace") * 1_000_000 * ratio


def _slow_pings(view: View) -> dict[str, HealthCheck]:
    limit = slow_limit_us(view)
    if limit <= 0:
        return {}
    oldest = int(view.now) - view.config.get_int("osd_heartbeat_grace") * 60
    found = {}
    for side in ("back", "front"):
        slow = []
        for origin, stat in view.pgmap.osd_stat.items():
            for to, times in stat.hb_pingtime.items():
                if times.last_update >= oldest:
                    longest, improving = _longest(times, side)
                    if longest > limit:
                        slow.append(_Slow(longest, origin, to, improving))
        if slow:
            slow.sort(reverse=True)
            summary = f"Slow OSD heartbeats on {side} (longest {_ms(slow[0].microseconds)}ms)"
            lines = [_slow_line(view, side, one) for one in slow[:_MOST_SLOW]]
            if len(slow) > _MOST_SLOW:
                lines.append(
                    "Truncated long network list.  Use ceph daemon mgr.# dump_osd_network for more"
                    " information"
                )
            code = f"OSD_SLOW_PING_TIME_{side.upper()}"
            found[code] = HealthCheck(HealthStatus.WARN, summary, lines, len(slow))
    return found


def _longest(times: PingTimes, side: str) -> tuple[int, bool]:
    one, five, fifteen = times.back_pingtime if side == "back" else times.front_pingtime
    return max(one, five, fifteen), one < five < fifteen


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.3f}"


def _slow_line(view: View, side: str, slow: _Slow) -> str:
    ends = [
        f"osd.{osd} [{_parents(view, osd)}]{' (down)' if is_down(view.osdmap, osd) else ''}"
        for osd in (slow.origin, slow.to)
    ]
    return (
        f"Slow OSD heartbeats on {side} from {ends[0]} to {ends[1]} {_ms(slow.microseconds)} msec"
        f"{' possibly improving' if slow.improving else ''}"
    )


def _parents(view: View, osd: int) -> str:
    hidden = {"root", view.config.get_str("mon_osd_reporter_subtree_level")}
    try:
        around = full_location(view.osdmap.crush, osd)
    except NotFound:
        around = []  # it is not placed yet
    return ",".join(sorted({name for kind, name in around if kind not in hidden}))


# ------------------------------------------------------------------------------------------ stores


def _repairs(view: View) -> dict[str, HealthCheck]:
    most = view.config.get_int("mon_osd_warn_num_repaired")
    lines = [
        f"osd.{osd} had {stat.num_shards_repaired} reads repaired"
        for osd, stat in sorted(view.pgmap.osd_stat.items())
        if stat.num_shards_repaired > most
    ]
    if not lines:
        return {}
    summary = f"Too many repaired reads on {len(lines)} OSDs"
    return {"OSD_TOO_MANY_REPAIRS": HealthCheck(HealthStatus.WARN, summary, lines, len(lines))}


def _alerts(view: View) -> dict[str, HealthCheck]:
    lines: dict[str, list[str]] = {}
    for osd, alerts in sorted(view.pgmap.osd_sum.os_alerts.items()):
        for code, text in [*sorted(alerts.items())][: view.most_details]:
            lines.setdefault(code, []).append(f" osd.{osd} {text}")
    found = {}
    for code, each in sorted(lines.items()):
        summary = f"{len(each)} OSD(s)"
        if code in _ALERTS:
            summary += f" {_ALERTS[code]}"
        found[code] = HealthCheck(HealthStatus.WARN, summary, each, len(each))
    return found
