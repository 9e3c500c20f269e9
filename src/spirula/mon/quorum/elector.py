"""Elections as messages: proposals, acknowledgements, victories, refusals, and pings between them.

`election` decides; this speaks (MMonElection, MMonPing), waits, keeps the epoch, and measures who
can be reached. The `Member` calls it. Follows upstream `src/mon/Elector.cc`.
"""

from __future__ import annotations

from dataclasses import dataclass

from spirula.messages.quorum import ElectionOp, MMonElection, MMonPing, PingOp
from spirula.mon.quorum.election import Election
from spirula.mon.quorum.scores import Scores
from spirula.mon.quorum.state import Joined, Phase, QuorumState, Stopped
from spirula.mon.store import MONITOR, Transaction, get_number
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import ConnectionTracker, MonFeature, MonFeatures, MonMap

_TIMER, _GRACE = "election", "election grace"
_DEFER_EXTRA_S = 1.0
"""How much longer than a proposer whoever deferred to one waits."""
_ABSENT_GRACE_S = 0.1
"""How long a proposer that lacks only absent monitors waits for them nevertheless."""
_LARGEST_TRACKER = 64
"""Reports in a tracker that is still taken from a peer; more ranks than any cluster has."""


@dataclass(slots=True)
class _PeerInfo:
    features: int
    mon_features: int
    mon_release: int
    metadata: dict[str, str]


