from __future__ import annotations

import math

import pytest

from spirula.errors import InvariantBroken, WireError
from spirula.messages.mon_client import MMonGetMap
from spirula.messages.quorum import (
    ElectionOp,
    MMonElection,
    MMonJoin,
    MMonPaxos,
    MMonProbe,
    MMonSync,
    PaxosOp,
    ProbeOp,
    SyncOp,
)
from spirula.mon.quorum.state import Joined, MonMapLearned, Outcome, Phase, Settings, Stopped
from spirula.mon.store import Transaction, get_number
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.types.base import UTime
from spirula.types.mon import MonFeatures, MonMap, StoreOp, StoreTransaction
from tests.unit.mon.quorum_bench import FSID, WALL, Bench, addrs_of, connect, monmap_of, quorum_of

# --- one monitor


def test_a_single_monitor_leads_at_once_and_commits_alone():
    bench = Bench(0, 1)
    assert bench.start() == []
    assert bench.member.state.phase is Phase.LEADER
    assert bench.member.epoch == 2
    assert not bench.readable(), "nothing is committed yet"
    assert bench.propose("k", b"v", "first") == (True, [])
    assert bench.outcomes == [Outcome("first", 1)]
    assert bench.readable()
    assert bench.store.get("svc", "k") == b"v"
    assert bench.number("first_committed") == bench.number("last_committed") == 1
    stored = StoreTransaction.decode(bench.store.get("paxos", "1"))
    assert [(op.prefix, op.key) for op in stored.ops] == [
        ("paxos", "first_committed"),
        ("svc", "k"),
    ]
    assert get_number(bench.store, "monitor", "joined") == 1


def test_a_single_monitor_finishes_what_it_had_accepted():
    bench = Bench(0, 1)
    bench.start()
    bench.propose("k", b"old", 1)
    value = Transaction().put("svc", "k", b"pending").encode()
    pending = Transaction().put("paxos", 2, value).put("paxos", "pending_v", 2)
    bench.store.stage(pending.put("paxos", "pending_pn", 100).value)
    again = Bench(0, 1, bench.store)
    again.start()
    assert again.store.get("svc", "k") == b"pending"
    assert again.number("last_committed") == 2


def test_an_accepted_value_without_its_number_is_not_taken_for_pending():
    bench = Bench(0, 1)
    bench.start()
    bench.propose("k", b"old", 1)
    bench.store.stage(Transaction().put("paxos", 2, b"what a copy left").value)
    again = Bench(0, 1, bench.store)
    again.start()
    assert again.number("last_committed") == 1


def test_a_store_that_ends_before_it_begins_is_refused():
    store = MemoryKeyValueStore(lambda land: land())
    store.stage(Transaction().put("paxos", "first_committed", 5).value)
    with pytest.raises(InvariantBroken):
        Bench(0, 1, store)


# --- a quorum of three


def test_the_lowest_rank_leads_all_when_all_are_there():
    benches, _ = quorum_of(3)
    joined = [[e for e in bench.events if isinstance(e, Joined)][-1] for bench in benches]
    assert {event.leader for event in joined} == {0}
    assert {event.quorum for event in joined} == {frozenset({0, 1, 2})}
    assert len({event.epoch for event in joined}) == 1
    assert joined[0].epoch % 2 == 0
    assert set(joined[0].metadata) == {0, 1, 2}


def test_a_proposal_number_is_the_next_hundred_and_the_rank():
    benches, _ = quorum_of(3)
    leader = benches[0].member.paxos
    assert leader.accepted_pn == benches[1].number("accepted_pn") == benches[0].number("last_pn")
    assert leader.accepted_pn % 100 == 0
    follower = benches[2].member.paxos
    assert follower._new_proposal_number(1234) == 1302
    assert follower._new_proposal_number(0) == 1402


def test_a_write_is_committed_when_all_have_it_and_read_everywhere():
    benches, run = quorum_of(3)
    began, messages = benches[0].propose("k", b"v", "token")
    assert began
    assert [m.op for _, m in messages] == [PaxosOp.BEGIN] * 2
    assert benches[0].outcomes == []
    answers = [benches[1].hear(0, messages[0][1]), benches[2].hear(0, messages[1][1])]
    assert benches[1].store.get("svc", "k") is None
    assert not benches[1].readable(), "a value is under way"
    assert benches[0].hear(1, answers[0][0][1]) == []
    assert benches[0].outcomes == []
    run(0, benches[0].hear(2, answers[1][0][1]))
    assert benches[0].outcomes == [Outcome("token", 1)]
    for bench in benches:
        assert bench.store.get("svc", "k") == b"v"
        assert bench.readable()


