"""The balancer at work on our own monitor: 12 OSDs of uneven weights, one pool, virtual time."""

from __future__ import annotations

import errno
import json
import random
import re
import time

import pytest

from spirula.crush.weights import COMPAT
from spirula.errors import AlreadyDone, CephError, TryAgain
from spirula.maps.balance.shares import count_shares
from spirula.mgr_modules.balancer.module import Balancer
from spirula.mgr_modules.balancer.optimize import Settings, optimize
from spirula.mgr_modules.balancer.placed import place
from spirula.mgr_modules.balancer.plan import Plan
from spirula.mgr_modules.balancer.reads import unevenness
from spirula.mgr_modules.balancer.score import evaluate
from spirula.types.pg import PGId
from tests.unit.mgr_modules.fake_host import FakeHost, run
from tests.unit.mon.services.osdmap.world import World

WEIGHTS = (0.5, 1.0, 1.0, 1.5, 2.0, 1.0, 0.7, 1.0, 1.2, 3.0, 1.0, 0.9)
PG_NUM = 64


class MonitorHost(FakeHost):
    """A manager of a monitor of ours, whose commands really change the map."""

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.options["target_max_misplaced_ratio"] = 0.05

    @property
    def osdmap(self):
        return self.world.osdmap

    @osdmap.setter
    def osdmap(self, value):
        pass

    def get(self, what):
        pools = self.osdmap.pools.items()
        if what == "pg_status":
            return self.documents.get("pg_status") or {
                "pgs_by_pool_state": [
                    {
                        "pool_id": number,
                        "pg_state_counts": [{"state_name": "active+clean", "count": pool.pg_num}],
                    }
                    for number, pool in pools
                ]
            }
        if what == "pg_stats":
            pgs = [PGId(number, seed) for number, pool in pools for seed in range(pool.pg_num)]
            size = {"num_objects": 10, "num_bytes": 40 << 20}
            return {"pg_stats": [{"pgid": str(pg), "stat_sum": size} for pg in pgs]}
        return super().get(what)

    def send_command(self, result, kind, name, command, tag, data):
        given = json.loads(command)
        self.sent.append((kind, dict(given)))
        answer = self.world.harness.command(given.pop("prefix"), **given)
        result.complete(answer.r, bytes(answer.data).decode(), answer.rs)


@pytest.fixture(scope="module")
def world():
    made = World(12, {"osd_pool_default_size": 3})
    for osd, weight in enumerate(WEIGHTS):
        made.harness.ok("osd crush reweight", name=f"osd.{osd}", weight=weight)
    made.harness.ok("osd pool create", pool="data", pg_num=PG_NUM)
    return made


@pytest.fixture
def host(world):
    """On the map as it was at first, whatever another test did to it."""
    if "other" in world.osdmap.pool_name.values():
        sure = {"pool": "other", "pool2": "other", "yes_i_really_really_mean_it": True}
        world.harness.ok("osd pool delete", **sure)
    world.harness.ok("osd set-require-min-compat-client", version="luminous")
    for pg in list(world.osdmap.pg_upmap_items):
        world.harness.ok("osd rm-pg-upmap-items", pgid=str(pg))
    for osd, affinity in enumerate(world.osdmap.osd_primary_affinity or ()):
        if affinity != 0x10000:
            world.harness.ok("osd primary-affinity", id=str(osd), weight=1.0)
    if COMPAT in world.osdmap.crush.choose_args:
        world.harness.ok("osd crush weight-set rm-compat")
    made = MonitorHost(world)
    made.own_options = {"upmap_max_deviation": 1, "active": False}
    return made


@pytest.fixture
def balancer(host):
    return Balancer("balancer", host, random.Random(1))


def furthest(osdmap):
    shares = count_shares(osdmap)
    return max(abs(len(pgs) - shares.target(osd)) for osd, pgs in shares.pgs.items())


