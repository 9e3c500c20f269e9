from __future__ import annotations

import pytest

from spirula.mon.quorum.election import Election
from spirula.mon.quorum.scores import Scores, total_score
from spirula.types.mon import ConnectionReport, ConnectionTracker, ElectionStrategy

HALF_LIFE_S = 1000.0


class Owner:
    """What an election asks of its monitor, noted."""

    def __init__(self, rank, size, strategy=ElectionStrategy.CLASSIC, disallowed=()):
        self.rank = rank
        self._size = size
        self.disallowed = set(disallowed)
        self.epoch = 0
        self.members = set()
        self.did = []
        self.scores = Scores(rank, HALF_LIFE_S)
        self.election = Election(self, self.scores, strategy, 0.0005)

    def size(self):
        return self._size

    def disallowed_leaders(self):
        return self.disallowed

    def is_current_member(self, rank):
        return rank in self.members

    def read_epoch(self):
        return self.epoch

    def persist_epoch(self, epoch):
        assert epoch >= self.epoch
        self.epoch = epoch

    def bumped(self):
        self.members = set()

    def trigger_new_election(self):
        self.did.append("call")
        self.election.start()

    def propose_to_peers(self, epoch, tracker):
        self.did.append(("propose", epoch))

    def defer_to(self, rank):
        self.did.append(("defer", rank))

    def declare_victory(self, quorum):
        self.did.append(("victory", sorted(quorum)))
        self.members = quorum

    def give_up(self):
        self.did.append("give up")


def started(rank, size=3, **options):
    owner = Owner(rank, size, **options)
    owner.election.start()
    return owner


def test_epochs_are_odd_in_an_election_and_even_after_it():
    owner = started(0)
    assert owner.election.epoch == 1
    owner.election.receive_ack(1, 1)
    owner.election.receive_ack(2, 1)
    assert owner.did[-1] == ("victory", [0, 1, 2])
    assert owner.election.epoch == owner.epoch == 2


def test_an_election_that_a_restart_ended_counts_as_over():
    owner = Owner(0, 3)
    owner.epoch = 7
    owner.election.load_epoch()
    assert owner.election.epoch == 8


def test_a_majority_wins_when_the_time_is_up_and_less_does_not():
    owner = started(0, 5)
    owner.election.receive_ack(3, 1)
    owner.election.end_period(ever_participated=True)
    assert owner.did[-1][0] == "propose"
    epoch = owner.election.epoch
    owner.election.receive_ack(3, epoch)
    owner.election.receive_ack(4, epoch)
    owner.election.end_period(ever_participated=True)
    assert owner.did[-1] == ("victory", [0, 3, 4])


def test_who_was_never_in_a_quorum_probes_again():
    owner = started(0, 5)
    owner.election.end_period(ever_participated=False)
    assert owner.did[-1] == "give up"


def test_the_lower_rank_is_deferred_to_and_the_higher_is_not():
    owner = started(1)
    owner.election.receive_propose(2, 1, None)
    assert owner.did == [("propose", 1)]
    owner.election.receive_propose(0, 1, None)
    assert owner.did[-1] == ("defer", 0)
    owner.election.receive_ack(2, 1)
    owner.election.end_period(ever_participated=True)
    assert owner.did[-1] == ("propose", 3), "it dropped out, so it begins anew"


def test_of_two_better_ones_the_best_is_acknowledged():
    owner = started(3, 5)
    for rank, deferred in ((2, 2), (1, 1), (2, 1)):
        owner.election.receive_propose(rank, 1, None)
        assert owner.election.leader_acked == deferred


def test_whom_one_deferred_to_in_an_earlier_epoch_does_not_count():
    owner = started(3, 5)
    owner.election.receive_propose(0, 1, None)
    owner.election.receive_propose(2, 5, None)
    assert owner.did[-1] == ("defer", 2)


def test_a_newcomer_from_outside_the_quorum_makes_members_call_an_election():
    owner = started(0)
    owner.election.receive_ack(1, 1)
    owner.election.end_period(ever_participated=True)
    owner.election.receive_propose(1, 1, None)
    assert owner.did[-1] == ("victory", [0, 1])
    owner.election.receive_propose(2, 1, None)
    assert owner.did[-2:] == ["call", ("propose", 3)]


