"""What the admin socket of a manager answers beside the commands that all daemons have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spirula.conf.admin_commands import Call, CommandTable
from spirula.mgr.health.osds import slow_limit_us
from spirula.mgr.health.view import View
from spirula.printing import Items, Unquoted
from spirula.types.base import calendar_text

if TYPE_CHECKING:
    from spirula.mgr.state import Manager
    from spirula.types.osd_stats import PingTimes


def register(table: CommandTable, manager: Manager) -> None:
    """Puts the manager's own commands into its table."""

    def mgr_status(_: Call) -> dict[str, object]:
        return {"mgrmap_epoch": manager.mgrmap.epoch, "initialized": manager.is_active}

    def dump_osd_network(call: Call) -> dict[str, object]:
        asked = call.args.get("value")
        return {"network_ping_times": _network(manager, asked if isinstance(asked, int) else None)}

    table.register("mgr_status", mgr_status, "whether this manager serves")
    table.register(
        "dump_osd_network name=value,type=CephInt,req=false",
        dump_osd_network,
        "show heartbeats between OSDs that took longer than so many milliseconds",
    )


def _network(manager: Manager, asked_ms: int | None) -> dict[str, Any]:
    now = manager.ports.wall()
    view = View(manager.pgmap, manager.osdmap, manager.config, now)
    limit = int(slow_limit_us(view)) if asked_ms is None else max(asked_ms, 0) * 1000
    stale_s = manager.config.get_int("osd_heartbeat_stale")
    forgotten_s = manager.config.get_int("osd_mon_heartbeat_stat_stale")
    found = []
    for origin, stat in manager.pgmap.osd_stat.items():
        for to, times in stat.hb_pingtime.items():
            age_s = now - times.last_update
            if not times.last_update or age_s > forgotten_s:
                continue
            for side in ("back", "front"):
                entry = _entry(times, side)
                if entry is None or (limit and max(entry[0]) < limit):
                    continue
                shown = {
                    "last update": calendar_text(times.last_update),
                    "stale": age_s > stale_s,
                    "from osd": origin,
                    "to osd": to,
                    "interface": side,
                    **entry[1],
                }
                found.append(((max(entry[0]), origin, to, side == "back"), shown))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return {"threshold": limit // 1000, "entries": Items("entry", [one for _, one in found])}


def _entry(times: PingTimes, side: str) -> tuple[list[int], dict[str, Any]] | None:
    """The mean times of one network in microseconds, and what is shown of them."""
    last = times.back_last if side == "back" else times.front_last
    if side == "front" and not last:
        return None
    mean: list[int] = getattr(times, f"{side}_pingtime")
    shown: dict[str, Any] = {}
    for label, values in (
        ("average", mean),
        ("min", getattr(times, f"{side}_min")),
        ("max", getattr(times, f"{side}_max")),
    ):
        shown[label] = dict(zip(("1min", "5min", "15min"), map(_ms, values), strict=True))
    return mean, {**shown, "last": _ms(last)}


def _ms(microseconds: int) -> Unquoted:
    return Unquoted(f"{microseconds / 1000:.3f}")
