"""Forwarding by peons: answered once, whoever dies in between; caps and subscriptions go along."""

from __future__ import annotations

import pytest

from spirula.messages.mon_client import MMonCommand, MMonCommandAck
from spirula.mon.request import Request
from tests.unit.mon.harness import FSID
from tests.unit.mon.wired import Wired


@pytest.fixture
def wired():
    made = Wired(3)
    made.advance(5)
    assert made.leader == "a"
    return made


def post(mon, text, session):
    message = MMonCommand(version=0, fsid=FSID.bytes, cmd=[text])
    message.tid = 77
    mon.mon.dispatch(Request(mon.mon, message, session, mon.wall()))


def answers(session):
    return [one for one in session.connection.sent if isinstance(one, MMonCommandAck)]


def without(wired, kind, count=10**9):
    """The first so many messages of a kind get lost; the result is which."""
    lost = []

    def drop(here, there, message):
        if type(message).__name__ == kind and len(lost) < count:
            lost.append((here, there))
            return True
        return False

    wired.drop = drop
    return lost


CREATE = '{"prefix": "osd pool create", "pool": "x", "pg_num": 8}'


def pools(mon):
    return mon.ok("osd pool ls", session=mon.session()).split()


def test_peons_read_by_themselves_and_forward_changes(wired):
    before = len(wired.carried)
    assert wired["b"].ok("osd pool ls") is not None
    assert not [what for what in wired.carried[before:] if what[2] == "MForward"]
    assert wired["b"].command("osd pool create", pool="x", pg_num=8).rs == "pool 'x' created"
    wired.advance(1)
    forwards = [what for what in wired.carried if what[2] in ("MForward", "MRoute")]
    assert forwards.count(("b", "a", "MForward")) >= 1
    assert forwards.count(("a", "b", "MRoute")) >= 1
    for name in wired.names:
        assert pools(wired[name]) == ["x"]
        assert len(wired[name].mon.forwarding) == 0


def test_the_leader_looks_at_the_clients_caps(wired):
    reader = wired["b"].session("client.r", "allow r")
    assert wired["b"].refused("osd pool create", session=reader, pool="x", pg_num=8)[0] == 13
    # Even if the peon does not look: a monitor of another release might forward everything.
    request = MMonCommand(version=0, fsid=FSID.bytes, cmd=[CREATE])
    request.tid = 78
    mon = wired["b"].mon
    mon.forwarding.forward(Request(mon, request, reader, wired["b"].wall()))
    wired.advance(1)
    assert [(one.tid, one.r, one.rs) for one in answers(reader)] == [(78, -13, "access denied")]
    assert pools(wired["a"]) == []


@pytest.mark.parametrize("lost", ["MForward", "MRoute"])
def test_the_leader_dies_before_the_answer_comes(wired, lost):
    """Whether it had done it or not: it is done once, and the client hears of it once."""
    without(wired, lost)
    session = wired["c"].session()
    post(wired["c"], CREATE, session)
    wired.advance(2)
    assert not answers(session)
    assert len(wired["c"].mon.forwarding) >= 1
    wired.cut("a")
    wired.drop = lambda here, there, message: False
    wired.advance(30)
    assert wired.leader == "b"
    assert [(one.tid, one.r) for one in answers(session)] == [(77, 0)]
    assert pools(wired["b"]) == ["x"]
    wired.heal()
    wired.advance(30)
    assert len(answers(session)) == 1
    assert pools(wired["a"]) == ["x"]
    assert all(len(wired[name].mon.forwarding) == 0 for name in wired.names)


def test_a_peon_that_becomes_leader_does_it_itself(wired):
    without(wired, "MForward")
    session = wired["b"].session()
    post(wired["b"], CREATE, session)
    wired.advance(1)
    wired.cut("a")
    wired.advance(30)
    assert wired.leader == "b"
    assert [one.r for one in answers(session)] == [0]


def test_answers_from_before_an_election_are_not_sent_twice(wired):
    """The old leader's route comes late, after the new one has answered."""
    session = wired["c"].session()
    held = []

    def hold(here, there, message):
        if type(message).__name__ == "MRoute" and here == "a":
            held.append(message)
            return True
        return False

    wired.drop = hold
    post(wired["c"], CREATE, session)
    wired.advance(1)
    assert held
    wired.cut("a")
    wired.advance(30)
    assert len(answers(session)) == 1
    wired.heal()
    wired.drop = lambda here, there, message: False
    for route in held:
        wired.carry("a", "c", route)
    wired.advance(20)
    assert len(answers(session)) == 1


def test_a_client_that_goes_is_forgotten(wired):
    without(wired, "MForward")
    session = wired["b"].session()
    post(wired["b"], CREATE, session)
    wired.advance(1)
    assert session.routed
    wired["b"].mon.intake.close(session, "test")
    assert not session.routed
    assert not any(one is session for one in wired["b"].mon.sessions)
    wired.advance(10)
    assert answers(session) == []


def test_subscribers_of_peons_hear_of_changes(wired):
    session = wired["c"].session()
    wired["c"].subscribe("osdmap", start=1, session=session)
    session.connection.sent.clear()
    wired["b"].ok("osd pool create", pool="x", pg_num=8)
    wired.advance(2)
    assert "MOSDMap" in {type(message).__name__ for message in session.connection.sent}


def test_without_a_quorum_nothing_is_acknowledged_and_then_all_is(wired):
    wired.cut("a")
    wired.cut("b")
    session = wired["c"].session()
    post(wired["c"], CREATE, session)
    wired.advance(5)
    assert not answers(session)
    assert not wired["c"].mon.in_quorum or wired["c"].mon.member.state.leader == 0
    wired.heal()
    wired.advance(30)
    # The client's session ends meanwhile; it would ask another monitor.
    assert session.closed or [one.r for one in answers(session)] == [0]


def test_a_change_survives_the_leader_that_acknowledged_it(wired):
    done = []
    for number in range(6):
        name = wired.names[number % 3]
        wired["b"].ok("config-key set", key=f"k{number}", val=name)
        done.append(f"k{number}")
    wired.cut(wired.leader)
    wired.advance(30)
    for key in done:
        assert wired["c"].command("config-key exists", key=key).r == 0
