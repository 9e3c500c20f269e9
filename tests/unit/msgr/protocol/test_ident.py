"""Sessions across transports: reconnects, resets, races, restarts, and what is told to whom."""

from __future__ import annotations

import pytest

from spirula.denc.features import MSG_ADDR2, PACIFIC, SERVER_QUINCY
from spirula.errors import NotSupported
from spirula.msgr.policies import Policy
from spirula.msgr.protocol import control
from spirula.msgr.protocol.events import Failed, Opened
from spirula.msgr.protocol.frames import Tag
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.session import SessionState
from spirula.types.entity import EntityAddrVec
from tests.unit.msgr.world import World

PEER = Policy.lossless_peer()
REUSE = Policy.lossless_peer_reuse()
modes = pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])


def peers(policy=PEER, other=None, *, secure=False, seed=0):
    world = World(seed, secure=secure)
    world.add("a", policy)
    world.add("b", other or policy)
    return world


def restart(world, name, policy=PEER):
    """The process of `name` dies and comes back at its address, remembering nothing."""
    old = world.endpoints[name]
    for wire in world.alive:
        if name in wire.names:
            world.cut(wire)
    told, names = world.told[name], list(world.endpoints)
    fresh = world.add("fresh", policy)
    del world.endpoints["fresh"], world.told["fresh"]
    fresh.addrs, fresh.name = old.addrs, old.name
    world.endpoints = {key: fresh if key == name else world.endpoints[key] for key in names}
    world.told[name] = told


def errors(world, name):
    return [event.error for event in world.told[name] if isinstance(event, Failed)]


# ------------------------------------------------------------------------------------ reconnect


@modes
def test_a_broken_transport_is_replaced_and_nothing_is_lost_or_doubled(secure):
    world = peers(secure=secure)
    for n in range(20):
        world.send("a", "b", b"%d" % n)
        world.send("b", "a", b"%d" % n)
        world.run()
        if n % 3 == 0:
            world.cut(world.alive[0])
    world.settle()
    assert world.messages("a") == world.messages("b") == [b"%d" % n for n in range(20)]


@modes
@pytest.mark.parametrize("side", [0, 1], ids=["client's bytes", "server's bytes"])
def test_cut_at_every_offset_of_a_conversation(secure, side):
    """The first transport breaks after exactly so many bytes of one direction have arrived."""

    def history(cut_after):
        world = peers(secure=secure)
        world.on_message = lambda name, message, session: (
            world.send("b", "a", b"3") if message.front == b"2" else None
        )
        world.send("a", "b", b"1", b"2")
        world.dial_due()
        (wire,) = world.wires
        left = cut_after
        while left and wire.alive:
            world.collect(wire)
            if not any(wire.pipes.values()):
                break
            for sender in (0, 1):
                count = min(len(wire.pipes[sender]), left if sender == side else 10**9)
                if sender == side:
                    left -= count
                if count:
                    world.deliver(wire, sender, count)
        world.cut(wire)
        return world.settle()

    whole = history(10**9)
    total = sum(len(p) for w, s, p in whole.sent_bytes if s == side and w is whole.wires[0])
    for cut_after in range(1, total):
        world = history(cut_after)
        assert world.messages("b") == [b"1", b"2"], cut_after
        assert world.messages("a") == [b"3"], cut_after


def test_reconnecting_is_told_as_resumed():
    world = peers()
    world.send("a", "b", b"1")
    world.run()
    world.cut(world.alive[0])
    world.send("a", "b", b"2")
    world.run()
    assert [event.resumed for event in world.events("a")] == [False, True]
    assert [event.resumed for event in world.events("b")] == [False, True]
    assert world.session("a", "b").connect_seq == 1


def test_the_accepting_peer_may_be_the_one_who_reconnects():
    world = peers()
    world.send("a", "b", b"1")
    world.run()
    world.cut(world.alive[0])
    world.send("b", "a", b"2")
    world.run()
    assert world.messages("a") == [b"2"]
    assert [event.accepted for event in world.events("a")] == [False, True]


def test_the_far_side_may_not_have_noticed():
    """Our transport broke; the peer still believes in its end of it when we come again."""
    world = peers()
    world.send("a", "b", b"1")
    world.run()
    (old,) = world.wires
    world.lose("a", old.client)
    world.send("a", "b", b"2")
    world.run()
    assert world.messages("b") == [b"1", b"2"]
    assert world.events("b")[-1].replaced is old.server
    assert not old.alive


