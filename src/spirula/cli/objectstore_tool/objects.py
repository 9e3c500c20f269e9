"""Commands of `spirula objectstore-tool` on one object: its data, attributes, omap, metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spirula.cli.objectstore_tool.request import Job, Refused, input_of
from spirula.errors import CephError, NotFound, WireError
from spirula.store import snap_mapper
from spirula.store.osd_meta import META
from spirula.store.tools.show_object import object_info_document, snapset_document
from spirula.types.hobject import GHObject
from spirula.types.object_info import NO_DIGEST, ObjectFlag, ObjectInfo
from spirula.types.pg import Coll
from spirula.types.snap import SnapSet
from spirula.types.transaction import Transaction

READ_ONLY = (
    "get-bytes",
    "get-attr",
    "get-omap",
    "get-omaphdr",
    "list-attrs",
    "list-omap",
    "dump",
)
_PIECE = 1 << 20
_BLOCK = 4096


def _change(job: Job, cid: Coll, transaction: Transaction, size: int = 0) -> int:
    if not job.words.dry_run:
        job.here.change(cid, transaction, size)
    return 0


def _key(job: Job) -> str:
    if job.words.arg1 is None:
        raise Refused("", usage=True)
    key: str = job.words.arg1
    return key


# -------------------------------------------------------------------------------------------- data


def _get_bytes(job: Job, cid: Coll, oid: GHObject) -> int:
    store, path = job.here.store, job.words.arg1
    size = store.stat(cid, oid).size
    pieces = (
        store.read(cid, oid, offset, min(_PIECE, size - offset))
        for offset in range(0, size, _PIECE)
    )
    if path in (None, "-"):
        for piece in pieces:
            job.out(piece)
        return 0
    try:
        with Path(path).open("xb") as stream:
            for piece in pieces:
                stream.write(piece)
    except FileExistsError:
        raise Refused(f"open {path} (17) File exists") from None
    return 0


def _set_bytes(job: Job, cid: Coll, oid: GHObject) -> int:
    data = input_of(job.words.arg1)
    transaction = Transaction()
    transaction.touch(cid, oid)
    transaction.truncate(cid, oid, 0)
    if data:
        transaction.write(cid, oid, 0, data)
    return _change(job, cid, transaction, len(data))


def _remove(job: Job, cid: Coll, oid: GHObject) -> int:
    """The object, and with `removeall` its clones."""
    words, store = job.words, job.here.store
    store.stat(cid, oid)
    clones: list[int] = []
    if oid.hobj.is_head and not cid.is_meta:
        everything = words.objcmd == "removeall"
        try:
            clones = sorted(_snapset(job, cid, oid).clone_snaps)
        except (CephError, WireError):
            if everything or not words.force:
                raise
        if clones and not everything:
            if not words.force:
                raise Refused("Clones are present, use removeall to delete everything")
            print("WARNING: only removing head with clones present")
            clones = []
    transaction = Transaction()
    for snap in clones:
        clone = GHObject(oid.hobj.at_snap(snap), oid.generation, oid.shard)
        print(f"remove clone {clone}")
        _remove_one(job, transaction, cid, clone)
    print(f"remove {oid}")
    _remove_one(job, transaction, cid, oid)
    return _change(job, cid, transaction)


def _remove_one(job: Job, transaction: Transaction, cid: Coll, oid: GHObject) -> None:
    kind, store = job.words.rmtype, job.here.store
    if kind != "nosnapmap" and oid.hobj.is_snap and store.collection_exists(META):
        snap_mapper.remove(store, transaction, oid.hobj, oid.shard)
    if kind != "snapmap":
        transaction.remove(cid, oid)


# ---------------------------------------------------------------------------- attributes and omap


def _list_attrs(job: Job, cid: Coll, oid: GHObject) -> int:
    for name in sorted(job.here.store.getattrs(cid, oid)):
        print(name)
    return 0


def _get_attr(job: Job, cid: Coll, oid: GHObject) -> int:
    return job.out(job.here.store.getattr(cid, oid, _key(job)))


def _set_attr(job: Job, cid: Coll, oid: GHObject) -> int:
    key, value = _key(job), input_of(job.words.arg2)
    transaction = Transaction()
    transaction.touch(cid, oid)
    transaction.setattr(cid, oid, key, value)
    return _change(job, cid, transaction)


def _rm_attr(job: Job, cid: Coll, oid: GHObject) -> int:
    transaction = Transaction()
    transaction.rmattr(cid, oid, _key(job))
    return _change(job, cid, transaction)


def _list_omap(job: Job, cid: Coll, oid: GHObject) -> int:
    for key, _ in job.here.store.omap_iterate(cid, oid):
        job.out(key.encode("utf-8", "surrogateescape") + b"\n")
    return 0


def _get_omap(job: Job, cid: Coll, oid: GHObject) -> int:
    key = _key(job)
    found = job.here.store.omap_get_values(cid, oid, [key])
    if key not in found:
        raise Refused("Key not found")
    return job.out(found[key])


def _set_omap(job: Job, cid: Coll, oid: GHObject) -> int:
    key, value = _key(job), input_of(job.words.arg2)
    transaction = Transaction()
    transaction.touch(cid, oid)
    transaction.omap_setkeys(cid, oid, {key: value})
    return _change(job, cid, transaction)


def _rm_omap(job: Job, cid: Coll, oid: GHObject) -> int:
    transaction = Transaction()
    transaction.omap_rmkeys(cid, oid, [_key(job)])
    return _change(job, cid, transaction)


def _get_omaphdr(job: Job, cid: Coll, oid: GHObject) -> int:
    return job.out(job.here.store.omap_get_header(cid, oid))


def _set_omaphdr(job: Job, cid: Coll, oid: GHObject) -> int:
    value = input_of(job.words.arg1)
    transaction = Transaction()
    transaction.touch(cid, oid)
    transaction.omap_setheader(cid, oid, value)
    return _change(job, cid, transaction)


# ---------------------------------------------------------------------------------------- metadata


def _info(job: Job, cid: Coll, oid: GHObject) -> ObjectInfo:
    try:
        return ObjectInfo.decode(job.here.store.getattr(cid, oid, "_"))
    except NotFound:
        raise Refused(f"Error getting attr on : {cid},{oid}, (61) No data available") from None
    except WireError:
        raise Refused(f"Error getting attr on : {cid},{oid}, (22) Invalid argument") from None


def _snapset(job: Job, cid: Coll, oid: GHObject) -> SnapSet:
    try:
        return SnapSet.decode(job.here.store.getattr(cid, oid, "snapset"))
    except NotFound:
        raise Refused(f"Error getting snapset on : {cid},{oid}, (61) No data available") from None


def _dump(job: Job, cid: Coll, oid: GHObject) -> int:
    store = job.here.store
    stat = store.stat(cid, oid)
    document: dict[str, Any] = {"id": oid.plain()}
    if not cid.is_meta:
        document["info"] = object_info_document(_info(job, cid, oid))
    document["stat"] = {
        "size": stat.size,
        "blksize": _BLOCK,
        "blocks": -(-stat.size // _BLOCK),
        "nlink": 1,
    }
    if oid.hobj.is_head and not cid.is_meta:
        document["SnapSet"] = snapset_document(_snapset(job, cid, oid))
    return job.show(document, "obj")


def _set_size(job: Job, cid: Coll, oid: GHObject) -> int:
    """Truncates or extends the object, in the store and by what its metadata say."""
    words, store = job.words, job.here.store
    if words.arg1 is None or words.arg2 is not None:
        raise Refused("", usage=True)
    if not words.arg1[:1].isdigit():
        raise Refused(f"Invalid size '{words.arg1}' specified")
    size, info, stat = int(words.arg1), _info(job, cid, oid), store.stat(cid, oid)
    head, snapset, before = oid, None, size
    if oid.hobj.is_snap:
        head = GHObject(oid.hobj.head(), oid.generation, oid.shard)
        snapset = _snapset(job, cid, head)
        if oid.hobj.snap not in snapset.clone_size:
            raise Refused(f"SnapSet is missing clone_size for snap {oid.hobj.snap:x}")
        before = snapset.clone_size[oid.hobj.snap]
    if stat.size == info.size == before == size:
        print(f"Size of object is already {size}")
        return 0
    clone = "" if snapset is None else f", head clone_size {before}"
    print(f"Setting size to {size}, stat size {stat.size}, obj info size {info.size}{clone}")
    transaction = Transaction()
    info.size = size
    if words.objcmd == "set-size" and stat.size != size:
        transaction.truncate(cid, oid, size)
        _clear_digest(info)
    transaction.setattr(cid, oid, "_", info.encode())
    if snapset is not None:
        snapset.clone_size[oid.hobj.snap] = size
        transaction.setattr(cid, head, "snapset", snapset.encode())
    return _change(job, cid, transaction)


def _clear_digest(info: ObjectInfo) -> None:
    info.flags = int(info.flags & ~ObjectFlag.DATA_DIGEST)
    info.data_digest = NO_DIGEST


def _clear_data_digest(job: Job, cid: Coll, oid: GHObject) -> int:
    info = _info(job, cid, oid)
    _clear_digest(info)
    transaction = Transaction()
    transaction.setattr(cid, oid, "_", info.encode())
    return _change(job, cid, transaction)


def _remove_clone_metadata(job: Job, cid: Coll, oid: GHObject) -> int:
    words = job.words
    if words.arg1 is None or words.arg2 is not None:
        raise Refused("", usage=True)
    if not oid.hobj.is_head:
        raise Refused("'remove-clone-metadata' requires a head or snapdir object")
    if not words.arg1[:1].isdigit():
        raise Refused(f"Invalid cloneid '{words.arg1}' specified")
    clone, snapset = int(words.arg1), _snapset(job, cid, oid)
    if clone not in snapset.clones:
        raise Refused(f"Clone {clone:x} not present")
    at = snapset.clones.index(clone)
    if at and clone in snapset.clone_overlap:
        # what the next older one shares with newer ones is what it shared through this one
        snapset.clone_overlap[snapset.clones[at - 1]] &= snapset.clone_overlap[clone]
    snapset.clones.remove(clone)
    for name in ("clone_overlap", "clone_size"):
        table = getattr(snapset, name)
        if clone not in table and not words.force:
            raise Refused(f"Clone {clone:x} doesn't exist in {name}")
        table.pop(clone, None)
    if words.dry_run:
        return 0
    transaction = Transaction()
    transaction.setattr(cid, oid, "snapset", snapset.encode())
    job.here.change(cid, transaction)
    print(f"Removal of clone {clone:x} complete")
    print("Use pg repair after OSD restarted to correct stat information")
    return 0


COMMANDS: dict[str, Callable[[Job, Coll, GHObject], int]] = {
    "get-bytes": _get_bytes,
    "set-bytes": _set_bytes,
    "remove": _remove,
    "removeall": _remove,
    "list-attrs": _list_attrs,
    "get-attr": _get_attr,
    "set-attr": _set_attr,
    "rm-attr": _rm_attr,
    "list-omap": _list_omap,
    "get-omap": _get_omap,
    "set-omap": _set_omap,
    "rm-omap": _rm_omap,
    "get-omaphdr": _get_omaphdr,
    "set-omaphdr": _set_omaphdr,
    "dump": _dump,
    "set-size": _set_size,
    "corrupt-size": _set_size,
    "clear-data-digest": _clear_data_digest,
    "remove-clone-metadata": _remove_clone_metadata,
}
