"""A PG's info and log as documents, in the shape in which upstream's programs print them.

For `spirula store info` and `log` (upstream `ceph-objectstore-tool --op info` and `--op log`), and
for what an OSD tells of its PGs. Shapes: the `dump` functions of upstream's `src/osd/osd_types.cc`.
"""

from __future__ import annotations

from typing import Any

from spirula.denc import Struct, Vec, struct, u64
from spirula.errors import WireError
from spirula.pgmap.show import pg_document
from spirula.printing import Items
from spirula.types.hit_set import PGHitSetHistory
from spirula.types.hobject import snap_name
from spirula.types.interval_set import IntervalSet
from spirula.types.pg_info import PGHistory, PGInfo
from spirula.types.pg_log import (
    LogOp,
    LogOpReturn,
    ModCode,
    ModStep,
    ObjectCleanRegions,
    PGLog,
    PGLogDup,
    PGLogEntry,
    PGMissing,
    PGMissingItem,
)

_OPS = {
    LogOp.MODIFY: "modify",
    LogOp.CLONE: "clone",
    LogOp.DELETE: "delete",
    LogOp.LOST_REVERT: "l_revert",
    LogOp.LOST_DELETE: "l_delete",
    LogOp.LOST_MARK: "l_mark",
    LogOp.PROMOTE: "promote",
    LogOp.CLEAN: "clean",
    LogOp.ERROR: "error",
}
_STAT_SCRUBS = [
    "last_scrub",
    "last_scrub_stamp",
    "last_deep_scrub",
    "last_deep_scrub_stamp",
    "last_clean_scrub_stamp",
]
_HISTORY_EPOCHS = [
    "epoch_created",
    "epoch_pool_created",
    "last_epoch_started",
    "last_interval_started",
    "last_epoch_clean",
    "last_interval_clean",
    "last_epoch_split",
    "last_epoch_marked_full",
    "same_up_since",
    "same_interval_since",
    "same_primary_since",
]


@struct
class _Snaps(Struct):
    ids: Vec[u64]


# --- info ---


def info_document(info: PGInfo) -> dict[str, Any]:
    """A PG's info."""
    return {
        "pgid": str(info.spgid),
        "last_update": str(info.last_update),
        "last_complete": str(info.last_complete),
        "log_tail": str(info.log_tail),
        "last_user_version": info.last_user_version,
        "last_backfill": str(info.last_backfill),
        "purged_snaps": Items("purged_snap_interval", info.purged_snaps.plain()),
        "history": history_document(info.history),
        "stats": pg_document(info.stats),
        "empty": int(info.is_empty),
        "dne": int(info.does_not_exist),
        "incomplete": int(info.is_incomplete),
        "last_epoch_started": info.last_epoch_started,
        "hit_set_history": _hit_sets(info.hit_set),
    }


def history_document(history: PGHistory) -> dict[str, Any]:
    """A PG's history."""
    return {
        **{name: getattr(history, name) for name in _HISTORY_EPOCHS},
        **{name: str(getattr(history, name)) for name in _STAT_SCRUBS},
        "prior_readable_until_ub": float(history.prior_readable_until_ub),
    }


def _hit_sets(history: PGHitSetHistory) -> dict[str, Any]:
    shown = [
        {
            "begin": str(each.begin),
            "end": str(each.end),
            "version": str(each.version),
            "using_gmt": str(int(each.using_gmt)),
        }
        for each in history.history
    ]
    return {
        "current_last_update": str(history.current_last_update),
        "history": Items("info", shown),
    }


# --- log ---


def log_document(log: PGLog, missing: PGMissing) -> dict[str, Any]:
    """A PG's log, and what is missing."""
    return {
        "pg_log_t": {
            "head": str(log.head),
            "tail": str(log.tail),
            "log": Items("entry", map(entry_document, log.log)),
            "dups": Items("entry", map(_dup, log.dups)),
        },
        "pg_missing_t": missing_document(missing),
    }


def missing_document(missing: PGMissing) -> dict[str, Any]:
    """The objects that are missing."""
    shown = [
        {"object": str(hobj), **missing_item_document(item)}
        for hobj, item in sorted(missing.missing.items(), key=lambda pair: pair[0])
    ]
    return {
        "missing": Items("item", shown),
        "may_include_deletes": missing.may_include_deletes,
    }


