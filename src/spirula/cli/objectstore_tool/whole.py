"""Ops of `spirula objectstore-tool` on a whole store: check, make, copy, its maps and its space."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from spirula.cli.objectstore_tool.request import Job, Refused, input_of
from spirula.cli.store.opened import opened, writing
from spirula.errors import CephError, NotFound, WireError
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.store.disk.fsck import fsck
from spirula.store.disk.medium import FolderMedium, Medium
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.read_only import ReadOnlyMedium
from spirula.store.osd_meta import (
    META,
    SUPERBLOCK,
    features_text,
    inc_osdmap_object,
    osdmap_object,
    read_osdmap,
    read_superblock,
)
from spirula.store.tools.copy_store import copy_store
from spirula.store.tools.show_object import statfs_document, superblock_document
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.transaction import Transaction

_FSCK_MEMORY = 64 << 20


# ------------------------------------------------------------------------- without a mounted store


def _check(words: argparse.Namespace) -> int:
    """Fsck and repair, and both of them deep."""
    verb, _, deep = words.op.partition("-")
    path, repairs = Path(words.data_path), verb == "repair" and not words.dry_run
    medium: Medium = FolderMedium(path) if repairs else ReadOnlyMedium(path)
    try:
        parts = medium.open(_FSCK_MEMORY)
    except CephError as error:
        raise Refused(f"{verb} failed: {error.message}") from None
    try:
        report = fsck(parts, deep=bool(deep), repair=repairs)
    finally:
        parts.close()
    for each in report.findings:
        print(f"{verb} error: {each.text}", file=sys.stderr)
    if report.left:
        text = f"{verb} status: {len(report.left)} remaining error(s) and warning(s)"
        raise Refused(text)
    print(f"{verb} success")
    return 0


def _mkfs(words: argparse.Namespace) -> int:
    fsid = None
    if words.fsid:
        try:
            fsid = uuid.UUID(words.fsid)
        except ValueError:
            raise Refused(f"failed to parse uuid '{words.fsid}'") from None
    try:
        mkfs(Path(words.data_path), fsid=fsid)
    except CephError as error:
        raise Refused(f"mkfs failed: {error.message}") from None
    return 0


def _dup(words: argparse.Namespace) -> int:
    """Copies everything to another store, which was made by mkfs and holds nothing yet."""
    if not words.target_data_path or not (Path(words.target_data_path) / "type").exists():
        raise Refused(f"Unable to open {words.target_data_path or ''}/type")
    source = argparse.Namespace(dir=words.data_path, read_only=True)
    target = argparse.Namespace(dir=words.target_data_path)
    try:
        with opened(source) as old, opened(target) as new:
            count = copy_store(old.store, new.store, new.pump)
    except CephError as error:
        raise Refused(f"dup failed: {error.message}") from None
    print(f"{count} objects copied")
    return 0


UNMOUNTED: dict[str, Callable[[argparse.Namespace], int]] = {
    "fsck": _check,
    "fsck-deep": _check,
    "repair": _check,
    "repair-deep": _check,
    "mkfs": _mkfs,
    "dup": _dup,
}


# -------------------------------------------------------------------------------------------- maps


def _epoch(job: Job) -> int:
    return job.words.epoch or read_superblock(job.here.store).current_epoch


def _put(job: Job, what: str, epoch: int, data: bytes) -> int:
    if job.words.dry_run:
        return 0
    path = job.words.file or "-"
    with writing(path) as stream:
        stream.write(data)
    print(f"{what}#{epoch} exported.", file=sys.stderr if path == "-" else sys.stdout)
    return 0


def _get_osdmap(job: Job) -> int:
    epoch = _epoch(job)
    try:
        data = read_osdmap(job.here.store, epoch)
    except NotFound:
        print(f"Can't find OSDMap for pg epoch {epoch}", file=sys.stderr)
        raise Refused(f"Failed to get osdmap#{epoch}: (2) No such file or directory") from None
    return _put(job, "osdmap", epoch, data)


def _get_inc_osdmap(job: Job) -> int:
    epoch = _epoch(job)
    oid = inc_osdmap_object(epoch)
    try:
        data = job.here.store.read(META, oid)
    except NotFound:
        raise Refused(
            f"Failed to get incremental osdmap# {epoch}: (2) No such file or directory"
        ) from None
    return _put(job, "inc-osdmap", epoch, data)


def _set_osdmap(job: Job) -> int:
    return _set(job, incremental=False)


def _set_inc_osdmap(job: Job) -> int:
    return _set(job, incremental=True)


def _set(job: Job, *, incremental: bool) -> int:
    words, store = job.words, job.here.store
    data = input_of(words.file)
    try:
        found = (Incremental if incremental else OSDMap).decode(data).epoch
    except WireError as error:
        raise Refused(f"Failed to read osdmap {error}") from None
    epoch = words.epoch or found
    if epoch != found:
        what = "incremental" if incremental else "osdmap"
        first, second = (found, epoch) if incremental else (epoch, found)
        _or_force(words, f"{what}.epoch mismatch: {first} != {second}", "But will continue anyway.")
    oid = (inc_osdmap_object if incremental else osdmap_object)(epoch)
    if not store.exists(META, oid):
        what = "inc-osdmap" if incremental else "osdmap"
        if not words.force:
            raise Refused(f"{what} ({oid}) does not exist.")
        print(f"{what} ({oid}) does not exist.", file=sys.stderr)
        print("Creating a new epoch.")
    if words.dry_run:
        return 0
    transaction = Transaction()
    transaction.write(META, oid, 0, data)
    transaction.truncate(META, oid, len(data))
    job.here.change(META, transaction, len(data))
    return 0


def _or_force(words: argparse.Namespace, text: str, goes_on: str) -> None:
    if not words.force:
        raise Refused(text)
    print(f"{text}\n{goes_on}", file=sys.stderr)


# ------------------------------------------------------------------------------------------- shown


def _dump_super(job: Job) -> int:
    found = read_superblock(job.here.store)
    if job.words.debug:
        print(f"On-disk features: {features_text(found.compat_features)}", file=sys.stderr)
    return job.show(superblock_document(found), "superblock")


def _get_superblock(job: Job) -> int:
    if not job.words.dry_run:
        with writing(job.words.file or "-") as stream:
            stream.write(job.here.store.read(META, SUPERBLOCK))
    return 0


def _set_superblock(job: Job) -> int:
    data = input_of(job.words.file)
    try:
        OSDSuperblock.decode(data)
    except WireError as error:
        raise Refused(f"Failed to decode superblock {error}") from None
    if not job.words.dry_run:
        transaction = Transaction()
        transaction.write(META, SUPERBLOCK, 0, data)
        transaction.truncate(META, SUPERBLOCK, len(data))
        job.here.change(META, transaction, len(data))
    return 0


def _statfs(job: Job) -> int:
    return job.show(statfs_document(job.here.store.statfs()), "statfs")


MOUNTED: dict[str, Callable[[Job], int]] = {
    "get-osdmap": _get_osdmap,
    "set-osdmap": _set_osdmap,
    "get-inc-osdmap": _get_inc_osdmap,
    "set-inc-osdmap": _set_inc_osdmap,
    "dump-super": _dump_super,
    "get-superblock": _get_superblock,
    "set-superblock": _set_superblock,
    "statfs": _statfs,
}
