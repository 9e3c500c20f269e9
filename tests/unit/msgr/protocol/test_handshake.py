"""From the banner to a session, both roles talking to each other, and all that may go wrong."""

from __future__ import annotations

import pytest

from spirula.auth.handshake import (
    AuthBadMethod,
    AuthDone,
    AuthMore,
    AuthOutcome,
    AuthRequest,
    ConnectionMode,
)
from spirula.errors import (
    NotSupported,
    PermissionDenied,
    ProtocolViolation,
    SpirulaError,
    TimedOut,
)
from spirula.msgr.auth_none import NoneServer
from spirula.msgr.policies import Policy
from spirula.msgr.protocol import control
from spirula.msgr.protocol.events import Failed, Opened
from spirula.msgr.protocol.frames import Tag
from spirula.msgr.protocol.handshake import (
    COMPRESSION,
    REVISION_1,
    HandshakeConfig,
    NoServerAuth,
)
from spirula.msgr.protocol.link import Phase
from spirula.types.entity import EntityAddrVec, EntityType
from tests.unit.msgr.world import World

LOSSY = Policy.lossy_client()
SERVER = Policy.stateless_server()


def pair(*, secure=False, ours=None, theirs=None):
    world = World(secure=secure)
    world.add("client", LOSSY, config=ours)
    world.add("server", SERVER, config=theirs)
    return world


def dialed(world):
    session = world.session("client", "server")
    wire = world.dial("client", session)
    return session, wire


def failures(world, name):
    return [event.error for event in world.told[name] if isinstance(event, Failed)]


@pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
@pytest.mark.parametrize("chunk", [None, 1, 7, 100])
def test_two_ends_agree_and_talk(secure, chunk):
    world = pair(secure=secure)
    world.send("client", "server", b"hello")
    world.run(chunk)
    assert world.messages("server") == [b"hello"]
    assert world.kinds("client") == world.kinds("server") == ["Opened"]


@pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
@pytest.mark.parametrize("side", [0, 1], ids=["client's bytes", "server's bytes"])
def test_a_pause_at_every_offset_changes_nothing(secure, side):
    world = pair(secure=secure)
    world.send("client", "server", b"hello")
    world.run()
    total = sum(len(piece) for _, sender, piece in world.sent_bytes if sender == side)
    for pause in range(total):
        world = pair(secure=secure)
        world.send("client", "server", b"hello")
        left = pause
        world.dial_due()
        (wire,) = world.wires
        while left:
            world.collect(wire)
            for other in (0, 1):
                count = len(wire.pipes[other])
                if other == side:
                    count = min(count, left)
                    left -= count
                if count:
                    world.deliver(wire, other, count)
        world.run()
        assert world.messages("server") == [b"hello"]


@pytest.mark.parametrize("revision1", [False, True], ids=["rev0", "rev1"])
@pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
def test_the_lower_revision_is_spoken(revision1, secure):
    config = HandshakeConfig(EntityType.OSD, supported=REVISION_1 if revision1 else 0)
    world = pair(secure=secure, theirs=config)
    world.send("client", "server", b"hello", data=bytes(100_000))
    world.run()
    assert world.messages("server") == [b"hello"]
    assert world.wires[0].client.channel.revision1 is revision1
    assert world.wires[0].server.channel.revision1 is revision1


@pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
@pytest.mark.parametrize("side", [0, 1], ids=["client's bytes", "server's bytes"])
def test_no_altered_handshake_ends_in_a_session_with_a_key(secure, side):
    """One flipped bit anywhere before the signature: refused, or without meaning in CRC mode."""
    world = pair(secure=secure)
    world.session("client", "server")
    world.run()
    total = sum(len(piece) for _, sender, piece in world.sent_bytes if sender == side)
    opened_anyway = []
    for at in range(total):
        world = pair(secure=secure)
        _, wire = dialed(world)
        sent = 0
        while wire.alive:
            world.collect(wire)
            if not any(wire.pipes.values()):
                break
            for other in (0, 1):
                pipe = wire.pipes[other]
                if other == side:
                    if sent <= at < sent + len(pipe):
                        pipe[at - sent] ^= 1 << at % 8
                    sent += len(pipe)
                if pipe and wire.alive:
                    world.deliver(wire, other, len(pipe))
        # half a frame for ever: the deadline ends it
        if wire.alive and not world.is_open("client", "server"):
            world.now += 11
            for link in wire.links:
                assert link.phase is Phase.OPEN or isinstance(link.on_deadline(world.now), Failed)
        elif wire.alive:
            opened_anyway.append(at)
    if secure:
        assert opened_anyway == []
    # without keys only checksums protect, and the banner has none: features nobody knows
    assert all(at < 26 for at in opened_anyway)


# -------------------------------------------------------------------------------- the banner


