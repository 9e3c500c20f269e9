"""Brings an exported PG into the store of a stopped OSD, after the checks that upstream makes.

Until all of it is there, the PG is marked for removal: an import that was interrupted leaves
nothing that an OSD would use, and the next one clears it away. Objects that are no more the PG's,
because it was split since, are skipped. Upstream: `src/tools/ceph_objectstore_tool.cc` (do_import).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from spirula.errors import Exists, InvalidArgument, NotFound, WireError
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import hash_key, raw_pg_to_pg
from spirula.store import pg_meta, snap_mapper
from spirula.store.objectstore import MAX_OBJECT_SIZE, ObjectStore, belongs
from spirula.store.osd_meta import (
    FEATURE_SHARDS,
    features_text,
    read_osdmap,
    read_pg_num_history,
    read_superblock,
    unsupported,
    without_feature,
)
from spirula.store.tools.dump_format import (
    AttrSection,
    DataSection,
    DumpReader,
    Metadata,
    ObjectBegin,
    OmapHeaderSection,
    OmapSection,
    PGBegin,
    Readable,
    SectionType,
)
from spirula.store.tools.export_pg import Progress
from spirula.store.tools.queueing import Changes, Pump
from spirula.store.tools.remove_pg import finish_removals
from spirula.types.hobject import NO_GEN, NO_SHARD, GHObject, HObject
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.pg import Coll, PGId, SPGId
from spirula.types.pg_info import PGInfo
from spirula.types.snap import SnapSet
from spirula.types.transaction import Transaction

TRANSACTION_BYTES = 4 << 20
"""A transaction of an object is queued, and another begun, when it holds this much."""
HIT_SET_NAMESPACE = ".ceph-internal"
"""Objects in it belong to the PG that made them (default of osd_hit_set_namespace)."""
_ENTRY_BYTES = 64
_KNOWN = frozenset(int(kind) for kind in SectionType)


@dataclass(slots=True)
class Imported(Progress):
    """What an import did: `skipped` objects belong to other PGs; `notes` are for who called it."""

    pgid: SPGId = field(default_factory=SPGId)
    skipped: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Import:
    """What all steps share."""

    store: ObjectStore
    pump: Pump
    reader: DumpReader
    superblock: OSDSuperblock
    force: bool
    dry_run: bool
    done: Imported
    progress: Callable[[Progress], None] | None
    cid: Coll = field(default_factory=Coll)
    bits: int = 0
    osdmap: OSDMap | None = None
    changes: Changes | None = None


def import_pg(
    store: ObjectStore,
    pump: Pump,
    stream: Readable,
    *,
    pgid: SPGId | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Imported:
    """Read a PG from a stream into a store; durable on return.

    `pgid`: what it must be. `force` goes on though features or maps do not fit. `dry_run` reads and
    checks everything and changes nothing. WireError if the file is damaged; NotFound, Exists or
    InvalidArgument, before anything is changed, if this store or its map is not one for this PG.
    """
    superblock = read_superblock(store)
    done = Imported()
    if not dry_run:
        done.notes += [
            f"removed PG {gone}, which was left" for gone in finish_removals(store, pump)
        ]
    job = _Import(store, pump, DumpReader(stream), superblock, force, dry_run, done, progress)
    try:
        _begin(job, pgid)
        metadata = _metadata_and_objects(job)
    except WireError as error:
        text = f"the export is damaged or cut off, in the section at byte {job.reader.section_at}"
        raise type(error)(f"{text}: {error}") from error
    done.size = job.reader.position
    if job.changes is not None:
        _complete(job, metadata, job.changes)
    return done


# --- checks ---


def _begin(job: _Import, wanted: SPGId | None) -> None:
    job.reader.start()
    kind, body = job.reader.section()
    if kind == SectionType.POOL_BEGIN:
        raise InvalidArgument("this is the export of a pool, which is not imported as a PG")
    if kind != SectionType.PG_BEGIN:
        raise WireError(f"the first section is of type {kind}, not the beginning of a PG")
    begin = PGBegin.decode(body)
    pgid = begin.spgid
    if wanted is not None and wanted != pgid:
        raise InvalidArgument(f"the export is of PG {pgid}, not of {wanted}")
    theirs, ours = begin.superblock, job.superblock
    if any(bytes(theirs.cluster_fsid)) and theirs.cluster_fsid != ours.cluster_fsid:
        raise InvalidArgument(
            f"the export came from another cluster, with fsid {UUID(bytes=theirs.cluster_fsid)}; "
            f"this OSD is of {UUID(bytes=ours.cluster_fsid)}"
        )
    features = theirs.compat_features
    if pgid.shard == NO_SHARD:
        features = without_feature(features, FEATURE_SHARDS)
    lacking = unsupported(ours.compat_features, features)
    if any((lacking.compat.mask, lacking.ro_compat.mask, lacking.incompat.mask)):
        text = f"the export has features that this OSD has not: {features_text(lacking)}"
        _complain(job, text, "use another OSD, or force the import")
    _check_here(job, pgid)
    job.done.pgid, job.cid = pgid, Coll.of(pgid)


def _complain(job: _Import, text: str, advice: str) -> None:
    """Refuse what may be forced, or note it."""
    if not job.force:
        raise InvalidArgument(f"{text}: {advice}")
    job.done.notes.append(f"{text}; forced")


def _check_here(job: _Import, pgid: SPGId) -> None:
    epoch = job.superblock.current_epoch
    newest = OSDMap.decode(read_osdmap(job.store, epoch))
    if pgid.pool not in newest.pools:
        raise NotFound(f"pool {pgid.pool} no longer exists in this OSD's map of epoch {epoch}")
    if job.store.collection_exists(Coll.of(pgid)):
        raise Exists(f"PG {pgid} already exists in this store: remove it first")


def _check_maps(job: _Import, metadata: Metadata, osdmap: OSDMap) -> None:
    ours = job.superblock
    if metadata.epoch != osdmap.epoch:
        raise WireError(f"the export has the map of epoch {osdmap.epoch}, not {metadata.epoch}")
    if metadata.epoch > ours.current_epoch:
        raise InvalidArgument(
            f"the export is of epoch {metadata.epoch}, this OSD knows maps up to "
            f"{ours.current_epoch}: use another OSD, or let this one join the cluster first"
        )
    if osdmap.epoch < ours.oldest_map:
        text = f"the export's map {osdmap.epoch} is older than this OSD's oldest, {ours.oldest_map}"
        _complain(job, text, "force it to go on with incomplete past intervals")


def _check_splits(job: _Import, metadata: Metadata, osdmap: OSDMap) -> None:
    """No PG that this one was split into, or merged into, since then may be here."""
    pgid = job.done.pgid
    pool = osdmap.pools.get(pgid.pool)
    if pool is None:
        job.done.notes.append(f"pool {pgid.pool} is not in the export's map: splits not checked")
        return
    changes = read_pg_num_history(job.store).pg_nums.get(pgid.pool, {})
    epochs = sorted(changes)
    before = pool.pg_num
    for epoch in epochs[bisect_left(epochs, metadata.epoch) :]:
        after = changes[epoch]
        target = pgid.pgid.merge_target(before, after)
        if target is not None:
            _check_absent(job, target, "it was merged into")
        for child in sorted(pgid.pgid.children(pool.pg_num, after), key=lambda pg: pg.seed):
            _check_absent(job, child, "it was split into")
        before = after


def _check_absent(job: _Import, relative: PGId, how: str) -> None:
    other = SPGId(relative, job.done.pgid.shard)
    if job.store.collection_exists(Coll.of(other)):
        raise Exists(
            f"PG {job.done.pgid} cannot be imported, since {how} {other}, which exists: "
            "remove that, or use another OSD"
        )


# --- contents ---


def _metadata_and_objects(job: _Import) -> Metadata:
    metadata: Metadata | None = None
    for kind, body in job.reader.sections(SectionType.PG_END):
        if kind == SectionType.PG_METADATA:
            if metadata is not None:
                raise WireError("a second section of metadata")
            metadata, job.osdmap = Metadata.decode(body)
            metadata.info.pgid, metadata.info.shard = job.done.pgid.pgid, job.done.pgid.shard
            _check_maps(job, metadata, job.osdmap)
            _check_splits(job, metadata, job.osdmap)
            _make_collection(job, job.osdmap)
        elif kind == SectionType.OBJECT_BEGIN:
            if metadata is None:
                raise WireError("an object comes before the metadata")
            _import_object(job, body)
        elif kind in _KNOWN:
            raise WireError(f"a section of type {kind} does not belong here")
        else:
            job.done.notes.append(f"skipped a section of type {kind}, which is not known")
    if metadata is None:
        raise WireError("the export has no metadata")
    return metadata


def _make_collection(job: _Import, osdmap: OSDMap) -> None:
    pgid = job.done.pgid
    pool = osdmap.pools.get(pgid.pool)
    if pool is None:
        raise WireError(f"the map of the export has no pool {pgid.pool}")
    if pgid.seed >= pool.pg_num:
        raise WireError(f"pool {pgid.pool} has {pool.pg_num} PGs, and no {pgid}")
    job.bits = pgid.pgid.split_bits(pool.pg_num)
    if job.dry_run:
        return
    txn = Transaction()
    pg_meta.create_collection(txn, pgid, pool.pg_num)
    pg_meta.init_on_disk(txn, pgid)
    pg_meta.removal_flag(pgid, txn)
    job.changes = Changes(job.store, job.pump, job.cid)
    job.changes.queue(txn)


def _belongs(job: _Import, hobj: HObject) -> bool:
    """Whether an object is one of the PG's, by the map that came with it."""
    if hobj.nspace == HIT_SET_NAMESPACE or job.osdmap is None:
        return True
    pool = job.osdmap.pools.get(hobj.pool)
    if pool is None:
        return False
    seed = hash_key(pool, hobj.effective_key, hobj.nspace)
    return raw_pg_to_pg(pool, PGId(hobj.pool, seed)) == job.done.pgid.pgid


