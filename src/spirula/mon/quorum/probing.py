"""Finding the others: who there is, whether there is a quorum, and how far behind this store is.

A monitor that starts, or has lost its quorum, probes all it knows of. From an answer it learns a
newer map, that it has to synchronise, that there is a quorum which it joins by calling an election
(or by asking to be put into the map), or that enough are outside of one to form it. Messages
MMonProbe; follows upstream `src/mon/Monitor.cc` (handle_probe). The `Member` calls this.
"""

from __future__ import annotations

from typing import Protocol

from spirula.messages.quorum import MMonJoin, MMonProbe, ProbeOp
from spirula.mon.quorum.paxos import Paxos
from spirula.mon.quorum.state import Phase, QuorumState
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonMap

_TIMER, _AGAIN = "probe", "probe again"
_FIRST_AGAIN_S = 0.1
"""When to ask again first; then after twice that time, and so on."""
MAX_EXTRA_PEERS = 64


class SyncStarter(Protocol):
    """What probing needs of the synchronisation."""

    @property
    def floor(self) -> int:
        """A version below which no other monitor's store may be copied."""

    def start(self, provider: EntityAddrVec, *, full: bool) -> None:
        """Begin to copy from there."""


class Probing:
    """One monitor's search for a quorum."""

    def __init__(self, state: QuorumState, paxos: Paxos, sync: SyncStarter) -> None:
        self.q = state
        self.paxos = paxos
        self.sync = sync
        self.outside_quorum: set[str] = set()
        self.extra_peers: list[EntityAddrVec] = []
        self._again_s = _FIRST_AGAIN_S
        self._answered: set[EntityAddrVec] = set()

    def hurry(self) -> None:
        """Monitors are about to start, or to come back: ask often for the first seconds."""
        self._again_s = _FIRST_AGAIN_S

    def start(self) -> None:
        """Ask everybody; again when the time is up, and before that those who are silent."""
        q = self.q
        self.outside_quorum = {q.name} if q.name in q.monmap.mon_info else set()
        self._answered = set()
        q.set_timer(_TIMER, q.settings.mon_probe_timeout, q.conductor.bootstrap)
        self._ask()

    def _ask(self) -> None:
        q = self.q
        known = [q.monmap.addrs(rank) for rank in range(q.size()) if rank != q.rank]
        more = [addrs for addrs in self.extra_peers if addrs not in known and addrs != q.addrs]
        for addrs in known + more:
            if addrs not in self._answered:
                q.send(addrs, self._message(ProbeOp.PROBE))
        if self._again_s < q.settings.mon_probe_timeout:
            q.set_timer(_AGAIN, self._again_s, self._ask)
            self._again_s *= 2

    def stop(self) -> None:
        """Wait for no more answers."""
        self.q.cancel_timer(_TIMER, _AGAIN)

    def add_peer(self, addrs: EntityAddrVec) -> None:
        """Probe this address as well, from now on; of too many the oldest is forgotten."""
        if addrs not in self.extra_peers:
            self.extra_peers = [*self.extra_peers[1 - MAX_EXTRA_PEERS :], addrs]

    def _message(self, op: ProbeOp) -> MMonProbe:
        q = self.q
        return MMonProbe(
            fsid=q.fsid,
            op=op,
            name=q.name,
            has_ever_joined=q.has_ever_joined,
            mon_release=q.settings.mon_release,
        )

    def on_probe(self, sender: EntityAddrVec, features: int, m: MMonProbe) -> None:
        """A probe or an answer to one arrived. Raises WireError for the map inside of it."""
        if m.fsid != self.q.fsid:
            return
        if m.op == ProbeOp.PROBE:
            self._on_question(sender, features, m)
        elif m.op == ProbeOp.REPLY and self.q.phase in {Phase.PROBING, Phase.ELECTING}:
            self._on_reply(sender, m)

    def _on_question(self, sender: EntityAddrVec, features: int, m: MMonProbe) -> None:
        q = self.q
        too_old = 0 < m.mon_release < q.monmap.min_mon_release
        if too_old or q.required_features() & ~features:
            refusal = self._message(ProbeOp.MISSING_FEATURES)
            refusal.required_features = q.required_features()
            refusal.mon_release = q.monmap.min_mon_release
            q.send(sender, refusal)
            return
        idle = q.phase in {Phase.PROBING, Phase.SYNCHRONIZING}
        if not idle and self.paxos.last_committed + 1 < m.paxos_first_version:
            q.conductor.bootstrap()
            return
        reply = self._message(ProbeOp.REPLY)
        reply.quorum = set(q.quorum)
        reply.leader = q.leader if q.quorum else -1
        reply.monmap_bl = q.monmap.encode()
        reply.paxos_first_version = self.paxos.first_committed
        reply.paxos_last_version = self.paxos.last_committed
        q.send(sender, reply)
        rank = q.rank_of(sender)
        if rank < 0:
            self.add_peer(sender)
        else:
            q.conductor.peer_probes(rank)

    def _on_reply(self, sender: EntityAddrVec, m: MMonProbe) -> None:
        q = self.q
        self._answered.add(sender)
        if m.monmap_bl and m.monmap_bl != q.monmap.encode():
            theirs = MonMap.decode(m.monmap_bl)
            newer = theirs.epoch > q.monmap.epoch or not q.has_ever_joined
            if m.has_ever_joined and newer:
                q.conductor.learn_monmap(theirs, persist=False)
                return
        if q.monmap.epoch == 0 and self._names_learned(sender, m):
            return
        if q.phase is not Phase.PROBING:
            return
        if m.paxos_last_version >= self.sync.floor:
            # An empty store needs no copy while all of history is still there.
            mine = self.paxos.last_committed
            if mine < m.paxos_first_version and m.paxos_first_version > 1:
                self.stop()
                self.sync.start(sender, full=True)
                return
            if mine + q.settings.paxos_max_join_drift < m.paxos_last_version:
                self.stop()
                self.sync.start(sender, full=False)
                return
        if m.quorum:
            self._join(m)
        elif m.name in q.monmap.mon_info:
            self.outside_quorum.add(m.name)
            enough = len(self.outside_quorum) >= q.size() // 2 + 1
            if enough and q.name in self.outside_quorum:
                q.conductor.start_election()

    def _join(self, m: MMonProbe) -> None:
        q = self.q
        info = q.monmap.mon_info.get(q.name)
        if info is not None and not _blank(info.public_addrs):
            q.conductor.start_election()
            return
        member = min(m.quorum)
        if member in range(q.size()):
            join = MMonJoin(fsid=q.fsid, name=q.name, addrs=q.addrs)
            q.send_rank(member, join)

    def _names_learned(self, sender: EntityAddrVec, m: MMonProbe) -> bool:
        """In a map that was never committed: learn a peer's name or address from its answer.

        Whether this began anew.
        """
        q = self.q
        rank = q.rank_of(sender)
        known = q.monmap.ranks[rank] if rank >= 0 else ""
        if known.startswith("noname-") and m.name not in q.monmap.mon_info:
            info = q.monmap.mon_info.pop(known)
            info.name = m.name
            q.monmap.mon_info[m.name] = info
            q.monmap.ranks[rank] = m.name
            if q.phase is Phase.ELECTING:
                q.conductor.bootstrap()
                return True
        elif m.name in q.monmap.mon_info and _blank(q.monmap.mon_info[m.name].public_addrs):
            q.monmap.mon_info[m.name].public_addrs = sender
            q.conductor.bootstrap()
            return True
        return False


def _blank(addrs: EntityAddrVec) -> bool:
    """Whether the address is still to be learned."""
    return not addrs or addrs.addrs[0].is_blank_ip
