"""What a PG is and where its agreement and recovery stand, for commands.

Documents have upstream's fields: `src/osd/PeeringState.cc` (dump_peering_state, the reactions to
QueryState and QueryUnfound), `PrimaryLogPG.cc` (dump_recovery_info, do_command).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.osd.pg import stats, unfound
from spirula.osd.pg.peering.state import State
from spirula.printing import Items
from spirula.store.tools.show_pg import info_document, missing_item_document
from spirula.types.base import UTime
from spirula.types.pg import PGShard, pg_state_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spirula.osd.pg.backfill_scan import Interval
    from spirula.osd.pg.state import PG
    from spirula.osd.pg.transfer import Pull, Push
    from spirula.types.hobject import HObject
    from spirula.types.past_intervals import PastIntervals

_COMMENTS = {
    State.WAIT_UP_THRU: "waiting for osdmap to reflect a new up_thru for this osd",
    State.DOWN: "not enough up instances of this PG to go active",
    State.INCOMPLETE: "not enough complete instances of this PG",
    State.WAIT_ACTING_CHANGE: "waiting for pg acting set to change",
}
_SILENT = (State.PRIMARY,)


def query(pg: PG) -> dict[str, object]:
    """`ceph pg <pgid> query`, but for what is the scrubber's and comes behind it."""
    peering = pg.peering
    stats.calculate(pg)
    found: dict[str, object] = {
        "snap_trimq": str(pg.trimmer.queue),
        "snap_trimq_len": pg.trimmer.queue.size,
        "state": pg_state_text(pg.state),
        "epoch": pg.epoch,
        "up": Items("osd", pg.up),
        "acting": Items("osd", pg.acting),
    }
    for name, shards in (
        ("backfill_targets", peering.backfill_targets),
        ("async_recovery_targets", peering.async_recovery_targets),
        ("acting_recovery_backfill", pg.acting_recovery_backfill),
    ):
        if shards:
            found[name] = Items("shard", map(str, _in_order(shards)))
    found["info"] = info_document(pg.info)
    found["peer_info"] = Items(
        "info",
        [
            {"peer": str(shard), **info_document(peering.peer_info[shard])}
            for shard in _in_order(peering.peer_info)
        ],
    )
    found["recovery_state"] = Items("state", _states(pg))
    return found


def _in_order(shards: Iterable[PGShard]) -> list[PGShard]:
    return sorted(shards, key=lambda each: (each.osd, each.shard))


def _states(pg: PG) -> list[dict[str, object]]:
    """The state and those around it, as far as upstream's say something."""
    made = []
    for state, since in reversed(pg.peering.entered.items()):
        said = _said(pg, state)
        if said is not None:
            made.append({"name": str(state), "enter_time": str(UTime.at(since)), **said})
    return made


def _said(pg: PG, state: State) -> dict[str, object] | None:
    peering = pg.peering
    if state in _COMMENTS:
        return {"comment": _COMMENTS[state]}
    if state == State.PEERING:
        return _peering(pg)
    if state == State.GET_INFO:
        return {
            "requested_info_from": Items(
                "osd", [{"osd": str(each)} for each in _in_order(peering.info_requested)]
            )
        }
    if state == State.GET_LOG:
        return {"auth_log_shard": str(peering.log_requested or pg.whoami)}
    if state == State.GET_MISSING:
        return {
            "peer_missing_requested": Items(
                "osd", [{"osd": str(each)} for each in _in_order(peering.missing_requested)]
            )
        }
    if state == State.ACTIVE:
        return _active(pg)
    inside = state.value.startswith((f"{State.ACTIVE}/", f"{State.REPLICA_ACTIVE}/"))
    return None if inside or state in _SILENT else {}


def _peering(pg: PG) -> dict[str, object]:
    prior = pg.peering.prior
    found: dict[str, object] = {
        "past_intervals": Items("interval", _past_intervals(pg.past_intervals)),
        "probing_osds": Items("osd", map(str, _in_order(prior.probe))),
    }
    if prior.pg_down:
        found["blocked"] = "peering is blocked due to down osds"
    found["down_osds_we_would_probe"] = Items("osd", sorted(prior.down))
    found["peering_blocked_by"] = Items(
        "osd",
        [
            {
                "osd": osd,
                "current_lost_at": lost_at,
                "comment": "starting or marking this osd lost may let us proceed",
            }
            for osd, lost_at in sorted(prior.blocked_by.items())
        ],
    )
    return found


def _past_intervals(past: PastIntervals) -> list[dict[str, object]]:
    if past.is_empty:
        return []
    first, end = past.bounds
    return [
        {
            "first": str(first),
            "last": str(end - 1),
            "all_participants": Items(
                "pg_shard", [{"osd": each.osd} for each in _in_order(past.all_participants)]
            ),
            "intervals": Items(
                "compact_interval_t",
                [
                    {
                        "first": str(each.first),
                        "last": str(each.last),
                        "acting": ",".join(map(str, _in_order(each.acting))),
                    }
                    for each in past.intervals
                ],
            ),
        }
    ]


