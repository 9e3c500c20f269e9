"""Rotating secrets, the key database and global ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.cephx.rotating import RotatingKeys, needs_new, ordered
from spirula.auth.crypto import KeyType
from spirula.auth.global_id import GlobalIds
from spirula.errors import InputOutput, InvalidArgument, NotFound, PermissionDenied
from spirula.types.auth import (
    AuthTicket,
    EntityAuth,
    KeyServerData,
    KeyServerIncremental,
    PrincipalName,
    RotatingSecrets,
)
from spirula.types.entity import EntityType
from tests.unit.auth.world import ADMIN, OSD, START, World

SERVICE = int(EntityType.OSD)


def generations(world: World, service_id: int = SERVICE) -> list[tuple[int, float]]:
    held = world.key_server.data.rotating_secrets[service_id]
    return [(n, float(s.expiration) - START) for n, s in ordered(held)]


def test_three_generations_a_ttl_apart():
    world = World()
    assert generations(world) == [(1, 3600.0), (2, 7200.0), (3, 10800.0)]
    assert [n for n, _ in generations(world, EntityType.AUTH)] == [1, 2, 3]
    assert world.key_server.next_rotation() == START + 7200
    assert not world.rotate()


def test_a_generation_is_added_when_the_current_one_has_ended():
    world = World()
    world.now = START + 7199
    assert not world.rotate()
    world.now = START + 7200
    assert world.rotate()
    assert generations(world) == [(2, 7200.0), (3, 10800.0), (4, 14400.0)]
    assert world.key_server.data.rotating_ver == 2


def test_after_a_long_sleep_the_next_ones_are_in_the_future():
    world = World()
    world.now = START + 100_000
    assert world.rotate()
    assert generations(world)[1:] == [(4, 107_200.0), (5, 110_800.0)]
    assert not world.rotate()


@given(st.lists(st.floats(0, 20_000), max_size=30))
def test_a_ticket_never_outlives_what_is_known_of_its_secret(steps):
    world = World()
    for step in steps:
        world.now += step
        world.rotate()
        number, secret, ttl = world.key_server.current_secret(SERVICE, world.now)
        held = world.key_server.data.rotating_secrets[SERVICE]
        assert len(held.secrets) == 3
        assert number == sorted(held.secrets)[1]
        assert float(secret.expiration) > world.now
        assert 0 < ttl <= 3600
        assert world.now + ttl <= float(ordered(held)[-1][1].expiration) + 1e-6


def test_the_next_secret_serves_where_nobody_rotated_in_time():
    world = World()
    number, _, ttl = world.key_server.current_secret(SERVICE, START + 7201)
    assert (number, ttl) == (3, pytest.approx(3599))
    assert world.key_server.current_secret(SERVICE, START + 99_999)[2] == 0.0


def test_a_raised_ttl_does_not_stretch_the_life_of_a_secret():
    world = World()
    world.key_server.service_ticket_ttl_s = 86_400.0
    assert world.key_server.current_secret(SERVICE, START)[2] == 7200.0


def test_secrets_of_an_unknown_service():
    world = World()
    with pytest.raises(NotFound):
        world.key_server.current_secret(EntityType.CLIENT, START)
    assert world.key_server.service_secret(EntityType.CLIENT, 1) is None
    assert KeyServer().next_rotation() == 0.0


def test_the_type_of_secrets_is_the_cluster_s_choice():
    world = World(service_kind=KeyType.AES)
    held = world.key_server.data.rotating_secrets[SERVICE]
    assert {s.key.type for s in held.secrets.values()} == {KeyType.AES}
    assert world.key_server.insecure_services() == [1, 2, 4, 16, 32]
    assert World().key_server.insecure_services() == []


def test_changes_are_applied_as_they_were_committed():
    world = World()
    copy = KeyServer(KeyServerData.decode(world.key_server.data.encode()))
    assert copy.data == world.key_server.data
    world.now += 7200
    change = world.key_server.rotate(world.now, world.random)
    for server in (copy, world.key_server):
        server.apply(KeyServerIncremental.decode(change.encode()))
    assert copy.data == world.key_server.data
    name = PrincipalName.parse("client.new")
    copy.apply(KeyServerIncremental(op=1, name=name, auth=EntityAuth(caps={"mon": b""})))
    assert copy.entity(name) is not None
    copy.apply(KeyServerIncremental(op=2, name=name))
    copy.apply(KeyServerIncremental(op=2, name=name))
    copy.apply(KeyServerIncremental(op=0))
    assert copy.entity(name) is None
    with pytest.raises(InvalidArgument):
        copy.apply(KeyServerIncremental(op=9))


def test_principals_that_are_not_replicated():
    mon = PrincipalName.parse("mon.")
    world = World()
    auth = world.key_server.data.secrets.pop(mon)
    assert world.key_server.principal_key(mon) is None
    with pytest.raises(NotFound):
        world.key_server.caps(mon, EntityType.MON)
    world.key_server.extra[mon] = auth
    assert world.key_server.principal_key(mon) == auth.key
    assert world.key_server.caps_by_service(mon) == {"mon": "allow *"}
    assert world.key_server.caps_by_service(PrincipalName.parse("mon.x")) == {}


def test_tickets_for_users_who_are_gone():
    world = World()
    parent = AuthTicket(name=PrincipalName.parse("client.gone"))
    with pytest.raises(InvalidArgument):
        world.key_server.session_info(SERVICE, parent, 1, START, world.random)
    with pytest.raises(PermissionDenied):
        world.key_server.session_info(
            EntityType.CLIENT, AuthTicket(name=ADMIN), 1, START, world.random
        )


def test_rotating_secrets_are_for_daemons_with_a_key():
    world = World()
    with pytest.raises(PermissionDenied):
        world.key_server.sealed_rotating(ADMIN, world.random)
    world.key_server.data.secrets[OSD].key.secret = b""
    with pytest.raises(InputOutput):
        world.key_server.sealed_rotating(OSD, world.random)


def test_a_daemon_s_copy():
    keys = RotatingKeys(SERVICE)
    assert keys.need_new(0.0, 3600.0)
    assert needs_new(RotatingSecrets(), 0.0)
    keys.set(World().key_server.data.rotating_secrets[SERVICE])
    assert not keys.need_new(START, 3600.0)
    assert keys.service_secret(SERVICE, 2) is not None
    assert keys.service_secret(EntityType.MDS, 2) is None
    assert keys.service_secret(SERVICE, 9) is None
    assert keys.principal_key(ADMIN) is None
    assert keys.next_deadline(60.0) == START + 7200 + 15


# ------------------------------------------------------------------------------------ global ids


def test_a_monitor_gives_nothing_of_the_range_that_it_finds():
    ids = GlobalIds(monitors=1, rank=0)
    assert ids.assign() == 0
    ids.on_committed(4096)
    assert ids.should_extend()
    assert ids.assign() == 0
    ids.on_committed(14_096)
    assert [ids.assign(), ids.assign()] == [4097, 4098]
    again = GlobalIds(monitors=1, rank=0)
    again.on_committed(14_096)
    assert again.assign() == 0


@given(st.integers(1, 7), st.data())
def test_no_id_is_given_twice(monitors, data):
    ids = [GlobalIds(monitors=monitors, rank=rank, preallocated=50) for rank in range(monitors)]
    for one in ids:
        one.on_committed(4096)
        one.on_committed(4146)
    ranks = data.draw(st.lists(st.integers(0, monitors - 1), max_size=60))
    given_out = [ids[rank].assign() for rank in ranks]
    real = [number for number in given_out if number]
    assert len(set(real)) == len(real)
    assert all(4096 < number < 4146 for number in real)


def test_the_range_is_extended_before_it_ends():
    ids = GlobalIds(monitors=1, rank=0, preallocated=10)
    ids.on_committed(100)
    ids.on_committed(110)
    assert not ids.should_extend()
    while not ids.should_extend():
        assert ids.assign()
    assert ids.last == 104


def test_outside_a_quorum_there_are_no_ids():
    ids = GlobalIds(maximum=100, last=50)
    assert ids.assign() == 0
