"""OSD maps shown in every way: `osdmaptool` and we print the same characters."""

from __future__ import annotations

import random
import shutil
import subprocess
from itertools import product

import pytest

from spirula.conf.formatter import render
from spirula.maps.dump.document import osdmap_document
from spirula.maps.dump.plain import print_osdmap
from spirula.maps.dump.tree import print_tree, tree_document
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSDMapFlag, Release
from spirula.types.base import UTime, local_time
from spirula.types.entity import AddrType, EntityAddr
from spirula.types.hit_set import BloomParams, HitSetParams
from spirula.types.interval_set import IntervalSet
from spirula.types.pool import PeeringCrushData, PoolFlag, PoolOpt, PoolSnapInfo
from tests.golden.osdmaps import recorded
from tests.interop.realcluster import ENVIRONMENT
from tests.unit.maps.randommaps import random_map

TOOL = shutil.which("osdmaptool", path=ENVIRONMENT["PATH"])
pytestmark = pytest.mark.skipif(TOOL is None, reason="no osdmaptool: install ceph-base")

FORMATS = ("json", "json-pretty", "xml", "xml-pretty")


def real(path, *words: str) -> str:
    done = subprocess.run(
        [str(TOOL), path, *words],
        env={**ENVIRONMENT, "TZ": "Asia/Kolkata"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def decorated(rng: random.Random) -> OSDMap:
    """A random map with something in every field that a dump shows."""
    osdmap = random_map(rng)
    osdmap.epoch = rng.randrange(1 << 31)
    osdmap.fsid = rng.randbytes(16)
    osdmap.created = UTime(rng.randrange(1 << 32), rng.randrange(10**9))
    osdmap.last_up_change = UTime(rng.randrange(1 << 20), rng.randrange(10**9))
    osdmap.flags = rng.getrandbits(23) & ~int(OSDMapFlag.NEARFULL | OSDMapFlag.FULL)
    osdmap.full_ratio, osdmap.nearfull_ratio = 0.95, rng.random()
    osdmap.require_min_compat_client = rng.choice(list(Release)[:17])
    osdmap.cluster_snapshot = rng.choice(["", 'before <upgrade> & "after"'])
    osdmap.cluster_snapshot_epoch = rng.choice([osdmap.epoch, 1])
    osdmap.blocklist = {EntityAddr.parse("1.2.3.4:0/7", AddrType.ANY): UTime(2 * 10**9, 1)}
    network = EntityAddr.parse("10.0.0.0:0/8").with_type(AddrType.CIDR)
    osdmap.range_blocklist = {network: UTime(2 * 10**9, 1)} if rng.random() < 0.5 else {}
    osdmap.erasure_code_profiles = {"b": {"m": "2", "k": "3"}, "a": {}}
    snaps = IntervalSet([(1, 3), (10, 1)])
    osdmap.removed_snaps_queue = {1: snaps, 3: IntervalSet([(5, 1)])}
    osdmap.new_removed_snaps, osdmap.new_purged_snaps = {1: snaps}, {2: snaps}
    osdmap.crush_node_flags = {-1: 0x700, 0: 0x200, -99: 0x800}
    osdmap.device_class_flags = {7: 0x900}
    osdmap.crush.device_classes = {0: 0}
    osdmap.crush.class_names = {0: "ssd"}
    osdmap.stretch_mode_enabled = rng.random() < 0.5
    osdmap.stretch_bucket_count, osdmap.stretch_mode_bucket = 2, -3
    for osd in range(osdmap.max_osd):
        osdmap.osd_state[osd] |= rng.getrandbits(13) & ~0x3
        for field in ("last_clean_begin", "last_clean_end", "up_thru", "lost_at"):
            setattr(osdmap.osd_info[osd], field, rng.choice([0, 5, 1 << 31]))
        xinfo = osdmap.osd_xinfo[osd]
        xinfo.laggy_probability, xinfo.features = rng.getrandbits(32), rng.getrandbits(64)
        osdmap.osd_uuid[osd] = rng.choice([bytes(16), rng.randbytes(16)])
    for number, pool in osdmap.pools.items():
        pool.flags |= rng.getrandbits(16) & ~int(PoolFlag.HASHPSPOOL)
        pool.snaps = {4: PoolSnapInfo(4, UTime(10**9, 9), "mon'day")} if number == 1 else {}
        pool.removed_snaps = snaps if number == 2 else IntervalSet()
        pool.tiers, pool.tier_of = rng.choice([(set(), -1), ({9, 11}, 2)])
        pool.cache_mode = rng.randrange(7)
        pool.hit_set_params = rng.choice(
            [HitSetParams(0), HitSetParams(1), HitSetParams(3, BloomParams(50_000, 10, 3))]
        )
        pool.hit_set_count, pool.hit_set_grade_decay_rate = rng.randrange(5), rng.randrange(100)
        pool.quota_max_bytes, pool.auid = rng.choice([0, 1 << 40]), rng.choice([0, 3])
        pool.last_force_op_resend = rng.choice([0, 8])
        pool.pg_num_target, pool.pgp_num_target, pool.pg_num_pending = 8, 8, 7
        pool.pg_autoscale_mode = rng.choice([0, 1, 2, 255])
        pool.fast_read, pool.expected_num_objects = rng.randrange(2), rng.choice([0, 10**6])
        pool.min_read_recency_for_promote = rng.randrange(2)
        pool.opts.opts = {
            int(PoolOpt.TARGET_SIZE_RATIO): 0.1,
            int(PoolOpt.PG_NUM_MIN): 4,
            int(PoolOpt.COMPRESSION_MODE): "force",
        }
        pool.application_metadata = rng.choice([{}, {"rgw": {"k": "<v>"}, "cephfs": {}}])
        if rng.random() < 0.3:
            pool.peering_crush_data = PeeringCrushData(2, 3, 4, -5)
    return osdmap


@pytest.fixture
def same_zone(monkeypatch):
    """Times are shown in the zone of the machine; half an hour off says more than UTC."""
    import time  # noqa: PLC0415 - only to make the change of the zone known

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    local_time.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    local_time.cache_clear()


def compare(path, osdmap: OSDMap, formats=FORMATS) -> None:
    for fmt in formats:
        assert render(osdmap_document(osdmap), fmt, "osdmap") == real(path, "--dump", fmt)
    assert print_osdmap(osdmap) == real(path, "--print")
    assert print_tree(osdmap) == real(path, "--tree=plain")
    assert render(tree_document(osdmap), "json", "tree") + "\n" == real(path, "--tree", "json")


@pytest.mark.usefixtures("same_zone")
def test_maps_of_a_real_cluster(tmp_path):
    _, fulls = recorded()
    for epoch in (1, 20, 70, max(fulls)):
        path = tmp_path / "map"
        path.write_bytes(fulls[epoch])
        compare(path, OSDMap.decode(fulls[epoch]))


@pytest.mark.usefixtures("same_zone")
def test_random_maps(tmp_path, scale):
    rng = random.Random(117)
    for turn in range(25 * scale):
        osdmap = decorated(rng)
        path = tmp_path / "map"
        path.write_bytes(osdmap.encode())
        compare(path, OSDMap.decode(path.read_bytes()), [FORMATS[turn % len(FORMATS)]])


def test_maps_that_need_a_newer_encoding_keep_their_bytes(tmp_path):
    """Stretch mode and blocked networks raise the version; what upstream wrote is written again."""
    rng = random.Random(3)
    network = EntityAddr.parse("10.0.0.0:0/8").with_type(AddrType.CIDR)
    for stretched, blocked in product((False, True), repeat=2):
        osdmap = decorated(rng)
        osdmap.stretch_mode_enabled = stretched
        osdmap.range_blocklist = {network: UTime(2 * 10**9, 1)} if blocked else {}
        path = tmp_path / "map"
        path.write_bytes(osdmap.encode())
        real(path, "--export-crush", str(tmp_path / "crush"))
        real(path, "--import-crush", str(tmp_path / "crush"))
        written = path.read_bytes()
        again = OSDMap.decode(written)
        assert again.stretch_mode_enabled == stretched
        assert again.range_blocklist == osdmap.range_blocklist
        assert again.encode() == written
