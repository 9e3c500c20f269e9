"""Method none, and which of several methods is taken."""

from __future__ import annotations

import errno

import pytest

from spirula.auth.client import AuthClient
from spirula.auth.handshake import AuthBadMethod, AuthMethod, AuthRequest, ConnectionMode
from spirula.auth.registry import AuthRegistry
from spirula.errors import CephError, PermissionDenied, ProtocolViolation
from spirula.types.entity import EntityType
from tests.unit.auth.world import ADMIN, Refused, World, talk

NONE = {"auth_supported": "none"}
OSD = EntityType.OSD


def test_everybody_gets_in_and_may_do_everything():
    world = World(options=NONE)
    client = world.client()
    ours, theirs = talk(client.handshake(EntityType.MON), world.mon())
    assert (ours.global_id, ours.mode, ours.session_key) == (4001, ConnectionMode.CRC, b"")
    assert (theirs.entity, theirs.allow_all, theirs.caps) == ("client.admin", True, {})
    assert client.method is AuthMethod.NONE
    assert (client.renewal(), client.next_deadline()) == (None, None)
    ours, theirs = talk(client.handshake(OSD), world.osd(_no_keys(world)).handshake())
    assert (theirs.entity, theirs.global_id, theirs.allow_all) == ("client.admin", 4001, True)
    assert ours.session_key == theirs.session_key == b""


def _no_keys(world: World) -> AuthClient:
    return world.client(ADMIN.parse("osd.1"), key=world.key_server.principal_key(ADMIN))


def test_it_works_without_any_key():
    world = World(options=NONE)
    registry = AuthRegistry.from_options(EntityType.CLIENT, {})
    client = AuthClient(ADMIN, None, registry, OSD, clock=world.clock, random=world.random)
    talk(client.handshake(EntityType.MON), world.mon())
    assert client.method is AuthMethod.NONE


def test_a_client_of_both_methods_is_told_which_one():
    world = World()
    client = world.client()
    server = world.mon(options=NONE)
    talk(client.handshake(EntityType.MON), server)
    assert client.method is AuthMethod.NONE
    client = world.client(auth_client_required="none, cephx")
    talk(client.handshake(EntityType.MON), world.mon())
    assert client.method is AuthMethod.CEPHX


def test_a_client_of_cephx_alone_is_not_talked_into_none():
    world = World()
    client = world.client(auth_client_required="cephx")
    with pytest.raises(Refused) as refused:
        talk(client.handshake(EntityType.MON), world.mon(options=NONE))
    assert refused.value.errno == errno.EOPNOTSUPP
    assert client.method is AuthMethod.UNKNOWN


def test_a_server_of_cephx_alone_does_not_let_none_in():
    world = World()
    for name in ("client.admin", "osd.0"):
        client = world.client(ADMIN.parse(name), auth_supported="none")
        with pytest.raises(Refused) as refused:
            talk(client.handshake(EntityType.MON), world.mon(), client.name.type)
        assert refused.value.errno == errno.EOPNOTSUPP
        assert refused.value.refusals[0].allowed_methods == [AuthMethod.CEPHX]


def test_a_service_of_cephx_alone_does_not_take_an_authorizer_of_none():
    world = World(options=NONE)
    client = world.client()
    talk(client.handshake(EntityType.MON), world.mon())
    server = World().osd().handshake()
    verdict = server.on_request(EntityType.CLIENT, client.handshake(OSD).request())
    assert isinstance(verdict, AuthBadMethod)
    assert verdict.result == errno.EOPNOTSUPP


def test_a_client_tries_each_method_once():
    world = World()
    handshake = world.client().handshake(EntityType.MON)
    first = handshake.request()
    assert first.method == AuthMethod.CEPHX
    refusal = AuthBadMethod(2, errno.EOPNOTSUPP, [1, 2, 4], [1])
    assert handshake.on_bad_method(refusal).method == AuthMethod.NONE
    with pytest.raises(ProtocolViolation):
        handshake.on_bad_method(refusal)
    refusal = AuthBadMethod(1, errno.EACCES, [1, 2], [1])
    with pytest.raises(CephError) as error:
        handshake.on_bad_method(refusal)
    assert error.value.errno == errno.EACCES


def test_without_methods_or_modes_there_is_nothing_to_say():
    world = World()
    with pytest.raises(PermissionDenied, match="no method"):
        world.client(auth_client_required="gss").handshake(EntityType.MON).request()
    with pytest.raises(PermissionDenied, match="no connection mode"):
        world.client(ms_mon_client_mode="").handshake(EntityType.MON).request()


def test_none_has_no_second_step():
    world = World(options=NONE)
    client = world.client()
    handshake = client.handshake(EntityType.MON)
    server = world.mon()
    server.on_request(EntityType.CLIENT, handshake.request())
    with pytest.raises(ProtocolViolation):
        handshake.on_more(b"x")
    assert isinstance(server.on_more(b"x"), AuthBadMethod)
    with pytest.raises(PermissionDenied, match="no global id"):
        handshake.on_done(0, ConnectionMode.CRC, b"")
    with pytest.raises(PermissionDenied, match="did not offer"):
        handshake.on_done(1, ConnectionMode.SECURE, b"")


@pytest.mark.parametrize(
    ("method", "payload", "number"),
    [
        (2, b"", errno.EACCES),
        (2, b"\0", errno.EACCES),
        (2, b"\x14", errno.EACCES),
        (2, b"\x0a\x08", errno.EACCES),
        (2, bytes([10]) + bytes(1 << 17), errno.EACCES),
        (4, b"\x0a\x08\0\0\0\0\0\0\0" + bytes(8), errno.EOPNOTSUPP),
        (0, b"\x0a\x08\0\0\0\0\0\0\0" + bytes(8), errno.EOPNOTSUPP),
        (4, b"\x01\x08\0\0\0\0\0\0\0" + bytes(8), errno.EOPNOTSUPP),
    ],
)
def test_openings_that_are_none(method, payload, number):
    for server in (World().mon(), World().osd().handshake()):
        verdict = server.on_request(EntityType.CLIENT, AuthRequest(method, [1], payload))
        assert isinstance(verdict, AuthBadMethod)
        assert verdict.result in (number, errno.EACCES)
        assert verdict.reason
