"""Objects are brought to where they are lacked: when, how many at a time, how much of each."""

from __future__ import annotations

import pytest

from spirula.maps.state import OSDMapFlag
from spirula.messages.osd_recovery import MOSDPGPull, MOSDPGPush
from spirula.osd.pg import describe
from spirula.osd.pg.peering import priorities
from spirula.osd.pg.peering.state import State
from spirula.types.hobject import NOSNAP
from spirula.types.pg import PGState
from spirula.types.pool import PoolOpt, PoolOpts
from tests.unit.osd.ops.scripts import omap_set
from tests.unit.osd.pg.harness import Client, Cluster, append, read, write, write_full
from tests.unit.osd.pg.test_failures import check_alike


@pytest.fixture
def client():
    return Client()


class Counted(Cluster):
    """Notes what objects cross between OSDs."""

    def __init__(self, osds, **options):
        self.pushed: list[tuple[str, int, int]] = []
        self.most_pulls = 0
        super().__init__(osds, **options)

    def post(self, sender, receiver, message):
        if isinstance(message, MOSDPGPush):
            for op in message.pushes:
                snap = "" if op.soid.snap == NOSNAP else f"@{op.soid.snap}"
                self.pushed.append((op.soid.oid + snap, len(op.data), len(op.omap_entries)))
        if isinstance(message, MOSDPGPull):
            primary = self.nodes[sender].pg
            self.most_pulls = max(self.most_pulls, len(primary.recovery.pulls))
        super().post(sender, receiver, message)

    def away(self, osd):
        self.nodes[osd].crash()
        self.new_map(up=[node.osd for node in self.nodes if node.alive])
        self.wait()

    def back(self, osd):
        self.pushed.clear()
        self.nodes[osd].restart()
        self.new_map(up=[node.osd for node in self.nodes])
        self.wait()
        check_alike(self)


@pytest.mark.parametrize("away", [0, 1])
def test_only_what_changed_is_sent(client, away):
    cluster = Counted(2)
    cluster.make_pg()
    cluster.ask(client, "large", write_full(bytes(range(250)) * 4000))
    cluster.ask(client, "keys", omap_set({f"k{number}": b"v" * 100 for number in range(50)}))
    cluster.ask(client, "keys", write_full(b"some data"))
    cluster.away(away)
    cluster.ask(client, "large", write(b"x" * 5000, 300_000))
    cluster.ask(client, "large", append(b"y" * 1000))
    cluster.ask(client, "keys", append(b", and more"))
    cluster.back(away)
    assert sorted(cluster.pushed) == [("keys", 10, 0), ("large", 6000, 0)]


@pytest.mark.parametrize("away", [0, 1])
def test_what_clones_share_is_sent_once(client, away):
    cluster = Counted(2)
    cluster.make_pg()
    cluster.away(away)
    for seq in range(3):
        request = cluster.request("a", write(bytes([seq + 1]) * 1000, seq * 1000))
        if not seq:
            request = cluster.request("a", write_full(b"0" * 100_000))
        request.snap_seq, request.snaps = seq, list(range(seq, 0, -1))
        tid = cluster.send(client, request)
        cluster.settle()
        assert client.reply(tid).result == 0
    cluster.back(away)
    # a head that comes to the primary comes first, for it says which clones there are
    whole = 2 if away == 0 else 1
    assert sum(size for _, size, _ in cluster.pushed) < whole * 100_000 + 5000
    assert {name for name, _, _ in cluster.pushed} == {"a", "a@1", "a@2"}


def test_at_most_so_many_objects_are_on_their_way(client):
    cluster = Counted(2)
    cluster.config.set("osd_recovery_max_active", "4")
    cluster.config.apply_changes()
    cluster.make_pg()
    cluster.away(0)
    for number in range(30):
        cluster.ask(client, f"o{number}", write_full(b"data"))
    cluster.back(0)
    assert cluster.most_pulls == 4
    assert cluster.nodes[0].shared.recoveries.active == 0


def test_it_can_be_put_off_for_some_seconds(client):
    cluster = Counted(2)
    cluster.make_pg()
    cluster.away(1)
    cluster.ask(client, "o", write_full(b"data"))
    cluster.config.set("osd_recovery_delay_start", "30")
    cluster.config.apply_changes()
    cluster.nodes[1].restart()
    cluster.new_map(up=[0, 1])
    cluster.settle()
    cluster.clock.advance(29)
    cluster.settle()
    assert "recovering" in cluster.state
    assert not cluster.pushed
    cluster.clock.advance(2)
    cluster.settle()
    assert cluster.state == "active+clean"


