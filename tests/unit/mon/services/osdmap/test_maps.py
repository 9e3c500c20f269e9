"""Maps of all epochs: what is stored, who is sent what, what is trimmed and pruned."""

from __future__ import annotations

import pytest

from spirula.denc.features import PACIFIC, SERVER_OCTOPUS
from spirula.maps.apply import apply_checked
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.simple import build_simple, everywhere_local
from spirula.messages.mon_client import MMonGetOSDMap, MMonGetVersion
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_mon import MOSDPGCreated
from spirula.mon.services.osdmap.pruning import OSDMapManifest
from spirula.types.base import UTime
from spirula.types.pg import PGId
from tests.unit.mon.harness import FSID, HarnessMonitor
from tests.unit.mon.services.osdmap.world import World, follow


def maps_of(messages):
    return [message for message in messages if isinstance(message, MOSDMap)]


def test_the_first_map_is_that_of_new_clusters():
    mon = HarnessMonitor()
    dump = mon.ok("osd dump", format="json")
    assert dump["epoch"] == 1
    assert dump["fsid"] == str(FSID)
    assert dump["require_osd_release"] == "pacific"
    assert dump["require_min_compat_client"] == "luminous"
    assert dump["flags"] == "sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit"
    assert (dump["max_osd"], dump["pool_max"], dump["pools"]) == (0, 0, [])
    assert dump["erasure_code_profiles"]["default"]["k"] == "2"
    assert [rule["rule_name"] for rule in mon.ok("osd crush rule dump", format="json")] == [
        "replicated_rule"
    ]


def test_a_store_can_be_made_with_a_map_to_begin_with():
    given = build_simple(everywhere_local(3), UTime.at(1.0))
    mon = HarnessMonitor(osdmap=given.encode())
    dump = mon.ok("osd dump", format="json")
    assert (dump["epoch"], dump["max_osd"], dump["fsid"]) == (1, 3, str(FSID))
    assert mon.store.get("mkfs", "osdmap") is None


def test_each_epoch_is_stored_in_full_and_as_a_step():
    world = World(3)
    store, service = world.harness.store, world.service
    osdmap = OSDMap()
    for epoch in range(1, service.epoch + 1):
        inc = Incremental.decode(store.get("osdmap", str(epoch)))
        osdmap, encoded = apply_checked(osdmap, inc)
        assert encoded == store.get("osdmap", f"full_{epoch}")
        assert osdmap.epoch == epoch
    assert osdmap == service.osdmap


def test_the_map_survives_a_restart():
    world = World(2)
    world.harness.ok("osd set", key="noout")
    before = world.harness.ok("osd dump", format="json")
    again = world.harness.restart()
    assert again.ok("osd dump", format="json") == before


def test_subscribers_get_the_whole_map_and_then_steps():
    world = World(1)
    client = world.harness.session("client.x", "allow r")
    first = maps_of(world.harness.subscribe("osdmap", 0, session=client))
    assert [sorted(message.maps) for message in first] == [[world.service.epoch]]
    osdmap = follow(first)
    client.connection.sent.clear()
    world.harness.ok("osd set", key="noout")
    world.harness.ok("osd set", key="noin")
    later = maps_of(client.connection.sent)
    assert all(not message.maps for message in later)
    assert follow(later, osdmap) == world.osdmap


def test_one_encoding_serves_all_subscribers():
    world = World(1)
    clients = [world.harness.session("client.x", "allow r") for _ in range(20)]
    for client in clients:
        world.harness.subscribe("osdmap", 0, session=client)
        client.connection.sent.clear()
    world.harness.ok("osd set", key="noout")
    messages = {id(message) for client in clients for message in maps_of(client.connection.sent)}
    assert len(messages) == 1


def test_a_client_with_fewer_features_gets_a_map_that_it_can_read():
    world = World(1)
    old = world.harness.session("client.old", "allow r")
    old.features = PACIFIC & ~(1 << 16)
    assert SERVER_OCTOPUS & 1 << 16
    (message,) = maps_of(world.harness.subscribe("osdmap", 0, session=old))
    encoded = message.maps[world.service.epoch]
    assert encoded != world.service.get_full(world.service.epoch)
    assert OSDMap.decode(encoded).max_osd == world.osdmap.max_osd


