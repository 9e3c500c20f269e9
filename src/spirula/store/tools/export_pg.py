"""Writes a PG of a stopped OSD's store to a file that any Ceph of 16.2 can import.

Objects go out in the store's order, a piece at a time, so that memory does not grow with the PG.
Left out, as upstream does: temporary objects, and older generations that an erasure-coded PG keeps
to undo changes. The file is upstream's, byte for byte (`ceph-objectstore-tool --op export`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spirula.errors import InputOutput, InvariantBroken, WireError
from spirula.store.objectstore import ObjectStore, list_all
from spirula.store.osd_meta import (
    FEATURE_SHARDS,
    read_osdmap,
    read_superblock,
    without_feature,
)
from spirula.store.pg_meta import OBJECT_INFO_ATTR, read_info, read_log
from spirula.store.tools.dump_format import (
    DATA_SIZE,
    OMAP_BATCH,
    AttrSection,
    DumpWriter,
    Metadata,
    ObjectBegin,
    OmapHeaderSection,
    OmapSection,
    PGBegin,
    SectionType,
    Writable,
    batches,
)
from spirula.types.hobject import NO_GEN, NO_SHARD, GHObject
from spirula.types.object_info import ObjectInfo
from spirula.types.pg import Coll, SPGId

_LIST_AT_A_TIME = 300


@dataclass(slots=True)
class Progress:
    """How far an export or import is: objects, and bytes of the file."""

    objects: int = 0
    size: int = 0


def export_pg(
    store: ObjectStore,
    pgid: SPGId,
    stream: Writable,
    progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Write a PG to a stream; `progress` is called after each object.

    NotFound if there is no such PG or the map of its epoch is not there, InputOutput if something
    cannot be read; what was written by then is of no use.
    """
    begin, metadata = _begin(store, pgid)
    out = DumpWriter(stream)
    out.start()
    out.section(SectionType.PG_BEGIN, begin.encode())
    out.section(SectionType.PG_METADATA, metadata.encode())
    done = Progress()
    cid = Coll.of(pgid)
    for oid in list_all(store, cid, _LIST_AT_A_TIME):
        if oid.is_pgmeta or oid.hobj.is_temp or oid.generation != NO_GEN:
            continue
        _export_object(store, cid, oid, out)
        done.objects, done.size = done.objects + 1, out.size
        if progress:
            progress(done)
    out.mark(SectionType.PG_END)
    done.size = out.size
    return done


def _begin(store: ObjectStore, pgid: SPGId) -> tuple[PGBegin, Metadata]:
    superblock = read_superblock(store)
    if pgid.shard == NO_SHARD:
        features = without_feature(superblock.compat_features, FEATURE_SHARDS)
        superblock.compat_features = features
    stored = read_info(store, pgid)
    kept = read_log(store, pgid, stored.info)
    metadata = Metadata(
        stored.struct_v,
        stored.epoch,
        stored.info,
        kept.log,
        stored.past_intervals,
        read_osdmap(store, stored.epoch),
        kept.missing,
    )
    return PGBegin(pgid.pgid, superblock, pgid.shard), metadata


def _export_object(store: ObjectStore, cid: Coll, oid: GHObject, out: DumpWriter) -> None:
    attrs = store.getattrs(cid, oid)
    try:
        info = ObjectInfo.decode(attrs[OBJECT_INFO_ATTR])
    except KeyError:
        raise InputOutput(f"{oid} has no object info: remove it, or export another copy") from None
    except WireError as error:
        raise InputOutput(f"the object info of {oid} is damaged: {error}") from error
    begin = ObjectBegin(oid.hobj, oid.generation, oid.shard, info)
    out.section(SectionType.OBJECT_BEGIN, begin.encode())
    _export_data(store, cid, oid, out)
    out.section(SectionType.ATTRS, AttrSection(attrs).encode())
    header = store.omap_get_header(cid, oid)
    out.section(SectionType.OMAP_HDR, OmapHeaderSection(header).encode())
    for batch in batches(store.omap_iterate(cid, oid), OMAP_BATCH):
        out.section(SectionType.OMAP, OmapSection(batch).encode())
    out.mark(SectionType.OBJECT_END)


def _export_data(store: ObjectStore, cid: Coll, oid: GHObject, out: DumpWriter) -> None:
    size = store.stat(cid, oid).size
    for offset in range(0, size, DATA_SIZE):
        length = min(DATA_SIZE, size - offset)
        data = store.read(cid, oid, offset, length)
        if len(data) != length:
            raise InvariantBroken(f"{oid} of {size} bytes gave {len(data)} at {offset}~{length}")
        out.data(offset, length, data)
