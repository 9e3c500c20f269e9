"""Logging in to a monitor by cephx: keys, tickets, global ids, renewal."""

from __future__ import annotations

import errno

import pytest

from spirula.auth.cephx.service import GlobalIdStatus
from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.handshake import AuthBadMethod, AuthMethod, ConnectionMode
from spirula.auth.registry import KeyTypePolicy
from spirula.errors import Busy, CephError, PermissionDenied, ProtocolViolation
from spirula.types.auth import CephXAuthenticate, CephXRequestHeader, PrincipalName, encode_string
from spirula.types.entity import EntityType
from tests.unit.auth.world import ADMIN, OSD, START, Refused, World, refresh, talk

KINDS = [KeyType.AES, KeyType.AES256K]
AUTH = EntityType.AUTH


@pytest.mark.parametrize("service_kind", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_login_gives_all_wanted_tickets_at_once(kind, service_kind):
    world = World(kind, service_kind)
    client = world.client()
    server = world.login(client)
    assert client.global_id == world.last_id
    assert set(client.tickets.tickets) == {1, 4, 16, AUTH}
    assert client.renewal() is None
    # Session keys are of the client's type, so that an old client understands them.
    assert {t.session_key.type for t in client.tickets.tickets.values()} == {kind}
    assert server.global_id_status is GlobalIdStatus.NEW_OK
    assert server.session.insecure_key is (kind is KeyType.AES)


def test_what_the_monitor_learns():
    world = World()
    client = world.client()
    _, theirs = talk(client.handshake(EntityType.MON), world.mon())
    assert (theirs.entity, theirs.caps, theirs.allow_all) == (
        "client.admin",
        {"mon": "allow *"},
        False,
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "mode", "secret"),
    [
        ("crc secure", "secure crc", ConnectionMode.CRC, 0),
        ("secure crc", "crc secure", ConnectionMode.SECURE, 64),
        ("secure", "secure crc", ConnectionMode.SECURE, 64),
        ("secure crc", "crc", ConnectionMode.CRC, 0),
    ],
)
def test_the_client_s_first_mode_that_the_server_has(ours, theirs, mode, secret):
    world = World()
    client = world.client(ms_mon_client_mode=ours)
    server = world.mon(options={"ms_mon_service_mode": theirs})
    outcome, _ = talk(client.handshake(EntityType.MON), server)
    assert (outcome.mode, len(outcome.connection_secret)) == (mode, secret)


def test_no_common_mode():
    world = World()
    client = world.client(ms_mon_client_mode="secure")
    with pytest.raises(Refused) as refused:
        talk(client.handshake(EntityType.MON), world.mon(options={"ms_mon_service_mode": "crc"}))
    assert refused.value.errno == errno.EOPNOTSUPP
    assert "no common connection mode" in refused.value.reason


def test_unknown_users_and_wrong_keys_look_alike():
    world = World()
    other = generate_key(KeyType.AES256K, START, world.random)
    for name, reason in ((ADMIN, "does not hold"), (PrincipalName.parse("client.x"), "not known")):
        client = world.client(name, key=other)
        with pytest.raises(Refused) as refused:
            world.login(client)
        assert refused.value.errno == errno.EACCES
        assert reason in refused.value.reason
        assert client.method is AuthMethod.UNKNOWN


def test_a_monitor_may_not_choose_a_mode_that_was_not_offered():
    world = World()
    client = world.client(ms_mon_client_mode="secure")
    handshake, server = client.handshake(EntityType.MON), world.mon()
    more = server.on_request(EntityType.CLIENT, handshake.request())
    done = server.on_more(handshake.on_more(more.payload))
    with pytest.raises(PermissionDenied, match="mode 1, which we did not offer"):
        handshake.on_done(done.outcome.global_id, ConnectionMode.CRC, done.payload)
    assert client.method is AuthMethod.UNKNOWN


def test_names_that_were_made_up_do_not_break_the_log():
    world = World()
    name = PrincipalName(EntityType.CLIENT, "x\n1970 all is well\x1b[31m" + "y" * 5000)
    with pytest.raises(Refused) as refused:
        world.login(world.client(name, key=world.key_server.principal_key(ADMIN)))
    assert refused.value.reason.startswith("client.x?1970 all is well?[31myyy")
    assert len(refused.value.reason) == 300