class Elector:
    """One monitor's part in elections."""

    def __init__(self, state: QuorumState) -> None:
        self.state = state
        settings = state.settings
        self.scores = Scores(state.rank, settings.mon_con_tracker_score_halflife)
        kept = state.store.get(MONITOR, "connectivity_scores")
        if kept:
            self.scores.load(kept)
        self.logic = Election(
            self, self.scores, state.monmap.strategy, settings.mon_elector_ignore_propose_margin
        )
        self._peers: dict[int, _PeerInfo] = {}
        self._pinging: set[int] = set()
        self._acked_ping: dict[int, float] = {}
        self._sent_ping: dict[int, float] = {}
        self._persisted_version = 0

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return self.logic.epoch

    # --- what the election needs to know

    @property
    def rank(self) -> int:
        return self.state.rank

    def size(self) -> int:
        return self.state.size()

    def disallowed_leaders(self) -> set[int]:
        monmap = self.state.monmap
        names = monmap.disallowed_leaders | monmap.stretch_marked_down_mons
        return {monmap.rank_of(name) for name in names}

    def is_current_member(self, rank: int) -> bool:
        return rank in self.state.quorum

    def read_epoch(self) -> int:
        return get_number(self.state.store, MONITOR, "election_epoch")

    # --- what it asks for

    def persist_epoch(self, epoch: int) -> None:
        transaction = Transaction().put(MONITOR, "election_epoch", epoch)
        self.state.persist(transaction.put(MONITOR, "connectivity_scores", self.scores.encoded()))

    def bumped(self) -> None:
        self.state.conductor.join_election()
        if _TIMER not in self.state.timers:
            # Whatever comes of it, this monitor does not stay in an election for ever.
            self._wait(_DEFER_EXTRA_S)

    def trigger_new_election(self) -> None:
        self.state.conductor.start_election()

    def give_up(self) -> None:
        self.state.conductor.bootstrap()

    def propose_to_peers(self, epoch: int, tracker: ConnectionTracker | None) -> None:
        state = self.state
        self._peers = {state.rank: self._myself()}
        for rank in range(state.size()):
            if rank != state.rank:
                self.propose_to(rank, tracker)
        self._wait(0.0)

    def propose_to(self, rank: int, tracker: ConnectionTracker | None) -> None:
        message = self._message(ElectionOp.PROPOSE)
        message.sharing_bl = tracker.encode() if tracker is not None else b""
        self.state.send_rank(rank, message)

    def defer_to(self, rank: int) -> None:
        message = self._message(ElectionOp.ACK)
        message.metadata = dict(self.state.settings.metadata)
        self.state.send_rank(rank, message)
        self._wait(_DEFER_EXTRA_S)

    def declare_victory(self, quorum: set[int]) -> None:
        state = self.state
        self.cancel_timer()
        infos = {rank: self._peers.get(rank, self._myself()) for rank in quorum}
        features = mon_features = ~0
        for info in infos.values():
            features &= info.features
            mon_features &= info.mon_features
        release = min(info.mon_release for info in infos.values())
        for rank in sorted(quorum):
            if rank != state.rank:
                message = self._message(ElectionOp.VICTORY)
                message.quorum = set(quorum)
                message.quorum_features = features
                message.mon_features = MonFeatures(mon_features)
                message.sharing_bl = state.settings.commands_bl
                message.mon_release = release
                state.send_rank(rank, message)
        metadata = {rank: info.metadata for rank, info in infos.items()}
        self._joined(state.rank, quorum, metadata, features, mon_features, b"")

    def win_alone(self) -> None:
        """Lead a map that holds nobody else."""
        self.logic.declare_standalone_victory()
        self.cancel_timer()
        me = self._myself()
        joined = {self.state.rank: me.metadata}
        quorum = {self.state.rank}
        self._joined(self.state.rank, quorum, joined, me.features, me.mon_features, b"")

    def _joined(
        self,
        leader: int,
        quorum: set[int],
        metadata: dict[int, dict[str, str]],
        features: int,
        mon_features: int,
        commands_bl: bytes,
    ) -> None:
        joined = Joined(
            self.epoch, leader, frozenset(quorum), metadata, features, mon_features, commands_bl
        )
        if leader == self.state.rank:
            self.state.conductor.win_election(quorum, joined)
        else:
            self.state.conductor.lose_election(quorum, joined)

    # --- messages

    def _myself(self) -> _PeerInfo:
        settings = self.state.settings
        return _PeerInfo(
            settings.features,
            settings.mon_features,
            settings.mon_release,
            dict(settings.metadata),
        )

    def _message(self, op: ElectionOp) -> MMonElection:
        state = self.state
        return MMonElection(
            fsid=state.fsid,
            op=op,
            epoch=self.epoch,
            monmap_bl=state.monmap.encode(),
            mon_features=MonFeatures(state.settings.mon_features),
            mon_release=state.settings.mon_release,
            scoring_bl=self.scores.encoded(),
            strategy=self.logic.strategy,
        )

    def on_election(self, sender: EntityAddrVec, features: int, m: MMonElection) -> None:
        """A step of an election arrived. Raises WireError for what is inside of it."""
        state = self.state
        rank = state.rank_of(sender)
        if m.fsid != state.fsid or rank < 0 or rank == state.rank:
            return
        monmap = MonMap.decode(m.monmap_bl)
        if monmap.epoch > state.monmap.epoch:
            self.cancel_timer()
            state.conductor.learn_monmap(monmap, persist=True)
            return
        if m.strategy != self.logic.strategy:
            return
        if m.op != ElectionOp.NAK:
            # In a later election than the one that made a quorum, nobody holds leases of that.
            state.conductor.spoke_in(rank, m.epoch)
        if m.scoring_bl:
            self._assimilate(m.scoring_bl)
        self.begin_peer_ping(rank)
        if m.op == ElectionOp.PROPOSE:
            self._on_propose(rank, sender, features, m)
        elif m.epoch < self.epoch:
            return
        elif m.op == ElectionOp.ACK:
            self._on_ack(rank, features, m)
        elif m.op == ElectionOp.VICTORY:
            self._on_victory(rank, m)
        elif m.op == ElectionOp.NAK:
            state.emit(
                Stopped(
                    f"mon.{state.monmap.ranks[rank]} refuses elections with this one: needs"
                    f" release {m.mon_release}, monitor features {m.mon_features.names()}"
                )
            )
            state.phase = Phase.STOPPED
            state.timers.clear()

    def _on_propose(self, rank: int, sender: EntityAddrVec, features: int, m: MMonElection) -> None:
        state = self.state
        if (
            state.required_features() & ~features
            or m.mon_release < state.monmap.min_mon_release
            or state.required_mon_features() & ~m.mon_features.features
        ):
            refusal = self._message(ElectionOp.NAK)
            refusal.epoch = m.epoch
            refusal.quorum_features = state.required_features()
            refusal.mon_features = MonFeatures(state.required_mon_features())
            refusal.mon_release = state.monmap.min_mon_release
            refusal.sharing_bl = state.settings.compat_bl
            state.send(sender, refusal)
            return
        tracker = ConnectionTracker.decode(m.sharing_bl) if m.sharing_bl else None
        self.logic.receive_propose(rank, m.epoch, tracker)

    def _on_ack(self, rank: int, features: int, m: MMonElection) -> None:
        state = self.state
        if state.required_features() & ~features:
            return
        if state.required_mon_features() & ~m.mon_features.features:
            return
        if self.logic.electing_me:
            self._peers[rank] = _PeerInfo(
                features, m.mon_features.features, m.mon_release, m.metadata
            )
        self.logic.receive_ack(rank, m.epoch)
        self.absent_changed()

    def _on_victory(self, rank: int, m: MMonElection) -> None:
        size = self.size()
        legal = {rank, self.rank} <= m.quorum and len(m.quorum) > size // 2
        if not legal or not m.quorum <= set(range(size)):
            return
        if self.logic.receive_victory(rank, m.epoch):
            self.cancel_timer()
            features = m.mon_features.features
            self._joined(rank, m.quorum, {}, m.quorum_features, features, m.sharing_bl)

    # --- waiting

    def call_election(self) -> None:
        """Propose this monitor."""
        self.logic.start()

    def _wait(self, extra_s: float) -> None:
        timeout = self.state.settings.mon_election_timeout + extra_s
        self.state.set_timer(_TIMER, timeout, self._period_ended)

    def _period_ended(self) -> None:
        self.logic.end_period(ever_participated=self.state.has_ever_joined)

    def cancel_timer(self) -> None:
        """Stop waiting for the end of an election."""
        self.state.cancel_timer(_TIMER, _GRACE)

    @property
    def deferred_to(self) -> int:
        """The rank whose victory is waited for; -1 if none."""
        return self.logic.leader_acked

    def propose_again(self, rank: int) -> None:
        """A monitor shows up that has not answered yet: it may have missed the proposal."""
        logic = self.logic
        if self.state.phase is Phase.ELECTING and logic.electing_me and rank not in logic.acked_me:
            logic.propose_again(rank)

    def absent_changed(self) -> None:
        """Who stands in the way of a victory may have changed: wait no longer than needed."""
        if self._lacks_only_absent():
            if _GRACE not in self.state.timers:
                self.state.set_timer(_GRACE, _ABSENT_GRACE_S, self._grace_ended)
        else:
            self.state.cancel_timer(_GRACE)

    def _lacks_only_absent(self) -> bool:
        logic, state = self.logic, self.state
        if not logic.electing_me or len(logic.acked_me) <= state.size() // 2:
            return False
        missing = set(range(state.size())) - logic.acked_me
        return all(state.monmap.ranks[rank] in state.absent for rank in missing)

    def _grace_ended(self) -> None:
        if self._lacks_only_absent():
            self._period_ended()

    # --- the map

    def monmap_changed(self) -> None:
        """Ranks or the strategy may be others now."""
        self.logic.strategy = self.state.monmap.strategy

    def rank_changed(self) -> None:
        """Somebody's rank is another now; what was known by rank is worthless."""
        self.stop_pings()
        self.scores.reset(self.state.rank)

    # --- pings

    def reset_scores(self) -> None:
        """Forget how well others could be reached; measuring goes on."""
        self.scores.reset(self.state.rank)

    def stop_pings(self) -> None:
        """Measure nobody any more."""
        for rank in self._pinging:
            self.state.cancel_timer(f"ping {rank}")
        self._pinging.clear()
        self._acked_ping.clear()
        self._sent_ping.clear()

    def begin_peer_ping(self, rank: int) -> None:
        """Measure from now on whether that monitor can be reached."""
        state = self.state
        if rank in self._pinging or rank < 0 or rank == state.rank:
            return
        if not state.quorum_mon_features & MonFeature.PINGING:
            return
        self._pinging.add(rank)
        self._report(rank, 0.0, alive=True)
        self._acked_ping[rank] = state.wall
        self._send_ping(rank)
        self._check_later(rank)

    def _check_later(self, rank: int) -> None:
        settings = self.state.settings
        after = settings.mon_elector_ping_timeout / settings.mon_elector_ping_divisor
        self.state.set_timer(f"ping {rank}", after, lambda: self._check_ping(rank))

    def _check_ping(self, rank: int) -> None:
        if rank not in self._pinging or rank >= self.size():
            self._pinging.discard(rank)
            return
        silent = self.state.wall - self._acked_ping[rank]
        if silent > self.state.settings.mon_elector_ping_timeout:
            self._acked_ping[rank] = self.state.wall
            self._report(rank, silent, alive=False)
        # Upstream pings a silent peer again only when it is heard of; a ping now and then costs
        # nothing and finds it again by itself.
        self._send_ping(rank)
        self._check_later(rank)

    def _send_ping(self, rank: int) -> None:
        self._sent_ping[rank] = self.state.wall
        stamp = UTime.at(self.state.wall)
        self.state.send_rank(
            rank, MMonPing(op=PingOp.PING, stamp=stamp, tracker_bl=self.scores.encoded())
        )

    def on_ping(self, sender: EntityAddrVec, m: MMonPing) -> None:
        """A ping or its answer arrived. Raises WireError."""
        rank = self.state.rank_of(sender)
        if rank < 0 or rank == self.state.rank:
            return
        self.begin_peer_ping(rank)
        self._assimilate(m.tracker_bl)
        if m.op == PingOp.PING:
            answer = MMonPing(op=PingOp.PING_REPLY, stamp=m.stamp, tracker_bl=self.scores.encoded())
            self.state.send(sender, answer)
        elif rank in self._pinging:
            stamp, acked = float(m.stamp), self._acked_ping[rank]
            if acked < stamp <= self._sent_ping[rank]:
                self._acked_ping[rank] = stamp
                self._report(rank, stamp - acked, alive=True)

    def _assimilate(self, encoded: bytes) -> None:
        tracker = ConnectionTracker.decode(encoded)
        if len(tracker.peer_reports) <= _LARGEST_TRACKER:
            self.scores.receive(tracker)

    def _report(self, rank: int, seconds: float, *, alive: bool) -> None:
        if alive:
            self.scores.report_live(rank, seconds)
        else:
            self.scores.report_dead(rank, seconds)
        every = self.state.settings.mon_con_tracker_persist_interval
        if self.scores.tracker.version % every == 0:
            transaction = Transaction()
            self.state.persist(
                transaction.put(MONITOR, "connectivity_scores", self.scores.encoded())
            )