@pytest.mark.parametrize(
    ("banner", "rule"),
    [
        (b"ceph v027" + bytes(30), "msgr1"),
        (b"GET / HTTP/1.1\r\n", "banner"),
        (b"ceph v2\n\x08\x00" + bytes(8), "features"),
        (b"ceph v2\n\x10\x00" + bytes(8) + b"\x04" + bytes(7), "banner.features"),
    ],
)
def test_bad_banners(banner, rule):
    world = pair()
    _, wire = dialed(world)
    wire.pipes[0] += banner
    world.deliver(wire, 0, len(banner))
    (error,) = failures(world, "server")
    assert isinstance(error, ProtocolViolation)
    assert rule in str(error)


def test_a_longer_banner_of_a_later_release_is_read():
    world = pair()
    _, wire = dialed(world)
    banner = b"ceph v2\n\x18\x00" + (3).to_bytes(8, "little") + bytes(8) + b"whatever"
    wire.pipes[0] += banner
    world.deliver(wire, 0, len(banner))
    assert failures(world, "server") == []
    assert wire.server.handshake.peer_features == REVISION_1 | COMPRESSION


def test_a_feature_that_the_peer_lacks():
    needs = HandshakeConfig(EntityType.OSD, supported=REVISION_1, required=REVISION_1)
    world = pair(ours=needs, theirs=HandshakeConfig(EntityType.OSD, supported=0))
    world.session("client", "server")
    world.step()
    world.step()
    (error,) = failures(world, "client") + failures(world, "server")
    assert "banner.features" in str(error)


# --------------------------------------------------------------------------------- the hello


def test_a_peer_of_another_kind_is_not_whom_we_wanted():
    world = pair(theirs=HandshakeConfig(EntityType.MON))
    world.session("client", "server")
    world.step()
    world.step()
    world.step()
    assert "hello.entity-type" in str(failures(world, "client")[0])


def test_a_client_learns_its_address_from_the_hello():
    world = World()
    client = world.add("client", LOSSY, port=None)
    world.add("server", SERVER)
    assert not client.addrs.addrs
    world.send("client", "server", b"hello")
    world.run()
    assert str(client.addrs) == "10.0.0.1:0/1"
    assert world.messages("server") == [b"hello"]


@pytest.mark.parametrize(
    ("before", "bound", "after"),
    [
        ("v2:0.0.0.0:6800/1", True, "v2:10.0.0.1:6800/1"),
        ("v2:0.0.0.0:0/1", False, "10.0.0.1:0/1"),
        ("v2:10.9.9.9:6800/1", True, "v2:10.9.9.9:6800/1"),
        ("[v2:0.0.0.0:6800/1,v1:0.0.0.0:6801/1]", True, "[v2:10.0.0.1:6800/1,v1:10.0.0.1:6801/1]"),
    ],
)
def test_only_what_is_not_known_is_learned(before, bound, after):
    world = World()
    client = world.add("client", LOSSY)
    client.addrs = EntityAddrVec.parse(before)
    client.bound = bound
    world.add("server", SERVER)
    world.session("client", "server")
    world.run()
    assert str(client.addrs) == after


# ------------------------------------------------------------------------------ authentication


