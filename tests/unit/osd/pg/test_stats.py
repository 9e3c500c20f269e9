"""What replicas know of the primary's statistics, told with every write."""

from __future__ import annotations

import pytest

from spirula.errors import WireError
from spirula.osd.pg.stats import FromPrimary
from spirula.types.osd_op import OpCode, OSDOp
from spirula.types.pg_stats import EncodedPGStat
from tests.unit.osd.pg.harness import Client, Cluster, delete, read, write


def test_replicas_count_as_their_primary_does():
    cluster, client = Cluster(3), Client()
    pg = cluster.make_pg()
    replicas = [node.pg for node in cluster.nodes if node.pg is not pg]
    changes = [
        *(("a", write(bytes(4096))), ("b", write(bytes(10), 5000)), ("a", write(b"x"))),
        *(("a", read(100)), ("c", OSDOp.make(OpCode.OMAPSETHEADER, None, b"header"))),
        *(("b", delete()), ("c", write(bytes(9000))), ("c", write(bytes(9000), 77))),
    ]
    for name, op in changes:
        cluster.ask(client, name, op)
        for replica in replicas:
            assert replica.info.stats == pg.info.stats
    assert pg.info.stats.stats.sum.num_objects == 2
    assert pg.info.stats.stats.sum.num_objects_omap == 1


def test_only_counters_that_each_write_changes_are_taken_without_decoding_the_rest():
    cluster, client = Cluster(2), Client()
    pg = cluster.make_pg()
    replica = cluster.nodes[1].pg
    cluster.ask(client, "a", write(bytes(100)))
    before = replica.info.stats
    cluster.ask(client, "b", write(bytes(100)))
    assert replica.info.stats is before
    pg.info.stats.reported_seq += 1
    cluster.ask(client, "c", write(bytes(100)))
    assert replica.info.stats is not before
    assert replica.info.stats == pg.info.stats


def test_statistics_that_end_early_are_refused():
    pg = Cluster(1).make_pg()
    told = EncodedPGStat.of(pg.info.stats)
    with pytest.raises(WireError):
        FromPrimary().take(pg, EncodedPGStat(told.raw[:200]))
    with pytest.raises(WireError):
        FromPrimary().take(pg, EncodedPGStat(told.raw[:-9]))
