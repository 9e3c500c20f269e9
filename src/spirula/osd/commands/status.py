"""Commands that show an OSD or have it report: status, requests, watchers, maps, ping times.

Documents have upstream's fields (`src/osd/OSD.cc`, asok_command).
"""

from __future__ import annotations

import uuid
from asyncio import Future
from typing import TYPE_CHECKING

from spirula.conf.admin_commands import Call, CommandTable, Reply, Section
from spirula.errors import CephError, InvalidArgument, NotSupported
from spirula.maps.by_osd import pgs_of_osd
from spirula.osd import reports
from spirula.osd.state import OSD, subscribe_maps
from spirula.printing import Items, Unquoted
from spirula.types.base import calendar_text
from spirula.types.hobject import snap_name
from spirula.types.log import LogLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.types.osd_stats import PingTimes

_FILTER = "name=filterstr,type=CephString,n=N,req=false"
_NOT_TRACKED = (
    "op_tracker tracking is not enabled now, so no ops are tracked currently, even those get "
    'stuck. Please enable "osd_enable_op_tracker", and the tracker will start to track new ops '
    "received afterwards."
)
_LEVELS = {
    "error": LogLevel.ERROR,
    "warning": LogLevel.WARN,
    "info": LogLevel.INFO,
    "debug": LogLevel.DEBUG,
}
_HEAP_COMMANDS = "dump|start_profiler|stop_profiler|release|get_release_rate|set_release_rate|stats"


def register(table: CommandTable, osd: OSD) -> None:
    """Adds these commands to the OSD's table."""
    _register_ops(table, osd)
    add = table.register
    add("status", lambda _: _status(osd), "who the OSD is, what it does, which maps it has")
    add("dump_blocklist", lambda _: _blocklist(osd), "clients that are kept out, and until when")
    add("dump_watchers", lambda _: _watchers(osd), "clients that watch objects, and which")
    add("get_mapped_pools", lambda _: _mapped_pools(osd), "pools that have PGs on this OSD")
    add("get_latest_osdmap", lambda _: _latest_map(osd), "have the newest map fetched")
    add("send_beacon", lambda _: _beacon(osd), "send a beacon to the monitors now")
    add("flush_pg_stats", lambda _: _flush_stats(osd), "send statistics to the manager now")
    add("list_devices", lambda _: Section("list_devices", []), "the devices of the store")
    add(
        "smart name=devid,type=CephString,req=false",
        lambda call: osd.ports.smart(call.text("devid")),
        "what the store's devices tell of their health",
    )
    add(
        "dump_pgstate_history",
        lambda _: _pg_states(osd),
        "the state of each PG's peering",
    )
    add(
        "dump_recovery_reservations",
        lambda _: Section("reservations", osd.pgs.shared.reservers.plain()),
        "slots for recovery and backfill: who has one, and who waits",
    )
    add(
        "dump_op_pq_state",
        lambda _: Section("op_queue", osd.pgs.shared.scheduler.dump()),
        "background work that waits for its turn, and what share each kind has",
    )
    add(
        "dump_osd_network name=value,type=CephInt,req=false",
        lambda call: _network(osd, call),
        "times of pings to other OSDs that are at least as long as a number of milliseconds",
    )
    add(
        "cluster_log "
        "name=level,type=CephChoices,strings=error|warning|info|debug "
        "name=message,type=CephString,n=N",
        lambda call: _cluster_log(osd, call),
        "write a line to the cluster log",
    )
    add(
        "objecter_requests",
        lambda _: _objecter_requests(osd),
        "requests that this OSD has sent to other OSDs as their client",
    )
    add("flush_journal", lambda _: _flush(osd), "wait until all that was written is on the disk")
    add(
        "debug dump_missing name=filename,type=CephFilepath",
        lambda _: _missing(osd),
        "objects that PGs lack",
    )
    add("cache status", lambda _: _cache_status(osd), "what the caches hold")
    add("cache drop", lambda _: _cache_drop(osd), "empty the caches")
    add(
        f"heap name=heapcmd,type=CephChoices,strings={_HEAP_COMMANDS} "
        "name=value,type=CephString,req=false",
        _heap,
        "memory of tcmalloc, which is not used here",
    )


