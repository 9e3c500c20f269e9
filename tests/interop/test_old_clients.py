"""Clients with fewer features than today's: what a real monitor sends them, and what ours does."""

from __future__ import annotations

import asyncio

import pytest

from spirula.denc.features import PACIFIC
from spirula.errors import SpirulaError
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.mon.services.osdmap.encoding import reencode_full, reencode_incremental
from spirula.types.mon import MonMap
from tests.interop.old_peer import OLD_MAPS_WITHOUT, WITHOUT, maps_for
from tests.interop.realcluster import RealCluster
from tests.interop.spirulacluster import OurCluster, our_cluster

SETS = ("octopus", "nautilus", "mimic", "mimic and poolresend")
POOL = "for-old-clients"
LAST = 12


def check(cluster: RealCluster | OurCluster) -> None:
    """Changes and whole maps of some epochs, for newest and older clients."""
    last = cluster.ceph_json("osd", "dump")["epoch"]
    first = max(last - LAST, 1)
    newest = asyncio.run(maps_for(cluster.conf, 0, first, last, last))
    assert set(newest.incrementals) == set(range(first, last + 1))
    assert OSDMap.decode(newest.fulls[last]).encode() == newest.fulls[last]
    for name in SETS:
        features = PACIFIC & ~WITHOUT[name]
        older = asyncio.run(maps_for(cluster.conf, WITHOUT[name], first, last, last))
        assert older.incrementals == {
            epoch: reencode_incremental(raw, features) for epoch, raw in newest.incrementals.items()
        }
        assert older.fulls == {last: reencode_full(newest.fulls[last], features)}
        assert older.fulls != newest.fulls
        assert MonMap.decode(older.monmap).encode(features) == older.monmap
        assert (older.monmap[0] < newest.monmap[0]) == ("octopus" not in name)
        # The checksum of the whole map is that of the encoding for everybody.
        for epoch, raw in older.incrementals.items():
            told = Incremental.decode(raw)
            assert told.full_crc == Incremental.decode(newest.incrementals[epoch]).full_crc
            assert told.encode_features & features == told.encode_features


def test_a_real_monitor(real_cluster: RealCluster):
    real_cluster.ceph("osd", "pool", "create", POOL, "4")
    try:
        check(real_cluster)
    finally:
        real_cluster.ceph("osd", "pool", "rm", POOL, POOL, "--yes-i-really-really-mean-it")


def test_our_monitor(real_cluster: RealCluster):
    with our_cluster(1) as cluster:
        cluster.ceph("osd", "new", real_cluster.fsid)
        cluster.ceph("osd", "pool", "create", POOL, "4")
        cluster.ceph("osd", "set", "noout")
        check(cluster)
        # A map with new tunables is not for clients that know none: nobody is told halves.
        without = OLD_MAPS_WITHOUT["jewel"]
        with pytest.raises(SpirulaError, match="requires features"):
            asyncio.run(maps_for(cluster.conf, without, 1, 1, 1))
        cluster.ceph("osd", "crush", "tunables", "legacy")
        last = cluster.ceph_json("osd", "dump")["epoch"]
        newest = asyncio.run(maps_for(cluster.conf, 0, last, last, last))
        for without in OLD_MAPS_WITHOUT.values():
            old = asyncio.run(maps_for(cluster.conf, without, last, last, last))
            assert old.fulls == {last: reencode_full(newest.fulls[last], PACIFIC & ~without)}
            assert OSDMap.decode(old.fulls[last]).pool_name == {1: POOL}
