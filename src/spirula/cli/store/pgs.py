"""Verbs about PGs: list, info, log, export, import, remove.

For `spirula store`. Files and documents are those of ceph-objectstore-tool.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from spirula.cli.store.opened import (
    Argument,
    Verb,
    in_file,
    opened,
    out_file,
    pg_of,
    print_json,
    reading,
    tell,
    writing,
)
from spirula.conf.formatter import render
from spirula.errors import InvalidArgument, NotFound
from spirula.printing import size_text
from spirula.store.objectstore import ObjectStore
from spirula.store.pg_meta import has_removal_flag, read_info, read_log
from spirula.store.tools.export_pg import Progress, export_pg
from spirula.store.tools.import_pg import Imported, import_pg
from spirula.store.tools.mend_pg import mark_complete, reset_last_complete, trim_log
from spirula.store.tools.remove_pg import remove_pg
from spirula.store.tools.show_pg import info_document, log_document
from spirula.types.pg import Coll, SPGId
from spirula.types.pg_info import PGInfo

PG: Argument = ("pg", {"metavar": "PG", "type": pg_of, "help": "such as 2.1f or 2.1fs0"})
_DRY_RUN: Argument = ("--dry-run", {"action": "store_true", "help": "check, and change nothing"})
_SHOW_EVERY_S = 0.5


def _present(store: ObjectStore, pgid: SPGId) -> None:
    if not store.collection_exists(Coll.of(pgid)):
        raise NotFound(f"PG {pgid} is not in this store: `spirula store list-pgs` lists them")


def _list_pgs(request: argparse.Namespace) -> int:
    with opened(request) as here:
        pgids = [cid.pgid for cid in here.store.list_collections() if not cid.is_meta]
        unfinished = {pgid for pgid in pgids if has_removal_flag(here.store, pgid)}
    for pgid in pgids:
        if request.json:
            print_json({"pgid": str(pgid), "to_be_removed": pgid in unfinished})
        else:
            print(f"{pgid} (to be removed)" if pgid in unfinished else pgid)
    return 0


def _show(request: argparse.Namespace, document: dict[str, Any]) -> int:
    if request.json:
        print(render(document, "json"))
    else:
        print(render(document, "json-pretty"), end="")
    return 0


def _info(request: argparse.Namespace) -> int:
    with opened(request) as here:
        _present(here.store, request.pg)
        document = info_document(read_info(here.store, request.pg).info)
    return _show(request, document)


def _log(request: argparse.Namespace) -> int:
    with opened(request) as here:
        _present(here.store, request.pg)
        info = read_info(here.store, request.pg).info
        kept = read_log(here.store, request.pg, info)
    return _show(request, log_document(kept.log, kept.missing))


def _progress(what: str) -> Callable[[Progress], None] | None:
    """Shows on a terminal how far it is, twice a second."""
    if not sys.stderr.isatty():
        return None
    shown = monotonic()

    def show(done: Progress) -> None:
        nonlocal shown
        now = monotonic()
        if now - shown >= _SHOW_EVERY_S:
            shown = now
            text = f"\r{what} {done.objects} objects, {size_text(done.size)} "
            print(text, end="", file=sys.stderr, flush=True)

    return show


def _export(request: argparse.Namespace) -> int:
    if request.file == "-" and sys.stdout.isatty():
        raise InvalidArgument("an export is no text for a terminal: name a FILE")
    with opened(request) as here:
        _present(here.store, request.pg)
        with writing(request.file) as stream:
            done = export_pg(here.store, request.pg, stream, _progress("exported"))
        if request.remove:
            remove_pg(here.store, here.pump, request.pg)
    _summary(request, "exported and removed" if request.remove else "exported", request.pg, done)
    return 0


def _import(request: argparse.Namespace) -> int:
    if request.file == "-" and sys.stdin.isatty():
        raise InvalidArgument("an export is nothing to type: name a FILE")
    with opened(request) as here, reading(request.file) as stream:
        done = import_pg(
            here.store,
            here.pump,
            stream,
            pgid=request.pg,
            force=request.force,
            dry_run=request.dry_run,
            progress=_progress("imported"),
        )
    for note in done.notes:
        tell(f"note: {note}")
    what = "checked, and changed nothing for," if request.dry_run else "imported"
    _summary(request, what, done.pgid, done)
    return 0


def _summary(request: argparse.Namespace, what: str, pgid: SPGId, done: Progress) -> None:
    """On standard error: the other one may be the file's."""
    skipped = done.skipped if isinstance(done, Imported) else 0
    if request.json:
        document = {"pgid": str(pgid), "objects": done.objects, "bytes": done.size}
        stream = sys.stderr if request.file == "-" else sys.stdout
        print(render(document | {"skipped": skipped}, "json"), file=stream)
        return
    others = f", {skipped} of other PGs skipped" if skipped else ""
    tell(f"{what} PG {pgid}: {done.objects} objects, {size_text(done.size)}{others}")