def test_a_peon_writes_a_value_once(monkeypatch):
    benches, run = quorum_of(3)
    written = []
    stage = benches[1].store.stage

    def record(transaction):
        written.extend((op.prefix, op.key) for op in transaction.ops)
        stage(transaction)

    monkeypatch.setattr(benches[1].store, "stage", record)
    run(0, benches[0].propose("a", b"1", 1)[1])
    assert written.count(("paxos", "1")) == 1
    # Who has not accepted it, or something else, does write it when he hears what is committed.
    commit = MMonPaxos(
        epoch=benches[1].member.epoch,
        op=PaxosOp.COMMIT,
        last_committed=2,
        values={2: Transaction().put("svc", "a", b"2").encode()},
    )
    benches[1].hear(0, commit)
    assert written.count(("paxos", "2")) == 1
    assert benches[1].store.get("svc", "a") == b"2"


def test_what_is_proposed_meanwhile_goes_into_the_next_version_together():
    benches, run = quorum_of(3)
    _, begins = benches[0].propose("a", b"1", 1)
    assert benches[0].propose("b", b"2", 2) == (True, [])
    assert benches[0].propose("c", b"3", 3) == (True, [])
    run(0, begins)
    assert benches[0].outcomes == [Outcome(1, 1), Outcome(2, 2), Outcome(3, 2)]


def test_a_peon_proposes_nothing():
    benches, _ = quorum_of(3)
    assert benches[1].propose("a", b"1", 1) == (False, [])


def test_leases_are_renewed_and_end_without_renewal():
    benches, run = quorum_of(3)
    _, messages = benches[0].propose("k", b"v", 1)
    run(0, messages)
    for _ in range(20):
        for bench in benches:
            bench.now = benches[0].now
        run(0, benches[0].wait(1.0))
        for bench in benches[1:]:
            bench.now = benches[0].now
        assert all(bench.readable() for bench in benches)
    benches[1].now += 6.6
    assert not benches[1].readable()
    benches[0].now += 6.6
    assert not benches[0].readable()


def test_a_leader_without_answers_gives_up_and_answers_proposals_as_unknown():
    benches, _ = quorum_of(3)
    benches[0].propose("k", b"v", "lost")
    benches[0].wait(10.1)
    assert benches[0].member.state.phase is Phase.PROBING
    assert benches[0].outcomes == [Outcome("lost", None)]
    assert not benches[0].readable()


def test_a_peon_without_its_leader_gives_up_and_the_rest_go_on():
    benches, run = quorum_of(3)
    _, messages = benches[0].propose("k", b"v", 1)
    run(0, messages)
    alive = [None, *benches[1:]]
    run = connect(*alive)
    for step in range(300):
        for rank in (1, 2):
            run(rank, benches[rank].wait(0.1))
        if benches[1].readable() and benches[2].readable() and step > 120:
            break
    assert benches[1].member.state.phase is Phase.LEADER
    assert benches[1].member.state.quorum == {1, 2}
    began, messages = benches[1].propose("k", b"newer", 2)
    assert began
    run(1, messages)
    assert benches[2].store.get("svc", "k") == b"newer"


def test_a_value_that_one_peon_accepted_is_proposed_again():
    benches, run = quorum_of(3)
    _, begins = benches[0].propose("k", b"recovered", "lost")
    benches[1].hear(0, begins[0][1])
    run = connect(None, *benches[1:])
    for _ in range(400):
        for rank in (1, 2):
            run(rank, benches[rank].wait(0.1))
    assert benches[1].store.get("svc", "k") == benches[2].store.get("svc", "k") == b"recovered"
    assert benches[2].number("pending_pn") % 100 == 1


def test_old_versions_are_trimmed_by_way_of_paxos():
    benches, run = quorum_of(3, paxos_min=5, paxos_trim_min=2, paxos_trim_max=3)
    for number in range(12):
        _, messages = benches[0].propose("k", number, number)
        run(0, messages)
    for bench in benches:
        first, last = bench.number("first_committed"), bench.number("last_committed")
        assert first > 4
        assert last - first in range(5, 9)
        numbers = [int(key) for key, _ in bench.store.items("paxos") if key.isdigit()]
        assert sorted(numbers) == list(range(first, last + 1))