def test_a_monitor_without_our_key_is_found_out():
    world, impostor = World(), World(seed=2)
    client = world.client()
    handshake = client.handshake(EntityType.MON)
    more = world.mon().on_request(EntityType.CLIENT, handshake.request())
    handshake.on_more(more.payload)
    # The impostor does not look at the proof, but what it answers is made with another key.
    theirs = impostor.client().handshake(EntityType.MON)
    server = impostor.mon()
    challenge = server.on_request(EntityType.CLIENT, theirs.request())
    done = server.on_more(theirs.on_more(challenge.payload))
    with pytest.raises(PermissionDenied, match="cannot be decrypted"):
        handshake.on_done(done.outcome.global_id, done.outcome.mode, done.payload)
    assert (client.global_id, client.method) == (0, AuthMethod.UNKNOWN)


def test_users_without_monitor_caps_may_not_log_in():
    world = World()
    name = PrincipalName.parse("client.nocaps")
    world.add(name, osd="allow r")
    with pytest.raises(Refused) as refused:
        world.login(world.client(name))
    assert refused.value.errno == errno.EACCES
    assert "no caps for monitors" in refused.value.reason


def test_key_types_that_are_not_allowed():
    world = World(KeyType.AES)
    world.key_server.policy = KeyTypePolicy(allowed=frozenset({KeyType.AES256K}))
    with pytest.raises(Refused) as refused:
        world.login(world.client())
    assert refused.value.errno == errno.EACCES
    assert "type aes, not allowed" in refused.value.reason
    assert ADMIN in world.key_server.insecure_principals()


def test_a_key_of_type_none_is_no_key():
    world = World()
    world.key_server.data.secrets[ADMIN].key = generate_key(KeyType.NONE, START, world.random)
    key = generate_key(KeyType.AES256K, START, world.random)
    with pytest.raises(Refused) as refused:
        world.login(world.client(key=key))
    assert refused.value.errno == errno.EACCES


def test_a_pending_key_is_good_and_reported():
    world = World()
    pending = generate_key(KeyType.AES256K, START, world.random)
    world.key_server.data.secrets[ADMIN].pending_key = pending
    server = world.mon()
    handshake = world.client(key=pending).handshake(EntityType.MON)
    more = server.on_request(EntityType.CLIENT, handshake.request())
    answer = server.session.on_request(handshake.on_more(more.payload), 0)
    assert answer.login.used_pending_key
    world.login(world.client())


def test_before_the_first_quorum_and_without_ids_the_monitor_is_busy():
    world = World()
    client = world.client()
    for changes in ({"ready": lambda: False}, {"assign_global_id": lambda: 0}):
        verdict = world.mon(**changes).on_request(
            EntityType.CLIENT, client.handshake(EntityType.MON).request()
        )
        assert isinstance(verdict, AuthBadMethod)
        assert verdict.result == Busy.code


# ------------------------------------------------------------------------------------ global ids


def test_a_global_id_is_kept_across_connections():
    world = World()
    client = world.client()
    world.login(client)
    first = client.global_id
    old = client.tickets.tickets[AUTH].session_key.secret
    server = world.login(client)
    assert client.global_id == first == world.last_id
    assert server.global_id_status is GlobalIdStatus.RECLAIM_OK
    assert client.tickets.tickets[AUTH].session_key.secret != old


def test_the_proof_serves_even_after_the_ticket_s_end():
    world = World()
    client = world.client()
    world.login(client)
    first = client.global_id
    world.now += world.key_server.mon_ticket_ttl_s + 10
    server = world.login(client)
    assert client.global_id == first
    assert server.global_id_status is GlobalIdStatus.RECLAIM_OK


def _claim(world: World, claimant, global_id: int, **changes) -> Refused:
    claimant.global_id = global_id
    with pytest.raises(Refused) as refused:
        world.login(claimant, **changes)
    return refused.value


