"""Who leads: the rules of an election by upstream's three strategies, and nothing else.

Epochs are odd while an election is on and even when it is over. A monitor proposes itself, and
defers to a better one by acknowledging it; whoever everybody (or, when the time is up, a majority)
acknowledged declares victory. Better is: the lower rank (classic), the lower rank among those
allowed (disallow), the higher score and then the lower rank (connectivity).

The elector calls this with what arrived and does what it asks for. Follows upstream
`src/mon/ElectionLogic.cc`; what upstream asserts about a peer's message is ignored here instead.
"""

from __future__ import annotations

from typing import Protocol

from spirula.mon.quorum.scores import Scores, total_score
from spirula.types.mon import ConnectionTracker, ElectionStrategy


class ElectionOwner(Protocol):
    """What an election needs to know, and what it asks for."""

    @property
    def rank(self) -> int:
        """The rank of this monitor."""

    def size(self) -> int:
        """How many monitors the map holds."""

    def disallowed_leaders(self) -> set[int]:
        """Ranks that must not lead."""

    def is_current_member(self, rank: int) -> bool:
        """Whether that monitor is in the quorum of which this one is a member."""

    def read_epoch(self) -> int:
        """The epoch that was made durable last; 0 if none ever was."""

    def persist_epoch(self, epoch: int) -> None:
        """Make the epoch durable."""

    def bumped(self) -> None:
        """The epoch has moved: whatever quorum this monitor was in is over."""

    def trigger_new_election(self) -> None:
        """Leave the quorum and call `start`."""

    def propose_to_peers(self, epoch: int, tracker: ConnectionTracker | None) -> None:
        """Propose this monitor to all others, and begin the wait for their answers."""

    def propose_to(self, rank: int, tracker: ConnectionTracker | None) -> None:
        """Propose this monitor to one of them."""

    def defer_to(self, rank: int) -> None:
        """Acknowledge that monitor, and begin the wait for its victory."""

    def declare_victory(self, quorum: set[int]) -> None:
        """Tell everybody, and lead."""

    def give_up(self) -> None:
        """The time is up and this monitor was never in a quorum: probe again."""


