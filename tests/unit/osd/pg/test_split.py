"""A PG is split: every object, log entry and counter goes to the PG that has its hash."""

from __future__ import annotations

import copy

import pytest

from spirula.maps.placement import PGMapping
from spirula.osd.pg import create, split
from spirula.osd.pg.peering import intervals
from spirula.store import pg_meta
from spirula.types.osd_info import OsdInfo
from spirula.types.pg import PGId
from tests.unit.osd.pg.harness import (
    FIRST_EPOCH,
    POOL,
    Client,
    Cluster,
    append,
    crossed,
    object_of,
    read,
)


@pytest.mark.parametrize("pg_num", [2, 4, 6, 16])
def test_objects_go_to_the_pgs_of_their_hashes(pg_num):
    cluster = Cluster(1)
    cluster.make_pg()
    client = Client()
    names = [f"object{number}" for number in range(60)]
    for name in names:
        cluster.ask(client, name, append(name.encode()))
    before = list(cluster.primary.log.entries)
    pool = copy.copy(cluster.pool)
    pool.pg_num = pool.pgp_num = pg_num
    osdmap = copy.copy(cluster.maps.current)
    osdmap.epoch += 1
    osdmap.pools = {POOL: pool}
    osdmap.osd_info = [OsdInfo(up_from=FIRST_EPOCH, up_thru=osdmap.epoch)]
    mapping = PGMapping([0], 0, [0], 0)
    cluster.maps.by_epoch[osdmap.epoch] = osdmap
    cluster.maps.mapping[osdmap.epoch] = mapping
    parent = cluster.primary
    intervals.advance(parent, osdmap, mapping)
    seeds = parent.pgid.pgid.children(1, pg_num)
    family = [parent, *split.split(parent, seeds, lambda _: mapping)]
    assert sorted(pg.pgid.pgid.seed for pg in family) == list(range(pg_num))
    assert not any(pg.state for pg in family[1:])
    for epoch in (osdmap.epoch, osdmap.epoch + 1):
        cluster.maps.by_epoch[epoch] = copy.copy(osdmap)
        cluster.maps.by_epoch[epoch].epoch = epoch
        cluster.maps.mapping[epoch] = mapping
        for pg in family:
            if pg.epoch < epoch:
                intervals.advance(pg, cluster.maps.get(epoch), mapping)
            intervals.activate_map(pg)
    cluster.settle()
    assert not cluster.nodes[0].failed

    store = cluster.nodes[0].store
    found = []
    for pg in family:
        bits = pg.pgid.pgid.split_bits(pg_num)
        assert store.collection_bits(pg.coll) == bits
        objects, _ = store.collection_list(pg.coll, limit=1000)
        inside = [oid.hobj for oid in objects if not oid.is_pgmeta]
        assert all(pg.pgid.pgid.contains(bits, hobj) for hobj in inside)
        assert {entry.soid for entry in pg.log.entries} == set(inside)
        assert pg.log.head == before[-1].version == pg.info.last_update
        found += [hobj.oid for hobj in inside]
        stored = pg_meta.read_info(store, pg.pgid)
        log = pg_meta.read_log(store, pg.pgid, stored.info).log
        assert log.log == list(pg.log.entries)
        loaded = create.load(cluster.nodes[0].shared, pg.pgid, stored, osdmap, mapping)
        assert loaded.info.last_update == pg.info.last_update
    assert sorted(found) == sorted(names)
    assert sum(pg.info.stats.stats.sum.num_objects for pg in family) == len(names)

    for name in names:  # and clients read and write them there
        hobj = object_of(name)
        pg = next(p for p in family if p.pgid.pgid.contains(p.pgid.pgid.split_bits(pg_num), hobj))
        request = cluster.request(name, read())
        request.pgid, request.epoch = pg.pgid, osdmap.epoch
        client.tid += 1
        request.tid = client.tid
        arrived = crossed(request)
        arrived.connection = client.connection
        pg.dispatch(arrived)
        cluster.settle()
        assert client.reply(client.tid).ops[0].outdata == name.encode()
    assert PGId(POOL, 0) == parent.pgid.pgid
