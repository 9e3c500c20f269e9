"""Connecting to a service with a ticket, and everything that must not work."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from spirula.auth.cephx.authorizer import Authorizer
from spirula.auth.cephx.check import BadTicket, open_ticket
from spirula.auth.cephx.protocol import seal_ticket
from spirula.auth.cephx.rotating import RotatingKeys
from spirula.auth.client import ServiceHandshake
from spirula.auth.crypto import KeyType, KeyUsage, decrypt, encrypt
from spirula.auth.handshake import (
    AuthBadMethod,
    AuthDone,
    AuthMore,
    AuthRequest,
    ConnectionMode,
)
from spirula.auth.keyring import KeyRing
from spirula.auth.monitor import MonitorAuthClient
from spirula.auth.registry import AuthRegistry
from spirula.auth.server import ServiceAuthServer
from spirula.errors import CephError, PermissionDenied
from spirula.types.auth import (
    AuthCapsInfo,
    CephXAuthorizerHead,
    CephXTicketBlob,
    PrincipalName,
    encode_string,
)
from spirula.types.base import UTime
from spirula.types.entity import EntityType
from tests.unit.auth.world import (
    ADMIN,
    MON,
    START,
    Refused,
    World,
    assert_same_keys,
    talk,
)

KINDS = [KeyType.AES, KeyType.AES256K]
OSD = EntityType.OSD


def connected(kind=KeyType.AES256K, service_kind=KeyType.AES256K, **options):
    world = World(kind, service_kind)
    client = world.client(**options)
    world.login(client)
    return world, client


@pytest.mark.parametrize("mode", ["crc", "secure"])
@pytest.mark.parametrize("service_kind", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_prove_themselves(kind, service_kind, mode):
    world, client = connected(kind, service_kind, ms_client_mode=mode)
    ours, theirs = talk(client.handshake(OSD), world.osd().handshake())
    assert_same_keys(ours, theirs)
    assert len(ours.connection_secret) == (64 if mode == "secure" else 0)
    assert (theirs.entity, theirs.global_id) == ("client.admin", client.global_id)
    assert theirs.caps == {"osd": "allow *"}
    assert not theirs.allow_all


def test_without_a_login_or_a_ticket_there_is_no_authorizer():
    world = World()
    with pytest.raises(PermissionDenied, match="not logged in"):
        world.client().handshake(OSD).request()
    client = world.client(want=EntityType.MGR)
    world.login(client)
    with pytest.raises(PermissionDenied, match="no ticket for osd"):
        client.handshake(OSD).request()


def test_a_service_that_cannot_open_the_ticket_is_found_out():
    world, client = connected()
    handshake = client.handshake(OSD)
    server = world.osd().handshake()
    more = server.on_request(EntityType.CLIENT, handshake.request())
    done = server.on_more(handshake.on_more(more.payload))
    other = client.handshake(OSD)
    other.request()
    with pytest.raises(PermissionDenied, match="another nonce"):
        other.on_done(done.outcome.global_id, done.outcome.mode, done.payload)
    with pytest.raises(PermissionDenied):
        handshake.on_done(1, ConnectionMode.CRC, b"\4\0\0\0abcd")
    with pytest.raises(PermissionDenied):
        handshake.on_more(b"not a challenge")


# ---------------------------------------------------------------------------------------- replay


def _recorded(world, client):
    """The two messages of a client, as someone on the wire sees them."""
    seen = {}

    def record(step, payload):
        seen[step] = payload
        return payload

    talk(client.handshake(OSD), world.osd().handshake(), change=record)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_connection_opens_no_second_one(kind):
    world, client = connected(kind)
    seen = _recorded(world, client)
    server = world.osd().handshake()
    more = server.on_request(EntityType.CLIENT, AuthRequest(2, [1], seen["request"]))
    assert isinstance(more, AuthMore)
    verdict = server.on_more(seen["proof"])
    assert isinstance(verdict, AuthBadMethod)
    assert (verdict.result, verdict.reason) == (
        errno.EACCES,
        "authorizer answers another challenge",
    )


def test_a_recorded_answer_as_an_opening_gets_a_new_challenge():
    world, client = connected()
    seen = _recorded(world, client)
    server = world.osd().handshake()
    more = server.on_request(EntityType.CLIENT, AuthRequest(2, [1], seen["proof"]))
    assert isinstance(more, AuthMore)
    assert isinstance(server.on_more(seen["proof"]), AuthBadMethod)


def test_a_challenge_is_good_for_one_answer():
    world, client = connected()
    handshake = client.handshake(OSD)
    server = world.osd().handshake()
    request = handshake.request()
    more = server.on_request(EntityType.CLIENT, request)
    proof = handshake.on_more(more.payload)
    assert isinstance(server.on_more(request.payload), AuthBadMethod)
    verdict = server.on_more(proof)
    assert isinstance(verdict, AuthBadMethod)
    assert verdict.result == errno.EACCES


def test_an_authorizer_without_a_challenge_is_refused():
    world, client = connected()
    handshake = client.handshake(OSD)
    server = world.osd().handshake()
    request = handshake.request()
    server.on_request(EntityType.CLIENT, request)
    verdict = server.on_more(request.payload)
    assert verdict.reason == "authorizer without an answer to the challenge"


def test_one_connection_has_one_request():
    world, client = connected()
    server = world.osd().handshake()
    request = client.handshake(OSD).request()
    assert isinstance(server.on_request(EntityType.CLIENT, request), AuthMore)
    verdict = server.on_request(EntityType.CLIENT, request)
    assert isinstance(verdict, AuthBadMethod)
    fresh = world.osd().handshake()
    assert isinstance(fresh.on_more(request.payload), AuthBadMethod)


# ------------------------------------------------------------------------------ altered, expired


def _with_ticket(request: AuthRequest, blob: bytes) -> AuthRequest:
    head, pos = CephXAuthorizerHead.decode_from(request.payload)
    head.ticket = CephXTicketBlob(head.ticket.secret_id, blob)
    return replace(request, payload=head.encode() + request.payload[pos:])


@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_of_a_ticket_is_accepted(kind):
    """Under aes the ticket has no MAC; a flip may garble, but never raise what it allows."""
    world, client = connected(KeyType.AES256K, kind)
    server = world.osd()
    blob = client.tickets.tickets[OSD].blob.blob
    for bit in range(0, len(blob) * 8, 1 if kind is KeyType.AES256K else 3):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << bit % 8
        handshake = client.handshake(OSD)
        request = _with_ticket(handshake.request(), bytes(altered))
        verdict = server.handshake().on_request(EntityType.CLIENT, request)
        if isinstance(verdict, AuthBadMethod):
            assert verdict.result == errno.EACCES
            continue
        assert kind is KeyType.AES, f"bit {bit} went through"
        # The session key was hit: then neither side can use the connection.
        with pytest.raises(CephError):
            talk(handshake, _Fixed(server, altered, client), EntityType.CLIENT)


class _Fixed:
    """A server that is shown an altered ticket in every message."""

    def __init__(self, server, blob, client):
        self.inner, self.blob = server.handshake(), bytes(blob)

    def on_request(self, peer_type, request):
        return self.inner.on_request(peer_type, _with_ticket(request, self.blob))

    def on_more(self, payload):
        changed = _with_ticket(AuthRequest(2, [1], payload), self.blob).payload
        return self.inner.on_more(changed)


def _plain_offset_of_allow_all(plain: bytes, caps: bytes) -> int:
    at = plain.index(len(caps).to_bytes(4, "little") + caps)
    assert plain[at - 1] == 0
    return at - 1


def test_the_flip_to_allow_all_is_refused():
    """CVE-2025-30156: one bit a block ahead of `allow_all` sets it and garbles only times."""
    world, client = connected(KeyType.AES, KeyType.AES)
    secret = world.key_server.data.rotating_secrets[OSD].secrets[2].key
    blob = client.tickets.tickets[OSD].blob
    plain = decrypt(secret, KeyUsage.TICKET_INFO, blob.blob)
    at = _plain_offset_of_allow_all(plain, encode_string("allow *"))
    altered = bytearray(blob.blob)
    altered[at - 16] ^= 1
    flipped = decrypt(secret, KeyUsage.TICKET_INFO, bytes(altered))
    assert flipped[at] == 1
    daemon = world.osd_daemon()
    with pytest.raises(BadTicket, match="altered"):
        open_ticket(daemon.rotating, OSD, CephXTicketBlob(blob.secret_id, bytes(altered)), START)
    # The same with times that happen to be good: the flag alone gives it away.
    resealed = bytearray(plain)
    resealed[at] = 1
    forged = CephXTicketBlob(
        blob.secret_id, encrypt(secret, KeyUsage.TICKET_INFO, bytes(resealed), world.random)
    )
    with pytest.raises(BadTicket, match="allows everything"):
        open_ticket(daemon.rotating, OSD, forged, START)


def _issued(world, kind, **changes):
    """A ticket for the OSD with some of its values changed before it was sealed."""
    world.key_server.policy.service = kind
    client = world.client()
    server = world.login(client)
    parent = _auth_ticket(world, client, server)
    info = world.key_server.session_info(OSD, parent, KeyType.AES, world.now, world.random)
    for name, value in changes.items():
        if name == "session_created":
            info.session_key.created = value
        else:
            setattr(info.ticket, name, value)
    return seal_ticket(info, world.random)


def _auth_ticket(world, client, server):
    held = client.tickets.tickets[EntityType.AUTH].blob
    return open_ticket(world.key_server, EntityType.AUTH, held, world.now).ticket


T = int(START)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auid": 0}, "user number"),
        ({"caps": AuthCapsInfo(True, b"")}, "allows everything"),
        ({"caps": AuthCapsInfo(False, encode_string("allow r")[:6])}, "caps are cut"),
        ({"caps": AuthCapsInfo(False, b"\1\0\0\0allow *")}, "caps are cut"),
        ({"created": UTime(T, 1_000_000_001)}, "nanoseconds"),
        ({"expires": UTime(T + 60, 2_000_000_000)}, "nanoseconds"),
        ({"expires": UTime(T - 1, 0)}, "ends before"),
        ({"created": UTime(T + 400, 0), "expires": UTime(T + 800, 0)}, "in the future"),
        ({"created": UTime(T - 301, 0)}, "older than its secret"),
        ({"expires": UTime(T + 10_801, 0)}, "lives longer"),
        ({"session_created": UTime(T - 1, 0)}, "session key"),
        ({"session_created": UTime(T + 301, 0)}, "session key"),
    ],
)
def test_values_that_no_monitor_writes(changes, reason):
    world = World(KeyType.AES, KeyType.AES)
    daemon = world.osd_daemon()
    blob = _issued(world, KeyType.AES, **changes)
    with pytest.raises(BadTicket, match=reason):
        open_ticket(daemon.rotating, OSD, blob, START)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"caps": AuthCapsInfo()},
        {"expires": UTime(T + 3600, 1_000_000_000)},
        {"expires": UTime(T + 10_800, 0)},
        {"session_created": UTime(T + 300, 0)},
    ],
)
def test_values_that_one_does(changes):
    world = World(KeyType.AES, KeyType.AES)
    daemon = world.osd_daemon()
    blob = _issued(world, KeyType.AES, **changes)
    assert open_ticket(daemon.rotating, OSD, blob, START).ticket.name == ADMIN


@pytest.mark.parametrize("kind", KINDS)
def test_expired_tickets(kind):
    world, client = connected(kind, kind)
    server = world.osd()
    world.now = START + 3600 + 299
    talk(client.handshake(OSD), server.handshake())
    world.now = START + 3600 + 301
    with pytest.raises(Refused) as refused:
        talk(client.handshake(OSD), server.handshake())
    assert refused.value.errno == errno.EACCES
    assert "expired 301 s ago" in refused.value.reason


def test_tickets_of_forgotten_generations():
    world, client = connected()
    daemon = world.osd_daemon()
    server = world.osd(daemon)
    for _ in range(2):
        world.now += 7200
        world.rotate()
    daemon.rotating.set(world.key_server.data.rotating_secrets[OSD])
    world.now = START
    with pytest.raises(Refused) as refused:
        talk(client.handshake(OSD), server.handshake())
    assert "secret 2 for osd is not known (any more)" in refused.value.reason


def test_a_ticket_for_another_service():
    world, client = connected()
    client.tickets.tickets[OSD] = client.tickets.tickets[EntityType.MGR]
    with pytest.raises(Refused) as refused:
        talk(client.handshake(OSD), world.osd().handshake())
    assert refused.value.errno == errno.EACCES


def test_an_authorizer_for_another_service():
    world, client = connected()
    ticket = client.tickets.tickets[EntityType.MGR]
    shown = Authorizer(
        EntityType.MGR, client.global_id, ticket.blob, ticket.session_key, world.random
    )
    verdict = (
        world.osd().handshake().on_request(EntityType.CLIENT, AuthRequest(2, [1], shown.request()))
    )
    assert "authorizer is for service 16" in verdict.reason


def test_another_global_id_than_the_ticket_s():
    world, client = connected()
    client.global_id += 1
    with pytest.raises(Refused) as refused:
        talk(client.handshake(OSD), world.osd().handshake())
    assert "its ticket says another" in refused.value.reason


def test_somebody_else_s_ticket_without_its_session_key():
    world, victim = connected()
    thief = world.client()
    world.login(thief)
    stolen = victim.tickets.tickets[OSD].blob
    thief.global_id = victim.global_id
    thief.tickets.tickets[OSD].blob = stolen
    with pytest.raises(Refused) as refused:
        talk(thief.handshake(OSD), world.osd().handshake())
    assert refused.value.errno == errno.EACCES


def test_the_general_secret_is_for_monitors_only():
    world, client = connected()
    ticket = client.tickets.tickets[OSD]
    ticket.blob = CephXTicketBlob(0xFFFFFFFFFFFFFFFF, ticket.blob.blob)
    with pytest.raises(Refused) as refused:
        talk(client.handshake(OSD), world.osd().handshake())
    assert "no general secret for osd" in refused.value.reason


# ---------------------------------------------------------------------------- downgrade, modes


def test_a_service_may_not_choose_a_mode_that_was_not_offered():
    world, client = connected(ms_client_mode="secure")
    handshake = client.handshake(OSD)
    server = world.osd().handshake()
    more = server.on_request(EntityType.CLIENT, handshake.request())
    done = server.on_more(handshake.on_more(more.payload))
    assert isinstance(done, AuthDone)
    with pytest.raises(PermissionDenied, match="mode 1, which we did not offer"):
        handshake.on_done(client.global_id, ConnectionMode.CRC, done.payload)


def test_no_secure_mode_without_a_secret():
    world, client = connected(ms_client_mode="crc secure")
    handshake = client.handshake(OSD)
    server = world.osd(ms_service_mode="crc").handshake()
    more = server.on_request(EntityType.CLIENT, handshake.request())
    done = server.on_more(handshake.on_more(more.payload))
    with pytest.raises(PermissionDenied, match="without a connection secret"):
        handshake.on_done(client.global_id, ConnectionMode.SECURE, done.payload)


def test_a_refused_authorizer_is_an_error_with_the_service_s_errno():
    _, client = connected()
    handshake = client.handshake(OSD)
    handshake.request()
    with pytest.raises(CephError) as error:
        handshake.on_bad_method(AuthBadMethod(2, errno.EOPNOTSUPP, [1], [1]))
    assert error.value.errno == errno.EOPNOTSUPP


def test_services_do_not_log_anybody_in():
    world = World()
    request = world.client().handshake(EntityType.MON).request()
    verdict = world.osd().handshake().on_request(EntityType.CLIENT, request)
    assert (verdict.result, verdict.reason) == (errno.EACCES, "authentication mode 10")


# ------------------------------------------------------------------------- a monitor's connections


def monitor(world: World, **options: str) -> MonitorAuthClient:
    registry = AuthRegistry.from_options(EntityType.MON, options)
    name = PrincipalName.parse("mon.b")
    return MonitorAuthClient(
        name, registry, world.key_server, world.key_server, world.clock, world.random
    )


@pytest.mark.parametrize("kind", KINDS)
def test_monitors_know_one_another_by_their_shared_key(kind):
    world = World(kind)
    ours, theirs = talk(monitor(world).handshake(EntityType.MON), world.mon(), EntityType.MON)
    assert_same_keys(ours, theirs)
    assert (theirs.entity, theirs.caps, len(theirs.connection_secret)) == ("mon.", {}, 64)


def manager(world: World, **options: str) -> ServiceAuthServer:
    registry = AuthRegistry.from_options(EntityType.MGR, options)
    secrets = world.key_server.data.rotating_secrets[EntityType.MGR]
    keys = RotatingKeys(EntityType.MGR, secrets)
    return ServiceAuthServer(registry, keys, world.clock, world.random)


@pytest.mark.parametrize("kind", KINDS)
def test_managers_know_monitors_by_a_ticket_that_these_make(kind):
    world = World(kind, kind)
    server = manager(world).handshake()
    ours, theirs = talk(monitor(world).handshake(EntityType.MGR), server, EntityType.MON)
    assert_same_keys(ours, theirs)
    assert theirs.entity == "mon."


def test_monitors_without_cephx():
    world = World()
    client = monitor(world, auth_supported="none").handshake(EntityType.MON)
    server = world.mon(options={"auth_supported": "none"})
    _, theirs = talk(client, server, EntityType.MON)
    assert (theirs.entity, theirs.allow_all) == ("mon.b", True)


def test_monitors_connect_to_nobody_else():
    with pytest.raises(PermissionDenied, match="do not connect to osd"):
        monitor(World()).handshake(OSD).request()


def test_without_a_usable_key_a_monitor_connects_to_nobody():
    world = World()
    world.key_server.data.secrets[MON].key.secret = b""
    with pytest.raises(PermissionDenied, match=r"key of mon\.:"):
        monitor(world).handshake(EntityType.MON).request()
    del world.key_server.data.secrets[MON]
    for kind, reason in ((EntityType.MON, "no key that"), (EntityType.MGR, "not known")):
        with pytest.raises(PermissionDenied, match=reason):
            monitor(world).handshake(kind).request()


def test_a_stranger_is_no_monitor():
    world, other = World(), World(seed=2)
    with pytest.raises(Refused) as refused:
        talk(monitor(other).handshake(EntityType.MON), world.mon(), EntityType.MON)
    assert refused.value.errno == errno.EACCES


def test_a_client_s_monitor_ticket_does_not_make_it_a_monitor():
    world, client = connected()
    peers = KeyRing({MON: world.key_server.data.secrets[MON]})
    with pytest.raises(Refused) as refused:
        talk(ServiceHandshake(client, EntityType.MON), world.mon(peers=peers), EntityType.MON)
    assert "secret 2 for mon is not known" in refused.value.reason