def _register_ops(table: CommandTable, osd: OSD) -> None:
    tracker = osd.tracker

    def tracked(show: Callable[[], dict[str, object]], name: str) -> Callable[[Call], Reply]:
        def handler(call: Call) -> Reply:
            if not tracker.enabled:
                raise InvalidArgument(_NOT_TRACKED)
            found = show()
            words = call.texts("filterstr")
            return Section(name, _filtered(found, words) if words else found)

        return handler

    in_flight = tracked(tracker.dump_in_flight, "ops_in_flight")
    for prefix, handler, text in (
        ("ops", in_flight, "requests that are under way"),
        ("dump_ops_in_flight", in_flight, "requests that are under way"),
        (
            "dump_blocked_ops",
            tracked(lambda: tracker.dump_in_flight(only_blocked=True), "ops_in_flight"),
            "requests that are under way for too long",
        ),
        (
            "dump_historic_ops",
            tracked(tracker.dump_historic, "op_history"),
            "requests of late that took longest",
        ),
        (
            "dump_historic_ops_by_duration",
            tracked(lambda: tracker.dump_historic(by_duration=True), "op_history"),
            "the same, the longest first",
        ),
        (
            "dump_historic_slow_ops",
            tracked(tracker.dump_historic_slow, "OpHistory slow ops"),
            "requests that were slow",
        ),
    ):
        table.register(f"{prefix} {_FILTER}", handler, text)


def _filtered(document: dict[str, object], words: list[str]) -> dict[str, object]:
    """Only requests whose events or description hold one of the words."""
    for key in ("ops", "Ops"):
        shown = document.get(key)
        if isinstance(shown, Items):
            kept = [one for one in shown if any(word in str(one) for word in words)]
            document[key] = Items(shown.item_name, kept)
            if "num_ops" in document:
                document["num_ops"] = len(kept)
    return document


def _status(osd: OSD) -> Reply:
    superblock = osd.superblock
    return {
        "cluster_fsid": str(uuid.UUID(bytes=bytes(superblock.cluster_fsid))),
        "osd_fsid": str(uuid.UUID(bytes=bytes(superblock.osd_fsid))),
        "whoami": superblock.whoami,
        "state": str(osd.phase),
        "oldest_map": superblock.oldest_map,
        "cluster_osdmap_trim_lower_bound": superblock.cluster_osdmap_trim_lower_bound,
        "newest_map": superblock.newest_map,
        "num_pgs": osd.pgs.count(),
    }


def _blocklist(osd: OSD) -> Reply:
    osdmap = osd.maps.current
    entries = [
        {"entity_addr_t": addr.plain(), "expire_time": str(until)}
        for addr, until in osdmap.blocklist.items()
    ]
    return Section("blocklist", Items("entry", entries))


def _watchers(osd: OSD) -> Reply:
    found = []
    for pg in osd.pgs.by_id.values():
        for watch in (each for obc in pg.objects.all() for each in obc.watchers.values()):
            soid = watch.obc.soid
            found.append(
                {
                    "namespace": soid.nspace,
                    "object": soid.oid,
                    "entity_name": watch.entity.plain(),
                    "cookie": watch.cookie,
                    "timeout": watch.timeout_s,
                    "entity_addr_t": watch.addr.plain(),
                }
            )
    return Section("watchers", Items("watch", found))


def _mapped_pools(osd: OSD) -> Reply:
    pools = sorted({pgid.pool for pgid in pgs_of_osd(osd.maps.mappings, osd.whoami)})
    return Section("mapped_pools", Items("pool_id", pools))


async def _latest_map(osd: OSD) -> Reply:
    newest, _ = await osd.monitors.get_version("osdmap")
    if newest > osd.maps.newest:
        subscribe_maps(osd, osd.maps.newest + 1, force=True)
    return b""


def _beacon(osd: OSD) -> Reply:
    if osd.is_active:
        reports.send_beacon(osd)
    return b""


def _flush_stats(osd: OSD) -> Reply:
    osd.manager.send_statistics()
    return str(osd.reports.stat.seq)


def _pg_states(osd: OSD) -> Reply:
    shown = [
        {"pg": str(pg.pgid), "currently": str(pg.peering.state)} for pg in osd.pgs.by_id.values()
    ]
    return Section("pgstate_history", {"pgs": Items("pg", shown)})


