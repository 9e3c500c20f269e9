"""Verbs about a whole store: make it, check it, tell its space, make and remove collections.

For `spirula store`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from spirula.cli.store.opened import (
    COLL,
    Verb,
    collection_of,
    opened,
    pg_of,
    print_json,
    tell,
)
from spirula.errors import CephError, Exists, InvalidArgument, NotFound
from spirula.printing import size_text
from spirula.store.disk.fsck import Report, fsck
from spirula.store.disk.medium import FolderMedium, Medium
from spirula.store.disk.mkfs import DEFAULT_SIZE, mkfs
from spirula.store.disk.read_only import ReadOnlyMedium
from spirula.store.disk.store import DiskObjectStore
from spirula.store.osd_meta import read_superblock
from spirula.types.pg import Coll
from spirula.types.pg_stats import StoreStatfs
from spirula.types.transaction import Transaction

_FSCK_MEMORY = 64 << 20
_WORDS = ("fsid", "whoami", "ceph_fsid", "type")
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}


def size_of(text: str) -> int:
    """Bytes from `4096`, `100G`, `1T`. ValueError otherwise."""
    number, unit = text.removesuffix("iB").removesuffix("B"), ""
    if number and number[-1].lower() in _UNITS:
        number, unit = number[:-1], number[-1].lower()
    return int(number) << _UNITS.get(unit, 0)


def _mkfs(request: argparse.Namespace) -> int:
    fsid = mkfs(
        Path(request.dir),
        size=request.size,
        device=None if request.device is None else Path(request.device),
        fsid=request.fsid,
        preallocate=request.preallocate,
        force=request.force,
    )
    if request.json:
        print_json({"fsid": str(fsid)})
    else:
        print(f"store {fsid} in {request.dir}")
    return 0


def _fsck(request: argparse.Namespace) -> int:
    path = Path(request.dir)
    if not path.is_dir():
        raise NotFound(f"there is no folder {path}: `spirula store mkfs` makes a store")
    if request.repair and request.read_only:
        raise InvalidArgument("--repair changes the store, and --read-only forbids it")
    medium: Medium = FolderMedium(path) if request.repair else ReadOnlyMedium(path)
    parts = medium.open(_FSCK_MEMORY)
    try:
        progress = _show_progress if sys.stderr.isatty() else None
        report = fsck(parts, deep=request.deep, repair=request.repair, progress=progress)
    finally:
        parts.close()
    if request.json:
        print_json(_report(report))
    else:
        _print_report(report, request)
    return 1 if report.left else 0


def _show_progress(objects: int) -> None:
    print(f"\r{objects} objects", end="", file=sys.stderr, flush=True)


def _report(report: Report) -> dict[str, Any]:
    return {
        "collections": report.collections,
        "objects": report.objects,
        "shards": report.shards,
        "omap_entries": report.omap_entries,
        "used_blocks": report.used_blocks,
        "bytes_read": report.bytes_read,
        "repaired": report.repaired,
        "errors_left": len(report.left),
        "errors": [{"error": each.text, "repairable": each.repairable} for each in report.findings],
    }


def _print_report(report: Report, request: argparse.Namespace) -> None:
    for each in report.findings:
        fate = ""
        if each.repairable:
            fate = " (repaired)" if report.repaired else " (--repair can mend it)"
        print(f"error: {each.text}{fate}")
    read = f", {size_text(report.bytes_read)} read" if request.deep else ""
    print(
        f"{report.collections} collections, {report.objects} objects, "
        f"{report.omap_entries} omap entries, {report.used_blocks} blocks{read}: "
        f"{len(report.findings)} errors, {len(report.left)} left"
    )


def _stats(request: argparse.Namespace) -> int:
    with opened(request) as here:
        document = _statistics(here.store)
    if request.json:
        print_json(document)
        return 0
    for name, value in document.items():
        if isinstance(value, dict):
            continue
        print(f"{name:<22} {value}")
    spaces = {"all": document["statfs"], **document["pools"]}
    print(f"\n{'POOL':<6} {'STORED':>10} {'ALLOCATED':>10} {'COMPRESSED':>10} {'OMAP':>10}")
    for pool, space in spaces.items():
        names = ("data_stored", "allocated", "data_compressed", "omap_allocated")
        shown = (size_text(space[name]) for name in names)
        print(f"{pool:<6}", *(f"{each:>10}" for each in shown))
    whole = document["statfs"]
    print(f"\n{size_text(whole['available'])} of {size_text(whole['total'])} available")
    return 0


def _statistics(store: DiskObjectStore) -> dict[str, Any]:
    collections = store.list_collections()
    pools = sorted({cid.pgid.pool for cid in collections if not cid.is_meta})
    return {
        **{word: value for word in _WORDS if (value := _word(store, word))},
        **dict(_osd(store)),
        "collections": len(collections),
        "pgs": sum(not cid.is_meta for cid in collections),
        "fragmentation_score": round(store.free_space().fragmentation_score(), 6),
        "free_extents": len(store.free_space()),
        "statfs": _space(store.statfs()),
        "pools": {pool: _space(store.pool_statfs(pool)) for pool in pools},
        "counters": store.counters,
    }


def _word(store: DiskObjectStore, name: str) -> str:
    try:
        return store.read_meta(name)
    except NotFound:
        return ""


def _osd(store: DiskObjectStore) -> Iterator[tuple[str, object]]:
    """What the superblock of an OSD tells, if there is one."""
    try:
        superblock = read_superblock(store)
    except CephError:
        return
    yield "osd", superblock.whoami
    yield "cluster_fsid", str(UUID(bytes=bytes(superblock.cluster_fsid)))
    yield "current_epoch", superblock.current_epoch
    yield "oldest_map", superblock.oldest_map
    yield "newest_map", superblock.newest_map


def _space(statfs: StoreStatfs) -> dict[str, int]:
    return {str(name): int(value) for name, value in statfs.plain().items()}


def _mkcoll(request: argparse.Namespace) -> int:
    cid = Coll() if request.coll == "meta" else Coll.of(pg_of(request.coll))
    with opened(request) as here:
        if here.store.collection_exists(cid):
            raise Exists(f"there is already a collection {cid}")
        txn = Transaction()
        txn.create_collection(cid, 0 if cid.is_meta else request.bits)
        here.change(cid, txn)
    return 0


def _rmcoll(request: argparse.Namespace) -> int:
    with opened(request) as here:
        cid = collection_of(here.store, request.coll)
        if not here.store.collection_empty(cid):
            raise InvalidArgument(f"{cid} has objects: `spirula store remove` removes a PG whole")
        txn = Transaction()
        txn.remove_collection(cid)
        here.change(cid, txn)
        tell(f"removed {cid}")
    return 0


_SIZE = {"type": size_of, "default": DEFAULT_SIZE, "metavar": "BYTES"}
VERBS = (
    Verb(
        "mkfs",
        "make an empty store; one that is there already is left as it is",
        _mkfs,
        (
            ("--size", _SIZE | {"help": "of the block file, also as 4096, 20G, 1T (100G)"}),
            ("--device", {"metavar": "PATH", "help": "take this block device for the data"}),
            ("--fsid", {"type": UUID, "metavar": "UUID", "help": "of the store; else a new one"}),
            ("--preallocate", {"action": "store_true", "help": "take the file's space at once"}),
            ("--force", {"action": "store_true", "help": "also on a device that is not empty"}),
        ),
    ),
    Verb(
        "fsck",
        "check a store; the exit status is 1 if errors are left",
        _fsck,
        (
            ("--deep", {"action": "store_true", "help": "read all data as well"}),
            ("--repair", {"action": "store_true", "help": "mend what follows from the rest"}),
        ),
        reads=True,
    ),
    Verb("stats", "tell whose store it is, and what takes how much space", _stats, reads=True),
    Verb(
        "mkcoll",
        "make an empty collection",
        _mkcoll,
        (
            COLL,
            (
                "--bits",
                {"type": int, "default": 0, "help": "of the hash that its objects share (0)"},
            ),
        ),
    ),
    Verb("rmcoll", "remove an empty collection", _rmcoll, (COLL,)),
)
