"""`spirula objectstore-tool`: ceph-objectstore-tool for stores of ours, with its arguments.

For scripts and people who know that: words, output and exit status are its. `spirula store` does
the same with a verb for each step. Called by the dispatcher. Facts: upstream
`src/tools/ceph_objectstore_tool.cc`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from spirula.cli.objectstore_tool import dump_export, objects, pgs, whole
from spirula.cli.objectstore_tool.request import POSITIONALS, Job, Refused, find_object, parser
from spirula.cli.store.opened import opened, pg_of
from spirula.errors import Busy, CephError, InvalidArgument, SpirulaError, TryAgain, WireError

_PGID_OPS = (
    "info",
    "log",
    "remove",
    "export",
    "export-remove",
    "mark-complete",
    "reset-last-complete",
    "trim-pg-log",
    "trim-pg-log-dups",
    "rm-past-intervals",
)
_WRITES_FILE = ("export", "export-remove", "get-osdmap", "get-inc-osdmap", "get-superblock")
_READS_FILE = ("import", "dump-export", "set-osdmap", "set-inc-osdmap", "set-superblock")
_OPS = (
    "Must provide --op (info, log, remove, mkfs, fsck, repair, export, export-remove, import, "
    "list, fix-lost, list-pgs, dump-super, meta-list, get-osdmap, set-osdmap, get-superblock, "
    "set-superblock, get-inc-osdmap, set-inc-osdmap, mark-complete, reset-last-complete, "
    "rm-past-intervals, dump-export, trim-pg-log, trim-pg-log-dups, statfs)"
)


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    made = parser()
    try:
        words, _ = made.parse_known_args(argv)  # options of daemons may stand there, too
    except SystemExit as end:
        return 1 if end.code else 0
    if words.help:
        made.print_help(sys.stderr)
        print(POSITIONALS, file=sys.stderr)
        return 1
    try:
        status = _run(words)
    except Refused as error:
        if str(error):
            print(error, file=sys.stderr)
        if error.shows_usage:
            made.print_help(sys.stderr)
            print(POSITIONALS, file=sys.stderr)
        status = 1
    return status


def _run(words: argparse.Namespace) -> int:
    words.op = "dump-export" if words.op == "dump-import" else words.op
    _check(words)
    op = words.op
    if op == "dump-export":
        return dump_export.run(words)
    path = Path(words.data_path)
    if not path.exists():
        raise Refused(f"data-path: {path}: No such file or directory")
    if words.pgid and words.pgid != "meta":
        try:
            pg_of(words.pgid)
        except InvalidArgument:
            raise Refused(f"Invalid pgid '{words.pgid}' specified") from None
    if op in whole.UNMOUNTED:
        return whole.UNMOUNTED[op](words)
    words.dir = words.data_path
    # what only looks changes no file, and a store that is too damaged to be changed can be read
    words.read_only = op in pgs.READ_ONLY or words.objcmd in objects.READ_ONLY or words.dry_run
    try:
        with opened(words) as here:
            status = _on_store(Job(words, here))
    except (Busy, TryAgain):
        raise Refused("OSD has the store locked") from None
    except CephError as error:
        raise Refused(f"Mount failed with '{describe(error)}'") from None
    if words.dry_run:
        # what is exported may go to standard output
        print("dry-run: Nothing changed", file=sys.stderr if op == "export" else sys.stdout)
    return status


def describe(error: CephError) -> str:
    """As upstream's cpp_strerror has it."""
    return f"({error.errno}) {os.strerror(error.errno)}"


def _check(words: argparse.Namespace) -> None:
    """What can be said of the arguments alone."""
    op, has_object = words.op, words.object is not None
    if words.data_path is None and op != "dump-export":
        raise Refused("Must provide --data-path", usage=True)
    if not op and not has_object:
        raise Refused("Must provide --op or object command...", usage=True)
    if op and op != "list" and has_object:
        raise Refused("Can't specify both --op and object command syntax", usage=True)
    if op != "list" and has_object and words.objcmd is None:
        raise Refused("Invalid syntax, missing command", usage=True)
    no_file = words.file in (None, "-")
    if op in _WRITES_FILE and not words.dry_run:
        if no_file and (sys.stdout.isatty() or words.tty):
            raise Refused("stdout is a tty and no --file filename specified")
    elif op in _READS_FILE:
        if no_file and sys.stdin.isatty():
            raise Refused("stdin is a tty and no --file filename specified")
        if not no_file and not Path(words.file).exists():
            raise Refused(f"file: {words.file}: No such file or directory")
    elif words.file is not None and not words.dry_run:
        raise Refused(
            "--file option only applies to import, dump-export, export, export-remove, "
            "get-osdmap, set-osdmap, get-inc-osdmap or set-inc-osdmap"
        )
    if words.format.removesuffix("-pretty") not in ("json", "xml"):
        raise Refused(f"unrecognized format: {words.format}")


def _on_store(job: Job) -> int:
    words = job.words
    try:
        if words.op != "list" and words.object is not None:
            cid, oid = find_object(job)
            command = objects.COMMANDS.get(words.objcmd)
            if command is None:
                raise Refused(f"Unknown object command '{words.objcmd}'", usage=True)
            return command(job, cid, oid)
        if words.op in _PGID_OPS and not words.pgid:
            raise Refused("Must provide pgid", usage=True)
        run = pgs.OPS.get(words.op) or whole.MOUNTED.get(words.op)
        if run is None:
            raise Refused(_OPS, usage=True)
        return run(job)
    except (CephError, WireError) as error:
        what = describe(error) if isinstance(error, CephError) else str(error)
        raise Refused(f"{words.op or words.objcmd}: {what}: {_text(error)}") from None
    except OSError as error:
        raise Refused(f"open {error.filename} ({error.errno}) {error.strerror}") from None


def _text(error: SpirulaError) -> str:
    return error.message if isinstance(error, CephError) else str(error)