class Election:
    """One monitor's view of elections."""

    def __init__(
        self, owner: ElectionOwner, scores: Scores, strategy: int, ignore_propose_margin: float
    ) -> None:
        self.owner = owner
        self.scores = scores
        self.strategy = strategy
        self.epoch = 0
        self.electing_me = False
        self.leader_acked = -1
        self.acked_me: set[int] = set()
        self.last_election_winner = -1
        self.last_voted_for = -1
        self._margin = ignore_propose_margin
        self._stable: ConnectionTracker | None = None
        self._leader_tracker: ConnectionTracker | None = None

    # --- epochs

    def load_epoch(self) -> None:
        """Take up the durable epoch; one that ended in the middle of an election counts as over."""
        self.epoch = self.owner.read_epoch()
        if not self.epoch:
            self.epoch = 1
        elif self.epoch % 2:
            self.epoch += 1
            self.owner.persist_epoch(self.epoch)

    def bump_epoch(self, epoch: int) -> None:
        """Move on to an epoch not lower than the present one."""
        self.epoch = epoch
        self.scores.increase_epoch(epoch)
        self.owner.persist_epoch(epoch)
        self.electing_me = False
        self.acked_me = set()
        self.owner.bumped()

    def declare_standalone_victory(self) -> None:
        """The map holds this monitor alone: no one is asked."""
        self.load_epoch()
        self.bump_epoch(self.epoch + 1)

    # --- one election

    def start(self) -> None:
        """Begin one, proposing this monitor."""
        self.load_epoch()
        if self.epoch % 2 == 0:
            self.bump_epoch(self.epoch + 1)
        else:
            # The first epoch of all: not one that is proposed in again after this.
            self.owner.persist_epoch(self.epoch)
        self._clear_live_state()
        self.electing_me = True
        self.acked_me = {self.owner.rank}
        self.owner.propose_to_peers(self.epoch, self._stable)

    def propose_again(self, rank: int) -> None:
        """Propose this monitor once more to one that may not have heard of it."""
        self.owner.propose_to(rank, self._stable)

    def end_period(self, *, ever_participated: bool) -> None:
        """The wait is over: win with a majority, or begin anew."""
        if self.electing_me and len(self.acked_me) > self.owner.size() // 2:
            self._declare_victory()
        elif ever_participated:
            self.start()
        else:
            self.owner.give_up()

    def _clear_live_state(self) -> None:
        self.leader_acked = -1
        self.electing_me = False
        connectivity = self.strategy == ElectionStrategy.CONNECTIVITY
        self._stable = self.scores.snapshot() if connectivity else None
        self._leader_tracker = None

    def _defer(self, rank: int) -> None:
        self.acked_me = set()
        self.electing_me = False
        self.leader_acked = rank
        self.owner.defer_to(rank)

    def _declare_victory(self) -> None:
        self.last_election_winner = self.last_voted_for = self.owner.rank
        quorum = self.acked_me
        self._clear_live_state()
        self.bump_epoch(self.epoch + 1)
        self.owner.declare_victory(quorum)

    def score(self, rank: int) -> float:
        """What the score of `rank` was when the election began; -1 if it must not lead."""
        if rank in self.owner.disallowed_leaders():
            return -1.0
        return total_score(self._stable or self.scores.tracker, rank)

    # --- what arrives

    def receive_propose(self, rank: int, epoch: int, tracker: ConnectionTracker | None) -> None:
        """Another monitor proposes itself."""
        if rank == self.owner.rank or epoch % 2 == 0:
            return
        if self.strategy == ElectionStrategy.CONNECTIVITY:
            if tracker is not None and not self._flapping(rank):
                self._propose_connectivity(rank, epoch, tracker)
            return
        if epoch > self.epoch:
            # Whom this one deferred to in an earlier epoch has no claim on this one.
            self.leader_acked = -1
            self.bump_epoch(epoch)
        elif epoch < self.epoch:
            self._old_propose(rank)
            return
        disallowed: set[int] = set()
        if self.strategy == ElectionStrategy.DISALLOW:
            disallowed = self.owner.disallowed_leaders()
        mine = self.owner.rank
        wins = mine not in disallowed and (mine < rank or rank in disallowed)
        loses = rank not in disallowed and (rank < mine or mine in disallowed)
        if wins:
            self._should_win()
        elif loses and (self.leader_acked < 0 or self.leader_acked >= rank):
            self._defer(rank)

    def _old_propose(self, rank: int) -> None:
        # Somebody outside of the quorum has just started: let it join.
        if self.epoch % 2 == 0 and not self.owner.is_current_member(rank):
            self.owner.trigger_new_election()

    def _should_win(self) -> None:
        if self.leader_acked < 0 and not self.electing_me:
            self.owner.trigger_new_election()

    def _flapping(self, rank: int) -> bool:
        """Whether a peon ignores a proposal from outside, as it would not change its vote."""
        if (
            self.epoch % 2
            or self.last_election_winner == self.owner.rank
            or self.owner.is_current_member(rank)
        ):
            return False
        best, best_score, voted_score = 0, 0.0, 0.0
        for candidate in range(self.owner.size()):
            score = self.score(candidate)
            if score > best_score:
                best, best_score = candidate, score
            if candidate == self.last_voted_for:
                voted_score = score
        return best == self.last_voted_for or best_score - voted_score < self._margin

    def _propose_connectivity(self, rank: int, epoch: int, tracker: ConnectionTracker) -> None:
        if epoch > self.epoch:
            self.bump_epoch(epoch)
            self._stable = self.scores.snapshot()
            if self.leader_acked < 0 or self.score(self.owner.rank) > self.score(self.leader_acked):
                self.leader_acked = -1
                self._leader_tracker = None
        elif epoch < self.epoch:
            self._old_propose(rank)
            return
        mine, my_score, its_score = self.owner.rank, self.score(self.owner.rank), self.score(rank)
        if my_score >= 0 and _better(mine, my_score, rank, its_score):
            self._should_win()
            return
        leader = self.leader_acked
        leader_score = self.score(leader) if leader >= 0 else -1.0
        wins_leader = rank == leader or _better(rank, its_score, leader, leader_score)
        its_win = its_score >= 0 and _better(rank, its_score, mine, my_score) and wins_leader
        if not its_win and rank != leader:
            return
        if leader < 0 or rank == leader or self._leader_tracker is None:
            self._defer(rank)
            self._leader_tracker = tracker
            return
        # Whom we acknowledged must come to the same result, or there would be two winners.
        at_leader = (
            total_score(self._leader_tracker, rank),
            total_score(self._leader_tracker, leader),
        )
        if _better(rank, at_leader[0], leader, at_leader[1]):
            self._defer(rank)
            self._leader_tracker = tracker
            return
        current = self.scores.tracker
        if _better(rank, total_score(current, rank), leader, total_score(current, leader)):
            # Scores moved since the election began: begin a new one, with new scores.
            self.bump_epoch(self.epoch + 1)
            self.start()

    def receive_ack(self, rank: int, epoch: int) -> None:
        """Another monitor defers to this one."""
        if epoch % 2 == 0 or epoch < self.epoch:
            return
        if epoch > self.epoch:
            # It answers a proposal that this process cannot have made: it must have restarted.
            self.bump_epoch(epoch)
            self.start()
        elif self.electing_me:
            self.acked_me.add(rank)
            if len(self.acked_me) == self.owner.size():
                self._declare_victory()

    def receive_victory(self, rank: int, epoch: int) -> bool:
        """Another monitor has won; whether this one follows it."""
        if epoch % 2 or epoch < self.epoch or rank == self.owner.rank:
            return False
        sensible = self._victory_makes_sense(rank)
        self.last_election_winner = rank
        self.last_voted_for = self.leader_acked
        self._clear_live_state()
        if not sensible or epoch != self.epoch + 1:
            self.bump_epoch(epoch)
            self.start()
            return False
        self.bump_epoch(epoch)
        return True

    def _victory_makes_sense(self, rank: int) -> bool:
        if self.strategy == ElectionStrategy.CONNECTIVITY:
            return self.score(rank) >= self.score(self.owner.rank)
        if rank < self.owner.rank:
            return True
        disallow = self.strategy == ElectionStrategy.DISALLOW
        return disallow and self.owner.rank in self.owner.disallowed_leaders()


def _better(one: int, one_score: float, other: int, other_score: float) -> bool:
    """Whether rank `one` is the better leader: by score, then by rank."""
    return one_score > other_score or (one < other and one_score >= other_score)