def _objecter_requests(osd: OSD) -> Reply:
    shown = []
    for request in osd.remote.objecter.requests():
        target = request.target
        shown.append(
            {
                "tid": request.tid,
                "pg": str(target.spgid.pgid),
                "osd": target.osd,
                "object_id": target.oid,
                "object_locator": f"@{target.locator.pool}",
                "paused": int(target.paused),
                "attempts": request.attempts,
                "snapid": snap_name(target.snap),
                "osd_ops": Items("osd_op", map(str, request.ops)),
            }
        )
    empty = ("linger_ops", "pool_ops", "pool_stat_ops", "statfs_ops", "command_ops")
    return Section("requests", {"ops": Items("op", shown), **{name: Items("op") for name in empty}})


async def _flush(osd: OSD) -> Reply:
    for cid in osd.store.list_collections():
        done: Future[CephError | None] = osd.ports.loop.create_future()
        if not osd.store.flush_commit(cid, done.set_result):
            error = await done
            if error is not None:
                raise error
    return b""


def _missing(osd: OSD) -> Reply:
    found = {
        str(pg.pgid): Items("object", [str(hoid) for hoid in sorted(pg.missing.missing)])
        for pg in osd.pgs.by_id.values()
    }
    return Section("pgs", found)


def _cluster_log(osd: OSD, call: Call) -> Reply:
    words = call.texts("message")
    if not words:
        raise InvalidArgument("ignoring empty log message")
    osd.clog(_LEVELS[call.text("level")], " ".join(words))
    return b""


def _heap(call: Call) -> Reply:
    del call
    raise NotSupported("could not issue heap profiler command -- not using tcmalloc!")


def _cache_status(osd: OSD) -> Reply:
    count = sum(len(pg.objects) for pg in osd.pgs.by_id.values())
    return Section("cache_status", {"object_ctx": count})


def _cache_drop(osd: OSD) -> Reply:
    for pg in osd.pgs.by_id.values():
        objects = pg.objects
        limit, objects.limit = objects.limit, 0
        objects.trim()
        objects.limit = limit
    return b""


# -------------------------------------------------------------------------------------- ping times


def _threshold(osd: OSD, call: Call) -> int:
    """From how many microseconds on times are shown."""
    if "value" in call.args:
        return max(call.number("value") * 1000, 0)
    config = osd.config
    found = int(config.get_float("mon_warn_on_slow_ping_time") * 1000)
    if not found:
        grace = config.get_int("osd_heartbeat_grace")
        found = int(grace * 1_000_000 * config.get_float("mon_warn_on_slow_ping_ratio"))
    return max(found, 0)


def _network(osd: OSD, call: Call) -> Reply:
    limit = _threshold(osd, call)
    rows: list[tuple[int, int, bool, PingTimes]] = []
    for other, times in osd.reports.stat.hb_pingtime.items():
        if not times.last_update:
            continue
        for is_back, averages in ((True, times.back_pingtime), (False, times.front_pingtime)):
            if max(averages) >= limit and (is_back or times.front_last):
                rows.append((max(averages), other, is_back, times))
    rows.sort(key=lambda row: row[:3], reverse=True)
    now = int(osd.ports.wall())
    stale = osd.config.get_int("osd_heartbeat_stale")
    entries = [
        _row(osd.whoami, other, is_back, times, now - stale) for _, other, is_back, times in rows
    ]
    return Section(
        "network_ping_times", {"threshold": limit // 1000, "entries": Items("entry", entries)}
    )


def _row(whoami: int, other: int, is_back: bool, times: PingTimes, stale: int) -> dict[str, object]:
    prefix = "back" if is_back else "front"
    shown: dict[str, object] = {
        "last update": calendar_text(times.last_update),
        "stale": times.last_update < stale,
        "from osd": whoami,
        "to osd": other,
        "interface": prefix,
    }
    for label, name in (("average", "pingtime"), ("min", "min"), ("max", "max")):
        values = getattr(times, f"{prefix}_{name}")
        shown[label] = dict(zip(("1min", "5min", "15min"), map(_ms, values), strict=True))
    shown["last"] = _ms(getattr(times, f"{prefix}_last"))
    return shown


def _ms(microseconds: int) -> Unquoted:
    return Unquoted(f"{microseconds // 1000}.{microseconds % 1000:03d}")
