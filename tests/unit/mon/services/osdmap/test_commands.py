"""Commands about OSDs where OSDs run: what needs their features, and what waits for others."""

from __future__ import annotations

import pytest

from spirula.denc.features import OSDMAP_PG_UPMAP, PACIFIC, RANGE_BLOCKLIST
from spirula.maps.state import Release, is_blocklisted, is_up
from spirula.types.entity import EntityAddr
from tests.unit.mon.services.osdmap.world import World

EOPNOTSUPP, EPERM, EBUSY, ERANGE = 95, 1, 16, 34


@pytest.fixture
def world():
    made = World(3)
    made.harness.ok("osd pool create", pool="p", pg_num=4, pgp_num=4)
    return made


def test_upmaps_and_blocked_networks_need_osds_that_know_them(world):
    ok, refused = world.harness.ok, world.harness.refused
    ok("osd pg-upmap-items", pgid="1.0", id=[0, 1])
    ok("osd blocklist", range="range", blocklistop="add", addr="10.0.0.0/8")
    missing = OSDMAP_PG_UPMAP & ~(1 << 57) | RANGE_BLOCKLIST & ~(1 << 57 | 1 << 28)
    world.service.osdmap.osd_xinfo[1].features = PACIFIC & ~missing
    errno, text = refused("osd pg-upmap-items", pgid="1.1", id=[0, 1])
    assert (errno, text.rpartition(": ")[2]) == (EOPNOTSUPP, "osd.1")
    errno, text = refused("osd blocklist", range="range", blocklistop="add", addr="10.0.0.0/8")
    assert (errno, text.rpartition(": ")[2]) == (EOPNOTSUPP, "osd.1")


def test_upmaps_end_when_they_become_wrong(world):
    dump = world.harness.ok("pg map", pgid="1.0", format="json")
    source = dump["up"][0]
    target = next(osd for osd in range(3) if osd not in dump["up"])
    world.harness.ok("osd pg-upmap-items", pgid="1.0", id=[source, target])
    assert world.osdmap.pg_upmap_items
    assert target in world.harness.ok("pg map", pgid="1.0", format="json")["up"]
    world.harness.ok("osd out", ids=[str(target)])
    assert not world.osdmap.pg_upmap_items


def test_osds_that_run_are_not_removed(world):
    refused = world.harness.refused
    sure = {"yes_i_really_mean_it": True}
    for prefix in ("osd destroy-actual", "osd purge-actual", "osd purge-new"):
        assert refused(prefix, id=0, **sure) == (EBUSY, "osd.0 is not `down`.")
        assert refused(prefix, id=0)[0] == EPERM
    assert refused("osd lost", id=0, **sure) == (EBUSY, "osd.0 is not down")
    errno, text = refused("osd rm", ids=["0"])
    assert (errno, text) == (EBUSY, "osd.0 is still up; must be down before removal. ")
    assert refused("osd setmaxosd", newmax=1)[0] == EBUSY
    assert refused("osd setmaxosd", newmax=1 << 30)[0] == ERANGE


def test_purging_forgets_everything_of_an_osd(world):
    world.harness.ok("osd down", ids=["0"])
    world.harness.ok("osd purge-actual", id=0, yes_i_really_mean_it=True)
    assert world.harness.ok("osd ls") == "1\n2\n"
    assert "osd.0" not in world.harness.ok("osd tree")
    assert world.harness.store.get("osd_metadata", "0") is None
    assert world.harness.ok("osd new", uuid="00000000-0000-0000-0000-0000000000ff") == "0\n"


def test_several_osds_that_are_made_at_once_get_ids_of_their_own():
    world = World()
    for _ in range(3):
        world.harness.ok("osd create")
    assert world.harness.ok("osd ls") == "0\n1\n2\n"


def test_releases_are_raised_when_all_osds_can(world):
    ok, refused = world.harness.ok, world.harness.refused
    world.service.osdmap.require_osd_release = Release.OCTOPUS
    world.service.osdmap.osd_xinfo[2].features = PACIFIC & ~(1 << 20)
    errno, text = refused("osd require-osd-release", release="pacific")
    assert (errno, text) == (EPERM, "not all up OSDs have CEPH_FEATURE_SERVER_PACIFIC feature")
    ok("osd require-osd-release", release="pacific", yes_i_really_mean_it=True)
    assert world.osdmap.require_osd_release == Release.PACIFIC
    assert refused("osd require-osd-release", release="octopus")[0] == EPERM


def test_blocklisted_clients_come_back_when_their_time_is_over(world):
    world.harness.ok("osd blocklist", blocklistop="add", addr="1.2.3.4", expire=60.0)
    client = EntityAddr.parse("v1:1.2.3.4:5000/77")
    assert is_blocklisted(world.osdmap, client)
    world.beacons_for(100, range(3))
    assert not is_blocklisted(world.osdmap, client)
    assert not world.osdmap.blocklist


def test_commands_of_those_who_may_only_read_are_denied(world):
    reader = world.harness.session("client.r", "allow r")
    assert world.harness.ok("osd ls", session=reader) == "0\n1\n2\n"
    for prefix, arguments in (
        ("osd down", {"ids": ["0"]}),
        ("osd set", {"key": "noout"}),
        ("osd blocklist clear", {}),
        ("osd pg-temp", {"pgid": "1.0", "id": [1]}),
    ):
        assert world.harness.refused(prefix, session=reader, **arguments)[0] == 13
    assert is_up(world.osdmap, 0)


def test_an_osd_down_for_sure_is_dead(world):
    world.harness.ok("osd down", ids=["0"], definitely_dead=True)
    assert world.osdmap.osd_xinfo[0].dead_epoch == world.osdmap.epoch


def test_who_stops_an_osd_finds_it_stopped_until_it_boots(world):
    world.harness.ok("osd stop", ids=["0"])
    assert world.harness.ok("osd info", id=0, format="json")["state"] == ["exists", "stop"]
    world.boot(0)
    assert world.harness.ok("osd info", id=0, format="json")["state"] == ["exists", "up"]