def test_no_global_id_without_proof():
    world = World()
    victim = world.client()
    world.login(victim)
    stranger = world.client()
    refused = _claim(world, stranger, victim.global_id)
    assert refused.errno == errno.EACCES
    assert "no ticket was shown" in refused.reason


def test_no_global_id_with_the_ticket_of_another_id():
    world = World()
    victim, thief = world.client(), world.client()
    world.login(victim)
    world.login(thief)
    refused = _claim(world, thief, victim.global_id)
    assert refused.errno == errno.EACCES
    assert f"global id {victim.global_id + 1}" in refused.reason


def test_no_global_id_with_the_ticket_of_another_user():
    world = World()
    victim = world.client()
    world.login(victim)
    name = PrincipalName.parse("client.thief")
    world.add(name, mon="allow r")
    thief = world.client(name)
    world.login(thief)
    thief.tickets.tickets[AUTH] = victim.tickets.tickets[AUTH]
    refused = _claim(world, thief, victim.global_id)
    assert "ticket is of client.admin" in refused.reason


def test_no_global_id_with_an_altered_ticket():
    world = World()
    client = world.client()
    world.login(client)
    ticket = client.tickets.tickets[AUTH]
    ticket.blob.blob = ticket.blob.blob[:-1] + bytes([ticket.blob.blob[-1] ^ 1])
    refused = _claim(world, client, client.global_id)
    assert "cannot be decrypted" in refused.reason


def _as_an_old_client(step: str, payload: bytes) -> bytes:
    """The proof as clients before 16.2.1 send it: version 2, without a ticket."""
    if step != "proof":
        return payload
    head = CephXRequestHeader.decode(payload).encode()
    request = CephXAuthenticate.decode(payload[len(head) :])
    request.old_ticket.blob = b""
    request.old_ticket_may_be_omitted = True
    return head + request.encode()


def test_old_clients_keep_their_id_only_where_that_is_allowed():
    world = World()
    client = world.client()
    server = world.login(client, _as_an_old_client)
    assert server.global_id_status is GlobalIdStatus.NEW_NOT_EXPOSED
    with pytest.raises(Refused) as refused:
        world.login(client, _as_an_old_client)
    assert refused.value.errno == errno.EACCES
    server = world.login(client, _as_an_old_client, allow_insecure_reclaim=True)
    assert server.global_id_status is GlobalIdStatus.RECLAIM_INSECURE


def test_new_clients_need_proof_even_where_old_ones_do_not():
    world = World()
    victim, stranger = world.client(), world.client()
    world.login(victim)
    refused = _claim(world, stranger, victim.global_id, allow_insecure_reclaim=True)
    assert refused.errno == errno.EACCES


def test_what_the_proof_yields_is_sealed_with_what_was_shown():
    world = World()
    client = world.client()
    world.login(client)
    handshake = client.handshake(EntityType.MON)
    server = world.mon()
    more = server.on_request(EntityType.CLIENT, handshake.request())
    done = server.on_more(handshake.on_more(more.payload))
    # Somebody who stole the ticket, and even the user's key, but not the session key.
    thief = world.client()
    thief.global_id = client.global_id
    stolen = thief.handshake(EntityType.MON)
    stolen.request()
    with pytest.raises(PermissionDenied, match="sealed with a session key"):
        stolen.on_done(done.outcome.global_id, done.outcome.mode, done.payload)
    handshake.on_done(done.outcome.global_id, done.outcome.mode, done.payload)


def test_forgetting_makes_a_new_principal():
    world = World()
    client = world.client()
    world.login(client)
    first = client.global_id
    client.forget()
    assert client.next_deadline() is None
    world.login(client)
    assert client.global_id == first + 1


# --------------------------------------------------------------------------------------- renewal


