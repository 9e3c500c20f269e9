"""Performance counters of a monitor: the sections `mon`, `paxos` and `cluster` of `perf dump`.

`monitor` counts; the gauges of `cluster` are set at each tick. Names, types and descriptions'
meaning: upstream `src/mon/Monitor.cc`, `src/mon/Paxos.cc`. Some counters of `paxos` stay 0: what
they count lies inside of the quorum member, which knows no counters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.conf.perf import U64, PerfCollection, Priority, U64Avg, Unit
from spirula.maps.state import exists, is_in, is_up
from spirula.messages.quorum import MMonPaxos, PaxosOp
from spirula.types.pg import PGState

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.types.mon import StoreTransaction

_GAUGES = {
    "num_mon": "monitors in the map",
    "num_mon_quorum": "monitors in the quorum",
    "num_osd": "OSDs",
    "num_osd_up": "OSDs that are up",
    "num_osd_in": "OSDs that are in",
    "osd_epoch": "epoch of the OSD map",
    "osd_bytes": "capacity of all OSDs",
    "osd_bytes_used": "space that is used",
    "osd_bytes_avail": "space that is left",
    "num_pool": "pools",
    "num_pg": "placement groups",
    "num_pg_active_clean": "placement groups that are active and clean",
    "num_pg_active": "placement groups that are active",
    "num_pg_peering": "placement groups that are peering",
    "num_object": "objects",
    "num_object_degraded": "copies of objects that are missing",
    "num_object_misplaced": "copies of objects that are elsewhere",
    "num_object_unfound": "objects that cannot be found",
    "num_bytes": "size of all objects",
}


class MonitorPerf:
    """The counters of one monitor. `collection` is what `perf dump` shows."""

    def __init__(self) -> None:
        self.collection = PerfCollection()
        mon = self.collection.create("mon")
        notable, useful = Priority.INTERESTING, Priority.USEFUL
        self.num_sessions = mon.u64("num_sessions", "open sessions", "sess", useful)
        self.session_add = mon.u64_counter("session_add", "sessions begun", "sadd", notable)
        self.session_rm = mon.u64_counter("session_rm", "sessions ended", "srm", notable)
        self.session_trim = mon.u64_counter("session_trim", "sessions sent away", "strm", useful)
        self.num_elections = mon.u64_counter("num_elections", "elections", "ecnt", useful)
        self.election_call = mon.u64_counter("election_call", "elections called", "estt", notable)
        self.election_win = mon.u64_counter("election_win", "elections won", "ewon", notable)
        self.election_lose = mon.u64_counter("election_lose", "elections lost", "elst", notable)

        paxos = self.collection.create("paxos")

        def count(name: str, help: str) -> None:
            self.count[name] = paxos.u64_counter(name, help, "", useful)

        def sizes(name: str, help: str) -> None:
            keys, size = f"{name}_keys", f"{name}_bytes"
            self.sizes[keys] = paxos.u64_avg(keys, f"keys {help}", "", useful)
            self.sizes[size] = paxos.u64_avg(size, f"bytes {help}", "", useful, Unit.BYTES)

        self.count: dict[str, U64] = {}
        self.sizes: dict[str, U64Avg] = {}
        count("start_leader", "beginnings as leader")
        count("start_peon", "beginnings as peon")
        count("restart", "new beginnings")
        count("refresh", "readings of the committed state")
        self.refresh_latency = paxos.time_avg("refresh_latency", "time of those", "", useful)
        count("begin", "proposals made or taken")
        sizes("begin", "of a proposal")
        self.begin_latency = paxos.time_avg("begin_latency", "time of a proposal", "", useful)
        self.commit = paxos.u64_counter("commit", "commits", "cmt", useful)
        sizes("commit", "of a commit")
        self.commit_latency = paxos.time_avg("commit_latency", "time of a commit", "clat", useful)
        count("collect", "collects that a peon has answered")
        sizes("collect", "of the answer to a collect")
        paxos.time_avg("collect_latency", "time to answer a collect", "", useful)
        count("collect_uncommitted", "values that were not committed, in collects")
        for name in ("collect", "accept", "lease_ack", "lease"):
            count(f"{name}_timeout", f"times that no {name} came")
        count("store_state", "states of others that were stored")
        sizes("store_state", "of such a state")
        paxos.time_avg("store_state_latency", "time to store such a state", "", useful)
        count("share_state", "states that were sent to others")
        sizes("share_state", "of such a state")
        count("new_pn", "new proposal numbers")
        paxos.time_avg("new_pn_latency", "time to get one", "", useful)

        cluster = self.collection.create("cluster")
        self.cluster = {
            name: cluster.u64(name, help, unit=Unit.BYTES if "bytes" in name else Unit.NONE)
            for name, help in _GAUGES.items()
        }

    def on_joined(self, *, leads: bool) -> None:
        """An election is over, and this monitor in the quorum."""
        self.num_elections.value += 1
        (self.election_win if leads else self.election_lose).value += 1
        self.count["start_leader" if leads else "start_peon"].value += 1
        self.count["restart"].value += 1

    def on_refresh(self, took: float) -> None:
        """The services have read the committed state; that took so many seconds."""
        self.count["refresh"].value += 1
        self.refresh_latency.inc(took)

    def on_propose(self, transaction: StoreTransaction) -> None:
        """This leader has handed a proposal to Paxos."""
        self.count["begin"].value += 1
        self._add("begin", len(transaction.ops), sum(len(op.bl) for op in transaction.ops))

    def on_commit(self, transaction: StoreTransaction, took: float) -> None:
        """It is committed; that took so many seconds."""
        self.commit.value += 1
        self._add("commit", len(transaction.ops), sum(len(op.bl) for op in transaction.ops))
        self.begin_latency.inc(took)
        self.commit_latency.inc(took)

    def on_paxos(self, message: MMonPaxos) -> None:
        """Another monitor has sent a step of Paxos."""
        size = sum(map(len, message.values.values()))
        match message.op:
            case PaxosOp.BEGIN:
                self.count["begin"].value += 1
                self._add("begin", len(message.values), size)
            case PaxosOp.COLLECT:
                self.count["collect"].value += 1
            case PaxosOp.COMMIT | PaxosOp.LAST if message.values:
                self.count["store_state"].value += 1
                self._add("store_state", len(message.values), size)

    def _add(self, name: str, keys: int, size: int) -> None:
        self.sizes[f"{name}_keys"].inc(keys)
        self.sizes[f"{name}_bytes"].inc(size)

    def update(self, monitor: Monitor) -> None:
        """Set the gauges."""
        self.num_sessions.value = len(monitor.sessions)
        osdmap, digest = monitor.osdmap.osdmap, monitor.mgrstat.digest
        states = [osd for osd in range(osdmap.max_osd) if exists(osdmap, osd)]
        space, objects = digest.osd_sum.statfs, digest.pg_sum.stats.sum
        active_clean = PGState.ACTIVE | PGState.CLEAN
        by_state = digest.num_pg_by_state
        values = {
            "num_mon": len(monitor.monmap.ranks),
            "num_mon_quorum": len(monitor.member.state.quorum),
            "num_osd": len(states),
            "num_osd_up": sum(is_up(osdmap, osd) for osd in states),
            "num_osd_in": sum(is_in(osdmap, osd) for osd in states),
            "osd_epoch": osdmap.epoch,
            "osd_bytes": space.total,
            "osd_bytes_used": space.total - space.available,
            "osd_bytes_avail": space.available,
            "num_pool": len(digest.pg_pool_sum),
            "num_pg": sum(by_state.values()),
            "num_pg_active_clean": sum(
                n for state, n in by_state.items() if state & active_clean == active_clean
            ),
            "num_pg_active": sum(n for state, n in by_state.items() if state & PGState.ACTIVE),
            "num_pg_peering": sum(n for state, n in by_state.items() if state & PGState.PEERING),
            "num_object": objects.num_objects,
            "num_object_degraded": objects.num_objects_degraded,
            "num_object_misplaced": objects.num_objects_misplaced,
            "num_object_unfound": objects.num_objects_unfound,
            "num_bytes": objects.num_bytes,
        }
        for name, value in values.items():
            self.cluster[name].value = value
