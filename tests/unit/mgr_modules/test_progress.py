"""progress: which PGs an OSD's going moves, how far they are, what other modules tell of."""

from __future__ import annotations

import json
import random

import pytest

from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.placement import Placement
from spirula.mgr_modules.progress.events import Event, Everything, Moving, bar
from spirula.mgr_modules.progress.module import Progress, changed_osds, pgs_moved_by
from spirula.types.pg import PGId
from tests.unit.maps.randommaps import random_map
from tests.unit.mgr_modules.fake_host import FakeHost, run


@pytest.fixture
def host():
    return FakeHost(1000.0)


def out(osdmap, osd, weight=0):
    change = pending_incremental(osdmap)
    change.new_weight[osd] = weight
    return apply_incremental(osdmap, change)


def test_pgs_that_an_osds_going_moves_are_those_that_were_on_it():
    rng = random.Random(8)
    moved_at_all = 0
    for _ in range(4):
        osdmap = random_map(rng)
        inside = [osd for osd, weight in enumerate(osdmap.osd_weight) if weight]
        if not inside:
            continue
        osd = rng.choice(inside)
        after = out(osdmap, osd)
        assert changed_osds(osdmap, after) == [(osd, False)]
        old, new = Placement(osdmap), Placement(after)
        expected = set()
        for number, pool in osdmap.pools.items():
            for seed in range(pool.pg_num):
                pg = PGId(number, seed)
                was, now = (set(one.pg_to_up_acting_osds(pg).acting) for one in (old, new))
                if was != now and osd in was | now:
                    expected.add(str(pg))
        assert pgs_moved_by([osd], osdmap, after) == {osd: expected}
        assert changed_osds(after, out(after, osd, 0x8000)) == []
        assert changed_osds(after, out(after, osd, 0x10000)) == [(osd, True)]
        moved_at_all += len(expected)
    assert moved_at_all > 3


def document(states):
    """`pg_progress`: by PG its state, the epoch that it was reported in and what was recovered."""
    return {
        "pg_ready": True,
        "pgs": {
            name: {
                "state": state,
                "reported_epoch": epoch,
                "num_bytes": 100,
                "num_bytes_recovered": recovered,
            }
            for name, (state, epoch, recovered) in states.items()
        },
    }


CLEAN, BUSY = "active+clean", "active+remapped+backfilling"


def test_a_half_copied_pg_counts_as_half():
    moving = Moving("3", {"1.0", "1.1"}, epoch=5)
    first = {"1.0": (CLEAN, 4, 0), "1.1": (BUSY, 5, 50)}
    assert moving.read(document(first)) == 0.0
    assert moving.read(document({**first, "1.1": (BUSY, 6, 100)})) == 0.25
    assert moving.read(document({"1.0": (CLEAN, 6, 0), "1.1": (BUSY, 6, 900)})) < 1.0
    assert moving.read(document({"1.0": (CLEAN, 6, 0), "1.1": (CLEAN, 6, 150)})) == 1.0
    gone = Moving("3", {"1.0"}, epoch=5)
    gone.read(document({"1.0": (BUSY, 5, 0)}))
    assert gone.read(document({})) == 1.0


def test_pgs_that_were_clean_all_along_do_not_count_for_everything():
    gauge = Everything(epoch=5)
    states = {"1.0": (CLEAN, 3, 0), "1.1": (BUSY, 5, 0), "1.2": (BUSY, 5, 0)}
    assert gauge.read(document(states)) == 0.0
    assert gauge.read(document({**states, "1.1": (CLEAN, 6, 0)})) == 0.5
    assert gauge.read(document({**states, "1.1": (CLEAN, 6, 0), "1.2": (CLEAN, 6, 0)})) == 1.0


def test_bars_and_times_in_print():
    event = Event("a", "Moving", [], 0.0)
    assert event.two_lines(30.0).startswith("Moving (30s)\n    [....")
    event.progress = 0.25
    assert event.two_lines(30.0).endswith("(remaining: 90s)")
    assert bar(0.5) == "[" + "=" * 14 + "." * 14 + "]"


def test_other_modules_tell_of_what_they_do(host):
    module = Progress("progress", host)
    assert run(module, "progress") == (0, "", "Nothing in progress")
    module.update("a", "PG autoscaler", 0.1, [["pool", 1]], add_to_ceph_s=True)
    module.update("a", "PG autoscaler goes on", 0.5)
    text, fraction, shown = host.progress["a"]
    assert text.startswith("PG autoscaler goes on (0s)\n      [==")
    assert (fraction, shown) == (0.5, True)
    module.update("b", "doomed", 0.5)
    module.fail("b", "no reason")
    module.complete("a")
    module.complete("unknown")
    assert host.progress == {}
    assert "[Failed]: doomed" in run(module, "progress")[1]
    ended = json.loads(run(module, "progress json")[1])["completed"]
    assert [one["id"] for one in ended] == ["b", "a"]
    assert ended[0]["failure_message"] == "no reason"
    module._save()
    again = Progress("progress", host)
    again._load()
    assert [one.ident for one in again.ended] == ["b", "a"]
    assert run(module, "progress off")[2] == "progress disabled"
    module.update("c", "unseen", 0.5)
    assert json.loads(run(module, "progress json")[1]) == {"events": [], "completed": []}
    assert json.loads(host.store["completed"])["events"] == []


def test_only_so_many_ended_events_are_remembered(host):
    host.own_options["max_completed_events"] = 2
    module = Progress("progress", host)
    for number in range(4):
        module.update(str(number), "x", 0.0)
        module.complete(str(number))
    assert [one.ident for one in module.ended] == ["2", "3"]


@pytest.mark.parametrize("kept", ["{", '{"compat_version": 3, "events": []}', '{"events": [{}]}'])
def test_what_cannot_be_read_of_before_is_left(host, kept):
    host.store["completed"] = kept
    module = Progress("progress", host)
    module._load()
    assert module.ended == []
    assert "cannot be read" in host.lines[0]


def test_an_osd_that_goes_and_comes_back(host):
    rng = random.Random(3)
    osdmap = next(
        one
        for one in (random_map(rng) for _ in range(50))
        if sum(map(bool, one.osd_weight)) > 3 and pgs_moved_by([0], one, out(one, 0))[0]
    )
    module = Progress("progress", host)
    host.osdmap = osdmap
    module.osdmap = osdmap
    after = out(osdmap, 0)
    moved = pgs_moved_by([0], osdmap, after)[0]
    host.documents["pg_progress"] = document(dict.fromkeys(moved, (BUSY, after.epoch, 0)))
    host.osdmap = after
    module.look()
    shown = {one["message"] for one in json.loads(run(module, "progress json")[1])["events"]}
    assert shown == {"Rebalancing after osd.0 marked out", "Global Recovery Event"}
    host.osdmap = out(after, 0, 0x10000)
    clean = dict.fromkeys(moved, (CLEAN, host.osdmap.epoch, 0))
    host.documents["pg_progress"] = document(clean)
    module.look()
    ended = json.loads(run(module, "progress json")[1])
    assert ended["events"] == []
    assert "Rebalancing after osd.0 marked out" in {one["message"] for one in ended["completed"]}
    assert host.progress == {}
