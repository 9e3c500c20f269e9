"""Verbs about objects as a whole: list, put, get, stat, remove.

For `spirula store`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from spirula.cli.store.opened import (
    COLL,
    OBJECT,
    PIECE,
    Opened,
    Verb,
    collection_of,
    in_file,
    object_of,
    opened,
    out_file,
    print_json,
    reading,
    text_of,
    writing,
)
from spirula.errors import NotFound
from spirula.store import snap_mapper
from spirula.store.objectstore import list_all
from spirula.store.osd_meta import META
from spirula.store.tools.queueing import Changes
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction

_AT_ONCE = 4 << 20
"""Bytes of a file that one transaction takes."""


def _ls(request: argparse.Namespace) -> int:
    with opened(request) as here:
        store = here.store
        if request.coll is None:
            for cid in store.list_collections():
                if request.json:
                    print_json({"coll": str(cid), "bits": store.collection_bits(cid)})
                else:
                    print(cid)
            return 0
        cid = collection_of(store, request.coll)
        first = "meta" if cid.is_meta else str(cid.pgid)
        for oid in list_all(store, cid, 256):
            if request.json:
                print_json([first, oid.plain()])
            elif request.long:
                print(f"{store.stat(cid, oid).size:>12} {oid}")
            else:
                print(oid)
    return 0


def _put(request: argparse.Namespace) -> int:
    with opened(request) as here:
        cid = collection_of(here.store, request.coll)
        oid = object_of(here.store, cid, request.object, make=True)
        with reading(request.file) as stream:
            size = _put_data(here, cid, oid, stream.read)
    if request.json:
        print_json({"object": str(oid), "size": size})
    return 0


def _put_data(here: Opened, cid: Coll, oid: GHObject, read: Callable[[int], bytes]) -> int:
    """Replace the object's data by what `read` gives; how much that was."""
    changes = Changes(here.store, here.pump, cid)
    txn, size, queued = Transaction(), 0, 0
    txn.touch(cid, oid)
    txn.truncate(cid, oid, 0)
    while data := read(PIECE):
        txn.write(cid, oid, size, data)
        size += len(data)
        if size - queued >= _AT_ONCE:
            changes.queue(txn, size - queued)
            txn, queued = Transaction(), size
    changes.queue(txn, size - queued)
    changes.finish()
    return size


def _get(request: argparse.Namespace) -> int:
    with opened(request) as here:
        cid = collection_of(here.store, request.coll)
        oid = object_of(here.store, cid, request.object)
        size = here.store.stat(cid, oid).size
        with writing(request.file) as stream:
            for offset in range(0, size, PIECE):
                stream.write(here.store.read(cid, oid, offset, min(PIECE, size - offset)))
    return 0


def _stat(request: argparse.Namespace) -> int:
    with opened(request) as here:
        store = here.store
        cid = collection_of(store, request.coll)
        oid = object_of(store, cid, request.object)
        stat = store.stat(cid, oid)
        attrs = store.getattrs(cid, oid)
        entries = sum(1 for _ in store.omap_iterate(cid, oid))
        document = {
            "object": str(oid),
            "size": stat.size,
            "blocks": stat.blocks,
            "extents": [list(each) for each in store.fiemap(cid, oid, 0, stat.size)],
            "attrs": {name: len(value) for name, value in attrs.items()},
            "omap_header": text_of(store.omap_get_header(cid, oid)),
            "omap_entries": entries,
        }
    if request.json:
        print_json(document)
    else:
        for name, value in document.items():
            print(f"{name:<12} {value}")
    return 0


def _rm(request: argparse.Namespace) -> int:
    with opened(request) as here:
        store = here.store
        cid = collection_of(store, request.coll)
        oid = object_of(store, cid, request.object)
        if not store.exists(cid, oid):
            raise NotFound(f"there is no object {oid} in {cid}")
        txn = Transaction()
        if not cid.is_meta and oid.hobj.is_snap and store.collection_exists(META):
            snap_mapper.remove(store, txn, oid.hobj, oid.shard)
        txn.remove(cid, oid)
        here.change(cid, txn)
    return 0


VERBS = (
    Verb(
        "ls",
        "list collections, or the objects of one in their order",
        _ls,
        (
            ("coll", {"metavar": "COLL", "nargs": "?", "help": "list its objects"}),
            ("--long", {"action": "store_true", "help": "with their sizes"}),
        ),
        reads=True,
    ),
    Verb("stat", "tell an object's size and what it has", _stat, (COLL, OBJECT), reads=True),
    Verb("get", "print an object's data", _get, (COLL, OBJECT, out_file()), reads=True),
    Verb(
        "put",
        "replace an object's data; the object is made if need be",
        _put,
        (COLL, OBJECT, in_file(None)),
        more="Attributes and omap stay as they are. An OSD finds only objects that have its own "
        "attributes: this is for repairs and tests.",
    ),
    Verb("rm", "remove an object with all it has", _rm, (COLL, OBJECT)),
)
