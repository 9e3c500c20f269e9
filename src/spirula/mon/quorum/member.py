"""One monitor as a member of a quorum: what the daemon and the simulations drive.

    member = Member(name, addrs, monmap, store, settings)
    member.start(now, wall)              # then, for ever: take() -> Ready, do as it says
    member.on_message(sender, features, message, now, wall)
    member.wake(now, wall)               # when `deadline()` has come
    member.propose(transaction, token, now, wall)

`now` is a monotonic clock and `wall` the time since 1970, in seconds. Members are pure: what they
write they stage in the store, and everything else is in `take()`, to be done in the order that
`Ready` tells. How its parts are put together follows upstream `src/mon/Monitor.cc`.
"""

from __future__ import annotations

from collections.abc import Iterable

from spirula.errors import TryAgain, WireError
from spirula.messages.base import Message
from spirula.messages.quorum import (
    ElectionOp,
    MMonElection,
    MMonPaxos,
    MMonPing,
    MMonProbe,
    MMonScrub,
    MMonSync,
    MTimeCheck2,
)
from spirula.mon.quorum.absence import Absence, notice_of, read_notice
from spirula.mon.quorum.elector import Elector
from spirula.mon.quorum.paxos import Paxos
from spirula.mon.quorum.probing import Probing
from spirula.mon.quorum.scrub import Scrub
from spirula.mon.quorum.state import (
    Joined,
    Left,
    MonMapLearned,
    Phase,
    QuorumState,
    Ready,
    Refresh,
    Settings,
    Stopped,
)
from spirula.mon.quorum.status import connection_scores
from spirula.mon.quorum.sync import Sync, clear_unfinished
from spirula.mon.quorum.timecheck import TimeCheck
from spirula.mon.store import MON_SYNC, MONITOR, MONMAP, Transaction, get_number
from spirula.store.keyvalue import KeyValueStore
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonMap, StoreTransaction

_MAX_WAKES = 1000