class Steps:
    """A client and a server that act out a script: payloads, or what the server answers last."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.log = []

    def request(self):
        return AuthRequest(2, [1, 2], b"first")

    def on_more(self, payload):
        self.log.append(payload)
        if not self.answers:
            return b"client says " + payload
        return self.answers.pop(0)

    def on_bad_method(self, refusal):
        self.log.append(refusal)
        if 1 not in refusal.allowed_methods:
            raise PermissionDenied("nothing left to try")
        return AuthRequest(1, [1], b"second try")

    def on_done(self, global_id, mode, payload):
        self.log.append((global_id, mode, payload))
        return AuthOutcome(global_id, mode, b"k" * 16)

    def on_request(self, peer_type, request):
        self.log.append((peer_type, request))
        return self.answers.pop(0)


def scripted(server, client=None):
    world = pair()
    client = client or Steps()
    world.endpoints["client"].auth_client = lambda kind, addrs: client
    world.endpoints["server"].auth_server = lambda: server
    session, wire = dialed(world)
    for _ in range(60):
        world.collect(wire)
        for side in (0, 1):
            if wire.alive and wire.pipes[side]:
                world.deliver(wire, side, len(wire.pipes[side]))
    return world, session, client


class Server(Steps):
    def on_more(self, payload):
        self.log.append(payload)
        return self.answers.pop(0)


KEYED = AuthOutcome(77, ConnectionMode.CRC, b"k" * 16)


def test_authentication_may_take_several_steps():
    server = Server(AuthMore(b"challenge"), AuthMore(b"another"), AuthDone(b"proof", KEYED))
    world, session, client = scripted(server)
    assert client.log == [b"challenge", b"another", (77, 1, b"proof")]
    assert server.log == [
        (EntityType.OSD, AuthRequest(2, [1, 2], b"first")),
        b"client says challenge",
        b"client says another",
    ]
    assert session.auth.global_id == 77
    assert world.kinds("client") == ["Opened"]


def test_a_refused_method_is_followed_by_another():
    server = Server(AuthBadMethod(2, 95, [1], [1, 2]), AuthDone(b"", KEYED))
    world, _, client = scripted(server)
    assert client.log[0] == AuthBadMethod(2, 95, [1], [1, 2])
    assert server.log[1][1] == AuthRequest(1, [1], b"second try")
    assert world.kinds("client") == ["Opened"]


def test_a_client_with_nothing_left_to_try_says_why():
    world, _, _ = scripted(Server(AuthBadMethod(2, 13, [4], [1])))
    (error,) = failures(world, "client")
    assert isinstance(error, PermissionDenied)


def test_nobody_is_accepted_without_a_server_side():
    world, _, client = scripted(NoServerAuth())
    assert client.log == [AuthBadMethod(2, NotSupported.code, [], [])]
    assert isinstance(failures(world, "client")[0], PermissionDenied)


def test_ends_with_different_keys_do_not_come_together():
    world, _, _ = scripted(Server(AuthDone(b"", AuthOutcome(1, 1, b"another key 4567"))))
    errors = failures(world, "server") + failures(world, "client")
    assert any("auth.signature" in str(error) for error in errors)
    assert not world.is_open("client", "server")


@pytest.mark.parametrize("mode", [0, 3])
def test_a_mode_that_does_not_exist(mode):
    world, _, _ = scripted(Server(AuthDone(b"", AuthOutcome(1, mode, b"k" * 16))))
    assert "auth.mode" in str(failures(world, "server")[0])


def test_secure_mode_without_a_secret_is_refused():
    outcome = AuthOutcome(1, ConnectionMode.SECURE, b"k" * 16, b"too short")
    world, _, _ = scripted(Server(AuthDone(b"", outcome)))
    assert "secure.connection-secret" in str(failures(world, "server")[0])


def test_endless_authentication_is_cut_off():
    server = Server(*[AuthMore(bytes(60_000)) for _ in range(40)])
    world, _, _ = scripted(server, Steps())
    errors = failures(world, "server") + failures(world, "client")
    assert any("auth.transcript" in str(error) for error in errors)


def test_method_none_takes_everybody_who_speaks_it():
    assert isinstance(NoneServer().on_request(8, AuthRequest(2, [1], b"")), AuthBadMethod)
    assert isinstance(NoneServer().on_request(8, AuthRequest(1, [1], b"")), AuthBadMethod)
    assert isinstance(NoneServer().on_request(8, AuthRequest(1, [2], b"")), AuthBadMethod)


# ----------------------------------------------------------------------------------- the order


@pytest.mark.parametrize("tag", [tag for tag in Tag if tag is not Tag.HELLO])
def test_anything_but_a_hello_after_the_banner_is_refused(tag):
    world = pair()
    _, wire = dialed(world)
    world.collect(wire)
    world.deliver(wire, 0, len(wire.pipes[0]))
    world.collect(wire)
    world.deliver(wire, 1, len(wire.pipes[1]))
    payload = b"" if tag is Tag.MESSAGE else control.CONTROL_FRAMES[tag]().encode()
    out = []
    wire.client.channel.drain()
    wire.client.channel.writer.frame(tag, [payload], 0, out)
    wire.pipes[0] += b"".join(out)
    world.deliver(wire, 0, len(wire.pipes[0]))
    (error,) = failures(world, "server")
    assert isinstance(error, ProtocolViolation)
    early = "frame.message-early" if tag is Tag.MESSAGE else "handshake.order"
    assert error.rule == early


def test_garbage_in_a_control_frame_is_refused():
    world = pair()
    _, wire = dialed(world)
    world.collect(wire)
    world.deliver(wire, 0, len(wire.pipes[0]))
    out = []
    channel = wire.client.channel
    channel.use_revision(revision1=True)
    channel.writer.frame(Tag.HELLO, [b"\x08\x01"], 0, out)
    wire.pipes[0] += b"".join(out)
    world.deliver(wire, 0, len(wire.pipes[0]))
    assert isinstance(failures(world, "server")[0], SpirulaError)


# ------------------------------------------------------------------------------------ deadlines


def test_half_a_handshake_ends_at_its_deadline():
    world = pair()
    _, wire = dialed(world)
    link = wire.server
    assert link.deadline == world.now + 10
    assert link.on_deadline(world.now + 9.9) is None
    failed = link.on_deadline(world.now + 10)
    assert isinstance(failed.error, TimedOut)
    assert "banner" in str(failed.error)
    assert link.deadline is None


def test_bytes_now_and_then_do_not_move_the_deadline_of_a_handshake():
    world = pair()
    _, wire = dialed(world)
    world.collect(wire)
    for _ in range(9):
        world.now += 1
        world.deliver(wire, 0, 2)
    assert wire.server.deadline == 1010


def test_opened_says_who_connected():
    world = pair()
    world.session("client", "server")
    world.run()
    (ours,), (theirs,) = world.events("client"), world.events("server")
    assert isinstance(ours, Opened)
    assert (ours.accepted, ours.resumed) == (False, False)
    assert (theirs.accepted, theirs.resumed) == (True, False)
    assert str(theirs.session.peer_name) == "osd.0"