def _import_object(job: _Import, body: bytes) -> None:
    oid = ObjectBegin.decode(body).oid
    if oid.hobj.is_temp:
        raise WireError(f"the export has a temporary object, {oid}")
    if oid.shard != job.done.pgid.shard:
        raise WireError(f"the export of {job.done.pgid} has an object of another shard, {oid}")
    ours = _belongs(job, oid.hobj)
    if ours and not belongs(job.cid, job.bits, oid):
        raise WireError(f"{oid} has another hash than its name in PG {job.done.pgid}")
    if ours:
        job.done.objects += 1
    else:
        job.done.skipped += 1
    parts = _Parts(job, oid, None if job.dry_run or not ours else job.changes)
    for kind, part in job.reader.sections(SectionType.OBJECT_END):
        taken = _TAKERS.get(kind)
        if taken is not None:
            taken(parts, part)
        elif kind in _KNOWN:
            raise WireError(f"a section of type {kind} does not belong into {oid}")
        else:
            job.done.notes.append(f"skipped a section of type {kind} of {oid}, which is not known")
    parts.flush()
    job.done.size = job.reader.position
    if job.progress:
        job.progress(job.done)


class _Parts:
    """An object as it comes; nothing is changed without `changes`, but all is decoded."""

    def __init__(self, job: _Import, oid: GHObject, changes: Changes | None) -> None:
        self._job, self._oid, self._changes = job, oid, changes
        self._txn, self._size = Transaction(), 0
        self._txn.touch(job.cid, oid)

    def take_data(self, body: bytes) -> None:
        part = DataSection.decode(body)
        length = len(part.data)
        if part.length != length:
            raise WireError(f"{length} bytes of data of {self._oid} where {part.length} should be")
        if part.offset + length > MAX_OBJECT_SIZE:
            raise WireError(f"data of {self._oid} at {part.offset}, where no object reaches")
        if length and part.data.count(0) == length:
            self._txn.zero(self._job.cid, self._oid, part.offset, length)
            length = 0
        elif length:
            self._txn.write(self._job.cid, self._oid, part.offset, part.data)
        self._grew(length)

    def take_attrs(self, body: bytes) -> None:
        attrs = AttrSection.decode(body).attrs
        self._txn.setattrs(self._job.cid, self._oid, attrs)
        if self._oid.generation == NO_GEN and self._oid.hobj.is_head:
            self._map_clones(attrs.get(pg_meta.SNAPSET_ATTR))
        self._grew(sum(map(len, attrs.values())))

    def _map_clones(self, raw: bytes | None) -> None:
        """Enter the clones into the snap mapper: they come before their head in the file."""
        job, store = self._job, self._job.store
        if raw is None:
            job.done.notes.append(f"{self._oid} has no snapset")
            return
        served = SnapSet.decode(raw).clone_snaps
        if self._changes is None:
            return
        for clone, snaps in served.items():
            hobj = self._oid.hobj.at_snap(clone)
            # a cache pool need not have every clone
            if snaps and store.exists(job.cid, GHObject(hobj, NO_GEN, self._oid.shard)):
                snap_mapper.set_snaps(store, self._txn, hobj, set(snaps), self._oid.shard)

    def take_omap_header(self, body: bytes) -> None:
        header = OmapHeaderSection.decode(body).header
        if header:
            self._txn.omap_setheader(self._job.cid, self._oid, header)
        self._grew(len(header))

    def take_omap(self, body: bytes) -> None:
        entries = OmapSection.decode(body).entries
        self._txn.omap_setkeys(self._job.cid, self._oid, entries)
        self._grew(len(body) + _ENTRY_BYTES * len(entries))

    def _grew(self, size: int) -> None:
        self._size += size
        if self._size >= TRANSACTION_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._changes is not None and self._txn.ops:
            self._changes.queue(self._txn, self._size)
        self._txn, self._size = Transaction(), 0


