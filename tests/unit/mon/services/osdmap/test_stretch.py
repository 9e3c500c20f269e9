"""Two sites: what pools demand of them, when one is lost, comes back and has caught up."""

from __future__ import annotations

import pytest

from spirula.errors import CephError
from spirula.mon.services.osdmap import stretch
from spirula.types.pool import CRUSH_ITEM_NONE
from tests.unit.mon.services.osdmap.world import World

OPTIONS = {"osd_pool_default_size": 3, "osd_pool_default_min_size": 2}
RULE = "stretched"


def two_sites(weight=1.0):
    world = World(4, OPTIONS)
    ok = world.harness.ok
    for site, hosts in (("east", ("h0", "h1")), ("west", ("h2", "h3"))):
        ok("osd crush add-bucket", name=site, type="datacenter")
        ok("osd crush move", name=site, args=["root=default"])
        for host in hosts:
            ok("osd crush move", name=host, args=[f"datacenter={site}"])
    ok("osd crush reweight", name="osd.3", weight=weight)
    ok("osd crush rule create-replicated", name=RULE, root="default", type="host")
    ok("osd pool create", pool="p", pg_num=4, pgp_num=4)
    return world


@pytest.fixture
def world():
    made = two_sites()
    stretch.check_enable(made.service, "datacenter", RULE)
    stretch.enable(made.service, "datacenter", RULE)
    made.harness.advance(3.0)
    return made


def site_id(world, name):
    return next(id for id, known in world.osdmap.crush.item_names.items() if known == name)


def pool_of(world):
    return world.osdmap.pools[1]


@pytest.mark.parametrize(
    ("type", "rule", "said"),
    [
        ("galaxy", RULE, "galaxy is not a valid crush bucket type"),
        ("rack", RULE, "there are 0rack's in the cluster"),
        ("datacenter", "nosuch", "unrecognized crush rule nosuch"),
    ],
)
def test_what_stretch_mode_needs(type, rule, said):
    with pytest.raises(CephError, match=said):
        stretch.check_enable(two_sites().service, type, rule)


def test_both_sites_must_weigh_the_same():
    with pytest.raises(CephError, match="differing weights"):
        stretch.check_enable(two_sites(weight=2.0).service, "datacenter", RULE)


def test_pools_demand_both_sites(world):
    assert world.osdmap.stretch_mode_enabled
    pool = pool_of(world)
    assert (pool.size, pool.min_size) == (4, 2)
    assert pool.stretch.bucket_count == 2
    assert pool.stretch.bucket_barrier == world.osdmap.stretch_mode_bucket
    dump = world.harness.ok("osd dump", format="json")
    assert dump["stretch_mode"]["stretch_mode_enabled"] is True


def test_one_site_goes_on_alone_until_the_other_has_caught_up(world):
    ok = world.harness.ok
    assert stretch.dead_sites(world.service, ["east", "west"]) == []
    ok("osd down", ids=["2", "3"])
    assert stretch.dead_sites(world.service, ["east", "west"]) == [site_id(world, "west")]

    stretch.go_degraded(world.service, "east")
    world.harness.advance(3.0)
    pool = pool_of(world)
    assert (pool.min_size, pool.stretch.bucket_count) == (1, 1)
    assert pool.stretch.mandatory_member == site_id(world, "east")
    assert pool.last_force_op_resend
    assert "DEGRADED_STRETCH_MODE" in ok("health", format="json")["checks"]

    answer = world.harness.command("osd force_recovery_stretch_mode", yes_i_really_mean_it=True)
    assert answer.rs == "Triggering recovery stretch mode"
    assert world.osdmap.recovering_stretch_mode
    assert "RECOVERING_STRETCH_MODE" in ok("health", format="json")["checks"]
    world.harness.advance(60.0)
    assert world.osdmap.recovering_stretch_mode, "nobody said that the PGs are whole"

    ok("osd force_healthy_stretch_mode", yes_i_really_mean_it=True)
    pool = pool_of(world)
    assert (pool.min_size, pool.stretch.bucket_count) == (2, 2)
    assert pool.stretch.mandatory_member == CRUSH_ITEM_NONE
    assert not world.osdmap.degraded_stretch_mode
    assert not world.osdmap.recovering_stretch_mode