# --- what peers must not be able to do


def collect(pn, **fields):
    return MMonPaxos(op=PaxosOp.COLLECT, pn=pn, sent_timestamp=UTime.at(WALL), **fields)


def peon():
    benches, _ = quorum_of(3)
    return benches[1]


def test_messages_of_other_epochs_and_strangers_do_nothing():
    bench = peon()
    epoch = bench.member.epoch
    assert bench.hear(0, collect(5000, epoch=epoch - 2)) == []
    assert bench.hear(2, collect(5000, epoch=epoch)) == [], "that one does not lead"
    assert bench.hear(4, collect(5000, epoch=epoch)) == [], "that one is not in the map"
    assert bench.number("accepted_pn") < 5000


def test_a_message_of_a_later_epoch_makes_a_monitor_probe():
    bench = peon()
    bench.hear(0, collect(5000, epoch=bench.member.epoch + 2))
    assert bench.member.state.phase is Phase.PROBING


def test_a_lower_number_is_answered_with_the_higher_one():
    bench = peon()
    accepted = bench.number("accepted_pn")
    ((_, last),) = bench.hear(0, collect(7, epoch=bench.member.epoch))
    assert (last.op, last.pn) == (PaxosOp.LAST, accepted)


def test_values_that_are_no_transactions_are_refused_and_change_nothing():
    bench = peon()
    paxos = bench.member.paxos
    unknown = StoreTransaction([StoreOp(77, "svc", "k", b"", "")], 0, 0).encode()
    for value in (b"", b"rubbish", unknown):
        for op in (PaxosOp.BEGIN, PaxosOp.COMMIT):
            message = MMonPaxos(
                op=op,
                epoch=bench.member.epoch,
                pn=paxos.accepted_pn,
                last_committed=1 if op == PaxosOp.COMMIT else 0,
                values={1: value},
            )
            with pytest.raises(WireError):
                bench.hear(0, message)
            assert bench.done() == []
            assert bench.store.get("paxos", "1") is None
            assert paxos.last_committed == 0


def test_unknown_operations_and_messages_are_refused():
    bench = peon()
    with pytest.raises(WireError):
        bench.hear(0, MMonPaxos(op=99, epoch=bench.member.epoch))
    with pytest.raises(WireError):
        bench.hear(0, MMonGetMap())


@pytest.mark.parametrize("epoch", [3, 4, 5, 6, 1000, 1001])
@pytest.mark.parametrize("op", [ElectionOp.PROPOSE, ElectionOp.ACK, ElectionOp.VICTORY])
@pytest.mark.parametrize("rank", [0, 2])
def test_elections_at_odd_moments_leave_a_monitor_that_joins_again(op, epoch, rank):
    benches, run = quorum_of(3)
    message = MMonElection(
        fsid=FSID,
        op=op,
        epoch=epoch,
        monmap_bl=monmap_of(3).encode(),
        mon_features=MonFeatures(Settings().mon_features),
        mon_release=16,
        quorum={0, 1, 2},
    )
    run(1, benches[1].hear(rank, message))
    for _ in range(400):
        for one, bench in enumerate(benches):
            run(one, bench.wait(0.1))
    assert {bench.member.epoch for bench in benches} == {benches[0].member.epoch}
    assert all(bench.member.state.quorum == {0, 1, 2} for bench in benches)
    _, messages = benches[0].propose("k", b"v", 1)
    run(0, messages)
    assert all(bench.store.get("svc", "k") == b"v" for bench in benches)


def test_a_proposal_of_an_older_release_is_refused_and_a_refusal_stops():
    benches = [Bench(rank, 2, monmap=monmap_of(2, min_mon_release=16)) for rank in range(2)]
    benches[0].start()
    message = MMonElection(
        fsid=FSID,
        op=ElectionOp.PROPOSE,
        epoch=1,
        monmap_bl=monmap_of(2).encode(),
        mon_features=MonFeatures(Settings().mon_features),
        mon_release=15,
    )
    ((_, refusal),) = benches[0].hear(1, message)
    assert (refusal.op, refusal.mon_release) == (ElectionOp.NAK, 16)
    benches[1].start()
    benches[1].hear(0, refusal)
    assert isinstance(benches[1].events[-1], Stopped)
    assert benches[1].member.state.phase is Phase.STOPPED
    assert benches[1].member.deadline() is None