@modes
def test_with_nothing_to_send_peers_stand_by(secure):
    world = peers(secure=secure)
    world.send("a", "b", b"1")
    world.run()
    world.cut(world.alive[0])
    world.settle()
    assert world.alive == []
    assert world.session("a", "b").state is SessionState.STANDBY
    world.send("b", "a", b"2")
    world.settle()
    assert world.messages("a") == [b"2"]


def test_a_lossless_client_comes_back_even_with_nothing_to_send():
    world = peers(Policy.lossless_client(), Policy.stateful_server())
    world.session("a", "b")
    world.run()
    world.cut(world.alive[0])
    world.run()
    assert world.is_open("a", "b")


def test_a_stateful_server_waits_for_its_client_and_keeps_what_it_has_for_it():
    world = peers(Policy.lossless_client(), Policy.stateful_server())
    world.session("a", "b")
    world.run()
    server_session = next(iter(world.endpoints["b"].sessions.values()))
    world.cut(world.alive[0])
    world.endpoints["b"].send(server_session, 127, RawMessage(1, b"later"), world.now)
    assert server_session.state is SessionState.STANDBY
    assert server_session.retry_at is None
    world.settle()
    assert world.messages("a") == [b"later"]


# ---------------------------------------------------------------------------------------- lossy


def test_a_lossy_session_ends_with_its_transport():
    world = peers(Policy.lossy_client(), Policy.stateless_server())
    session = world.send("a", "b", b"1")
    world.run()
    world.cut(world.alive[0])
    assert world.kinds("a") == world.kinds("b") == ["Opened", "Ended"]
    assert session.state is SessionState.CLOSED
    assert session.retry_at is None
    world.endpoints["a"].send(session, 127, RawMessage(1, b"into the void"), world.now)
    world.settle()
    assert world.messages("b") == [b"1"]


def test_a_lossy_client_keeps_trying_until_it_was_connected_once():
    world = peers(Policy.lossy_client(), Policy.stateless_server())
    world.refuse.add("b")
    session = world.send("a", "b", b"1")
    waits = []
    for _ in range(9):
        assert not world.step()
        waits.append(round(session.retry_at - world.now, 3))
        world.now = session.retry_at
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15]
    world.refuse.clear()
    world.run()
    assert world.messages("b") == [b"1"]


def test_a_new_lossy_client_at_a_known_address_replaces_the_old():
    world = peers(Policy.lossy_client(), Policy.stateless_registered_server())
    world.session("a", "b")
    world.run()
    (old,) = world.wires
    world.lose("a", old.client)
    world.session("a", "b")
    world.run()
    assert world.kinds("b") == ["Opened", "Ended", "Opened"]
    assert len(world.endpoints["b"].sessions) == 1


def test_unregistered_clients_do_not_disturb_one_another():
    world = peers(Policy.lossy_client(), Policy.stateless_server())
    world.session("a", "b")
    world.run()
    anonymous = world.endpoints["a"].connect(
        4, world.endpoints["b"].addrs, world.now, anonymous=True
    )
    world.dial("a", anonymous)
    world.run()
    assert world.kinds("b") == ["Opened", "Opened"]
    assert len(world.alive) == 2
    assert world.endpoints["b"].sessions == {}


# ------------------------------------------------------------------------------------ restarts


@pytest.mark.parametrize(
    ("policy", "told", "received"),
    [(PEER, [], [b"1", b"2", b"3"]), (REUSE, ["PeerReset"], [b"1", b"3"])],
    ids=["lossless_peer", "lossless_peer_reuse"],
)
def test_what_was_queued_for_a_peer_that_restarted_and_connects(policy, told, received):
    world = peers(policy)
    world.send("a", "b", b"1")
    world.run()
    restart(world, "b", policy)
    world.endpoints["b"].next_global_seq(10)
    world.refuse.add("b")
    world.send("a", "b", b"2")
    world.run()
    world.session("b", "a")
    world.run()
    world.send("a", "b", b"3")
    world.settle()
    assert [kind for kind in world.kinds("a") if kind == "PeerReset"] == told
    assert world.messages("b") == received


