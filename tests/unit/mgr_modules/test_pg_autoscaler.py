"""The autoscaler: targets by what pools store or promise, what it changes, what it says first."""

from __future__ import annotations

import json
import random

import pytest

from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSDState, Release
from spirula.mgr_modules.pg_autoscaler.module import PGAutoscaler
from spirula.mgr_modules.pg_autoscaler.targets import (
    effective_target_ratio,
    find_subtrees,
    find_targets,
    nearest_power_of_two,
    root_of,
)
from spirula.types.pool import AutoscaleMode, PGPool, PoolFlag, PoolOpt, PoolType
from tests.unit.maps.balance.lopsided import lopsided_crush
from tests.unit.mgr_modules.fake_host import FakeHost, run

GIB = 1 << 30
CAPACITY = 100 * GIB


def make_map(pools, *, racks=2, hosts=2, osds=3):
    """A map of pools: name to fields of the pool; options by their names in small letters."""
    crush = lopsided_crush(random.Random(1), racks, hosts, osds)
    inc = pending_incremental(OSDMap())
    inc.new_require_osd_release = Release.PACIFIC
    inc.new_max_osd = crush.max_devices
    inc.crush = crush.encode()
    for osd in range(crush.max_devices):
        inc.new_state[osd] = int(OSDState.UP | OSDState.EXISTS)
        inc.new_weight[osd] = 0x10000
    for number, (name, fields) in enumerate(pools.items(), 1):
        told = {
            "size": 3,
            "pg_num": 32,
            "mode": AutoscaleMode.ON,
            "rule": 0,
            "bulk": False,
        } | fields
        pool = PGPool(type=PoolType.REPLICATED, size=told["size"], crush_rule=told["rule"])
        pool.pg_num = pool.pgp_num = pool.pg_num_target = pool.pgp_num_target = told["pg_num"]
        pool.pg_num_pending = told["pg_num"]
        pool.pg_autoscale_mode = told["mode"]
        pool.flags = int(PoolFlag.BULK) if told["bulk"] else 0
        for key, value in told.get("options", {}).items():
            pool.opts.opts[PoolOpt[key.upper()]] = value
        inc.new_pools[number] = pool
        inc.new_pool_names[number] = name
    return apply_incremental(OSDMap(), inc)


def targets_of(osdmap, stored, per_osd=100.0):
    capacities = dict.fromkeys(range(osdmap.max_osd), CAPACITY)
    subtrees, overlapping = find_subtrees(osdmap, capacities, per_osd)
    found = find_targets(osdmap, stored, subtrees, overlapping)
    return {one.pool_name: one for one in found}


@pytest.mark.parametrize(
    ("n", "power"),
    [(0, 0), (0.9, 0), (1, 1), (3, 4), (5, 4), (6, 8), (47.9, 32), (48, 64), (100, 128)],
)
def test_powers_of_two(n, power):
    assert nearest_power_of_two(n) == power


def test_ratios_share_what_is_not_promised_in_bytes():
    assert effective_target_ratio(1.0, 4.0, 0, 100) == 0.25
    assert effective_target_ratio(1.0, 0.0, 0, 100) == 1.0
    assert effective_target_ratio(2.0, 4.0, 50, 100) == 0.25
    assert effective_target_ratio(2.0, 4.0, 500, 100) == 0.0


