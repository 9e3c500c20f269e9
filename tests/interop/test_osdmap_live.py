"""A running cluster's map: we read it, write it again, and put objects where its monitor does."""

from __future__ import annotations

import functools

from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement

POOLS = ("places", "places-ec")
OBJECTS = (("a", ""), ("an object", "space"), ("rbd_data.10226b8b4567.0000000000000001", ""))


def test_objects_are_where_the_monitor_says(real_cluster):
    real_cluster.ceph("osd", "pool", "create", POOLS[0], "11", "7")
    real_cluster.ceph("osd", "pool", "create", POOLS[1], "4", "4", "erasure")
    out = real_cluster.folder / "osdmap"

    @functools.cache
    def map_of(epoch):
        # PGs that are made, or find each other again, change the map meanwhile.
        real_cluster.ceph("osd", "getmap", str(epoch), "-o", str(out))
        return OSDMap.decode(out.read_bytes())

    try:
        real_cluster.ceph("osd", "primary-affinity", "0", "0.3")
        for pool in POOLS:
            for name, nspace in OBJECTS:
                words = [word for word in (pool, name, nspace) if word]
                told = real_cluster.ceph_json("osd", "map", *words)
                osdmap = map_of(told["epoch"])
                names = {name: number for number, name in osdmap.pool_name.items()}
                mappings, places = PGMappings(osdmap), Placement(osdmap)
                pg, found = mappings.locate(names[pool], name, nspace=nspace)
                raw = places.object_pg(names[pool], name, nspace=nspace)
                assert (str(raw), str(pg)) == (told["raw_pgid"], told["pgid"])
                assert (found.up, found.acting) == (told["up"], told["acting"])
                assert found.up_primary == told["up_primary"]
                assert found.acting_primary == told["acting_primary"]
    finally:
        real_cluster.ceph("osd", "primary-affinity", "0", "1")
        for pool in POOLS:
            real_cluster.ceph("osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it")
