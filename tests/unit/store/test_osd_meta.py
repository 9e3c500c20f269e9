"""Objects of the meta collection, and the index of clones in one of them."""

from __future__ import annotations

import pytest

from spirula.errors import InputOutput, NotFound
from spirula.store import osd_meta, snap_mapper
from spirula.store.memory import MemoryObjectStore
from spirula.store.osd_meta import META
from spirula.types.hobject import HObject
from spirula.types.mon import CompatSet, FeatureSet
from spirula.types.osd_superblock import OSDSuperblock, PoolPGNumHistory
from spirula.types.transaction import Transaction


@pytest.fixture
def store():
    made = MemoryObjectStore(lambda call: call)
    made.mount()
    txn = Transaction()
    txn.create_collection(META, 0)
    made.queue_transactions(META, [txn])
    return made


def put(store, oid, data):
    txn = Transaction()
    txn.write(META, oid, 0, data)
    store.queue_transactions(META, [txn])


# --- names, as `ceph-objectstore-tool --op meta-list` of 16.2.15 shows them ---


@pytest.mark.parametrize(
    ("oid", "name", "hash", "snap"),
    [
        (osd_meta.osdmap_object(13), "osdmap.13", 1679232780, 0),
        (osd_meta.inc_osdmap_object(7), "inc_osdmap.7", 3059697446, 0),
        (osd_meta.SUPERBLOCK, "osd_superblock", 599981278, 0),
        (osd_meta.SNAPMAPPER, "snapmapper", 2758339587, 0),
        (osd_meta.PG_NUM_HISTORY, "pg_num_history", 253368162, -2),
    ],
)
def test_names_are_upstreams(oid, name, hash, snap):
    shown = oid.plain()
    assert (shown["oid"], shown["hash"], shown["snapid"], shown["pool"]) == (name, hash, snap, -1)


def test_what_is_kept_is_read(store):
    for read in (osd_meta.read_superblock, lambda each: osd_meta.read_osdmap(each, 7)):
        with pytest.raises(NotFound):
            read(store)
    assert osd_meta.read_pg_num_history(store) == PoolPGNumHistory()
    superblock = OSDSuperblock(whoami=3, current_epoch=7)
    put(store, osd_meta.SUPERBLOCK, superblock.encode())
    assert osd_meta.read_superblock(store) == superblock
    put(store, osd_meta.osdmap_object(7), b"a map")
    assert osd_meta.read_osdmap(store, 7) == b"a map"
    history = PoolPGNumHistory(7, {2: {5: 8}})
    put(store, osd_meta.PG_NUM_HISTORY, history.encode())
    assert osd_meta.read_pg_num_history(store) == history


def test_damage_is_told(store):
    for oid, read in (
        (osd_meta.SUPERBLOCK, osd_meta.read_superblock),
        (osd_meta.PG_NUM_HISTORY, osd_meta.read_pg_num_history),
    ):
        put(store, oid, b"\xff" * 40)
        with pytest.raises(InputOutput, match="is damaged"):
            read(store)


# --- features ---


def features(**sets):
    made = {name: FeatureSet.of(sets.get(name, {})) for name in ("compat", "ro_compat", "incompat")}
    return CompatSet(**made)


def test_features():
    known = features(incompat={1: "one", 2: "two"}, compat={5: "five"})
    wanted = features(incompat={2: "two", 3: "three"}, ro_compat={4: "four"})
    lacking = osd_meta.unsupported(known, wanted)
    assert lacking == features(incompat={3: "three"}, ro_compat={4: "four"})
    text = "compat={},rocompat={4=four},incompat={3=three}"
    assert osd_meta.features_text(lacking) == text
    left = osd_meta.without_feature(osd_meta.known_features(), osd_meta.FEATURE_SHARDS)
    assert left == osd_meta.initial_features()
    assert left.incompat.mask == 0x3F7FE


# --- clones ---


def clone(name, snap, pool=2):
    return HObject.of(pool, name, 0x4E, snap=snap)


def change(store, function, *arguments):
    txn = Transaction()
    function(store, txn, *arguments)
    if txn.ops:
        store.queue_transactions(META, [txn])


def test_clones_of_snapshots(store):
    assert snap_mapper.snaps_of(store, clone("a", 4)) is None
    assert list(snap_mapper.clones_of(store, 2, 4)) == []
    change(store, snap_mapper.remove, clone("a", 4))
    change(store, snap_mapper.set_snaps, clone("a", 4), {2, 4})
    change(store, snap_mapper.set_snaps, clone("b", 4), {4})
    change(store, snap_mapper.set_snaps, clone("b", 4, pool=22), {4})
    change(store, snap_mapper.set_snaps, clone("c", 4), {4}, 1)
    assert snap_mapper.snaps_of(store, clone("a", 4)) == {2, 4}
    assert list(snap_mapper.clones_of(store, 2, 4, 1)) == [clone("c", 4)]
    everyone = [clone("c", 4), clone("a", 4), clone("b", 4)]
    assert list(snap_mapper.clones_of(store, 2, 4)) == everyone
    within = clone("a", 4).key_text()[:20]
    assert list(snap_mapper.clones_of(store, 2, 4, within=within)) == everyone[1:]
    change(store, snap_mapper.set_snaps, clone("a", 4), {2})
    assert list(snap_mapper.clones_of(store, 2, 4, within=within)) == [clone("b", 4)]
    assert list(snap_mapper.clones_of(store, 2, 2)) == [clone("a", 4)]
    change(store, snap_mapper.set_snaps, clone("a", 4), set())
    change(store, snap_mapper.remove, clone("b", 4))
    change(store, snap_mapper.remove, clone("b", 4, pool=22))
    change(store, snap_mapper.remove, clone("c", 4), 1)
    assert store.omap_get_keys(META, osd_meta.SNAPMAPPER) == []


def test_keys_are_upstreams(store):
    hobj = clone("o7", 1)
    assert snap_mapper.clone_key(hobj) == "OBJ_0000000000000002.E4000000.1.o7.."
    expected = "SNA_2_000000000000001F_.1_0000000000000002.E4000000.1.o7.."
    assert snap_mapper.snap_key(hobj, 0x1F, 1) == expected
