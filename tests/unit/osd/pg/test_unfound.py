"""Objects that no member has: found elsewhere, or given up by an operator."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from spirula.maps.state import OSDMapFlag
from spirula.messages.osd_client import BackoffOp, MOSDBackoff
from spirula.osd.pg import lost, unfound
from spirula.types.pg_log import LogOp
from tests.unit.osd.pg.harness import Client, Cluster, append, read, write_full
from tests.unit.osd.pg.test_failures import check_alike


@pytest.fixture
def client():
    return Client()


def held(cluster: Cluster, *, recovery: bool) -> None:
    """Sets or clears the flag that keeps objects where they are, in the next map."""
    cluster.maps.current.flags &= ~OSDMapFlag.NORECOVER
    if not recovery:
        cluster.maps.current.flags |= OSDMapFlag.NORECOVER


def only_on_one(cluster: Cluster, client: Client) -> None:
    """Objects of which osd.0 alone has the newest version, while osd.1 has the log."""
    cluster.make_pg()
    for name in ("old", "same"):
        cluster.ask(client, name, write_full(b"first of " + name.encode()))
    cluster.nodes[1].crash()
    cluster.new_map(up=[0])
    cluster.wait()
    cluster.ask(client, "old", append(b", second"))
    cluster.ask(client, "new", write_full(b"only there"))
    held(cluster, recovery=False)
    cluster.nodes[1].restart()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    assert set(map(str, cluster.nodes[1].pg.missing.missing)) == set(
        map(str, cluster.primary.peering.peer_missing[cluster.nodes[1].pg.whoami].missing)
    )
    cluster.nodes[0].crash()
    held(cluster, recovery=True)
    cluster.new_map(up=[1])
    cluster.wait()


def give_up(cluster: Cluster, osd: int) -> None:
    """`ceph osd lost`."""
    cluster.new_map(up=[each.osd for each in cluster.nodes if each.alive])
    info: Any = cluster.maps.current.osd_info[osd]
    info.lost_at = cluster.maps.newest + 1
    cluster.new_map(up=[each.osd for each in cluster.nodes if each.alive])
    cluster.wait()


def test_requests_for_what_is_unfound_wait_until_it_is_back(client):
    cluster = Cluster(2)
    only_on_one(cluster, client)
    assert cluster.state == "active+recovery_unfound+undersized+degraded"
    pg = cluster.primary
    assert len(pg.recovery.unfound) == 2
    assert not unfound.are_all_queried(pg)
    assert [status for _, status in unfound.describe(pg)] == ["osd is down"]
    tid = cluster.send(client, cluster.request("old", read()))
    other = cluster.send(client, cluster.request("same", read()))
    cluster.wait()
    assert client.reply(tid) is None
    assert client.backoffs  # it waits with all that it has for the object
    assert client.reply(other).result == 0
    cluster.nodes[0].restart()
    cluster.new_map(up=[1, 0])
    cluster.wait()
    check_alike(cluster)
    client.backoffs.clear()
    assert cluster.ask(client, "old", read()).ops[0].outdata == b"first of old, second"
    assert cluster.ask(client, "new", read()).ops[0].outdata == b"only there"


@pytest.mark.parametrize("op", [LogOp.LOST_REVERT, LogOp.LOST_DELETE])
def test_what_is_given_up_goes_back_or_goes_away(client, op):
    cluster = Cluster(2)
    only_on_one(cluster, client)
    give_up(cluster, 0)
    pg = cluster.primary
    assert unfound.are_all_queried(pg)
    waiting = cluster.send(client, cluster.request("old", read()))
    said: list[str] = []
    lost.mark(pg, op, said.append)
    cluster.wait()
    assert said == ["pg has 2 objects unfound and apparently lost marking"]
    assert client.reply(waiting) is None
    told = [each.op for each in client.connection.sent if isinstance(each, MOSDBackoff)]
    assert told[-1] == BackoffOp.UNBLOCK
    client.backoffs.clear()
    reply = cluster.ask(client, "old", read())
    if op == LogOp.LOST_REVERT:
        assert bytes(reply.ops[0].outdata) == b"first of old"
    else:
        assert reply.result == -errno.ENOENT
    assert cluster.ask(client, "new", read()).result == -errno.ENOENT
    assert cluster.state == "active+undersized+degraded"
    # who has the version that was given up is brought to what counts now
    cluster.nodes[0].restart()
    cluster.new_map(up=[1, 0])
    cluster.wait()
    check_alike(cluster)
    assert cluster.ask(client, "old", append(b"!")).result == 0
    cluster.wait()
    check_alike(cluster)


def test_what_only_a_stray_has_comes_from_it(client):
    cluster = Cluster(3, size=2)
    cluster.new_map(up=[2])
    cluster.make_pg()
    cluster.ask(client, "a", write_full(b"1"))
    held(cluster, recovery=False)
    cluster.new_map(up=[0, 2])
    cluster.wait()
    held(cluster, recovery=True)
    cluster.new_map(up=[0, 1], acting=[0, 1])
    cluster.wait()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"1"
    check_alike(cluster)
    assert cluster.nodes[1].pg is not None
