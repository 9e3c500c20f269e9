"""What clients and peons ask of the auth service: tickets on an open connection, global ids."""

from __future__ import annotations

import errno
from functools import partial

import pytest

from spirula.auth.cephx.client import CephxConversation
from spirula.auth.cephx.service import CephxServiceSession, GlobalIdStatus
from spirula.auth.cephx.tickets import TicketStore
from spirula.messages.auth import MAuth, MMonGlobalID
from spirula.messages.mon_client import MMonGetMap, MMonGetVersion, MMonMap
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityType
from tests.unit.mon.harness import HarnessMonitor

OSD = int(EntityType.OSD)


@pytest.fixture
def mon():
    return HarnessMonitor()


class Client:
    """A client that has logged in, and goes on with MAuth messages."""

    def __init__(self, mon, entity):
        self.mon = mon
        name = PrincipalName.parse(entity)
        auth = mon.mon.auth
        self.session = mon.session(entity, "allow r")
        self.session.global_id = auth.assign_global_id()
        self.session.auth = CephxServiceSession(
            auth.key_server,
            name,
            self.session.global_id,
            is_new=True,
            clock=mon.wall,
            random=mon.rng.randbytes,
        )
        key = auth.key_server.principal_key(name)
        self.cephx = CephxConversation(
            key, self.session.global_id, OSD, TicketStore(), mon.rng.randbytes
        )
        self.ask(self.cephx.on_challenge(self.session.auth.start(), mon.wall()))

    def ask(self, payload):
        message = MAuth(protocol=2, auth_payload=payload)
        message.tid = 1
        (reply,) = self.mon.send(message, self.session)
        if not reply.result:
            self.cephx.on_reply(reply.result_bl, self.mon.wall())
        return reply


def test_tickets_are_renewed_on_an_open_connection(mon):
    client = Client(mon, "client.admin")
    assert client.cephx.request(mon.wall()) is None
    first = client.cephx.tickets.tickets[OSD].blob
    mon.advance(3600.0)
    reply = client.ask(client.cephx.request(mon.wall()))
    assert (reply.result, reply.global_id) == (0, client.session.global_id)
    assert client.cephx.tickets.tickets[OSD].blob != first


def test_a_new_login_brings_the_caps_of_now():
    mon = HarnessMonitor({"auth_mon_ticket_ttl": 3600})
    mon.ok("auth get-or-create", entity="client.c", caps=["mon", "allow r"])
    client = Client(mon, "client.c")
    assert not client.session.is_capable("osd", write=True)
    mon.ok("auth caps", entity="client.c", caps=["mon", "allow rw"])
    assert not client.session.is_capable("osd", write=True)
    mon.advance(3600.0)
    client.ask(client.cephx.request(mon.wall()))
    assert client.session.is_capable("osd", write=True)


def test_an_entity_that_was_removed_gets_no_more_tickets(mon):
    mon.ok("auth get-or-create", entity="client.c", caps=["mon", "allow r"])
    client = Client(mon, "client.c")
    mon.ok("auth rm", entity="client.c")
    mon.advance(3600.0)
    assert client.ask(client.cephx.request(mon.wall())).result == -errno.EINVAL


def test_bad_requests_are_answered_with_an_error(mon):
    client = Client(mon, "client.admin")
    assert client.ask(b"").result < 0
    assert client.ask(b"\xff" * 40).result < 0
    bare = mon.session("client.none", "allow r")
    (reply,) = mon.send(MAuth(protocol=2, auth_payload=b"x"), bare)
    assert reply.result == -errno.EINVAL


def test_a_daemon_is_given_the_secrets_of_its_kind_only(mon):
    mon.ok("auth get-or-create", entity="osd.0", caps=["mon", "allow profile osd"])
    daemon = Client(mon, "osd.0")
    assert daemon.ask(daemon.cephx.rotating_request()).result == 0
    held = mon.mon.auth.key_server.data.rotating_secrets
    assert daemon.cephx.rotating == held[OSD]
    assert Client(mon, "client.admin").ask(daemon.cephx.rotating_request()).result == -13


def test_service_secrets_rotate_and_tickets_of_before_still_open(mon):
    server = mon.mon.auth.key_server
    before = server.data.rotating_ver
    _, secret, _ = server.current_secret(OSD, mon.wall())
    mon.advance(2 * 3600.0 + 10.0)
    assert server.data.rotating_ver > before
    assert secret in server.data.rotating_secrets[OSD].secrets.values()
    mon.advance(3600.0)
    assert secret not in server.data.rotating_secrets[OSD].secrets.values()
    again = mon.restart().mon.auth.key_server.data
    assert again.rotating_secrets == server.data.rotating_secrets


def test_no_global_id_is_given_twice_across_restarts():
    mon = HarnessMonitor({"mon_globalid_prealloc": 50})
    given = set()
    for _ in range(4):
        for _ in range(40):
            number = mon.mon.auth.assign_global_id()
            mon.advance(0.0)
            assert number
            assert number not in given
            given.add(number)
        mon = mon.restart()


def test_a_peon_that_asks_is_given_more_ids_once(mon):
    ids = mon.mon.auth.global_ids
    peon = mon.session("mon.b", number=1)
    before = ids.maximum
    ask = partial(MMonGlobalID, version=0)
    assert mon.send(ask(old_max_id=before), peon) == []
    mon.send(ask(old_max_id=before), peon)
    mon.advance(1.0)
    assert ids.maximum == before + ids.preallocated
    mon.send(ask(old_max_id=ids.maximum), mon.session("client.x", "allow *"))
    mon.advance(1.0)
    assert ids.maximum == before + ids.preallocated


def test_old_clients_have_to_show_whether_they_prove_their_id(mon):
    client = Client(mon, "client.admin")
    client.session.auth.status = GlobalIdStatus.NEW_NOT_EXPOSED
    assert isinstance(mon.send(MMonGetMap(), client.session)[0], MMonMap)
    assert mon.send(MMonGetVersion(handle=1, what="osdmap"), client.session) == []
    assert client.session.closed
    assert client.session.connection.is_down
    mon.ok("config set", who="mon", name="auth_expose_insecure_global_id_reclaim", value="false")
    client = Client(mon, "client.admin")
    client.session.auth.status = GlobalIdStatus.NEW_NOT_EXPOSED
    assert mon.send(MMonGetVersion(handle=1, what="osdmap"), client.session) != []