def test_one_map_and_no_more_for_who_asks_once():
    world = World(1)
    client = world.harness.session("client.x", "allow r")
    world.harness.subscribe("osdmap", 0, onetime=True, session=client)
    client.connection.sent.clear()
    world.harness.ok("osd set", key="noout")
    assert not maps_of(client.connection.sent)


def test_who_asks_for_older_epochs_gets_them_again():
    world = World(1)
    client = world.harness.session("client.x", "allow r")
    world.harness.subscribe("osdmap", 1, session=client)
    client.connection.sent.clear()
    again = maps_of(world.harness.subscribe("osdmap", 2, session=client))
    assert [sorted(message.incremental_maps) for message in again] == [
        list(range(2, world.service.epoch + 1))
    ]


def test_who_may_not_read_is_sent_nothing():
    world = World(1)
    nobody = world.harness.session("client.x", "allow command fsid")
    assert not maps_of(world.harness.subscribe("osdmap", 0, session=nobody))


def test_maps_can_be_asked_for_one_by_one():
    world = World(1, {"osd_map_message_max": 3})
    asked = MMonGetOSDMap(full_first=2, full_last=3, inc_first=1, inc_last=99)
    (reply,) = maps_of(world.harness.send(asked))
    assert (sorted(reply.maps), sorted(reply.incremental_maps)) == ([2, 3], [1])
    assert reply.newest_map == world.service.epoch


def shorten(mon, epochs):
    for _ in range(epochs):
        mon.ok("osd set", key="noout")


TRIMMING = {"mon_min_osdmap_epochs": 5, "paxos_service_trim_min": 5}


def test_old_epochs_go_when_all_pgs_are_clean():
    world = World(2, TRIMMING)
    world.harness.ok("osd pool create", pool="p", pg_num=2)
    shorten(world.harness, 20)
    world.harness.advance(20.0)
    assert world.service.first_committed == 1, "nobody said that the PGs are clean"
    epoch = world.service.epoch - 3
    for pg in world.service.creating.pgs:
        created(world, pg)
    for osd in range(2):
        world.beacon(osd, [PGId(1, osd)], clean=epoch)
    world.harness.advance(20.0)
    first = world.service.first_committed
    assert first == world.service.epoch - 5
    assert world.service.get_full(first)
    assert world.service.get_version(first - 1) is None
    late = world.harness.session("client.late", "allow r")
    sent = maps_of(world.harness.subscribe("osdmap", 1, session=late))
    assert min(sent[0].maps) == first
    assert follow(sent) == world.osdmap
    assert world.harness.refused("osd dump", epoch=1)[0] == 2
    (reply,) = world.harness.send(MMonGetVersion(handle=1, what="osdmap"))
    assert reply.oldest_version == first


def created(world, pg):
    world.send(world.service.creating.pgs[pg].acting_primary, MOSDPGCreated(pgid=pg))


def test_long_histories_keep_few_full_maps_and_can_tell_all():
    options = {
        **TRIMMING,
        "mon_osdmap_full_prune_min": 20,
        "mon_osdmap_full_prune_interval": 10,
        "mon_osdmap_full_prune_txsize": 100,
    }
    world = World(0, options)
    world.harness.ok("osd pool create", pool="p", pg_num=2)
    full = {}
    for _ in range(60):
        world.harness.ok("osd set", key="noout")
        full[world.service.epoch] = world.service.get_full(world.service.epoch)
    world.harness.advance(30.0)
    service = world.service
    assert len(service.manifest.pinned) >= 4
    assert any(service.get_full(epoch) is None for epoch in full)
    for epoch, encoded in full.items():
        service.publisher.__init__(service)
        assert service.publisher.full(epoch, -1) == encoded
    again = world.harness.restart()
    assert again.mon.osdmap.manifest == service.manifest


@pytest.mark.parametrize(("epoch", "found"), [(5, 0), (10, 10), (19, 10), (20, 20), (99, 30)])
def test_the_manifest_knows_the_map_to_begin_with(epoch, found):
    assert OSDMapManifest({10, 20, 30}).closest_before(epoch) == found
