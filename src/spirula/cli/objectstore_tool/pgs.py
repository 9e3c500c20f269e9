"""Ops of `spirula objectstore-tool` on PGs, and lists of objects."""

from __future__ import annotations

import sys
from collections.abc import Callable

from spirula.cli.objectstore_tool.request import (
    Job,
    Refused,
    matches,
    objects_in,
    pg_collections,
)
from spirula.cli.store.opened import pg_of, reading, writing
from spirula.conf.formatter import render
from spirula.errors import CephError, InputOutput, NotFound, WireError
from spirula.store.objectstore import list_all
from spirula.store.osd_meta import META
from spirula.store.pg_meta import read_info, read_log
from spirula.store.tools.export_pg import export_pg
from spirula.store.tools.import_pg import import_pg
from spirula.store.tools.mend_pg import (
    forget_past_intervals,
    mark_complete,
    reset_last_complete,
    trim_dups,
    trim_log,
)
from spirula.store.tools.remove_pg import remove_pg
from spirula.store.tools.show_pg import info_document, log_document
from spirula.types.hobject import GHObject
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction

READ_ONLY = (
    "info",
    "log",
    "list",
    "list-pgs",
    "meta-list",
    "dump-super",
    "export",
    "statfs",
    "get-osdmap",
)
_MAX_LOG_ENTRIES = 10000
"""osd_max_pg_log_entries, which bounds a log that is trimmed."""
_MAX_DUPS = 3000
"""osd_pg_log_dups_tracked."""


# ------------------------------------------------------------------------------------------- lists


def _show_objects(job: Job, found: list[tuple[Coll, GHObject]]) -> int:
    """A line for each, or a document if the format is not a pretty one."""
    fmt = job.words.format
    rows = []
    for cid, oid in found:
        row: list[object] = [] if cid.is_meta else [str(cid.pgid)]
        if cid.is_meta or not fmt.endswith("-pretty"):
            row.append(str(cid))
        rows.append([*row, oid.plain()])
    if fmt.endswith("-pretty"):
        for row in rows:
            print(render(row, fmt.removesuffix("-pretty"), "pgid_object"))
    else:
        print(render(rows, fmt, "pgid_objects"))
    return 0


def _list(job: Job) -> int:
    try:
        colls = pg_collections(job)
    except NotFound:
        colls = []
    found = []
    for cid in colls:
        for oid in objects_in(job, cid):
            _info_of(job, cid, oid)
            if matches(job, oid, head=job.words.head):
                found.append((cid, oid))
    return _show_objects(job, found)


def _meta_list(job: Job) -> int:
    found = [(META, oid) for oid in list_all(job.here.store, META, 256)]
    return _show_objects(job, found)


def _list_pgs(job: Job) -> int:
    for cid in job.here.store.list_collections():
        if not cid.is_meta:
            print(cid.pgid)
    return 0


def _info_of(job: Job, cid: Coll, oid: GHObject) -> ObjectInfo | None:
    """An object's info; one that is missing or damaged is complained of."""
    if cid.is_meta:
        return None
    try:
        return ObjectInfo.decode(job.here.store.getattr(cid, oid, "_"))
    except (CephError, WireError) as error:
        print(f"Error getting attr on : {cid},{oid}, {error}", file=sys.stderr)
        return None


def _fix_lost(job: Job) -> int:
    """Objects that were given up as lost count as there again."""
    for cid in pg_collections(job):
        for oid in list(objects_in(job, cid)):
            info = _info_of(job, cid, oid)
            if info is None or not info.flags & ObjectFlag.LOST:
                continue
            print(f"{cid}/{oid} is lost" + ("" if job.words.dry_run else ", fixing"))
            if job.words.dry_run:
                continue
            info.flags = int(info.flags & ~ObjectFlag.LOST)
            transaction = Transaction()
            transaction.setattr(cid, oid, "_", info.encode())
            job.here.change(cid, transaction)
    return 0


# ---------------------------------------------------------------------------------------- one PG


def _present(job: Job) -> None:
    if not job.here.store.collection_exists(Coll.of(job.pgid)):
        raise Refused(f"PG '{job.pgid}' not found")


def _info(job: Job) -> int:
    _present(job)
    return job.show(info_document(read_info(job.here.store, job.pgid).info), "info")