def test_recovery_waits_for_a_slot_at_the_replica_and_for_one_here(client):
    cluster = Counted(2)
    cluster.make_pg()
    cluster.away(1)
    cluster.ask(client, "a", write_full(b"data"))
    cluster.nodes[1].restart()
    theirs = cluster.nodes[1].shared.reservers.remote
    theirs.set_max(0)
    cluster.new_map(up=[0, 1])
    cluster.wait()
    assert cluster.primary.peering.state is State.WAIT_REMOTE_RECOVERY_RESERVED
    assert cluster.state == "active+recovery_wait+degraded"
    assert cluster.nodes[1].pg.peering.state is State.REP_WAIT_RECOVERY_RESERVED
    # a write that needs the object does not wait for slots
    assert cluster.ask(client, "a", append(b"!")).result == 0
    theirs.set_max(1)
    cluster.wait()
    check_alike(cluster)
    assert not theirs.has_granted
    assert not cluster.nodes[0].shared.reservers.local.has_granted
    assert cluster.nodes[1].pg.peering.state is State.REP_NOT_RECOVERING


def test_a_slot_that_is_taken_back_is_asked_for_again(client):
    cluster = Counted(2)
    cluster.make_pg()
    cluster.away(1)
    cluster.ask(client, "a", write_full(b"data"))
    cluster.maps.current.flags |= OSDMapFlag.NORECOVER
    cluster.nodes[1].restart()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    assert cluster.state == "active+recovering+degraded"
    cluster.nodes[1].shared.reservers.remote.set_max(0)
    cluster.wait()
    assert cluster.state == "active+recovery_wait+degraded"
    cluster.nodes[1].shared.reservers.remote.set_max(1)
    cluster.maps.current.flags &= ~OSDMapFlag.NORECOVER
    cluster.new_map()
    cluster.wait()
    check_alike(cluster)


def test_full_osds_are_not_filled_further(client):
    cluster = Counted(2)
    cluster.make_pg()
    cluster.away(1)
    cluster.ask(client, "a", write_full(b"data"))
    cluster.nodes[1].restart()
    cluster.full = {1}
    cluster.new_map(up=[0, 1])
    cluster.settle()
    assert cluster.state == "active+recovery_toofull+degraded"
    cluster.full = set()
    cluster.new_map(up=[0, 1])
    cluster.clock.advance(31)
    cluster.wait()
    check_alike(cluster)


def test_priorities_are_upstreams(client):
    cluster = Cluster(3, min_size=2)
    pg = cluster.make_pg()
    assert (priorities.recovery(pg), priorities.backfill(pg)) == (190, 110)
    cluster.ask(client, "a", write_full(b"data"))
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    pg = cluster.primary
    assert pg.state & PGState.UNDERSIZED
    assert priorities.backfill(pg) == 151
    priorities.force_recovery(pg, wanted=True)
    priorities.force_backfill(pg, wanted=True)
    assert (priorities.recovery(pg), priorities.backfill(pg)) == (255, 254)
    priorities.force_recovery(pg, wanted=False)
    priorities.force_backfill(pg, wanted=False)
    pg.pool.opts = PoolOpts({PoolOpt.RECOVERY_PRIORITY: -4})
    assert (priorities.recovery(pg), priorities.backfill(pg)) == (186, 147)
    pg.info.stats.avail_no_missing = []
    assert priorities.recovery(pg) == 228
    pg.set_state(off=PGState.DEGRADED)
    priorities.force_recovery(pg, wanted=True)
    assert not pg.state & PGState.FORCED_RECOVERY


def test_writes_that_only_one_who_is_away_has_keep_the_pg_down_until_he_is_given_up(client):
    cluster = Cluster(2)
    cluster.make_pg()
    cluster.ask(client, "a", write_full(b"everywhere"))
    cluster.nodes[1].crash()
    cluster.new_map(up=[0])
    cluster.wait()
    cluster.ask(client, "a", write_full(b"only at the first"))
    cluster.nodes[0].crash()
    cluster.nodes[1].restart()
    cluster.new_map(up=[1])
    cluster.wait()
    assert cluster.state == "down"
    told = describe.query(cluster.primary)["recovery_state"]
    assert [each["name"] for each in told] == [
        "Started/Primary/Peering/Down",
        "Started/Primary/Peering",
        "Started",
    ]
    assert told[0]["comment"] == "not enough up instances of this PG to go active"
    assert told[1]["blocked"] == "peering is blocked due to down osds"
    assert next(iter(told[1]["peering_blocked_by"]))["osd"] == 0
    cluster.new_map(up=[1])
    cluster.maps.current.osd_info[0].lost_at = cluster.maps.newest
    cluster.new_map(up=[1])
    cluster.wait()
    assert cluster.state == "active+undersized+degraded"
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"everywhere"