@pytest.mark.parametrize("policy", [PEER, REUSE], ids=["lossless_peer", "lossless_peer_reuse"])
def test_a_peer_that_does_not_know_the_session_is_noticed(policy):
    world = peers(policy)
    world.send("a", "b", b"1")
    world.run()
    restart(world, "b", policy)
    world.send("a", "b", b"2")
    world.settle()
    assert "PeerReset" in world.kinds("a")
    assert world.messages("b") == [b"1"]
    world.send("a", "b", b"3")
    world.settle()
    assert world.messages("b") == [b"1", b"3"]


def test_who_restarted_and_connects_takes_the_session_over():
    world = peers(REUSE)
    world.send("b", "a", b"1")
    world.run()
    world.endpoints["a"].next_global_seq(10)  # a newer process's numbers are higher
    restart(world, "a", REUSE)
    world.endpoints["a"].next_global_seq(20)
    world.send("a", "b", b"2")
    world.settle()
    assert "PeerReset" in world.kinds("b")
    assert world.messages("b") == [b"2"]


def test_an_old_connection_that_comes_late_is_dropped():
    world = peers(REUSE)
    world.send("a", "b", b"1")
    world.run()
    next(iter(world.endpoints["b"].sessions.values())).peer_global_seq = 100
    restart(world, "a", REUSE)
    world.session("a", "b")
    world.run()
    assert errors(world, "b")[-1].rule == "ident.global-seq"


# -------------------------------------------------------------------------------------- races


@modes
@pytest.mark.parametrize("seed", range(30))
def test_two_peers_connect_at_once_and_end_up_with_one_session(secure, seed):
    world = peers(secure=secure, seed=seed)
    world.send("a", "b", b"1", b"2")
    world.send("b", "a", b"3", b"4")
    world.dial_due()
    assert len(world.wires) == 2
    for _ in range(5000):
        wire = world.random.choice(world.wires)
        if wire.alive:
            world.collect(wire)
            side = world.random.randrange(2)
            if wire.pipes[side]:
                world.deliver(wire, side, world.random.randrange(1, 100))
    world.settle()
    assert world.messages("b") == [b"1", b"2"]
    assert world.messages("a") == [b"3", b"4"]
    assert len(world.alive) == 1
    assert len(world.endpoints["a"].sessions) == len(world.endpoints["b"].sessions) == 1


@pytest.mark.parametrize("seed", range(30))
def test_two_peers_reconnect_at_once(seed):
    world = peers(seed=seed)
    world.send("a", "b", b"0")
    world.run()
    world.send("a", "b", b"1")
    world.send("b", "a", b"2")
    world.cut(world.alive[0])
    world.dial_due()
    assert len(world.wires) == 3
    for _ in range(5000):
        wire = world.random.choice(world.wires)
        if wire.alive:
            world.collect(wire)
            side = world.random.randrange(2)
            if wire.pipes[side]:
                world.deliver(wire, side, world.random.randrange(1, 100))
    world.settle()
    assert world.messages("b") == [b"0", b"1"]
    assert world.messages("a") == [b"2"]
    assert len(world.alive) == 1


def test_who_makes_the_peer_wait_connects_at_once():
    """However long it would have waited before its next attempt."""
    world = peers()
    world.refuse.add("b")
    world.send("a", "b", b"1")
    for _ in range(8):
        world.run()
        world.now = world.session("a", "b").retry_at
    world.step()
    assert world.session("a", "b").retry_at == world.now + 15
    world.refuse.clear()
    world.send("b", "a", b"2")
    world.run()
    assert world.kinds("a") == ["Due", "Opened"]
    assert world.messages("b") == [b"1"]
    assert world.messages("a") == [b"2"]


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
def test_random_histories_deliver_each_message_once_and_in_order(secure, seed):
    """Both sides send, transports break anywhere, both reconnect, time passes."""
    world = peers(secure=secure, seed=seed)
    sent = {"a": [], "b": []}
    for step in range(400):
        draw = world.random.random()
        if draw < 0.1:
            name, other = world.random.choice([("a", "b"), ("b", "a")])
            front = b"%d" % step
            sent[other].append(front)
            world.send(name, other, front, data=bytes(world.random.choice([0, 0, 100, 70_000])))
        elif draw < 0.13 and world.alive:
            world.cut(world.random.choice(world.alive))
        elif draw < 0.15 and world.alive:
            wire = world.random.choice(world.alive)
            side = world.random.randrange(2)
            world.lose(wire.names[side], wire.links[side])  # only one side notices
        elif draw < 0.2:
            world.now += world.random.random()
            world.dial_due()
        elif world.alive:
            wire = world.random.choice(world.alive)
            world.collect(wire)
            side = world.random.randrange(2)
            if wire.alive and wire.pipes[side]:
                world.deliver(wire, side, world.random.choice([1, 50, 1000, 100_000]))
    for wire in world.alive:
        world.cut(wire)
    world.settle()
    assert world.messages("a") == sent["a"]
    assert world.messages("b") == sent["b"]


