"""What an endpoint decides without any transport: numbers, addresses, when to dial."""

from __future__ import annotations

import pytest

from spirula.msgr.policies import Policy
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.session import SessionState
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityType
from tests.unit.msgr.world import TIMINGS, World

PEER = Policy.lossless_peer()


def made(policy=PEER):
    world = World()
    return world, world.add("a", policy)


def test_global_seqs_only_rise():
    _, endpoint = made()
    assert [endpoint.next_global_seq() for _ in range(3)] == [1, 2, 3]
    assert endpoint.next_global_seq(10) == 11
    assert endpoint.next_global_seq(5) == 12


def test_a_cookie_is_never_zero():
    _, endpoint = made()
    drawn = [bytes(8), bytes(8), b"\x07" + bytes(7)]
    endpoint.random_bytes = lambda size: drawn.pop(0)
    assert endpoint.new_cookie() == 7


@pytest.mark.parametrize(
    ("addrs", "like", "found"),
    [
        ("[v1:10.0.0.1:6789/0,v2:10.0.0.1:3300/0]", "v2:1.1.1.1:1/0", "v2:10.0.0.1:3300/0"),
        ("[v2:[::1]:3300/0,v2:10.0.0.1:3300/0]", "v2:1.1.1.1:1/0", "v2:10.0.0.1:3300/0"),
        ("v2:[::1]:3300/0", "v2:1.1.1.1:1/0", None),
        ("v1:10.0.0.1:6789/0", "v2:1.1.1.1:1/0", None),
    ],
)
def test_where_a_peer_can_be_reached(addrs, like, found):
    _, endpoint = made()
    where = endpoint.reachable(EntityAddrVec.parse(addrs), EntityAddr.parse(like))
    assert (str(where) if where else None) == found


def test_one_session_for_the_same_addresses():
    world, endpoint = made()
    addrs = EntityAddrVec.parse("[v2:10.0.0.9:3300/0,v1:10.0.0.9:6789/0]")
    session = endpoint.connect(EntityType.MON, addrs, world.now)
    assert endpoint.connect(EntityType.MON, addrs, world.now) is session
    assert endpoint.lookup(addrs) is session
    assert session.retry_at == world.now
    assert str(session.target_addr) == "v2:10.0.0.9:3300/0"
    anonymous = endpoint.connect(EntityType.MON, addrs, world.now, anonymous=True)
    assert anonymous is not session
    assert endpoint.lookup(addrs) is session


def test_a_closed_session_is_forgotten_and_sends_nothing():
    world, endpoint = made()
    world.add("b", PEER)
    session = world.send("a", "b", b"1")
    endpoint.close(session)
    assert session.state is SessionState.CLOSED
    endpoint.send(session, 127, RawMessage(1), world.now)
    assert not session.queue.pending
    assert world.session("a", "b") is not session
    assert endpoint.dial(session, world.now) is None


def test_sending_wakes_a_session_that_stands_by_but_not_a_server():
    for policy, due in ((PEER, True), (Policy.stateful_server(), False)):
        world, endpoint = made(policy)
        world.add("b", PEER)
        session = world.session("a", "b")
        session.state, session.retry_at = SessionState.STANDBY, None
        session.server_cookie, session.connect_seq = 5, 2
        endpoint.send(session, 127, RawMessage(1), world.now)
        assert (session.retry_at == world.now) is due
        assert session.connect_seq == (3 if due else 2)


def test_a_session_that_breaks_again_and_again_waits_longer_and_longer():
    world, _ = made()
    world.add("b", PEER)
    session = world.send("a", "b", b"1")
    world.run()
    waits = []
    for _ in range(6):
        world.send("a", "b", b"more")
        before = world.now
        world.lose("a", session.link)
        waits.append(round(session.retry_at - before, 3))
        world.now = session.retry_at
        world.run()
    assert waits == [0, 0.2, 0.4, 0.8, 1.6, 3.2]
    world.now += 1.0
    world.send("a", "b", b"more")
    world.lose("a", session.link)
    assert session.retry_at == world.now
    assert TIMINGS.initial_backoff_s == 0.2


def test_an_address_is_learned_once():
    world = World()
    endpoint = world.add("a", PEER, port=None)
    assert endpoint.learned_addr(EntityAddr.parse("v2:10.0.0.3:5555/9"))
    assert not endpoint.learned_addr(EntityAddr.parse("v2:10.0.0.4:5555/9"))
    assert str(endpoint.addrs) == "10.0.0.3:0/1"


def test_what_is_no_raw_message_needs_an_encoder():
    _, endpoint = made()
    with pytest.raises(TypeError, match="no encoder"):
        endpoint.encode(object(), 0)