_TAKERS: dict[int, Callable[[_Parts, bytes], None]] = {
    SectionType.DATA: _Parts.take_data,
    SectionType.ATTRS: _Parts.take_attrs,
    SectionType.OMAP_HDR: _Parts.take_omap_header,
    SectionType.OMAP: _Parts.take_omap,
}


def _complete(job: _Import, metadata: Metadata, changes: Changes) -> None:
    """Write info and log, without what belongs to other PGs, and take the mark away."""
    pgid, info, log, missing = job.done.pgid, metadata.info, metadata.log, metadata.missing
    log.log = [each for each in log.log if not each.soid.is_temp and _belongs(job, each.soid)]
    priors = {
        version: hobj
        for version, hobj in metadata.divergent_priors.items()
        if not hobj.is_temp and _belongs(job, hobj)
    }
    kept = {hobj: item for hobj, item in missing.missing.items() if _belongs(job, hobj)}
    missing.missing = kept
    if job.done.skipped:
        info.stats.stats_invalid = True
    made, _ = pg_meta.info_changes(
        metadata.epoch,
        info,
        PGInfo(),
        metadata.past_intervals,
        dirty_big_info=True,
        dirty_epoch=True,
        try_fast_info=False,
    )
    if priors and missing.missing:
        raise WireError("the export has missing objects and divergent priors")
    if priors:
        made.update(pg_meta.old_log_changes(log, priors))
    else:
        dirty = pg_meta.LogChanges.everything(missing)
        made.update(pg_meta.log_changes(log, missing, dirty, require_rollback=True))
    txn = Transaction()
    made.add_to(txn, pgid)
    pg_meta.clear_removal_flag(pgid, txn)
    changes.queue(txn, sum(map(len, made.set.values())))
    changes.finish()