def test_upmaps_bring_every_osd_within_one_pg_of_its_share(host, balancer):
    assert furthest(host.osdmap) > 3
    for _ in range(20):
        balancer.balance()
        if balancer.nothing_to_do:
            break
    assert balancer.nothing_to_do
    assert furthest(host.osdmap) <= 1
    upmaps = sum(given["prefix"] == "osd pg-upmap-items" for _, given in host.sent)
    assert upmaps <= 80
    told = json.loads(run(balancer, "balancer status")[1])
    assert told["no_optimization_needed"]
    assert told["optimize_result"].startswith("Unable to find further optimization")


def test_a_plan_is_told_before_it_is_carried_out(host, balancer):
    before = host.osdmap
    assert run(balancer, "balancer optimize", plan="p") == (0, "", "")
    assert host.osdmap is before
    assert json.loads(run(balancer, "balancer ls")[1]) == ["p"]
    shown = run(balancer, "balancer show", plan="p")[1].splitlines()
    said = [line for line in shown if line.startswith("# ")]
    assert said[2:4] == ["# mode upmap", "# moves 10 of 192 places of PGs (5.21%), about 400 MiB"]
    assert re.match("# furthest from its share before: osd.[0-9]+ has [0-9]+ PGs, ", said[4])
    dumped = json.loads(run(balancer, "balancer dump", plan="p")[1])
    moved = [one["pgid"] for one in dumped["new_pg_upmap_items"]]
    commands = [line.split()[:4] for line in shown if not line.startswith("#")]
    assert commands == [["ceph", "osd", "pg-upmap-items", pg] for pg in sorted(moved, key=number)]
    promised = run(balancer, "balancer eval", option="p")[1]
    assert run(balancer, "balancer execute", plan="p") == (0, "", "")
    assert {str(pg) for pg in host.osdmap.pg_upmap_items} == set(moved)
    assert json.loads(run(balancer, "balancer ls")[1]) == []
    score = run(balancer, "balancer eval")[1].removeprefix("current cluster")
    assert promised.removeprefix("plan p final") == score


def number(pgid):
    return int(pgid.partition(".")[2], 16)


def test_weights_of_the_compat_set_even_out_what_old_clients_see(host, balancer):
    host.options["target_max_misplaced_ratio"] = 0.3
    host.own_options["crush_compat_max_iterations"] = 8
    run(balancer, "balancer mode", mode="crush-compat")
    loads = balancer.loads()
    before = evaluate(place("", host.osdmap, loads), []).score
    gap = furthest(host.osdmap)
    for _ in range(2):
        balancer.balance()
    assert evaluate(place("", host.osdmap, loads), []).score < before / 2
    assert furthest(host.osdmap) < gap / 2
    assert COMPAT in host.osdmap.crush.choose_args
    assert not host.osdmap.pg_upmap_items


def test_affinities_even_out_who_is_read_from_and_move_nothing(host, balancer):
    run(balancer, "balancer mode", mode="read")
    up = place("", host.osdmap, balancer.loads()).up[1]

    before = unevenness(host.osdmap)
    run(balancer, "balancer optimize", plan="r")
    shown = run(balancer, "balancer show", plan="r")[1]
    assert "# moves 0 of 192 places of PGs (0.00%)" in shown
    assert "ceph osd primary-affinity" in shown
    run(balancer, "balancer execute", plan="r")
    after = place("", host.osdmap, balancer.loads()).up[1]
    assert [set(osds) for osds in after] == [set(osds) for osds in up]
    assert unevenness(host.osdmap) < before / 2
    rc, _, text = run(balancer, "balancer optimize", plan="r")
    assert (rc, text) == (-errno.EALREADY, "Primaries are already distributed evenly")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"unknown_pgs_ratio": 0.5}, "Some PGs (0.500000) are unknown; try again later"),
        ({"degraded_ratio": 0.25}, "Some objects (0.250000) are degraded; try again later"),
        ({"inactive_pgs_ratio": 0.1}, "Some PGs (0.100000) are inactive; try again later"),
        (
            {"misplaced_ratio": 0.06},
            "Too many objects (0.060000 > 0.050000) are misplaced; try again later",
        ),
    ],
)
def test_a_cluster_with_other_work_is_left_alone(host, status, text):
    plan = Plan("p", "upmap", host.osdmap, {})
    with pytest.raises(TryAgain) as refused:
        optimize(plan, status, Settings(), random.Random(0))
    assert refused.value.message == text


