"""Clocks that differ are found, told to all, and looked at again."""

from __future__ import annotations

import math

from spirula.messages.quorum import MMonPaxos, MTimeCheck2, PaxosOp, TimeCheckOp
from spirula.mon.quorum.state import ClusterLog
from spirula.types.base import UTime
from tests.unit.mon.quorum_bench import addrs_of, pass_time, quorum_of


def settled(count=3, **settings):
    """A quorum of which every member stands at the same time."""
    benches, run = quorum_of(count, **settings)
    for bench in benches:
        bench.events.clear()
    return benches, run


def set_clock(bench, ahead):
    original = type(bench).clocks
    bench.clocks = lambda: (original(bench)[0], original(bench)[1] + ahead)


def logged(bench):
    return [event.text for event in bench.events if isinstance(event, ClusterLog)]


def test_clocks_that_agree_are_found_at_once_and_told_to_all():
    benches, _ = settled()
    for bench in benches:
        status = bench.member.timecheck.status()
        assert [skew.name for skew in status] == ["a", "b", "c"]
        assert all(skew.details == "" for skew in status)
        assert (bench.member.timecheck.round, bench.member.timecheck.ongoing) == (2, False)


def test_a_clock_that_is_ahead_is_told_and_looked_at_again_after_30_then_60_seconds():
    benches, run = settled()
    set_clock(benches[2], 1.5)
    for bench in benches:
        bench.events.clear()
    pass_time(benches, run, 300.0)
    for bench in benches:
        a, b, c = bench.member.timecheck.status()
        assert (a.skew, b.skew, a.details) == (0.0, 0.0, "")
        assert math.isclose(c.skew, 1.5, abs_tol=1e-3)
        assert c.details == f"clock skew {c.skew:g}s > max 0.05s"
    assert [text for text in logged(benches[0]) if text[0] == "2"] == [
        f"2 {benches[0].member.timecheck.status()[2].details}"
    ]
    assert benches[0].member.timecheck.round == 4
    for pause, rounds in ((29.0, 4), (2.0, 6), (50.0, 6), (11.0, 8)):
        for _ in range(int(pause)):
            pass_time(benches, run, 1.0)
        assert benches[0].member.timecheck.round == rounds
    del benches[2].clocks
    for _ in range(95):
        pass_time(benches, run, 1.0)
    assert all(not skew.details for skew in benches[1].member.timecheck.status())


def test_a_clock_that_is_behind_has_a_negative_skew():
    benches, run = settled()
    set_clock(benches[1], -0.2)
    pass_time(benches, run, 300.0)
    skew = benches[0].member.timecheck.status()[1]
    assert math.isclose(skew.skew, -0.2, abs_tol=1e-3)
    assert skew.details.startswith("clock skew 0.2s > max 0.05s")


def test_what_latency_may_explain_is_no_skew():
    benches, _ = settled()
    leader = benches[0]
    pings = [m for _, m in leader.wait(300.0) if isinstance(m, MTimeCheck2)]
    assert len(pings) == 2
    leader.now += 0.4
    pong = MTimeCheck2(op=TimeCheckOp.PONG, epoch=pings[0].epoch, round=pings[0].round)
    pong.timestamp = UTime.at(leader.clocks()[1] - 0.3)
    leader.hear(1, pong)
    status = leader.member.timecheck.status()[1]
    assert status.skew == 0.0
    assert math.isclose(status.latency, 0.4 * 0.2, abs_tol=1e-6), "a mean of old and new"


def test_answers_of_other_rounds_epochs_and_members_change_nothing():
    benches, _ = settled()
    leader, check = benches[0], benches[0].member.timecheck
    ping = next(m for _, m in leader.wait(300.0) if isinstance(m, MTimeCheck2))
    wrong = [(1, 0, 1), (1, 2, 0), (4, 0, 0), (1, 0, -2)]
    for rank, epochs, rounds in wrong:
        pong = MTimeCheck2(
            op=TimeCheckOp.PONG, epoch=ping.epoch + epochs, round=ping.round + rounds
        )
        pong.timestamp = UTime.at(leader.clocks()[1] + 100)
        assert leader.hear(rank, pong) == []
    assert all(skew.skew == 0.0 for skew in check.status())
    pong.epoch, pong.round, pong.timestamp = ping.epoch, ping.round, UTime.at(leader.clocks()[1])
    leader.hear(1, pong)
    assert leader.hear(1, pong) == [], "answered twice"
    assert check.ongoing


def test_a_peon_takes_reports_of_its_leader_only():
    benches, _ = settled()
    peon = benches[2]
    report = MTimeCheck2(op=TimeCheckOp.REPORT, epoch=peon.member.epoch, round=8)
    report.skews, report.latencies = {1: 9.0, 77: 1.0}, {1: 0.1, 77: 0.1}
    peon.hear(1, report)
    assert peon.member.timecheck.round == 2
    peon.hear(0, report)
    assert [(s.name, s.skew) for s in peon.member.timecheck.status()] == [("b", 9.0)]


def test_a_round_is_given_up_when_the_own_clock_is_set_back_or_nobody_answers():
    benches, _ = settled()
    leader, check = benches[0], benches[0].member.timecheck
    ping = next(m for _, m in leader.wait(300.0) if isinstance(m, MTimeCheck2))
    set_clock(leader, -10.0)
    pong = MTimeCheck2(op=TimeCheckOp.PONG, epoch=ping.epoch, round=ping.round)
    leader.hear(1, pong)
    assert check.round == ping.round + 1
    assert not check.ongoing


def test_a_quorum_that_ends_forgets_what_it_found():
    benches, _ = settled()
    bench = benches[1]
    bench.member.step_aside("for a test", *bench.clocks())
    assert bench.member.timecheck.status() == []


def test_messages_from_the_future_are_told_less_and_less_often():
    benches, _ = settled()
    peon = benches[1]
    peon.events.clear()
    lease = MMonPaxos(epoch=peon.member.epoch, op=PaxosOp.LEASE)
    lease.last_committed = peon.member.paxos.last_committed
    told = []
    for second in range(200):
        peon.now += 1.0
        lease.sent_timestamp = UTime.at(peon.clocks()[1] + 2.25)
        lease.lease_timestamp = UTime.at(peon.clocks()[1] + 5.0)
        before = len(logged(peon))
        peon.hear(0, lease)
        if len(logged(peon)) > before:
            told.append(second)
    text = "message from mon.0 was stamped 2.250000s in the future, clocks not synchronized"
    assert logged(peon)[0] == text
    assert told == [0, 6, 32, 158]


def test_a_lone_monitor_asks_nobody():
    benches, _ = settled(1)
    assert benches[0].member.timecheck.status() == []
    assert addrs_of(0) not in [to for to, _ in benches[0].wait(400.0)]
