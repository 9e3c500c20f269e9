"""Nonces, keys and tags: nothing is used twice, nothing altered passes (CVE-2020-1759)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from spirula.errors import ProtocolViolation, WireError
from spirula.msgr.policies import Policy
from spirula.msgr.protocol.events import Failed
from spirula.msgr.protocol.frames import LARGE_SEGMENT
from spirula.msgr.protocol.secure import NonceSequence, Opener, Sealer, session_keys
from tests.unit.msgr.wires import SECRET
from tests.unit.msgr.world import SecureAuth, World

KEY, TO_CLIENT, TO_SERVER = SECRET[:16], SECRET[16:28], SECRET[28:40]


def test_revision_1_counts_in_the_counter():
    nonces = NonceSequence(bytes.fromhex("aabbccdd ffffffffffffffff"), revision1=True)
    assert nonces.next() == bytes.fromhex("aabbccdd ffffffffffffffff")
    assert nonces.next() == bytes.fromhex("aabbccdd 0000000000000000")
    assert nonces.next() == bytes.fromhex("aabbccdd 0100000000000000")


def test_revision_0_counts_in_the_fixed_field():
    nonces = NonceSequence(bytes.fromhex("ffffffff 1122334455667788"), revision1=False)
    assert nonces.next() == bytes.fromhex("ffffffff 1122334455667788")
    assert nonces.next() == bytes.fromhex("00000000 1122334455667788")


@pytest.mark.parametrize("revision1", [True, False])
def test_nonces_run_out_instead_of_repeating(revision1):
    nonces = NonceSequence(bytes(12), revision1=revision1)
    nonces._left = 3
    assert len({nonces.next() for _ in range(3)}) == 3
    with pytest.raises(ProtocolViolation, match="used-up"):
        nonces.next()


def test_each_end_receives_what_the_other_sends():
    client_opener, client_sealer = session_keys(SECRET, client=True, revision1=True)
    server_opener, server_sealer = session_keys(SECRET, client=False, revision1=True)
    assert server_opener.open(client_sealer.seal(b"to the server")) == b"to the server"
    assert client_opener.open(server_sealer.seal(b"to the client")) == b"to the client"


def test_the_secret_is_key_then_what_the_client_receives_then_what_it_sends():
    _, sealer = session_keys(SECRET, client=True, revision1=True)
    assert sealer.seal(b"x") == AESGCM(KEY).encrypt(TO_SERVER, b"x", None)
    _, sealer = session_keys(SECRET, client=False, revision1=True)
    assert sealer.seal(b"x") == AESGCM(KEY).encrypt(TO_CLIENT, b"x", None)


def test_a_direction_does_not_read_itself():
    opener, sealer = session_keys(SECRET, client=True, revision1=True)
    with pytest.raises(WireError):
        opener.open(sealer.seal(b"reflected"))


@pytest.mark.parametrize("revision1", [True, False])
def test_directions_that_could_meet_are_refused(revision1):
    same = KEY + TO_CLIENT + TO_CLIENT
    close = bytearray(same)
    close[16 + (4 if revision1 else 0)] ^= 1
    for secret in (same, bytes(close)):
        with pytest.raises(ProtocolViolation, match="share their nonces"):
            session_keys(secret, client=True, revision1=revision1)


@pytest.mark.parametrize("size", [0, 16, 39])
def test_a_short_secret_is_refused(size):
    with pytest.raises(ProtocolViolation, match="connection-secret"):
        session_keys(SECRET[:size], client=True, revision1=True)


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_pieces_are_sealed_as_one(pieces):
    def sealer():
        return Sealer(KEY, NonceSequence(TO_SERVER, revision1=True))

    assert sealer().seal_pieces(pieces) == sealer().seal(b"".join(pieces))


def test_in_place_and_elsewhere_are_the_same():
    sealed = Sealer(KEY, NonceSequence(TO_SERVER, revision1=True)).seal(b"p" * LARGE_SEGMENT)
    elsewhere = Opener(KEY, NonceSequence(TO_SERVER, revision1=True)).open(sealed)
    own = bytearray(sealed)
    in_place = Opener(KEY, NonceSequence(TO_SERVER, revision1=True)).open_in_place(memoryview(own))
    assert in_place == elsewhere
    assert in_place.obj is own


@pytest.mark.parametrize("at", [0, 7, 15, -1, -16])
def test_any_altered_bit_is_noticed(at):
    sealed = bytearray(Sealer(KEY, NonceSequence(TO_SERVER, revision1=True)).seal(bytes(16)))
    sealed[at] ^= 0x40
    with pytest.raises(WireError, match="tag"):
        Opener(KEY, NonceSequence(TO_SERVER, revision1=True)).open(bytes(sealed))
    with pytest.raises(WireError, match="tag"):
        Opener(KEY, NonceSequence(TO_SERVER, revision1=True)).open_in_place(memoryview(sealed))


@pytest.mark.parametrize("seed", range(10))
def test_no_nonce_is_used_twice_in_any_direction_or_after_any_reconnect(monkeypatch, seed):
    """All that is sealed in a history of breaking transports, by key and nonce."""
    used = []
    make = Sealer.__init__

    class Watched:
        def __init__(self, key, nonces):
            self.key = key
            self.nonces = nonces

        def next(self):
            used.append((self.key, self.nonces.next()))
            return used[-1][1]

    monkeypatch.setattr(
        Sealer, "__init__", lambda sealer, key, nonces: make(sealer, key, Watched(key, nonces))
    )
    world = World(seed, secure=True)
    world.add("a", Policy.lossless_peer())
    world.add("b", Policy.lossless_peer())
    for n in range(30):
        world.send("a", "b", b"%d" % n, data=bytes(world.random.choice([0, 70_000])))
        world.send("b", "a", b"%d" % n)
        for _ in range(world.random.randrange(6)):
            world.step(chunk=world.random.choice([50, 500, None]))
        if world.alive and world.random.random() < 0.5:
            world.cut(world.random.choice(world.alive))
    world.settle()
    assert len(world.messages("a")) == len(world.messages("b")) == 30
    assert len({key for key, _ in used}) > 1
    assert len(set(used)) == len(used)


def test_a_session_does_not_take_the_same_secret_again():
    world = World(secure=True)
    world.add("a", Policy.lossless_peer())
    world.add("b", Policy.lossless_peer())
    auth = SecureAuth(lambda: SECRET)
    for endpoint in world.endpoints.values():
        endpoint.auth_client = lambda kind, addrs: auth
        endpoint.auth_server = lambda: auth
    world.send("a", "b", b"1")
    world.run()
    world.cut(world.alive[0])
    world.send("a", "b", b"2")
    world.run()
    assert world.messages("b") == [b"1"]
    error = next(event.error for event in world.told["a"] if isinstance(event, Failed))
    assert error.rule == "secure.connection-secret"
