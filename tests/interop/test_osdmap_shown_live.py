"""A running cluster's map: trees of a part of it, summaries and single dumps are its monitor's."""

from __future__ import annotations

import json

import pytest

from spirula.conf.formatter import render
from spirula.maps.dump.document import osdmap_document
from spirula.maps.dump.plain import print_osdmap
from spirula.maps.dump.summary import print_summary, summary_document
from spirula.maps.dump.tree import TREE_STATES, print_tree, tree_document
from spirula.maps.osdmap import OSDMap
from spirula.types.base import UTime
from tests.interop.spirulacluster import wait_until


@pytest.mark.slow
def test_what_the_monitor_shows(real_ceph):
    with real_ceph(osds=2) as cluster:
        cluster.ceph("osd", "set", "noout")
        cluster.ceph("osd", "pool", "create", "shown", "8")
        cluster.ceph("osd", "pool", "mksnap", "shown", "monday")
        cluster.ceph("osd", "blocklist", "add", "192.168.1.9:0/77")
        cluster.ceph("osd", "crush", "add-bucket", "empty", "rack", "root=default")
        cluster.ceph("osd", "new", "01234567-89ab-4cde-8f01-23456789abcd")
        cluster.ceph("osd", "out", "1")
        cluster.ceph("osd", "primary-affinity", "0", "0.25")
        out = cluster.folder / "shown"
        cluster.ceph("osd", "getmap", "-o", str(out))
        osdmap = OSDMap.decode(out.read_bytes())
        epoch = str(osdmap.epoch)

        # the command drops empty lines
        shown = [line for line in print_osdmap(osdmap).splitlines() if line]
        assert cluster.ceph("osd", "dump", epoch).splitlines() == shown
        told = json.loads(cluster.ceph("osd", "dump", epoch, "-f", "json"))
        assert told == json.loads(render(osdmap_document(osdmap), "json"))
        for states in ([], *([state] for state in TREE_STATES), ["up", "out"], ["down", "in"]):
            words = ["osd", "tree", epoch, *states]
            assert cluster.ceph(*words).strip("\n") == print_tree(osdmap, states).strip("\n")
            told = json.loads(cluster.ceph(*words, "-f", "json"))
            assert told == tree_document(osdmap, states)
        bucket = next(b for b in osdmap.crush.buckets if b and 0 in b.items)
        name = osdmap.crush.item_names[bucket.id]
        told = cluster.ceph("osd", "tree-from", epoch, name)
        assert told.strip("\n") == print_tree(osdmap, bucket=name).strip("\n")
        told = json.loads(cluster.ceph("osd", "tree-from", epoch, name, "-f", "json"))
        assert told == tree_document(osdmap, bucket=name)

        def stat_of_one_epoch():
            """In both forms; PGs that find each other again change the map meanwhile."""
            told, text = cluster.ceph_json("osd", "stat"), cluster.ceph("osd", "stat")
            after = cluster.ceph_json("osd", "stat")
            return told["epoch"] == after["epoch"] and (told, text)

        told, text = wait_until(stat_of_one_epoch)
        cluster.ceph("osd", "getmap", str(told["epoch"]), "-o", str(out))
        osdmap = OSDMap.decode(out.read_bytes())
        assert told == summary_document(osdmap)
        ours = print_summary(osdmap, UTime.at(osdmap.modified.sec + 1))
        assert text.split("(since")[0] == ours.split("(since")[0]
        assert text.rstrip().splitlines()[-1] == ours.rstrip().splitlines()[-1]
