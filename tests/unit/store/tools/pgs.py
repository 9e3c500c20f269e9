"""Stores of an OSD with a PG in them, made by hand, for the tests of tools."""

from __future__ import annotations

from spirula.maps.placement import hash_key
from spirula.maps.simple import build_simple, everywhere_local
from spirula.store import osd_meta, pg_meta, snap_mapper
from spirula.store.memory import MemoryObjectStore
from spirula.store.osd_meta import META
from spirula.store.tools.queueing import Pump
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import NO_GEN, NOSNAP, GHObject, HObject
from spirula.types.object_info import ObjectInfo
from spirula.types.osd_superblock import OSDSuperblock, PoolPGNumHistory
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import Coll, PGId, SPGId
from spirula.types.pg_info import PGInfo
from spirula.types.pg_log import (
    LogOp,
    ObjectCleanRegions,
    PGLog,
    PGLogDup,
    PGLogEntry,
    PGMissing,
    PGMissingItem,
)
from spirula.types.pool import PGPool
from spirula.types.snap import SnapSet
from spirula.types.transaction import Transaction

POOL = 3
EPOCH = 20
FSID = bytes(range(16))


def osdmap(epoch=EPOCH, pg_num=4, pool=POOL):
    made = build_simple(everywhere_local(1), UTime(), fsid=FSID)
    made.epoch = epoch
    made.pools = {pool: PGPool(type=1, size=1, object_hash=2, pg_num=pg_num, pgp_num=pg_num)}
    made.pool_name = {pool: "pool"}
    return made


def osd_store(epoch=EPOCH, *, oldest=1, history=None, fsid=FSID, features=None, **map_options):
    """A store without PGs, and its pump."""
    pump = Pump()
    store = MemoryObjectStore(pump.defer)
    store.mount()
    superblock = OSDSuperblock(
        cluster_fsid=fsid,
        current_epoch=epoch,
        oldest_map=oldest,
        newest_map=epoch,
        compat_features=features or osd_meta.known_features(),
    )
    txn = Transaction()
    txn.create_collection(META, 0)
    put(txn, META, osd_meta.SUPERBLOCK, superblock.encode())
    put(txn, META, osd_meta.osdmap_object(epoch), osdmap(epoch, **map_options).encode())
    if history:
        kept = PoolPGNumHistory(epoch, {POOL: history})
        put(txn, META, osd_meta.PG_NUM_HISTORY, kept.encode())
    store.queue_transactions(META, [txn])
    return store, pump


def put(txn, cid, oid, data):
    txn.write(cid, oid, 0, data)


def hobject(name, *, snap=NOSNAP, nspace="", key=""):
    pool = osdmap().pools[POOL]
    hashed = hash_key(pool, key or name, nspace)
    return HObject.of(POOL, name, hashed, snap=snap, nspace=nspace, key=key)


def names_of(pgid, count, pg_num=4):
    """The first names `o0`, `o1` ... that belong to a PG."""
    numbers = (f"o{number}" for number in range(1 << 20))
    bits = pgid.pgid.split_bits(pg_num)
    found = (name for name in numbers if pgid.pgid.contains(bits, hobject(name)))
    return [next(found) for _ in range(count)]


def add_object(txn, pgid, hobj, data, *, omap=(), attrs=(), snapset=None, generation=NO_GEN):
    cid, oid = Coll.of(pgid), GHObject(hobj, generation, pgid.shard)
    info = ObjectInfo(soid=hobj, version=EVersion(5, EPOCH), size=len(data))
    txn.touch(cid, oid)
    if data:
        txn.write(cid, oid, 0, data)
    kept = {pg_meta.OBJECT_INFO_ATTR: info.encode(), **dict(attrs)}
    if hobj.is_head:
        kept[pg_meta.SNAPSET_ATTR] = (snapset or SnapSet()).encode()
    txn.setattrs(cid, oid, kept)
    if omap:
        txn.omap_setheader(cid, oid, b"header")
        txn.omap_setkeys(cid, oid, dict(omap))


def pg_info(pgid, last=9):
    return PGInfo(
        pgid=pgid.pgid,
        shard=pgid.shard,
        last_update=EVersion(last, EPOCH),
        last_complete=EVersion(last - 1, EPOCH),
        log_tail=EVersion(1, EPOCH),
        last_user_version=last,
    )


def pg_log(info, hobjects):
    entries = [
        PGLogEntry(LogOp.MODIFY, hobj, EVersion(number, EPOCH), user_version=number)
        for number, hobj in enumerate(hobjects, 2)
    ]
    dups = [PGLogDup(version=EVersion(1, EPOCH), user_version=1)]
    return PGLog(info.last_update, info.log_tail, entries, info.last_update, dups=dups)


def full_store(pgid, *, pg_num=4, objects=5):
    """A store with one PG: objects, a clone, an omap, what is not exported, log, missing."""
    store, pump = osd_store(pg_num=pg_num)
    names = names_of(pgid, objects, pg_num)
    heads = [hobject(name) for name in names]
    clone = hobject(names[0], snap=4)
    txn = Transaction()
    pg_meta.create_collection(txn, pgid, pg_num)
    pg_meta.init_on_disk(txn, pgid)
    served = SnapSet(seq=4, snaps=[4, 2], clones=[4], clone_snaps={4: [4, 2]})
    add_object(txn, pgid, clone, b"old")
    add_object(txn, pgid, heads[0], b"new" * 1000, snapset=served)
    entries = {f"k{number:03}": b"v%d" % number for number in range(60)}
    add_object(txn, pgid, heads[1], b"", omap=entries, attrs={"_color": b"red"})
    for hobj in heads[2:]:
        add_object(txn, pgid, hobj, bytes(3000) + hobj.oid.encode())
    add_object(txn, pgid, heads[2], b"undo", generation=7)
    txn.touch(Coll.of(pgid), GHObject(heads[0].temp("temporary"), NO_GEN, pgid.shard))
    snap_mapper.set_snaps(store, txn, clone, {2, 4}, pgid.shard)
    info = pg_info(pgid)
    dirty = ObjectCleanRegions.all_dirty()  # regions are not exported
    missing = PGMissing({heads[2]: PGMissingItem(EVersion(9, EPOCH), clean_regions=dirty)}, True)
    log = pg_log(info, heads)
    made, _ = pg_meta.info_changes(
        EPOCH,
        info,
        PGInfo(),
        PastIntervals(),
        dirty_big_info=True,
        dirty_epoch=True,
        try_fast_info=False,
    )
    everything = pg_meta.LogChanges.everything(missing)
    made.update(pg_meta.log_changes(log, missing, everything, require_rollback=True))
    made.add_to(txn, pgid)
    store.queue_transactions(Coll.of(pgid), [txn])
    return store, pump


def content(store, cid):
    """All that a collection holds, as plain data."""
    objects, _ = store.collection_list(cid, limit=10_000)
    return {
        oid: (store.read(cid, oid), store.getattrs(cid, oid), store.omap_get(cid, oid))
        for oid in objects
    }


def spg(text):
    return SPGId.parse(text)


def pg(text):
    return PGId.parse(text)