def test_modes_that_cannot(host, balancer):
    plan = Plan("p", "none", host.osdmap, {})
    with pytest.raises(CephError) as refused:
        optimize(plan, {}, Settings(), random.Random(0))
    assert refused.value.errno == errno.ENOEXEC
    host.world.harness.ok("osd set-require-min-compat-client", version="jewel")
    rc, _, text = run(balancer, "balancer mode", mode="upmap")
    assert rc == -errno.EPERM
    assert 'min_compat_client "jewel" < "luminous"' in text


def test_pools_whose_pgs_are_merged_and_those_not_named_are_left_alone(host, balancer):
    host.world.harness.ok("osd pool create", pool="other", pg_num=64)
    assert run(balancer, "balancer pool ls") == (0, "", "")
    assert run(balancer, "balancer pool add", pools=["other"])[0] == 0
    assert json.loads(run(balancer, "balancer pool ls")[1]) == ["other"]
    balancer.balance()
    assert {pg.pool for pg in host.osdmap.pg_upmap_items} == {2}
    assert run(balancer, "balancer pool add", pools=["none"])[0] == -errno.EINVAL
    host.world.harness.ok("osd pool set", pool="other", var="pg_num", val="32")
    with pytest.raises(AlreadyDone):
        balancer.make_plan("p", ["other"])
    assert run(balancer, "balancer pool rm", pools=["other"])[0] == 0
    assert run(balancer, "balancer pool ls") == (0, "", "")


def test_refusals(host, balancer):
    for prefix in ("balancer show", "balancer dump", "balancer execute"):
        assert run(balancer, prefix, plan="no") == (-errno.ENOENT, "", "plan no not found")
    rc, _, text = run(balancer, "balancer eval", option="no")
    assert (rc, text) == (-errno.EINVAL, 'option "no" not a plan or a pool')
    rc, _, text = run(balancer, "balancer optimize", plan="p", pools=["no"])
    assert (rc, text) == (-errno.EINVAL, "pools ['no'] not found")
    assert run(balancer, "balancer on")[0] == 0
    rc, _, text = run(balancer, "balancer optimize", plan="p")
    assert (rc, text) == (-errno.EINVAL, "Balancer enabled, disable to optimize manually")
    assert run(balancer, "balancer off")[0] == 0
    assert host.own_options["active"] is False


@pytest.mark.parametrize(
    ("options", "clock", "allowed"),
    [
        ({}, "Mon 12:00", True),
        ({"begin_time": "2200", "end_time": "0600"}, "Mon 23:00", True),
        ({"begin_time": "2200", "end_time": "0600"}, "Mon 06:00", False),
        ({"begin_weekday": 1, "end_weekday": 6}, "Sun 12:00", False),
        ({"begin_weekday": 6, "end_weekday": 1}, "Sun 12:00", True),
    ],
)
def test_it_keeps_to_the_times_that_are_allowed(balancer, host, options, clock, allowed):
    host.own_options |= options
    assert balancer.may_run(time.strptime(f"2024 01 {clock}", "%Y %m %a %H:%M")) is allowed


def test_scores_are_shown_with_all_figures(host, balancer):
    text = run(balancer, "balancer eval-verbose", option="data")[1]
    assert text.startswith('pool "data"\ntarget_by_root {')
    names = [line.partition(" ")[0] for line in text.splitlines()[1:]]
    assert names == [
        *("target_by_root", "actual_by_pool", "actual_by_root", "count_by_pool", "count_by_root"),
        *("total_by_pool", "total_by_root", "stats_by_root", "score_by_pool", "score_by_root"),
        "score",
    ]