# ----------------------------------------------------------------------- features, addresses


def test_features_are_what_both_have():
    world = peers(
        Policy(features_supported=PACIFIC), Policy(features_supported=PACIFIC | SERVER_QUINCY)
    )
    session = world.session("a", "b")
    world.run()
    assert session.features == PACIFIC
    assert next(iter(world.endpoints["b"].sessions.values())).features == PACIFIC


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Policy.lossy_client(), Policy.stateless_server(SERVER_QUINCY)),
        (Policy(features_supported=PACIFIC & ~MSG_ADDR2), Policy()),
    ],
)
def test_a_client_without_a_required_feature_is_told_so(ours, theirs):
    world = peers(ours, theirs)
    world.session("a", "b")
    world.step()
    for _ in range(10):
        world.step()
    assert isinstance(errors(world, "a")[0], NotSupported)
    assert not world.is_open("a", "b")


def identified(world):
    """The transport of a client that has authenticated and says nothing yet."""
    session = world.session("a", "b")
    wire = world.dial("a", session)
    while wire.server.phase.value != "ident":
        world.collect(wire)
        for side in (0, 1):
            if wire.pipes[side]:
                world.deliver(wire, side, len(wire.pipes[side]))
    wire.client.channel.drain()
    wire.pipes[0].clear()
    return wire


def say(world, wire, tag, frame):
    out = []
    wire.client.channel.writer.frame(tag, [frame.encode()], 0, out)
    wire.pipes[0] += b"".join(out)
    world.deliver(wire, 0, len(wire.pipes[0]))


def test_a_server_that_is_not_whom_we_dialed():
    world = peers()
    session = world.session("a", "b")
    wire = world.dial("a", session)
    while wire.client.phase.value != "ident":
        world.collect(wire)
        for side in (0, 1):
            if wire.pipes[side]:
                world.deliver(wire, side, len(wire.pipes[side]))
    other = EntityAddrVec.parse("v2:10.0.0.9:6800/9")
    ident = control.ServerIdent(other, 1, 1, PACIFIC, 0, 0, 1)
    wire.server.channel.drain()
    wire.server.channel.send(Tag.SERVER_IDENT, ident)
    world.collect(wire)
    world.deliver(wire, 1, len(wire.pipes[1]))
    assert errors(world, "a")[0].rule == "ident.address"


@pytest.mark.parametrize(
    ("addrs", "target", "rule"),
    [
        ("", "b", "ident.addresses"),
        ("v2:10.0.0.7:6800/1", "v2:10.0.0.8:6800/1", "ident.target"),
    ],
)
def test_idents_that_cannot_be(addrs, target, rule):
    world = peers()
    wire = identified(world)
    mine = world.endpoints["b"].addrs
    where = mine if target == "b" else EntityAddrVec.parse(target)
    ident = control.ClientIdent(EntityAddrVec.parse(addrs), where.addrs[0], 1, 1, PACIFIC, 0, 0, 1)
    say(world, wire, Tag.CLIENT_IDENT, ident)
    assert errors(world, "b")[0].rule == rule


def test_a_reconnect_to_nothing_is_answered_by_a_reset():
    world = peers()
    wire = identified(world)
    frame = control.SessionReconnect(world.endpoints["a"].addrs, 1, 2, 3, 4, 5)
    say(world, wire, Tag.SESSION_RECONNECT, frame)
    assert wire.server.phase.value == "ident"
    assert errors(world, "b") == []


@pytest.mark.parametrize("tag", [Tag.MESSAGE, Tag.ACK, Tag.SERVER_IDENT, Tag.HELLO, Tag.WAIT])
def test_no_session_no_messages(tag):
    world = peers()
    wire = identified(world)
    payload = control.CONTROL_FRAMES.get(tag, control.Ack)()
    say(world, wire, tag, payload)
    (error,) = errors(world, "b")
    assert not isinstance(error, Opened)
    assert error.rule in {"ident.order", "frame.message-early"}
