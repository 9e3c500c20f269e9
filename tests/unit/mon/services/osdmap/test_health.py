"""What is wrong with a map, by the codes that people know."""

from __future__ import annotations

import copy

import pytest

from spirula.maps.state import OSDMapFlag, OSDState, Release
from spirula.mon.services.osdmap.health import check_map
from spirula.types.pool import PoolFlag
from spirula.types.service import HealthStatus
from tests.unit.mon.services.osdmap.world import World


@pytest.fixture(scope="module")
def healthy():
    """Four OSDs on two hosts, and a pool."""
    world = World(4, per_host=2)
    world.harness.ok("osd pool create", pool="p", pg_num=4, pgp_num=4)
    return world


@pytest.fixture
def osdmap(healthy):
    return copy.deepcopy(healthy.osdmap)


def checks(healthy, osdmap):
    found = check_map(osdmap, healthy.harness.config)
    return {code: (check.summary, list(check.detail)) for code, check in found.items()}


def down(osdmap, *osds):
    for osd in osds:
        osdmap.osd_state[osd] &= ~OSDState.UP


def test_nothing_is_wrong(healthy, osdmap):
    assert checks(healthy, osdmap) == {}


def test_one_osd_is_down(healthy, osdmap):
    down(osdmap, 0)
    assert checks(healthy, osdmap) == {
        "OSD_DOWN": ("1 osds down", ["osd.0 (root=default,host=h0) is down"])
    }


def test_a_host_is_down_and_then_everything(healthy, osdmap):
    down(osdmap, 0, 1)
    found = checks(healthy, osdmap)
    assert found["OSD_HOST_DOWN"] == (
        "1 host (2 osds) down",
        ["host h0 (root=default) (2 osds) is down"],
    )
    assert "OSD_ROOT_DOWN" not in found
    down(osdmap, 2, 3)
    found = checks(healthy, osdmap)
    assert found["OSD_HOST_DOWN"][0] == "2 hosts (4 osds) down"
    assert found["OSD_ROOT_DOWN"] == (
        "1 root (4 osds) down",
        ["root default (4 osds) is down"],
    )
    assert found["OSD_DOWN"][0] == "4 osds down"


def test_osds_that_are_out_or_new_may_be_down(healthy, osdmap):
    down(osdmap, 0, 2)
    osdmap.osd_weight[0] = 0
    osdmap.osd_state[2] |= OSDState.NEW
    assert checks(healthy, osdmap) == {}


def test_an_osd_in_the_hierarchy_that_is_not_there(healthy, osdmap):
    osdmap.osd_state[1] = 0
    found = checks(healthy, osdmap)
    assert found["OSD_ORPHAN"] == (
        "1 osds exist in the crush map but not in the osdmap",
        ["osd.1 exists in crush map but not in osdmap"],
    )


def test_flags(healthy, osdmap):
    osdmap.flags |= OSDMapFlag.NOOUT | OSDMapFlag.NOSCRUB
    osdmap.flags &= ~OSDMapFlag.SORTBITWISE
    osdmap.osd_state[0] |= OSDState.NOUP | OSDState.NOIN
    host = next(id for id, name in osdmap.crush.item_names.items() if name == "h1")
    osdmap.crush_node_flags[host] = int(OSDState.NODOWN)
    found = checks(healthy, osdmap)
    assert found["OSDMAP_FLAGS"][0] == "noout,noscrub flag(s) set"
    assert found["OSD_NO_SORTBITWISE"][0] == "'sortbitwise' flag is not set"
    assert found["OSD_FLAGS"][1] == [
        "osd.0 has flags noin,noup",
        "host h1 has flags nodown",
    ]


def test_ratios_out_of_order(healthy, osdmap):
    osdmap.nearfull_ratio, osdmap.backfillfull_ratio, osdmap.full_ratio = 0.95, 0.9, 0.92
    (check,) = check_map(osdmap, healthy.harness.config).values()
    assert check.severity == HealthStatus.ERR
    assert list(check.detail) == [
        "backfillfull_ratio (0.9) < nearfull_ratio (0.95), increased",
        "full_ratio (0.92) < backfillfull_ratio (0.95), increased",
    ]


def test_pools(healthy, osdmap):
    pool = osdmap.pools[1]
    pool.flags |= PoolFlag.FULL | PoolFlag.FULL_QUOTA | PoolFlag.NOSCRUB
    pool.pg_num_target = 5
    pool.size = 1
    found = checks(healthy, osdmap)
    assert found["POOL_FULL"] == (
        "1 pool(s) full",
        ["pool 'p' is full (running out of quota)"],
    )
    assert found["POOL_SCRUB_FLAGS"][0] == "Some pool(s) have the noscrub flag(s) set"
    assert found["POOL_NO_REDUNDANCY"][1] == ["pool 'p' has no replicas configured"]
    assert found["POOL_PG_NUM_NOT_POWER_OF_TWO"][1] == ["pool 'p' pg_num 5 is not a power of two"]


def test_an_old_release_is_required_still(healthy, osdmap):
    osdmap.require_osd_release = Release.OCTOPUS
    assert checks(healthy, osdmap)["OSD_UPGRADE_FINISHED"][0] == (
        "all OSDs are running pacific or later but require_osd_release < pacific"
    )


def test_old_tunables(healthy, osdmap):
    tunables = osdmap.crush.tunables
    tunables.straw_calc_version = tunables.chooseleaf_stable = 0
    tunables.chooseleaf_vary_r = tunables.chooseleaf_descend_once = 0
    for bucket in osdmap.crush.buckets:
        if bucket is not None:
            bucket.alg = 4
    found = checks(healthy, osdmap)
    assert found["OLD_CRUSH_STRAW_CALC_VERSION"][0] == "crush map has straw_calc_version=0"
    assert found["OLD_CRUSH_TUNABLES"][0] == (
        "crush map has legacy tunables (require bobtail, min is hammer)"
    )


def test_health_is_what_the_next_epoch_will_be():
    world = World(2)
    world.harness.ok("osd set", key="noout")
    found = world.harness.ok("health", format="json", detail="detail")
    assert found["checks"]["OSDMAP_FLAGS"]["summary"]["message"] == "noout flag(s) set"
    world.harness.ok("osd unset", key="noout")
    assert "OSDMAP_FLAGS" not in world.harness.ok("health", format="json")["checks"]
