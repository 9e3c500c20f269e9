"""Requests of clients to a PG: answered when everything is on disk, once, in order."""

from __future__ import annotations

import errno

import pytest

from tests.unit.osd.pg.harness import Client, Cluster, append, delete, read, write_full


@pytest.fixture(params=[1, 3])
def cluster(request):
    made = Cluster(request.param)
    made.make_pg()
    return made


def test_a_new_pg_becomes_active_and_clean(cluster):
    assert cluster.state == "active+clean"


def test_what_was_written_is_read_on_every_osd(cluster):
    client = Client()
    assert cluster.ask(client, "a", write_full(b"hello")).result == 0
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"hello"
    for osd in range(len(cluster.nodes)):
        assert cluster.stored(osd, "a") == b"hello"