# --- probing and maps


def probe(op, name="b", **fields):
    return MMonProbe(fsid=FSID, op=op, name=name, mon_release=16, **fields)


def test_another_cluster_is_ignored():
    bench = Bench(0, 3)
    bench.start()
    stranger = MMonProbe(fsid=bytes(16), op=ProbeOp.PROBE, name="x", mon_release=16)
    assert bench.hear(1, stranger) == []


def test_probes_are_answered_with_what_there_is():
    benches, _ = quorum_of(3)
    ((to, reply),) = [
        (to, m) for to, m in benches[1].hear(2, probe(ProbeOp.PROBE)) if m.op == ProbeOp.REPLY
    ]
    assert to == addrs_of(2)
    assert (reply.name, reply.quorum, reply.leader) == ("b", {0, 1, 2}, 0)
    assert MonMap.decode(reply.monmap_bl) == monmap_of(3)


def test_a_newer_map_of_one_that_was_in_a_quorum_is_taken():
    bench = Bench(0, 2)
    bench.start()
    newer = monmap_of(3)
    newer.epoch = 5
    reply = probe(ProbeOp.REPLY, has_ever_joined=True, monmap_bl=newer.encode())
    again = bench.hear(1, reply)
    assert bench.events[-1] == MonMapLearned(newer)
    assert {to for to, _ in again} == {addrs_of(1), addrs_of(2)}


def test_a_monitor_that_is_in_no_map_asks_to_be():
    bench = Bench(3, 3)
    assert len(bench.start()) == 3
    messages = bench.hear(1, probe(ProbeOp.REPLY, quorum={0, 1}, monmap_bl=monmap_of(3).encode()))
    ((to, join),) = messages
    assert isinstance(join, MMonJoin)
    assert (to, join.name, join.addrs) == (addrs_of(0), "d", addrs_of(3))


def test_a_monitor_that_was_removed_stops():
    benches, run = quorum_of(3)
    _, messages = benches[0].propose("k", b"v", 1)
    run(0, messages)
    smaller = monmap_of(2)
    smaller.epoch = 2
    benches[2].member.take_monmap(smaller, *benches[2].clocks())
    benches[2].done()
    assert benches[2].events[-1] == Stopped("removed from the monitor map")


def test_restarted_monitors_keep_their_epoch_and_never_go_back():
    benches, _ = quorum_of(3)
    epoch = benches[1].member.epoch
    again = Bench(1, 3, benches[1].store)
    again.start()
    assert again.member.epoch == epoch
    assert again.member.state.phase is Phase.PROBING


# --- synchronising


def filled(count, **settings):
    """A leader that has trimmed its first versions, with many keys."""
    bench = Bench(0, 1, paxos_min=5, paxos_trim_min=2, paxos_trim_max=50, **settings)
    bench.start()
    for number in range(count):
        bench.propose(f"key {number:04}", number, number)
    return bench


def copy(provider, requester, messages):
    """Let the requester copy; returns how many chunks that took."""
    chunks = 0
    while messages:
        ((to, message),) = [(to, m) for to, m in messages if isinstance(m, MMonSync)]
        assert to == addrs_of(0)
        if message.op == SyncOp.GET_CHUNK:
            chunks += 1
            if chunks == 3:
                provider.propose("while it copies", b"x", "late")
        ((_, answer),) = provider.hear(1, message)
        messages = requester.hear(0, answer)
        messages = [(to, m) for to, m in messages if isinstance(m, MMonSync)]
    return chunks


def test_an_empty_monitor_copies_everything_while_commits_go_on():
    provider = filled(100, mon_sync_max_payload_keys=10)
    requester = Bench(1, 2)
    requester.start()
    paxos = provider.member.paxos
    messages = requester.hear(
        0,
        probe(
            ProbeOp.REPLY,
            "a",
            paxos_first_version=paxos.first_committed,
            paxos_last_version=paxos.last_committed,
        ),
    )
    assert requester.member.state.phase is Phase.SYNCHRONIZING
    assert messages[0][1].op == SyncOp.GET_COOKIE_FULL
    assert requester.store.get("mon_sync", "in_sync") is not None
    assert copy(provider, requester, messages) > 8
    assert requester.store.get("mon_sync", "in_sync") is None
    assert requester.number("last_committed") == provider.number("last_committed") > 100
    assert dict(requester.store.items("svc")) == dict(provider.store.items("svc"))
    assert requester.store.get("svc", "while it copies") == b"x"
    assert requester.number("accepted_pn") == 0, "promises are not copied"


