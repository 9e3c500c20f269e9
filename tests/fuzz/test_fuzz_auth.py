"""Fuzz target: authentication payloads from anybody, at every step and on both sides.

Servers answer with values and never raise; clients and MAuth conversations raise errors that are
documented; and nothing that was altered where cephx protects it leads to a login as somebody else.
"""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.auth.cephx.check import BadTicket, open_ticket
from spirula.auth.crypto import KeyType
from spirula.auth.handshake import AuthBadMethod, AuthDone, AuthMore, AuthRequest
from spirula.errors import CephError, ProtocolViolation
from spirula.types.auth import CephXTicketBlob
from spirula.types.entity import EntityType
from tests.unit.auth.world import ADMIN, OSD, Refused, World, talk

DOCUMENTED = (CephError, ProtocolViolation)
KINDS = [KeyType.AES, KeyType.AES256K]
ERRNOS = {
    errno.EACCES,
    errno.EPERM,
    errno.EINVAL,
    errno.EIO,
    errno.EBUSY,
    errno.EOPNOTSUPP,
}
STEPS = ["request", "challenge", "proof", "done"]


@st.composite
def mutations(draw: st.DrawFn):
    """A function that damages a payload: bits, bytes, lengths, cuts, additions, or all of it."""
    kind = draw(st.sampled_from(["flip", "set", "cut", "add", "length", "replace", "swap"]))
    where = draw(st.floats(0, 1, exclude_max=True))
    bits = draw(st.integers(0, 7))
    blob = draw(st.binary(max_size=40))
    number = draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000]))

    def change(payload: bytes) -> bytes:
        if not payload or kind == "replace":
            return blob
        data = bytearray(payload)
        at = int(where * len(data))
        if kind == "flip":
            data[at] ^= 1 << bits
        elif kind == "set":
            data[at] = blob[0] if blob else 0
        elif kind == "cut":
            del data[at:]
        elif kind == "add":
            data[at:at] = blob
        elif kind == "length":
            data[at : at + 4] = number.to_bytes(4, "little")
        else:
            data = data[at:] + data[:at]
        return bytes(data)

    return change


def attempt(client, server, damage):
    """The outcomes of a handshake, or None where it was refused as it should be."""
    try:
        return talk(client, server, change=damage)
    except Refused as refused:
        refusals = refused.refusals
    except DOCUMENTED:
        return None
    assert {refusal.result for refusal in refusals} <= ERRNOS
    assert all(refusal.reason for refusal in refusals)
    return None


@pytest.mark.parametrize("kind", KINDS)
@given(step=st.sampled_from(STEPS), mutate=mutations())
def test_a_login_with_a_damaged_payload(kind, step, mutate):
    world = World(kind, kind)
    client = world.client()
    world.login(client)
    mine = client.global_id

    def damage(at: str, payload: bytes) -> bytes:
        return mutate(payload) if at == step else payload

    outcome = attempt(client.handshake(EntityType.MON), world.mon(), damage)
    if outcome is not None:
        ours, theirs = outcome
        assert ours.session_key == theirs.session_key
        # Who logs in can be changed by nobody but the client itself, in its opening.
        assert theirs.entity == "client.admin"
        assert theirs.global_id == mine or step == "request"


@pytest.mark.parametrize("service_kind", KINDS)
@pytest.mark.parametrize("kind", KINDS)
@given(step=st.sampled_from(STEPS), mutate=mutations())
def test_an_authorizer_with_a_damaged_payload(kind, service_kind, step, mutate):
    world = World(kind, service_kind)
    client = world.client()
    world.login(client)
    server = world.osd()

    def damage(at: str, payload: bytes) -> bytes:
        return mutate(payload) if at == step else payload

    outcome = attempt(client.handshake(EntityType.OSD), server.handshake(), damage)
    if outcome is not None:
        ours, theirs = outcome
        assert ours.session_key == theirs.session_key
        if service_kind is KeyType.AES256K:
            assert (theirs.entity, theirs.caps) == ("client.admin", {"osd": "allow *"})
        assert not theirs.allow_all


PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([1, 9, 10, 19]).flatmap(
        lambda mode: st.binary(max_size=100).map(lambda rest: bytes([mode]) + rest)
    ),
)


@given(
    st.integers(0, 255),
    st.integers(0, 5),
    st.lists(st.integers(0, 3), max_size=3),
    PAYLOADS,
    st.lists(PAYLOADS, max_size=3),
)
def test_servers_answer_rubbish_with_refusals(peer_type, method, modes, payload, further):
    world = World(options={"auth_supported": "cephx, none"})
    for server in (world.mon(), world.osd().handshake()):
        verdict = server.on_request(peer_type, AuthRequest(method, modes, payload))
        assert isinstance(verdict, (AuthBadMethod, AuthMore, AuthDone))
        if isinstance(verdict, AuthDone):
            assert (method, verdict.outcome.allow_all) == (1, True)
        for more in further:
            verdict = server.on_more(more)
            assert isinstance(verdict, AuthBadMethod)
            assert verdict.result in ERRNOS


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(PAYLOADS, max_size=3), PAYLOADS, st.integers(0, 3))
def test_clients_refuse_rubbish(kind, challenges, done, mode):
    world = World(kind)
    client = world.client()
    world.login(client)
    global_id = client.global_id
    for peer_type in (EntityType.MON, EntityType.OSD):
        handshake = client.handshake(peer_type)
        handshake.request()
        for challenge in challenges:
            try:
                handshake.on_more(challenge)
            except DOCUMENTED:
                continue
        with pytest.raises(DOCUMENTED):
            handshake.on_done(7, mode, done)
    assert client.global_id == global_id


@given(
    st.integers(0, 9),
    st.integers(-200, 200),
    st.lists(st.integers(0, 9), max_size=4),
    st.lists(st.integers(0, 9), max_size=4),
)
def test_clients_take_no_refusal_as_a_login(method, result, methods, modes):
    world = World()
    client = world.client()
    handshake = client.handshake(EntityType.MON)
    handshake.request()
    try:
        again = handshake.on_bad_method(AuthBadMethod(method, abs(result), methods, modes))
    except DOCUMENTED:
        return
    assert again.method in methods


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_conversations_after_login(kind, data):
    world = World(kind)
    daemon = world.client(OSD)
    server = world.login(daemon)
    world.now += 2700
    real = data.draw(st.sampled_from([daemon.renewal(), daemon.rotating_renewal()]))
    mutate = data.draw(mutations())
    number, answer = 0, b""
    try:
        answer = server.session.on_request(mutate(real), None).payload
    except CephError as error:
        number = error.errno
    assert number in ERRNOS | {0}
    answer = answer or server.session.on_request(real, None).payload
    before = daemon.global_id
    try:
        daemon.on_auth_reply(0, mutate(answer))
    except DOCUMENTED:
        assert daemon.global_id == before


@pytest.mark.parametrize("kind", KINDS)
@given(blob=st.binary(max_size=300), number=st.sampled_from([1, 2, 3, 9, 0xFFFFFFFFFFFFFFFF]))
def test_tickets_out_of_nothing(kind, blob, number):
    world = World(kind, kind)
    for service in (EntityType.OSD, EntityType.AUTH, EntityType.MON, 64):
        with pytest.raises(BadTicket):
            open_ticket(world.key_server, service, CephXTicketBlob(number, blob), world.now)
    assert world.key_server.entity(ADMIN) is not None