def _renew(client, server) -> int:
    """Lets the client renew by MAuth; gives the number of messages."""
    count, payload = 0, client.renewal()
    while payload is not None:
        count += 1
        payload = client.on_auth_reply(0, server.session.on_request(payload, None).payload)
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_service_tickets_are_renewed_when_a_quarter_is_left(kind):
    world = World(kind)
    client = world.client()
    server = world.login(client)
    assert client.next_deadline() == START + 2700
    world.now = START + 2699
    assert client.renewal() is None
    world.now = START + 2700
    before = client.tickets.tickets[4].session_key.secret
    assert _renew(client, server) == 1
    assert client.tickets.tickets[4].session_key.secret != before
    assert client.next_deadline() == START + 2700 + 2700


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_ticket_is_renewed_with_proof_of_the_old_one(kind):
    world = World(kind)
    client = world.client()
    server = world.login(client)
    first = client.global_id
    world.now = START + world.key_server.mon_ticket_ttl_s * 0.75
    world.rotate()
    assert _renew(client, server) == 1
    assert server.global_id_status is GlobalIdStatus.RECLAIM_OK
    assert (client.global_id, client.renewal()) == (first, None)
    assert client.tickets.tickets[AUTH].expires > START + world.key_server.mon_ticket_ttl_s


def test_a_service_without_secrets_is_not_asked_for_in_a_circle():
    world = World()
    del world.key_server.data.rotating_secrets[EntityType.MGR]
    client = world.client()
    server = world.login(client)
    assert EntityType.MGR not in client.tickets.tickets
    assert client.renewal() is None
    assert client.next_deadline() == START + 2700
    world.now = START + 2700
    assert _renew(client, server) == 1


def test_a_refusal_to_renew_is_raised():
    world = World()
    client = world.client()
    world.login(client)
    with pytest.raises(CephError) as error:
        client.on_auth_reply(-errno.EACCES, b"")
    assert error.value.errno == errno.EACCES


def test_an_answer_that_nobody_asked_for():
    world = World()
    with pytest.raises(ProtocolViolation):
        world.client().on_auth_reply(0, b"\0\1\0\0\0\0")


def test_daemons_get_their_kind_s_rotating_secrets():
    world = World()
    daemon = world.client(OSD)
    server = world.login(daemon)
    assert daemon.next_deadline() == 0.0
    refresh(daemon, server)
    assert daemon.rotating.secrets == world.key_server.data.rotating_secrets[EntityType.OSD]
    # Half a minute after the current one ended, for then the monitor has rotated.
    daemon.want = 0
    assert daemon.rotating.next_deadline(3600.0) == START + 7200 + 30
    assert daemon.rotating_renewal() is None
    world.now = START + 7230
    assert world.rotate()
    refresh(daemon, server)
    assert sorted(daemon.rotating.secrets.secrets) == [2, 3, 4]


def test_clients_do_not_get_rotating_secrets():
    world = World()
    client = world.client()
    server = world.login(client)
    assert client.rotating_renewal() is None
    with pytest.raises(PermissionDenied):
        server.session.on_request(b"\x00\x04", None)


def test_nothing_is_answered_before_login():
    world = World()
    for request in (b"\x00\x02", b"\x00\x04"):
        server = world.mon()
        server.on_request(EntityType.CLIENT, world.client().handshake(EntityType.MON).request())
        verdict = server.on_more(request)
        assert isinstance(verdict, AuthBadMethod)
        assert verdict.result == errno.EACCES
        assert "before it has logged in" in verdict.reason


def test_unknown_requests_and_halves_of_them():
    world = World()
    client = world.client()
    server = world.login(client)
    for payload, number in ((b"\x07\x07", errno.EINVAL), (b"\0", errno.EPERM)):
        with pytest.raises(CephError) as error:
            server.session.on_request(payload, None)
        assert error.value.errno == number


def test_caps_of_a_ticket_are_those_for_its_service():
    world = World()
    client = world.client()
    world.login(client)
    server = world.osd()
    world.key_server.data.secrets[ADMIN].caps["osd"] = encode_string("allow r")
    _, theirs = talk(client.handshake(EntityType.OSD), server.handshake())
    assert theirs.caps == {"osd": "allow *"}
    world.login(client)
    _, theirs = talk(client.handshake(EntityType.OSD), server.handshake())
    assert theirs.caps == {"osd": "allow r"}


def test_want_is_what_is_asked_for():
    world = World()
    client = world.client(want=EntityType.OSD)
    world.login(client)
    assert set(client.tickets.tickets) == {4, AUTH}
