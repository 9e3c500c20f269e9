"""Pools compress what clients write, as `ceph osd pool set` asks for."""

from __future__ import annotations

import json
from pathlib import Path

from tests.interop.spirulacluster import OurCluster, our_cluster, wait_until

TEXT = b"the same line again and again, which takes hardly any space\n" * 40_000


def allocated(cluster: OurCluster) -> int:
    """Bytes that the data of pool 1 takes on the OSD's disk."""
    folder = cluster.folder / "osd.0"
    stats = json.loads(cluster.spirula("store", "stats", str(folder), "--json"))
    return int(stats["pools"]["1"]["allocated"])


def test_a_pool_is_compressed_from_when_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    with our_cluster(1, "-o", "osd_pool_default_size=1", osds=1) as cluster:
        cluster.ceph("osd", "pool", "create", "data", "4")
        cluster.run("rados", "-p", "data", "put", "plain", str(tmp_path / "text"))
        for key, value in (("compression_mode", "force"), ("compression_algorithm", "zstd")):
            cluster.ceph("osd", "pool", "set", "data", key, value)

        epoch = cluster.ceph_json("osd", "dump")["epoch"]
        wait_until(
            lambda: json.loads(cluster.ceph("daemon", "osd.0", "status"))["newest_map"] >= epoch
        )
        cluster.run("rados", "-p", "data", "put", "packed", str(tmp_path / "text"))
        assert cluster.run("rados", "-p", "data", "get", "packed", "-").encode() == TEXT
        cluster.down()
        taken = allocated(cluster)
        assert len(TEXT) < taken < 1.2 * len(TEXT)
        cluster.up()
        assert cluster.run("rados", "-p", "data", "get", "packed", "-").encode() == TEXT