def _active(pg: PG) -> dict[str, object]:
    backfill, recovery = pg.backfill, pg.recovery
    waiting = _in_order({*backfill.scanning, *backfill.finishing})
    return {
        "might_have_unfound": Items(
            "osd",
            [{"osd": str(shard), "status": status} for shard, status in unfound.describe(pg)],
        ),
        "recovery_progress": {
            "backfill_targets": Items("replica", map(str, _in_order(pg.peering.backfill_targets))),
            "waiting_on_backfill": Items("osd", map(str, waiting)),
            "last_backfill_started": str(backfill.last_started),
            "backfill_info": _interval(backfill.here),
            "peer_backfill_info": Items(
                "osd",
                [
                    {"osd": str(shard), **_interval(backfill.there[shard])}
                    for shard in _in_order(backfill.there)
                ],
            ),
            "backfills_in_flight": Items("object", map(str, sorted(backfill.in_flight))),
            "recovering": Items("object", map(str, sorted(recovery.moving))),
            "pg_backend": {
                "pull_from_peer": Items("pulling_from", _pulls(pg)),
                "pushing": Items("object", _pushes(pg)),
            },
        },
    }


def _interval(interval: Interval) -> dict[str, object]:
    return {
        "begin": str(interval.begin),
        "end": str(interval.end),
        "objects": Items(
            "object",
            [
                {"object": str(hoid), "version": str(interval.versions[hoid])}
                for hoid in interval.names
            ],
        ),
    }


def _pulls(pg: PG) -> list[dict[str, object]]:
    by_source: dict[PGShard, list[Pull]] = {}
    for each in pg.recovery.pulls.values():
        by_source.setdefault(each.source, []).append(each)
    return [
        {
            "pull_from": str(shard),
            "pulls": Items("pull_info", [_moved(each) for each in by_source[shard]]),
        }
        for shard in _in_order(by_source)
    ]


def _pushes(pg: PG) -> list[dict[str, object]]:
    return [
        {
            "pushing": str(hoid),
            "pushing_to": Items(
                "push_progress",
                [
                    {"pushing_to": str(shard), "push_info": _moved(pushes[shard])}
                    for shard in _in_order(pushes)
                ],
            ),
        }
        for hoid, pushes in sorted(pg.recovery.pushes.items(), key=lambda each: each[0])
    ]


def _moved(each: Pull | Push) -> dict[str, object]:
    progress, info = each.progress, each.info
    return {
        "recovery_progress": {
            "first": progress.first,
            "data_complete": progress.data_complete,
            "data_recovered_to": progress.data_recovered_to,
            "omap_complete": progress.omap_complete,
            "omap_recovered_to": progress.omap_recovered_to,
        },
        "recovery_info": {
            "object": str(info.soid),
            "at_version": str(info.version),
            "size": info.size,
            "copy_subset": str(info.copy_subset),
            "clone_subset": str({str(hoid): str(part) for hoid, part in info.clone_subset.items()}),
            "object_exist": str(int(info.object_exist)),
        },
    }


def list_unfound(pg: PG, offset: HObject | None, most: int) -> dict[str, object]:
    """`ceph pg <pgid> list_unfound`: at most `most` objects behind `offset`."""
    lacked = dict(pg.missing.missing)
    for shard in pg.replicas:
        theirs = pg.peering.peer_missing.get(shard)
        for hoid, item in theirs.missing.items() if theirs is not None else ():
            lacked.setdefault(hoid, item)
    found: dict[str, object] = {}
    if offset is not None:
        found["offset"] = offset.plain()
    found["num_missing"] = len(lacked)
    found["num_unfound"] = len(pg.recovery.unfound)
    objects: list[dict[str, object]] = []
    behind = [hoid for hoid in sorted(lacked) if offset is None or hoid > offset]
    seen = 0
    for hoid in behind:
        if len(objects) >= most:
            break
        seen += 1
        if hoid in pg.recovery.unfound:
            about = missing_item_document(lacked[hoid])
            objects.append(
                {"oid": hoid.plain(), **about, "locations": Items("shard", [])},
            )
    found["objects"] = Items("object", objects)
    state = pg.peering.state
    leaf = state.value.rsplit("/", 1)[-1]
    if not pg.peering.is_in(State.ACTIVE):
        found |= {
            "state": "Peering" if pg.peering.is_in(State.PEERING) else leaf,
            "available_might_have_unfound": False,
        }
    else:
        named = state in (State.NOT_RECOVERING, State.NOT_BACKFILLING)
        found |= {
            "state": leaf if named else "Active",
            "available_might_have_unfound": True,
            "might_have_unfound": Items(
                "osd",
                [
                    {"osd": str(shard), "status": status}
                    for shard, status in unfound.describe(pg)
                    if status != "already probed"
                ],
            ),
        }
    found["more"] = seen < len(behind)
    return found
