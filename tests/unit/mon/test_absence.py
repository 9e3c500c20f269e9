"""Monitors whose hosts refuse connections, or that stand aside: nobody waits for them."""

from __future__ import annotations

import pytest

from spirula.errors import WireError
from spirula.messages.quorum import ElectionOp, MMonElection, MMonPing, MMonProbe, PingOp, ProbeOp
from spirula.mon.quorum.absence import REFUSED, notice_of, read_notice
from spirula.mon.quorum.state import Joined, Left, Outcome, Phase, SteppedAside
from spirula.mon.store import Transaction
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonInfo, MonMap
from tests.unit.mon.quorum_bench import FSID, Bench, addrs_of, connect, quorum_of

TRACKER = bytes(20)


def refuse(bench, rank):
    bench.member.on_unreachable(addrs_of(rank), *bench.clocks())
    return bench.done()


def proposals(messages):
    return [
        (to, m) for to, m in messages if isinstance(m, MMonElection) and m.op == ElectionOp.PROPOSE
    ]


def without(benches, rank):
    """Deliver among all but one."""
    return connect(*[None if number == rank else bench for number, bench in enumerate(benches)])


def test_a_quorum_that_lost_its_leader_goes_on_at_once():
    benches, _ = quorum_of(3)
    run = without(benches, 0)
    run(1, refuse(benches[1], 0))
    run(2, refuse(benches[2], 0))
    run(1, benches[1].wait(0.11))
    assert benches[1].member.state.phase is Phase.LEADER
    assert benches[1].member.state.quorum == benches[2].member.state.quorum == {1, 2}


def test_a_commit_waits_for_leases_of_a_host_that_only_seems_gone():
    benches, _ = quorum_of(3)
    for bench in benches:
        bench.now += 2.0
    connect(*benches)(0, benches[0].wait(0.0))
    run = without(benches, 0)
    run(1, refuse(benches[1], 0))
    run(2, refuse(benches[2], 0))
    run(1, benches[1].wait(0.11))
    _, messages = benches[1].propose("k", b"w", 1)
    run(1, messages)
    assert benches[1].outcomes == []
    for _ in range(14):
        for rank in (1, 2):
            run(rank, benches[rank].wait(0.25))
    assert [outcome.token for outcome in benches[1].outcomes] == [1]


def same_host_benches():
    info = {
        name: MonInfo(name, EntityAddrVec.parse(f"[v2:10.0.0.1:{3300 + rank}/0]"))
        for rank, name in enumerate("abc")
    }
    monmap = MonMap(fsid=FSID, epoch=1, mon_info=info, ranks=list("abc"))
    return info, monmap


def test_on_the_same_host_a_refusal_proves_that_no_lease_is_left():
    info, monmap = same_host_benches()
    bench = Bench(1, 3, monmap=monmap)
    paxos = bench.member.paxos
    bench.start()
    bench.member.state.addrs = info["b"].public_addrs
    everybody = frozenset("abc")
    paxos.promises.make(everybody, bench.member.epoch, bench.now)
    assert paxos.promises.kept_until(frozenset("bc")) > bench.now
    bench.member.on_unreachable(info["a"].public_addrs, *bench.clocks())
    assert paxos.promises.kept_until(frozenset("bc")) == 0.0
    assert paxos.promises.kept_until(frozenset("ab")) > bench.now


def test_an_election_waits_for_a_silent_monitor_but_not_for_a_refused_one():
    for refused, after in ((False, 5.0), (True, 0.1)):
        benches = [Bench(rank, 3) for rank in range(3)]
        run = without(benches, 2)
        run(0, benches[0].start())
        run(1, benches[1].start())
        assert benches[0].member.state.phase is Phase.ELECTING
        if refused:
            run(0, refuse(benches[0], 2))
        run(0, benches[0].wait(after - 0.01))
        assert benches[0].member.state.phase is Phase.ELECTING
        run(0, benches[0].wait(0.02))
        assert benches[0].member.state.phase is Phase.LEADER
        assert benches[0].member.state.quorum == {0, 1}


def test_a_refused_monitor_that_shows_up_is_proposed_to_again_and_waited_for():
    benches = [Bench(rank, 3) for rank in range(3)]
    run = without(benches, 2)
    run(0, benches[0].start())
    run(1, benches[1].start())
    run(0, refuse(benches[0], 2))
    assert benches[0].member.state.absent == {"c": REFUSED}
    run = connect(*benches)
    run(2, benches[2].start())
    assert benches[0].member.state.absent == {}
    assert benches[0].member.state.quorum == {0, 1, 2}