class Member:
    """One monitor. It owns the map it is given, and changes it."""

    def __init__(
        self,
        name: str,
        addrs: EntityAddrVec,
        monmap: MonMap,
        store: KeyValueStore,
        settings: Settings | None = None,
        extra_peers: Iterable[EntityAddrVec] = (),
    ) -> None:
        self.state = QuorumState(name, addrs, monmap, store, settings or Settings(), self)
        self.state.rank = monmap.rank_of(name)
        self.state.has_ever_joined = get_number(store, MONITOR, "joined") != 0
        clear_unfinished(self.state)
        self.paxos = Paxos(self.state)
        self.sync = Sync(self.state, self.paxos)
        self.elector = Elector(self.state)
        self.probing = Probing(self.state, self.paxos, self.sync)
        for peer in extra_peers:
            self.probing.add_peer(peer)
        self.absence = Absence(self.state, self.paxos, self.elector)
        self.timecheck = TimeCheck(self.state)
        self.scrubbing = Scrub(self.state, self.paxos)
        self.aside_because = ""
        """Why this monitor stands aside, in phase ASIDE."""
        self.store_failed = False

    # --- what drives it

    def start(self, now: float, wall: float) -> None:
        """The monitor has started."""
        self._at(now, wall)
        self.elector.logic.load_epoch()
        if self.elector.read_epoch():
            # What was promised before the restart is forgotten: it may have been all that one can.
            everybody = self.state.names(range(self.state.size()))
            self.paxos.promises.make(everybody, self.epoch, now)
        self.probing.hurry()
        self.bootstrap()

    def on_message(
        self, sender: EntityAddrVec, features: int, message: Message, now: float, wall: float
    ) -> None:
        """A message from another monitor, which listens at `sender`.

        Raises WireError if something inside of it cannot be read; it is then as if it had not come.
        """
        self._at(now, wall)
        if self.state.phase is Phase.STOPPED:
            return
        notice = read_notice(message) if isinstance(message, MMonPing) else None
        rank = self.state.rank_of(sender)
        if self.state.phase is Phase.ASIDE:
            if isinstance(message, MMonElection) and message.op == ElectionOp.PROPOSE:
                self._tell_aside(sender)
        elif notice is not None:
            if rank not in {-1, self.state.rank}:
                self.absence.on_notice(rank, *notice)
        else:
            if self.state.absent:
                self.absence.heard(rank)
            self._dispatch(sender, rank, features, message)

    def _dispatch(self, sender: EntityAddrVec, rank: int, features: int, message: Message) -> None:
        if isinstance(message, MMonPaxos):
            self._on_paxos(rank, message)
        elif isinstance(message, MMonElection):
            if self.state.phase is not Phase.SYNCHRONIZING:
                self.elector.on_election(sender, features, message)
        elif isinstance(message, MMonPing):
            self.elector.on_ping(sender, message)
        elif isinstance(message, MMonProbe):
            self.probing.on_probe(sender, features, message)
        elif isinstance(message, MMonSync):
            self.sync.on_message(sender, message)
        elif isinstance(message, MTimeCheck2):
            self.timecheck.on_message(rank, message)
        elif isinstance(message, MMonScrub):
            self.scrubbing.on_message(rank, message)
        else:
            raise WireError(f"{type(message).__name__} is not about the quorum")

    def _on_paxos(self, rank: int, message: MMonPaxos) -> None:
        if self.state.phase is Phase.SYNCHRONIZING:
            return
        if message.epoch > self.epoch:
            self.bootstrap()
        elif message.epoch == self.epoch and self.state.quorum:
            self.paxos.on_message(rank, message)

    def on_unreachable(self, addrs: EntityAddrVec, now: float, wall: float) -> None:
        """The host of the monitor that should listen there refused a connection (ECONNREFUSED).

        For nothing less: silence, a lost route or a broken connection are no proof that the
        process is gone. Told again for every attempt.
        """
        self._at(now, wall)
        rank = self.state.rank_of(addrs)
        if rank not in {-1, self.state.rank} and self._takes_part():
            self.absence.refused(rank)

    def _takes_part(self) -> bool:
        return self.state.phase not in {Phase.ASIDE, Phase.STOPPED}

    def step_aside(self, reason: str, now: float, wall: float) -> None:
        """Leave the quorum, tell the others why, and take no part until `rejoin`.

        For a clean stop as well: with what is to be sent now, the others go on without waiting.
        """
        self._at(now, wall)
        if self._takes_part():
            self._step_aside(reason)

    def _step_aside(self, reason: str) -> None:
        state = self.state
        self.sync.stop()
        self._leave()
        state.phase = Phase.ASIDE
        state.timers.clear()
        self.elector.stop_pings()
        self.aside_because = reason
        for rank in range(state.size()):
            if rank != state.rank:
                self._tell_aside(state.monmap.addrs(rank))

    def _tell_aside(self, to: EntityAddrVec) -> None:
        tracker = self.elector.scores.encoded()
        self.state.send(to, notice_of(self.aside_because, self.epoch + 1, tracker))

    def rejoin(self, now: float, wall: float) -> None:
        """Take part again, after `step_aside`."""
        self._at(now, wall)
        if self.state.phase is Phase.ASIDE and not self.store_failed:
            self.aside_because = ""
            self.probing.hurry()
            self.bootstrap()

    def on_store_failed(self, reason: str, now: float, wall: float) -> None:
        """A commit of the store has failed: step aside, for as long as this object lives.

        What waited for that commit, and was taken before, must never leave. What is taken next
        tells the others; it waits for nothing. To take part again, open the store anew (it holds
        what was durable) and make another `Member` of it, as after a crash.
        """
        self._at(now, wall)
        if self.state.phase is Phase.STOPPED or self.store_failed:
            return
        self.store_failed = True
        self.state.ready = Ready()
        self._step_aside(reason)

    def wake(self, now: float, wall: float) -> None:
        """Do what is due, earliest first."""
        self._at(now, wall)
        timers = self.state.timers
        for _ in range(_MAX_WAKES):
            due = min(((at, name) for name, (at, _) in timers.items() if at <= now), default=None)
            if due is None:
                return
            _, action = timers.pop(due[1])
            action()

    def deadline(self) -> float | None:
        """When `wake` is to be called, by the monotonic clock."""
        return min((at for at, _ in self.state.timers.values()), default=None)

    def propose(
        self, transaction: StoreTransaction, token: object, now: float, wall: float
    ) -> bool:
        """See `Paxos.propose`."""
        self._at(now, wall)
        return self.paxos.propose(transaction, token)

    def configure(self, settings: Settings, now: float, wall: float) -> None:
        """Options have changed. What is timed already stays so, but for the next scrub."""
        self._at(now, wall)
        scrub_at = self.state.settings.mon_scrub_interval
        self.state.settings = settings
        self.paxos.grants.lease_s = settings.mon_lease
        if settings.mon_scrub_interval != scrub_at and self.state.phase is Phase.LEADER:
            self.scrubbing.schedule()

    def add_peer_hint(self, addrs: EntityAddrVec, now: float, wall: float) -> bool:
        """Somebody knows where another monitor listens; False if this one is in a quorum."""
        self._at(now, wall)
        if self.state.quorum:
            return False
        self.probing.add_peer(addrs)
        return True

    def scores_document(self) -> dict[str, object]:
        """See `status.connection_scores`."""
        return connection_scores(self)

    def force_sync(self, now: float, wall: float) -> None:
        """Let the store be copied from another monitor at the next start."""
        self._at(now, wall)
        self.sync.force()

    def reset_scores(self, now: float, wall: float) -> None:
        """Forget the connection scores."""
        self._at(now, wall)
        self.elector.reset_scores()

    def scrub(self, now: float, wall: float) -> None:
        """Compare the stores of the quorum; only a leader can.

        Raises TryAgain for others, Busy if that is being done already.
        """
        self._at(now, wall)
        if self.state.phase is not Phase.LEADER:
            raise TryAgain("only the leader of a quorum can scrub")
        self.scrubbing.start()

    def readable(self, now: float, wall: float) -> bool:
        """Whether what is committed here may be told to a client now.

        The answer, like everything that leaves the process, waits for what was staged.
        """
        self._at(now, wall)
        return self.paxos.readable()

    def take(self) -> Ready:
        """What is to be done since the last call."""
        ready, self.state.ready = self.state.ready, Ready()
        return ready

    def take_monmap(self, monmap: MonMap, now: float, wall: float) -> None:
        """A newer map was committed."""
        self._at(now, wall)
        if self._takes_part():
            self.learn_monmap(monmap, persist=False)
        else:
            self.state.monmap = monmap

    def _at(self, now: float, wall: float) -> None:
        self.state.now = now
        self.state.wall = wall

    # --- what the parts ask for

    @property
    def epoch(self) -> int:
        return self.elector.epoch

    def bootstrap(self) -> None:
        state = self.state
        self.sync.stop()
        self.probing.stop()
        self.elector.cancel_timer()
        if not self._find_rank():
            return
        self._leave()
        state.phase = Phase.PROBING
        if state.size() == 1 and state.rank == 0:
            self.elector.win_alone()
        else:
            self.probing.start()

    def _find_rank(self) -> bool:
        """Learn this monitor's rank from the map; False if it has to stop."""
        state = self.state
        if state.monmap.epoch == 0:
            # Nobody has agreed on this map yet: ranks follow addresses, as they do for all others.
            info = state.monmap.mon_info
            state.monmap.ranks = sorted(info, key=lambda name: (info[name].legacy_addr(), name))
        rank = state.rank_of(state.addrs)
        if rank < 0 and state.has_ever_joined:
            self._stop("removed from the monitor map")
            return False
        if rank >= 0 and state.monmap.addrs(rank) != state.addrs:
            newer = Transaction().put(MON_SYNC, "temp_newer_monmap", state.monmap.encode())
            state.persist(newer)
            self._stop("the monitor map has other addresses for this monitor")
            return False
        if rank != state.rank:
            state.rank = rank
            self.elector.rank_changed()
        return True

    def _stop(self, reason: str) -> None:
        self._leave()
        self.state.phase = Phase.STOPPED
        self.state.timers.clear()
        self.state.emit(Stopped(reason))

    def _leave(self) -> None:
        """Out of the quorum, if in one."""
        self.probing.stop()
        if self.state.quorum:
            self.state.emit(Left())
            self.probing.hurry()
        self.state.quorum = set()
        self.state.leader = -1
        self.probing.outside_quorum = set()
        self.timecheck.stop()
        self.scrubbing.stop()
        self.paxos.restart()

    def start_election(self) -> None:
        self.join_election()
        self.elector.call_election()

    def join_election(self) -> None:
        self._leave()
        self.state.phase = Phase.ELECTING

    def win_election(self, quorum: set[int], joined: Joined) -> None:
        self._join(Phase.LEADER, quorum, joined)
        self.paxos.lead()
        if self.state.size() > 1:
            self.timecheck.start()
        self.scrubbing.schedule()

    def lose_election(self, quorum: set[int], joined: Joined) -> None:
        self._join(Phase.PEON, quorum, joined)
        self.paxos.follow()

    def _join(self, phase: Phase, quorum: set[int], joined: Joined) -> None:
        state = self.state
        state.phase = phase
        state.quorum = set(quorum)
        state.leader = joined.leader
        state.quorum_since = state.now
        state.quorum_features = joined.quorum_features
        state.quorum_mon_features = joined.mon_features
        state.emit(joined)
        for rank in state.peers():
            self.elector.begin_peer_ping(rank)

    def peer_probes(self, rank: int) -> None:
        self.elector.begin_peer_ping(rank)
        self.elector.propose_again(rank)

    def saw_stamp(self, rank: int, sent_wall: float) -> None:
        self.timecheck.on_stamp(rank, sent_wall)

    def spoke_in(self, rank: int, epoch: int) -> None:
        self.paxos.leases_dropped(self.state.monmap.ranks[rank], epoch)

    def reload(self) -> None:
        self.paxos.load()
        self.state.emit(Refresh(self.paxos.last_committed))

    def learn_monmap(self, monmap: MonMap, *, persist: bool) -> None:
        same_ranks = monmap.ranks == self.state.monmap.ranks
        self.state.monmap = monmap
        if persist:
            transaction = Transaction().put(MONMAP, monmap.epoch, monmap.encode())
            self.state.persist(transaction.put(MONMAP, "last_committed", monmap.epoch))
        if not same_ranks:
            self.elector.rank_changed()
        self.elector.monmap_changed()
        self.state.emit(MonMapLearned(monmap))
        self.bootstrap()
