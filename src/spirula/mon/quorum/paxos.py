"""Paxos as upstream's monitors do it: one value at a time, agreed on by every member of a quorum.

A leader first collects: it takes a proposal number nobody has seen, learns what others committed
and what somebody accepted without knowing its fate, and proposes that anew. Then it proposes one
transaction after the other (what is asked for meanwhile goes into the next), commits what all have
accepted, and hands out leases under which each member may be read.

    leader:  RECOVERING --collect, last--> UPDATING_PREVIOUS --accepted by all--> ACTIVE
                 |                                                                 |  ^
                 +------------------- nothing was pending ------------------------>+  |
                                                       propose: UPDATING --accepted by all
    peon:    RECOVERING --lease--> ACTIVE --begin--> UPDATING --commit, lease--> ACTIVE

Every timeout (collect, accept, lease_ack at the leader, lease at a peon) leads to `bootstrap`.
Messages MMonPaxos, prefix `paxos`; follows upstream `src/mon/Paxos.cc`, with leases as `leases`
tells. A commit needs no state of its own (upstream's WRITING): what follows from it waits for the
store like everything that is sent. The `Member` calls this.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from spirula.errors import InvariantBroken, WireError
from spirula.messages.quorum import MMonPaxos, PaxosOp
from spirula.mon.quorum.leases import Grants, Promises, Received
from spirula.mon.quorum.state import Active, Outcome, Phase, QuorumState, Refresh
from spirula.mon.store import MONITOR, PAXOS, Transaction, get_number, get_version
from spirula.store.keyvalue import check
from spirula.types.base import UTime
from spirula.types.mon import FeatureMap, StoreTransaction

_COLLECT, _ACCEPT, _LEASE_ACK, _RENEW, _LEASE, _SETTLE = (
    "collect",
    "accept",
    "lease ack",
    "lease renew",
    "lease",
    "settle",
)
_SHORTEST_RENEWAL_S = 0.1


class PaxosState(Enum):
    """Where Paxos stands; see the diagram above."""

    RECOVERING = "recovering"
    ACTIVE = "active"
    UPDATING = "updating"
    UPDATING_PREVIOUS = "updating-previous"


class Paxos:
    """One monitor's part in Paxos."""

    def __init__(self, state: QuorumState) -> None:
        self.q = state
        self.state = PaxosState.RECOVERING
        settings = state.settings
        self.grants = Grants(settings.mon_lease, settings.lease_promise_s)
        self.promises = Promises(settings.lease_promise_s)
        self.received = Received()
        self._lease_end = 0.0
        self.first_committed = self.last_committed = 0
        self.last_pn = self.accepted_pn = 0
        self.feature_map = FeatureMap().encode()
        """This monitor's sessions by features, encoded; whoever knows them sets it."""
        self.feature_maps: dict[int, bytes] = {}
        """What the others last told the leader of theirs."""
        # The leader's, while it collects and while it proposes.
        self._uncommitted_v = self._uncommitted_pn = 0
        self._uncommitted_value = b""
        self._peers_first: dict[int, int] = {}
        self._peers_last: dict[int, int] = {}
        self._lasts: set[int] = set()
        self._value = b""
        self._accepted: set[int] = set()
        self._pending: Transaction | None = None
        self._pending_tokens: list[object] = []
        self._committing_tokens: list[object] = []
        self._trimming = False
        # A peon's: when it sent its last LAST and ACCEPT, an ACCEPT that must wait, and what it
        # has accepted and therefore stored.
        self._last_sent: float | None = None
        self._accept_sent: tuple[int, int, float] | None = None
        self._held: MMonPaxos | None = None
        self._accepted_value: tuple[int, bytes] | None = None
        self.load()

    def load(self) -> None:
        """Read from the store where it stands."""
        store = self.q.store
        self.last_pn = get_number(store, PAXOS, "last_pn")
        self.accepted_pn = get_number(store, PAXOS, "accepted_pn")
        self.last_committed = get_number(store, PAXOS, "last_committed")
        self.first_committed = get_number(store, PAXOS, "first_committed")
        if self.first_committed > self.last_committed:
            raise InvariantBroken(
                f"paxos begins at {self.first_committed} and ends at {self.last_committed}"
            )

    # --- beginnings and ends

    def restart(self) -> None:
        """The quorum is left: nothing is readable, and the fate of proposals is unknown."""
        self.q.cancel_timer(_COLLECT, _ACCEPT, _LEASE_ACK, _RENEW, _LEASE, _SETTLE)
        self.state = PaxosState.RECOVERING
        self.grants.reset()
        self.received.reset()
        self._lease_end = 0.0
        self._value = b""
        self._accepted = set()
        self._last_sent = self._accept_sent = self._held = self._accepted_value = None
        for token in self._committing_tokens + self._pending_tokens:
            self.q.ready.outcomes.append(Outcome(token, None))
        self._committing_tokens, self._pending_tokens = [], []
        self._pending = None
        self._trimming = False
        self.feature_maps = {}

    def lead(self) -> None:
        """This monitor leads the quorum."""
        self.restart()
        if len(self.q.quorum) == 1:
            self._lasts = {self.q.rank}
            self._recover_alone()
        else:
            self._collect(0)

    def _recover_alone(self) -> None:
        """The map holds this monitor alone: what it accepted last is decided."""
        pending = self._own_uncommitted()
        if pending is None:
            self._finish_round()
        else:
            self.accepted_pn = self._new_proposal_number(self.accepted_pn)
            self.state = PaxosState.UPDATING_PREVIOUS
            self._begin(pending[1])

    def follow(self) -> None:
        """This monitor is a peon of the quorum."""
        self.restart()
        self._reset_lease_timeout()

    # --- reading

    def lease_valid(self) -> bool:
        """Whether what is committed here is the newest that anybody was told to be committed."""
        if self.q.phase is Phase.LEADER:
            return len(self.q.quorum) == 1 or self.q.now < self._lease_end
        return self.q.phase is Phase.PEON and self.q.now < self.received.expires

    def readable(self) -> bool:
        """Whether the services may answer from what is committed."""
        return (
            self.state in {PaxosState.ACTIVE, PaxosState.UPDATING}
            and self.last_committed > 0
            and self.lease_valid()
        )

    def writeable(self) -> bool:
        """Whether a proposal would be begun at once."""
        leads = self.q.phase is Phase.LEADER
        return leads and self.state is PaxosState.ACTIVE and self.lease_valid()

    def values(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Committed transactions from version `first` to `last`, as far as they are kept."""
        for version in range(first, last + 1):
            value = get_version(self.q.store, PAXOS, version)
            if value is not None:
                yield version, value

    # --- phase 1: collect and last

    def _new_proposal_number(self, above: int) -> int:
        """A number above that one which no other monitor can choose; durable before it is used."""
        self.last_pn = (max(self.last_pn, above) // 100 + 1) * 100 + self.q.rank
        transaction = Transaction().put(PAXOS, "last_pn", self.last_pn)
        self.q.persist(transaction.put(PAXOS, "accepted_pn", self.last_pn))
        return self.last_pn

    def _own_uncommitted(self) -> tuple[int, bytes] | None:
        """The value that was accepted here behind the last committed one, and its number."""
        store = self.q.store
        version = self.last_committed + 1
        value = get_version(store, PAXOS, version)
        if value is None or get_number(store, PAXOS, "pending_v") != version:
            return None
        return get_number(store, PAXOS, "pending_pn"), value

    def _message(self, op: PaxosOp) -> MMonPaxos:
        return MMonPaxos(
            epoch=self.q.conductor.epoch,
            op=op,
            first_committed=self.first_committed,
            last_committed=self.last_committed,
            sent_timestamp=UTime.at(self.q.wall),
        )

    def _collect(self, above: int) -> None:
        self.state = PaxosState.RECOVERING
        self._uncommitted_v = self._uncommitted_pn = 0
        self._uncommitted_value = b""
        own = self._own_uncommitted()
        if own is not None:
            self._uncommitted_v = self.last_committed + 1
            self._uncommitted_pn, self._uncommitted_value = own
        self._peers_first, self._peers_last = {}, {}
        self._lasts = {self.q.rank}
        self.accepted_pn = self._new_proposal_number(max(self.accepted_pn, above))
        for rank in self.q.peers():
            collect = self._message(PaxosOp.COLLECT)
            collect.pn = self.accepted_pn
            self.q.send_rank(rank, collect)
            self.grants.ask(rank, ("collect", self.accepted_pn, 0), self.q.now)
        self._time(_COLLECT, self.q.settings.mon_accept_timeout_factor)

    def _time(self, timer: str, leases: float) -> None:
        bootstrap = self.q.conductor.bootstrap
        self.q.set_timer(timer, leases * self.q.settings.mon_lease, bootstrap)

    def _on_collect(self, collect: MMonPaxos) -> None:
        self.state = PaxosState.RECOVERING
        self.received.cancel()
        self._held = None
        self._reset_lease_timeout()
        if collect.first_committed > self.last_committed + 1:
            # Too far behind to be told the rest: the store has to be synchronised.
            self.q.conductor.bootstrap()
            return
        if collect.pn > self.accepted_pn:
            self.accepted_pn = collect.pn
            self.q.persist(Transaction().put(PAXOS, "accepted_pn", self.accepted_pn))
        last = self._message(PaxosOp.LAST)
        last.pn = self.accepted_pn
        if collect.last_committed < self.last_committed:
            last.values = dict(self.values(collect.last_committed + 1, self.last_committed))
        own = self._own_uncommitted()
        if own is not None and collect.last_committed <= self.last_committed:
            last.uncommitted_pn, last.values[self.last_committed + 1] = own
        self._last_sent = self.q.now
        self._answer(last)

    def _answer(self, message: MMonPaxos) -> None:
        """Send what the leader asked for; that is a promise."""
        self._promise()
        self.q.send_rank(self.q.leader, message)

    def _promise(self) -> None:
        q = self.q
        self.promises.make(q.names(q.quorum), q.conductor.epoch, q.now)

    def _store_state(self, m: MMonPaxos) -> bool:
        """Commit what another one knows to be committed; whether that was anything."""
        versions: list[int] = []
        last = self.last_committed
        while last + 1 in m.values and last + 1 <= m.last_committed:
            last += 1
            versions.append(last)
        if not versions:
            return False
        transaction = Transaction().put(PAXOS, "last_committed", last)
        for version in versions:
            if (version, m.values[version]) != self._accepted_value:
                transaction.put(PAXOS, version, m.values[version])
            transaction.append_encoded(m.values[version])
        self.q.persist(transaction)
        self._accepted_value = None
        self.last_committed = last
        self.first_committed = get_number(self.q.store, PAXOS, "first_committed")
        if self._uncommitted_v <= last:
            self._uncommitted_v = self._uncommitted_pn = 0
            self._uncommitted_value = b""
        return True

    def _on_last(self, rank: int, last: MMonPaxos) -> None:
        if self.state is not PaxosState.RECOVERING or rank in self._lasts:
            return
        self._peers_first[rank] = last.first_committed
        self._peers_last[rank] = last.last_committed
        if last.first_committed > self.last_committed + 1:
            self.q.conductor.bootstrap()
            return
        changed = self._store_state(last)
        for peer, known in self._peers_last.items():
            if known + 1 < self.first_committed and self.first_committed > 1:
                self.q.conductor.bootstrap()
                return
            if known < self.last_committed:
                commit = self._message(PaxosOp.COMMIT)
                commit.first_committed = 0
                commit.values = dict(self.values(known + 1, self.last_committed))
                self.q.send_rank(peer, commit)
                self._peers_last[peer] = self.last_committed
        if last.pn > self.accepted_pn:
            self._collect(last.pn)
        elif last.pn == self.accepted_pn:
            self.grants.answer(rank, ("collect", last.pn, 0))
            self._lasts.add(rank)
            self._learn_uncommitted(last)
            if self._lasts == self.q.quorum:
                changed = self._recovered() or changed
        if changed:
            self.q.emit(Refresh(self.last_committed))

    def _learn_uncommitted(self, last: MMonPaxos) -> None:
        version = last.last_committed + 1
        if (
            last.uncommitted_pn
            and version in last.values
            and last.uncommitted_pn >= self._uncommitted_pn
            and last.last_committed >= self.last_committed
            and version >= self._uncommitted_v
        ):
            check(StoreTransaction.decode(last.values[version]))
            self._uncommitted_v, self._uncommitted_pn = version, last.uncommitted_pn
            self._uncommitted_value = last.values[version]

    def _recovered(self) -> bool:
        """Everybody has answered; whether the services are to be told here."""
        self.q.cancel_timer(_COLLECT)
        if self._uncommitted_value and self._uncommitted_v == self.last_committed + 1:
            self.state = PaxosState.UPDATING_PREVIOUS
            self._begin(self._uncommitted_value)
            return False
        self._extend_lease()
        self._finish_round()
        return True

    # --- phase 2: begin, accept and commit

    def propose(self, transaction: StoreTransaction, token: object) -> bool:
        """Ask for a transaction to be committed; False if this monitor does not lead.

        Its outcome is told with `token`. It is begun at once when active, else put together with
        what else waits. Raises WireError if it holds an operation that is not known.
        """
        if self.q.phase is not Phase.LEADER:
            return False
        check(transaction)
        self._gather().append(transaction)
        self._pending_tokens.append(token)
        if self.state is PaxosState.ACTIVE:
            self._propose_pending()
        return True

    def _gather(self) -> Transaction:
        if self._pending is None:
            self._pending = Transaction()
        return self._pending

    def _propose_pending(self) -> None:
        if self._pending is None:
            raise InvariantBroken("nothing is pending")
        self.q.cancel_timer(_COLLECT, _ACCEPT, _LEASE_ACK, _RENEW)
        value = self._pending.encode()
        self._pending = None
        self._committing_tokens, self._pending_tokens = self._pending_tokens, []
        self.state = PaxosState.UPDATING
        self._begin(value)

    def _begin(self, value: bytes) -> None:
        if self._value:
            raise InvariantBroken(f"{self.last_committed + 1} was begun before")
        if self.last_committed == 0 and self.state is PaxosState.UPDATING:
            first = Transaction().put(PAXOS, "first_committed", 1)
            value = first.append_encoded(value).encode()
        version = self.last_committed + 1
        self._value = value
        self._accepted = {self.q.rank}
        self._persist_accepted(version, value)
        for rank in self.q.peers():
            begin = self._message(PaxosOp.BEGIN)
            begin.first_committed = 0
            begin.pn = self.accepted_pn
            begin.values = {version: value}
            self.q.send_rank(rank, begin)
            self.grants.ask(rank, ("begin", self.accepted_pn, version), self.q.now)
        if len(self.q.quorum) > 1:
            self._time(_ACCEPT, self.q.settings.mon_accept_timeout_factor)
        self._commit_if_accepted()

    def _persist_accepted(self, version: int, value: bytes) -> None:
        transaction = Transaction().put(PAXOS, version, value)
        transaction.put(PAXOS, "pending_v", version)
        self.q.persist(transaction.put(PAXOS, "pending_pn", self.accepted_pn))

    def _on_begin(self, begin: MMonPaxos) -> None:
        version = self.last_committed + 1
        if begin.pn < self.accepted_pn:
            return
        if begin.pn > self.accepted_pn or begin.last_committed > self.last_committed:
            # A message of this quorum was lost.
            self.q.conductor.bootstrap()
            return
        if begin.last_committed < self.last_committed or version not in begin.values:
            return
        check(StoreTransaction.decode(begin.values[version]))
        if self._last_sent is not None:
            self.received.answered_by(float(begin.sent_timestamp), self._last_sent)
        self.state = PaxosState.UPDATING
        self.received.cancel()
        self._persist_accepted(version, begin.values[version])
        self._accepted_value = (version, begin.values[version])
        accept = self._message(PaxosOp.ACCEPT)
        accept.first_committed = 0
        accept.pn = self.accepted_pn
        self._held = accept
        self._accept_when_settled()

    def _accept_when_settled(self) -> None:
        """A peon accepts, but not before leases that rest on its word have ended."""
        wait = self._settled_in()
        if wait > 0:
            self.q.set_timer(_SETTLE, wait, self._accept_when_settled)
        elif self._held is not None:
            accept, self._held = self._held, None
            accept.sent_timestamp = UTime.at(self.q.wall)
            self._accept_sent = (accept.pn, accept.last_committed + 1, self.q.now)
            self._answer(accept)

    def leases_dropped(self, name: str, epoch: int) -> None:
        """That monitor holds no lease of an epoch below: what waits for their end may go on."""
        self.promises.dropped(name, epoch)
        if self.q.phase is Phase.LEADER:
            self._commit_if_accepted()
        else:
            self._accept_when_settled()

    def _settled_in(self) -> float:
        return self.promises.kept_until(self.q.names(self.q.quorum)) - self.q.now

    def _on_accept(self, rank: int, accept: MMonPaxos) -> None:
        if accept.pn != self.accepted_pn or accept.last_committed != self.last_committed:
            return
        if not self._value or rank in self._accepted:
            return
        self.grants.answer(rank, ("begin", accept.pn, accept.last_committed + 1))
        self._accepted.add(rank)
        self._commit_if_accepted()

    def _commit_if_accepted(self) -> None:
        """Commit once all have accepted: whoever has not may still be serving the old value."""
        if not self._value or self._accepted != self.q.quorum:
            return
        wait = self._settled_in()
        if wait > 0:
            self.q.set_timer(_SETTLE, wait, self._commit_if_accepted)
        else:
            self._commit()

    def _commit(self) -> None:
        self.q.cancel_timer(_ACCEPT)
        value, self._value = self._value, b""
        version = self.last_committed + 1
        transaction = Transaction().put(PAXOS, "last_committed", version)
        self.q.persist(transaction.append_encoded(value))
        self.last_committed = version
        self.first_committed = get_number(self.q.store, PAXOS, "first_committed")
        self._lease_end = 0.0
        for rank in self.q.peers():
            commit = self._message(PaxosOp.COMMIT)
            commit.values = {version: value}
            commit.pn = self.accepted_pn
            commit.first_committed = 0
            self.q.send_rank(rank, commit)
        self.q.emit(Refresh(version))
        tokens, self._committing_tokens = self._committing_tokens, []
        self.q.ready.outcomes += [Outcome(token, version) for token in tokens]
        self._trimming = False
        if len(self.q.quorum) > 1:
            self._extend_lease()
        self._finish_round()

    def _become_active(self) -> None:
        self.state = PaxosState.ACTIVE
        if self.last_committed > 0 and not self.q.has_ever_joined:
            self.q.has_ever_joined = True
            self.q.persist(Transaction().put(MONITOR, "joined", 1))
        self.q.emit(Active())

    def _finish_round(self) -> None:
        self._become_active()
        self._trim()
        if self._pending is not None:
            self._propose_pending()

    def _on_commit(self, commit: MMonPaxos) -> None:
        if (
            self._accept_sent is not None
            and (commit.pn, commit.last_committed) == self._accept_sent[:2]
        ):
            self.received.answered_by(float(commit.sent_timestamp), self._accept_sent[2])
        if self._store_state(commit):
            self.received.cancel()
            self.q.emit(Refresh(self.last_committed))

    # --- leases

    def _extend_lease(self) -> None:
        q = self.q
        peers = list(q.peers())
        self._lease_end = self.grants.end(peers, q.now)
        remaining = self._lease_end - q.now
        for rank in peers:
            lease = self._message(PaxosOp.LEASE)
            lease.lease_timestamp = UTime.at(q.wall + remaining)
            q.send_rank(rank, lease)
            self.grants.ask(rank, ("lease", 0, self.last_committed), q.now)
        self._promise()
        self._watch_lease_acks()
        renew = max(_SHORTEST_RENEWAL_S, q.settings.mon_lease_renew_interval_factor * remaining)
        q.set_timer(_RENEW, renew, self._extend_lease)

    def _watch_lease_acks(self) -> None:
        oldest = self.grants.oldest_open()
        if oldest is None:
            self.q.cancel_timer(_LEASE_ACK)
        else:
            factor = self.q.settings.mon_lease_ack_timeout_factor
            waited = (self.q.now - oldest) / self.q.settings.mon_lease
            self._time(_LEASE_ACK, max(0.0, factor - waited))

    def _on_lease(self, lease: MMonPaxos) -> None:
        if self.last_committed != lease.last_committed:
            return
        self.q.conductor.saw_stamp(self.q.leader, float(lease.sent_timestamp))
        if self._last_sent is not None:
            self.received.answered_by(float(lease.sent_timestamp), self._last_sent)
        self.received.grant(float(lease.lease_timestamp), float(lease.sent_timestamp), self.q.now)
        self._become_active()
        ack = self._message(PaxosOp.LEASE_ACK)
        ack.lease_timestamp = UTime.at(self.q.wall)
        ack.feature_map = self.feature_map
        self._answer(ack)
        self._reset_lease_timeout()

    def _on_lease_ack(self, rank: int, ack: MMonPaxos) -> None:
        self.q.conductor.saw_stamp(rank, float(ack.sent_timestamp))
        self.grants.answer(rank, ("lease", 0, ack.last_committed))
        if ack.feature_map:
            self.feature_maps[rank] = ack.feature_map
        if self.state is PaxosState.ACTIVE:
            self._watch_lease_acks()

    def _reset_lease_timeout(self) -> None:
        self._time(_LEASE, self.q.settings.mon_lease_ack_timeout_factor)

    # --- trimming

    def _trim(self) -> None:
        """Put the erasure of old versions into the next proposal, if there are too many."""
        settings = self.q.settings
        kept = self.last_committed - self.first_committed
        if self._trimming or kept <= settings.paxos_min + settings.paxos_trim_min:
            return
        first = self.first_committed
        end = min(self.last_committed - settings.paxos_min, first + settings.paxos_trim_max)
        transaction = self._gather()
        for version in range(first, end):
            transaction.erase(PAXOS, version)
        transaction.put(PAXOS, "first_committed", end)
        transaction.compact(PAXOS, str(first - 1), str(end))
        self._trimming = True

    # --- messages

    def on_message(self, rank: int, m: MMonPaxos) -> None:
        """A step of Paxos of this epoch arrived from a member of the quorum.

        Raises WireError, with nothing changed, for a value that is no transaction.
        """
        leads = self.q.phase is Phase.LEADER
        if rank not in self.q.quorum or not (leads or rank == self.q.leader):
            return
        if leads:
            if m.op == PaxosOp.LAST:
                self._on_last(rank, m)
            elif m.op == PaxosOp.ACCEPT:
                self._on_accept(rank, m)
            elif m.op == PaxosOp.LEASE_ACK:
                self._on_lease_ack(rank, m)
        elif m.op == PaxosOp.COLLECT:
            self._on_collect(m)
        elif m.op == PaxosOp.BEGIN:
            self._on_begin(m)
        elif m.op == PaxosOp.COMMIT:
            self._on_commit(m)
        elif m.op == PaxosOp.LEASE:
            self._on_lease(m)
        else:
            raise WireError(f"paxos operation {m.op}", path="MMonPaxos.op")