def missing_item_document(item: PGMissingItem) -> dict[str, Any]:
    """What is wanted of an object that is missing."""
    return {
        "need": str(item.need),
        "have": str(item.have),
        "flags": "delete" if item.is_delete else "none",
        "clean_regions": _regions_text(item.clean_regions),
    }


def entry_document(entry: PGLogEntry) -> dict[str, Any]:
    """One entry of a log.

    Where a clone serves several snapshots, upstream repeats the key `snap`; here they are an array.
    """
    shown: dict[str, Any] = {
        "op": _OPS.get(LogOp(entry.op), "unknown") if entry.op in set(LogOp) else "unknown",
        "object": str(entry.soid),
        "version": str(entry.version),
        "prior_version": str(entry.prior_version),
        "reqid": str(entry.reqid),
        "extra_reqids": Items("extra_reqid", _extra(entry)),
        "mtime": str(entry.mtime),
        "return_code": entry.return_code,
    }
    if entry.op_returns:
        shown["op_returns"] = _returns(entry.op_returns)
    if entry.snaps:
        snaps = _snap_ids(entry.snaps)
        shown["snaps"] = {"snap": snaps[0]} if len(snaps) == 1 else snaps
    desc = entry.mod_desc
    shown["mod_desc"] = {
        "object_mod_desc": {
            "can_local_rollback": desc.can_local_rollback,
            "rollback_info_completed": desc.rollback_info_completed,
            "ops": Items("op", map(_step, desc.steps())),
        }
    }
    regions = entry.clean_regions
    shown["clean_regions"] = {
        "object_clean_regions": {
            "clean_offsets": _ranges_text(regions.clean_offsets),
            "clean_omap": regions.clean_omap,
            "new_object": regions.new_object,
        }
    }
    return shown


def _extra(entry: PGLogEntry) -> list[dict[str, Any]]:
    shown = []
    for index, (reqid, version) in enumerate(entry.extra_reqids):
        each: dict[str, Any] = {"reqid": str(reqid), "user_version": str(version)}
        if index in entry.extra_reqid_return_codes:
            each["return_code"] = entry.extra_reqid_return_codes[index]
        shown.append(each)
    return shown


def _dup(dup: PGLogDup) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "reqid": str(dup.reqid),
        "version": str(dup.version),
        "user_version": str(dup.user_version),
        "return_code": str(dup.return_code),
    }
    if dup.op_returns:
        shown["op_returns"] = _returns(dup.op_returns)
    return shown


def _returns(returns: list[LogOpReturn]) -> list[object]:
    return Items("op", ({"rval": each.rval, "bl_length": len(each.bl)} for each in returns))


def _snap_ids(raw: bytes) -> list[int]:
    """The snapshots of an entry; none if they cannot be decoded, as upstream does."""
    try:
        return list(_Snaps.decode(raw).ids)
    except WireError:
        return []


def _step(step: ModStep) -> dict[str, Any]:
    match step.code:
        case ModCode.APPEND:
            return {"code": "APPEND", "old_size": step.number}
        case ModCode.SETATTRS:
            return {"code": "SETATTRS", "attrs": Items("attr_name", sorted(step.attrs))}
        case ModCode.DELETE:
            return {"code": "RMOBJECT", "old_version": step.number}
        case ModCode.TRY_DELETE:
            return {"code": "TRY_RMOBJECT", "old_version": step.number}
        case ModCode.CREATE:
            return {"code": "CREATE"}
        case ModCode.UPDATE_SNAPS:
            return {"code": "UPDATE_SNAPS", "snaps": ",".join(map(snap_name, sorted(step.snaps)))}
        case _:
            extents = ",".join(f"{offset},{length}" for offset, length in step.extents)
            return {"code": "ROLLBACK_EXTENTS", "gen": step.number, "snaps": f"[{extents}]"}


def _ranges_text(ranges: IntervalSet) -> str:
    return f"[{','.join(f'{start}~{length}' for start, length in ranges)}]"


def _regions_text(regions: ObjectCleanRegions) -> str:
    """As upstream prints it in a line."""
    return (
        f"clean_offsets: {_ranges_text(regions.clean_offsets)}, "
        f"clean_omap: {int(regions.clean_omap)}, new_object: {int(regions.new_object)}"
    )