def _remove(request: argparse.Namespace) -> int:
    with opened(request) as here:
        _present(here.store, request.pg)
        if request.dry_run:
            tell(f"PG {request.pg} would be removed")
            return 0
        if not request.force:
            raise InvalidArgument(
                f"PG {request.pg} would be gone from this OSD: `export --remove` keeps a copy, "
                "--force removes it without one"
            )
        count = remove_pg(here.store, here.pump, request.pg)
    if request.json:
        print_json({"pgid": str(request.pg), "objects": count})
    else:
        tell(f"removed PG {request.pg} with {count} objects")
    return 0


def _changed(request: argparse.Namespace, what: str, info: PGInfo) -> int:
    """Tells how a PG's info is now."""
    if request.json:
        return _show(request, info_document(info))
    tell(f"{what}: last_update {info.last_update}, last_complete {info.last_complete}")
    return 0


def _mark_complete(request: argparse.Namespace) -> int:
    with opened(request) as here:
        _present(here.store, request.pg)
        _forced(request, "what this copy has not would be lost for good")
        info = mark_complete(here.store, here.pump, request.pg)
    return _changed(request, f"PG {request.pg} is marked complete", info)


def _reset_last_complete(request: argparse.Namespace) -> int:
    with opened(request) as here:
        _present(here.store, request.pg)
        _forced(request, "objects that are missing would not be looked for")
        info = reset_last_complete(here.store, here.pump, request.pg)
    return _changed(request, f"PG {request.pg} misses nothing", info)


def _forced(request: argparse.Namespace, warning: str) -> None:
    if not request.force:
        raise InvalidArgument(f"{warning}: --force does it; `export` the PG first")


def _trim_log(request: argparse.Namespace) -> int:
    if request.keep < 0:
        raise InvalidArgument(f"a log cannot keep {request.keep} entries")
    with opened(request) as here:
        _present(here.store, request.pg)
        count = trim_log(here.store, here.pump, request.pg, request.keep)
    if request.json:
        print_json({"pgid": str(request.pg), "entries": count})
    else:
        tell(f"trimmed {count} entries off the log of PG {request.pg}")
    return 0


_FORCE: Argument = ("--force", {"action": "store_true", "help": "do it"})
VERBS = (
    Verb("list-pgs", "list the PGs", _list_pgs, reads=True),
    Verb("info", "print a PG's info", _info, (PG,), reads=True),
    Verb("log", "print a PG's log, and what is missing", _log, (PG,), reads=True),
    Verb(
        "export",
        "write a PG to a file that this command and ceph-objectstore-tool import",
        _export,
        (
            PG,
            out_file(),
            ("--remove", {"action": "store_true", "help": "remove the PG when it is written"}),
        ),
        reads=True,
    ),
    Verb(
        "import",
        "bring an exported PG into the store",
        _import,
        (
            in_file(),
            (
                "--pg",
                {"metavar": "PG", "type": pg_of, "help": "refuse a file of another PG"},
            ),
            ("--force", {"action": "store_true", "help": "though features or maps do not fit"}),
            _DRY_RUN,
        ),
        more="Until all of it is there the PG is marked for removal: one that was cut off is "
        "cleared away by the next import, or by the OSD when it starts.",
    ),
    Verb(
        "remove",
        "remove a PG with all its objects",
        _remove,
        (PG, _FORCE, _DRY_RUN),
    ),
    Verb(
        "mark-complete",
        "say that this copy of a PG is all there is, as a last resort",
        _mark_complete,
        (PG, _FORCE),
        more="For a PG that stays incomplete because no other copy is left.",
    ),
    Verb(
        "reset-last-complete",
        "say that no object of a PG is missing, as a last resort",
        _reset_last_complete,
        (PG, _FORCE),
    ),
    Verb(
        "trim-log",
        "forget the oldest entries of a PG's log",
        _trim_log,
        (
            PG,
            (
                "--keep",
                {"type": int, "default": 10_000, "metavar": "N", "help": "so many (10000)"},
            ),
        ),
        more="For an OSD that cannot start because a log takes too much memory.",
    ),
)