def test_pools_get_pgs_by_what_they_store():
    osdmap = make_map({"large": {}, "small": {}, "other": {"mode": AutoscaleMode.WARN}})
    total = osdmap.max_osd * CAPACITY
    found = targets_of(osdmap, {1: total // 6, 2: 0, 3: total // 12})
    places = osdmap.max_osd * 100
    large = found["large"]
    assert large.capacity_ratio == pytest.approx(0.5)
    assert large.pg_num_final == nearest_power_of_two(places * large.capacity_ratio / 3)
    assert large.would_adjust
    assert (found["small"].pg_num_final, found["small"].would_adjust) == (32, False)
    assert not found["other"].would_adjust
    assert "it takes 50.0% of its OSDs; it will be changed" in large.explain()
    assert found["small"].explain() == (
        "pool 'small' has 32 PGs, as it should: it takes 0.0% of its OSDs"
    )


def test_bulk_pools_share_what_others_leave():
    osdmap = make_map({"meta": {}, "a": {"bulk": True}, "b": {"bulk": True}})
    total = osdmap.max_osd * CAPACITY
    found = targets_of(osdmap, {1: 0, 2: 0, 3: 0})
    assert found["a"].pg_num_final == found["b"].pg_num_final
    assert found["a"].pg_num_ideal == int(osdmap.max_osd * 100 / 2 / 3)
    # One that takes more than an even share gets what it takes, the other what is left of that.
    found = targets_of(osdmap, {1: 0, 2: total // 4, 3: 0})
    assert found["a"].capacity_ratio == pytest.approx(0.75)
    assert found["a"].pg_num_ideal > 2 * found["b"].pg_num_ideal
    assert "it is a bulk pool" in found["b"].explain()


def test_promises_bias_and_limits_count():
    osdmap = make_map(
        {
            "ratio": {"options": {"target_size_ratio": 0.5}},
            "bytes": {"options": {"target_size_bytes": 100 * GIB}},
            "index": {"options": {"pg_autoscale_bias": 4.0, "pg_num_min": 8}},
            "few": {"options": {"pg_num_max": 16, "target_size_ratio": 0.5}},
        }
    )
    found = targets_of(osdmap, dict.fromkeys((1, 2, 3, 4), GIB))
    assert found["ratio"].effective_target_ratio == found["few"].effective_target_ratio
    assert found["ratio"].effective_target_ratio == pytest.approx(
        0.5 * (1 - 300 / (osdmap.max_osd * 100))
    )
    assert found["bytes"].target_bytes == 100 * GIB
    assert found["index"].pg_num_final == 8
    assert found["few"].pg_num_final == 16
    assert "with a bias of 4" in found["index"].explain()
    assert "it is said to take" in found["ratio"].explain()
    assert "it is said to come to take" in found["bytes"].explain()


def test_pools_below_overlapping_roots_are_left_alone():
    osdmap = make_map({"whole": {"rule": 0}, "part": {"rule": 1}})
    rack = next(b.id for b in osdmap.crush.buckets if osdmap.crush.item_names[b.id] == "rack0")
    osdmap.crush.rules[1].steps[0].arg1 = rack
    assert root_of(osdmap.crush, 1) == rack
    subtrees, overlapping = find_subtrees(osdmap, {0: CAPACITY}, 100)
    assert overlapping == {rack, root_of(osdmap.crush, 0)}
    assert find_targets(osdmap, {1: 1, 2: 1}, subtrees, overlapping) == []


class Host(FakeHost):
    def __init__(self, osdmap, stored):
        super().__init__()
        self.osdmap = osdmap
        self.options["mon_target_pg_per_osd"] = 100
        stats = [{"osd": osd, "kb": CAPACITY >> 10} for osd in range(osdmap.max_osd)]
        self.documents["osd_stats"] = {"osd_stats": stats}
        self.documents["df"] = {
            "pools": [{"id": pool, "stats": {"stored": size}} for pool, size in stored.items()]
        }


def test_it_follows_its_target_and_says_so_first():
    osdmap = make_map({"data": {"pg_num": 8, "bulk": True}})
    host = Host(osdmap, {1: 0})
    told = []
    host.methods["progress", "update"] = lambda ident, **fields: told.append(fields)
    host.methods["progress", "complete"] = told.append
    module = PGAutoscaler("pg_autoscaler", host)
    (before,) = json.loads(run(module, "osd pool autoscale-status", format="json")[1])
    assert before["would_adjust"]
    assert "it will be changed" in run(module, "osd pool autoscale-explain")[1]
    assert host.sent == []
    module.adjust()
    final = before["pg_num_final"]
    change = {"prefix": "osd pool set", "pool": "data", "var": "pg_num", "val": str(final)}
    assert host.sent == [("mon", change)]
    assert any("it will be changed" in line for line in host.lines)
    assert told[0]["ev_msg"] == f"PG autoscaler increasing pool 1 PGs from 8 to {final}"
    # half of the way, then all of it
    pool = osdmap.pools[1]
    pool.pg_num_target, pool.pg_num = final, (8 + final) // 2
    module.report_progress()
    assert told[-1]["ev_progress"] == pytest.approx(0.5)
    pool.pg_num = final
    module.report_progress()
    assert isinstance(told[-1], str)
    host.sent.clear()
    module.adjust()
    assert host.sent == []


def test_it_warns_where_it_may_not_change():
    osdmap = make_map(
        {
            "few": {"mode": AutoscaleMode.WARN, "pg_num": 8},
            "many": {"mode": AutoscaleMode.WARN, "pg_num": 256},
            "right": {"mode": AutoscaleMode.WARN, "pg_num": 32},
            "both": {"options": {"target_size_ratio": 0.1, "target_size_bytes": 5}},
            "much": {"options": {"target_size_bytes": 10_000 * GIB, "pg_num_max": 32}},
        }
    )
    host = Host(osdmap, dict.fromkeys(range(1, 6), 0))
    module = PGAutoscaler("pg_autoscaler", host)
    module.adjust()
    assert {code: one["summary"] for code, one in host.checks.items()} == {
        "POOL_TOO_FEW_PGS": "1 pools have too few placement groups",
        "POOL_TOO_MANY_PGS": "1 pools have too many placement groups",
        "POOL_TARGET_SIZE_BYTES_OVERCOMMITTED": (
            "1 subtrees have overcommitted pool target_size_bytes"
        ),
        "POOL_HAS_TARGET_SIZE_BYTES_AND_RATIO": (
            "1 pools have both target_size_bytes and target_size_ratio set"
        ),
    }
    assert host.checks["POOL_TOO_FEW_PGS"]["detail"] == [
        "Pool few has 8 placement groups, should have 32"
    ]


def test_the_flag_turns_it_off_for_all_pools():
    osdmap = make_map({"a": {}, "b": {}})
    host = Host(osdmap, {1: 0, 2: 0})
    module = PGAutoscaler("pg_autoscaler", host)
    assert run(module, "osd pool get noautoscale")[2] == "noautoscale is off"
    assert run(module, "osd pool set noautoscale")[0] == 0
    assert [given for _, given in host.sent if given["prefix"] == "osd pool set"] == [
        {"prefix": "osd pool set", "pool": name, "var": "pg_autoscale_mode", "val": "off"}
        for name in ("a", "b")
    ]
    assert run(module, "osd pool set noautoscale")[2] == "noautoscale is already set!"
    assert "nothing is changed" in run(module, "osd pool autoscale-explain")[1]


def test_the_table_has_upstreams_columns():
    osdmap = make_map({"data": {"pg_num": 8, "bulk": True, "options": {"target_size_ratio": 0.5}}})
    module = PGAutoscaler("pg_autoscaler", Host(osdmap, {1: 3 * GIB}))
    heading, row = run(module, "osd pool autoscale-status")[1].splitlines()
    assert heading.split("  ")[0] == "POOL"
    assert heading.rstrip().endswith("BIAS  PG_NUM  NEW PG_NUM  AUTOSCALE  BULK")
    assert row.split()[:3] == ["data", "3072M", "3.0"]