def test_a_copy_that_was_broken_off_is_cleared_at_the_next_start():
    store = MemoryKeyValueStore(lambda land: land())
    half = Transaction().put("mon_sync", "in_sync", 1).put("svc", "half", b"")
    half.put("paxos", "first_committed", 41).put("paxos", "last_committed", 9)
    half.put("paxos", "accepted_pn", 302).put("other", "k", b"")
    store.stage(half.put("mon_sync", "last_committed_floor", 7).value)
    bench = Bench(1, 3, store)
    bench.start()
    assert list(store.items("svc")) == []
    assert bench.member.paxos.last_committed == 0
    assert bench.member.paxos.accepted_pn == 302
    assert store.get("other", "k") == b""
    assert bench.member.sync.floor == 7
    behind = probe(ProbeOp.REPLY, "a", paxos_first_version=2, paxos_last_version=6)
    bench.hear(0, behind)
    assert bench.member.state.phase is not Phase.SYNCHRONIZING, "it has less than was here"


def test_a_monitor_somewhat_behind_copies_versions_only():
    provider = filled(20)
    first = provider.number("first_committed")
    requester = Bench(1, 2)
    begun = Transaction().put("paxos", first, provider.store.get("paxos", str(first)))
    requester.store.stage(begun.put("paxos", "first_committed", first).value)
    requester.store.stage(Transaction().put("paxos", "last_committed", first).value)
    requester = Bench(1, 2, requester.store, paxos_max_join_drift=2)
    requester.start()
    last = provider.number("last_committed")
    reply = probe(ProbeOp.REPLY, "a", paxos_first_version=first, paxos_last_version=last)
    messages = requester.hear(0, reply)
    assert messages[0][1].op == SyncOp.GET_COOKIE_RECENT
    copy(provider, requester, messages)
    assert requester.number("last_committed") == provider.number("last_committed")


@pytest.mark.parametrize(
    "chunk",
    [
        Transaction().erase("svc", "k"),
        Transaction().put("monitor", "joined", 0),
        Transaction().erase_range("paxos", "0", "9"),
    ],
)
def test_a_chunk_can_do_nothing_but_put_what_is_copied(chunk):
    requester = Bench(1, 2)
    requester.start()
    requester.hear(0, probe(ProbeOp.REPLY, "a", paxos_first_version=5, paxos_last_version=9))
    requester.hear(0, MMonSync(op=SyncOp.COOKIE, cookie=7, last_committed=9))
    message = MMonSync(op=SyncOp.CHUNK, cookie=7, chunk_bl=chunk.encode())
    with pytest.raises(WireError):
        requester.hear(0, message)


def test_a_chunk_that_leaves_out_versions_is_refused():
    requester = Bench(1, 2)
    requester.start()
    requester.hear(0, probe(ProbeOp.REPLY, "a", paxos_first_version=5, paxos_last_version=9))
    requester.hear(0, MMonSync(op=SyncOp.COOKIE, cookie=7, last_committed=9))
    message = MMonSync(
        op=SyncOp.LAST_CHUNK, cookie=7, last_committed=11, chunk_bl=Transaction().encode()
    )
    with pytest.raises(WireError):
        requester.hear(0, message)
    assert requester.store.get("mon_sync", "in_sync") is not None


def test_who_has_no_cookie_is_told():
    provider = filled(3)
    ((_, answer),) = provider.hear(1, MMonSync(op=SyncOp.GET_CHUNK, cookie=99))
    assert (answer.op, answer.cookie) == (SyncOp.NO_COOKIE, 99)


def test_deadlines_are_told():
    bench = Bench(0, 3)
    assert bench.member.deadline() is None
    bench.start()
    assert math.isclose(bench.member.deadline(), bench.now + 0.1), "who is silent is asked again"
    for pause in (0.1, 0.2, 0.4, 0.8):
        assert len(bench.wait(pause)) == 2
    assert math.isclose(bench.member.deadline(), 102.0), "then all of it anew"