def _log(job: Job) -> int:
    _present(job)
    info = read_info(job.here.store, job.pgid).info
    kept = read_log(job.here.store, job.pgid, info)
    return job.show(log_document(kept.log, kept.missing), "op_log")


def _export(job: Job) -> int:
    _present(job)
    if not job.words.dry_run:
        with writing(job.words.file or "-") as stream:
            export_pg(job.here.store, job.pgid, stream)
    print("Export successful", file=sys.stderr)
    return 0


def _export_remove(job: Job) -> int:
    _export(job)
    if not job.words.dry_run:
        remove_pg(job.here.store, job.here.pump, job.pgid)
    print("Remove successful", file=sys.stderr)
    return 0


def _import(job: Job) -> int:
    words = job.words
    try:
        with reading(words.file or "-") as stream:
            done = import_pg(
                job.here.store,
                job.here.pump,
                stream,
                pgid=pg_of(words.pgid) if words.pgid else None,
                force=words.force,
                dry_run=words.dry_run,
            )
    except (WireError, InputOutput) as error:
        print(error, file=sys.stderr)
        raise Refused("Corrupt input for import") from None
    print(f"Importing pgid {done.pgid}")
    for note in done.notes:
        print(note, file=sys.stderr)
    print("Import successful")
    return 0


def _remove(job: Job) -> int:
    words = job.words
    if not words.force and not words.dry_run:
        raise Refused("Please use export-remove or you must use --force option")
    _present(job)
    print(" marking collection for removal")
    if not words.dry_run:
        remove_pg(job.here.store, job.here.pump, job.pgid)
    print("Remove successful")
    return 0


def _mark_complete(job: Job) -> int:
    _present(job)
    print("Marking complete ")
    if not job.words.dry_run:
        mark_complete(job.here.store, job.here.pump, job.pgid)
    print("Marking complete succeeded")
    return 0


def _reset_last_complete(job: Job) -> int:
    _present(job)
    if not job.words.force:
        raise Refused(
            "WARNING: reset-last-complete is extremely dangerous and almost certain to lead to "
            "permanent data loss unless you know exactly what you are doing. Pass --force to "
            "proceed anyway."
        )
    print("Reseting last_complete ")
    if not job.words.dry_run:
        reset_last_complete(job.here.store, job.here.pump, job.pgid)
    print("Reseting last_complete succeeded")
    return 0


def _trim_pg_log(job: Job) -> int:
    _present(job)
    info = read_info(job.here.store, job.pgid).info
    print(f"Log bounds are: ({info.log_tail},{info.last_update}]", file=sys.stderr)
    if info.last_update.version - info.log_tail.version <= _MAX_LOG_ENTRIES:
        text = f"Log not larger than osd_max_pg_log_entries {_MAX_LOG_ENTRIES}"
        print(text, file=sys.stderr)
    elif not job.words.dry_run:
        trim_log(job.here.store, job.here.pump, job.pgid, _MAX_LOG_ENTRIES)
    print("Finished trimming pg log")
    return 0


def _trim_pg_log_dups(job: Job) -> int:
    _present(job)
    if not job.words.dry_run:
        trim_dups(job.here.store, job.here.pump, job.pgid, _MAX_DUPS)
    print("Finished trimming pg log dups")
    return 0


def _rm_past_intervals(job: Job) -> int:
    """An op of upstream's tool before 12.0, for PGs that wait for OSDs that are gone for good."""
    _present(job)
    count = len(read_info(job.here.store, job.pgid).past_intervals)
    print(f"Remove past-intervals ({count})")
    if not job.words.dry_run:
        forget_past_intervals(job.here.store, job.here.pump, job.pgid)
    print("Removal succeeded")
    return 0


OPS: dict[str, Callable[[Job], int]] = {
    "list": _list,
    "list-pgs": _list_pgs,
    "meta-list": _meta_list,
    "fix-lost": _fix_lost,
    "info": _info,
    "log": _log,
    "export": _export,
    "export-remove": _export_remove,
    "import": _import,
    "remove": _remove,
    "mark-complete": _mark_complete,
    "reset-last-complete": _reset_last_complete,
    "trim-pg-log": _trim_pg_log,
    "trim-pg-log-dups": _trim_pg_log_dups,
    "rm-past-intervals": _rm_past_intervals,
}