def test_victories_are_followed_only_in_the_epoch_that_they_end():
    for epoch, follows in ((2, True), (4, False), (1, False), (0, False)):
        owner = started(1)
        owner.election.receive_propose(0, 1, None)
        assert owner.election.receive_victory(0, epoch) is follows
        assert owner.election.epoch >= 1
    assert not started(0).election.receive_victory(1, 2), "the lowest rank follows nobody"


def test_who_must_not_lead_defers_to_anybody():
    options = {"strategy": ElectionStrategy.DISALLOW, "disallowed": {0}}
    owner = started(0, **options)
    owner.election.receive_propose(2, 1, None)
    assert owner.did[-1] == ("defer", 2)
    owner.election.receive_propose(1, 1, None)
    assert owner.did[-1] == ("defer", 1)
    assert owner.election.receive_victory(1, 2)
    other = started(1, **options)
    other.election.receive_propose(0, 1, None)
    assert other.did == [("propose", 1)]


def reports(**history):
    """A tracker in which each rank (`r0`...) thinks so of the others."""
    tracker = ConnectionTracker(half_life=HALF_LIFE_S)
    for name, scores in history.items():
        rank = int(name[1:])
        tracker.peer_reports[rank] = ConnectionReport(
            rank, {peer: score > 0 for peer, score in scores.items()}, dict(scores), 1, 5
        )
    return tracker


def test_by_connectivity_the_better_connected_leads():
    knows = reports(r0={1: 0.9, 2: 1.0}, r1={0: 0.2, 2: 1.0}, r2={0: 0.3, 1: 0.9})
    for rank, rival, outcome in ((0, 2, ("defer", 2)), (2, 0, ("propose", 1))):
        owner = Owner(rank, 3, ElectionStrategy.CONNECTIVITY)
        owner.scores.receive(knows)
        mine = knows.peer_reports[rank]
        for peer, score in mine.history.items():
            owner.scores.mine.history[peer] = score
            owner.scores.mine.current[peer] = True
        owner.scores.increase_epoch(1)
        owner.election.start()
        owner.election.receive_propose(rival, 1, knows)
        assert owner.did[-1] == outcome
        owner.election.receive_propose(rival, 1, None)
        assert owner.did[-1] == outcome, "a proposal without scores is no proposal"


def test_a_score_is_the_sum_of_what_those_think_who_reach_it():
    tracker = reports(r0={1: 0.5, 2: 1.0}, r1={0: 0.9}, r2={0: 0.0, 1: 0.25})
    assert [total_score(tracker, rank) for rank in range(4)] == [0.9, 0.75, 1.0, 0]


def test_scores_fall_and_rise_with_the_half_life():
    scores = Scores(0, HALF_LIFE_S)
    scores.report_live(1, 100.0)
    assert scores.mine.history == {1: 1.0}
    scores.report_dead(1, 1000.0)
    assert scores.mine.history[1] == pytest.approx(0.0)
    scores.report_live(1, 200.0)
    assert scores.mine.history[1] == pytest.approx(0.1)
    assert scores.tracker.version == scores.tracker.peer_reports[0].epoch_version == 3
    again = Scores(0, HALF_LIFE_S)
    again.load(scores.encoded())
    assert again.tracker == scores.tracker
    assert again.mine == scores.mine
    other = Scores(1, HALF_LIFE_S)
    other.load(scores.encoded())
    assert other.tracker.peer_reports == {}, "ranks mean others now"


def test_newer_reports_replace_older_ones_and_none_replaces_ones_own():
    scores = Scores(0, HALF_LIFE_S)
    scores.report_live(1, 1.0)
    scores.receive(reports(r0={1: 0.0}, r1={0: 0.5}))
    older = reports(r1={0: 0.1})
    older.peer_reports[1].epoch_version = 4
    scores.receive(older)
    assert scores.tracker.peer_reports[0].history == {1: 1.0}
    assert scores.tracker.peer_reports[1].history == {0: 0.5}