def test_who_deferred_to_a_monitor_that_is_gone_calls_an_election():
    benches = [Bench(rank, 3) for rank in range(3)]
    bench = benches[2]
    bench.start()
    election = MMonElection(
        fsid=FSID, op=ElectionOp.PROPOSE, epoch=7, monmap_bl=bench.member.state.monmap.encode()
    )
    election.mon_release = 16
    bench.hear(0, election)
    assert bench.member.elector.deferred_to == 0
    calls = proposals(refuse(bench, 0))
    assert [to for to, _ in calls] == [addrs_of(0), addrs_of(1)]
    assert calls[0][1].epoch > 7


def test_hints_about_the_same_monitor_are_heeded_less_and_less_often():
    benches, run = quorum_of(3)
    benches[1].events.clear()
    for _ in range(600):
        for rank, bench in enumerate(benches):
            run(rank, bench.wait(0.1))
        run(1, refuse(benches[1], 0))
    quorums = [event for event in benches[1].events if isinstance(event, Joined)]
    assert len(quorums) == 5, "after 0, 2, 6, 14 and 30 seconds"
    assert benches[1].member.state.quorum == {0, 1, 2}


def test_hints_about_strangers_and_oneself_are_nothing():
    benches, _ = quorum_of(3)
    assert refuse(benches[1], 1) == refuse(benches[1], 4) == []
    assert benches[1].member.state.absent == {}


# --- standing aside


def test_a_leader_that_stops_hands_over_at_once_and_commits_go_on():
    benches, _ = quorum_of(3)
    leader = benches[0]
    leader.member.step_aside("it is stopped", *leader.clocks())
    notices = leader.done()
    assert leader.member.state.phase is Phase.ASIDE
    assert any(isinstance(event, Left) for event in leader.events)
    assert not leader.readable()
    run = without(benches, 0)
    run(0, notices)
    assert SteppedAside("a", "it is stopped") in benches[2].events
    run(1, benches[1].wait(0.11))
    assert benches[1].member.state.phase is Phase.LEADER
    run(1, benches[1].propose("k", b"v", 1)[1])
    assert [outcome.token for outcome in benches[1].outcomes] == [1], "nobody's lease is waited for"


def test_who_stands_aside_takes_no_part_and_tells_why_until_it_rejoins():
    benches, run = quorum_of(3)
    aside = benches[2]
    aside.member.step_aside("told to", *aside.clocks())
    run(2, aside.done())
    run(0, benches[0].wait(0.2))
    assert benches[0].member.state.quorum == {0, 1}
    assert aside.member.deadline() is None
    assert aside.member.propose(Transaction().value, 1, *aside.clocks()) is False
    assert aside.hear(0, MMonProbe(fsid=FSID, op=ProbeOp.PROBE, name="a")) == []
    propose = MMonElection(fsid=FSID, op=ElectionOp.PROPOSE, epoch=99)
    ((to, notice),) = aside.hear(1, propose)
    assert (to, read_notice(notice)[1]) == (addrs_of(1), "told to")
    assert benches[0].member.state.absent == {"c": "told to"}
    aside.member.rejoin(*aside.clocks())
    run(2, aside.done())
    assert benches[0].member.state.quorum == aside.member.state.quorum == {0, 1, 2}
    assert benches[0].member.state.absent == {}


def test_a_failed_store_lets_nothing_out_but_the_notice():
    benches, run = quorum_of(3)
    leader = benches[0]
    transaction = Transaction().put("svc", "k", b"v").value
    leader.member.propose(transaction, "token", *leader.clocks())
    leader.member.on_store_failed("ENOSPC: the disk is full", *leader.clocks())
    ready = leader.member.take()
    assert not ready.persist
    assert {type(send.message) for send in ready.messages} == {MMonPing}
    assert ready.outcomes == [Outcome("token", None)]
    leader.member.rejoin(*leader.clocks())
    assert leader.member.state.phase is Phase.ASIDE, "only a store that is opened anew will do"
    run = without(benches, 0)
    run(0, [(send.to, send.message) for send in ready.messages])
    run(1, benches[1].wait(0.11))
    joined = [event for event in benches[1].events if isinstance(event, Joined)][-1]
    assert joined.quorum == {1, 2}
    assert benches[1].member.state.absent == {"a": "ENOSPC: the disk is full"}


def test_notices_are_read_and_bounded():
    notice = notice_of("x" * 10_000, 7, TRACKER)
    assert (notice.op, notice.stamp) == (PingOp.PING_REPLY, UTime(0, 0)), "real ones drop it"
    epoch, reason = read_notice(notice)
    assert epoch == 7
    assert len(reason) == 512
    assert read_notice(MMonPing(op=PingOp.PING, padding=bytes(100))) is None
    notice.padding = notice.padding[:15]
    with pytest.raises(WireError):
        read_notice(notice)
