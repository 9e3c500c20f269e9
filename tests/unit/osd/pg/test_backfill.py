"""Copies that the log cannot bring up to date are filled object by object, while clients write."""

from __future__ import annotations

import random

import pytest

from spirula.maps.state import OSDMapFlag
from spirula.messages.osd_peering import MOSDPGRemove
from spirula.messages.osd_recovery import MOSDPGPush
from spirula.osd.ops.context import INFO_ATTR
from spirula.osd.pg import stats
from spirula.types.hobject import GHObject
from spirula.types.osd_op import OpCode, OSDOp
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction
from tests.unit.osd.pg.harness import (
    PGID,
    Client,
    Cluster,
    append,
    delete,
    object_of,
    write,
    write_full,
)
from tests.unit.osd.pg.test_failures import check_alike


@pytest.fixture
def client():
    return Client()


def started(osds=4, size=3, **options):
    """A PG on the first OSDs, the others are new. A short log, and two objects in each scan."""
    cluster = Cluster(osds, size=size, min_size=1)
    settings = {
        "osd_backfill_scan_min": 2,
        "osd_backfill_scan_max": 2,
        "osd_min_pg_log_entries": 3,
        "osd_max_pg_log_entries": 3,
        "osd_pg_log_trim_min": 1,
        "osd_recovery_max_active": 2,
        **options,
    }
    cluster.more_options = settings
    for node in cluster.nodes:
        set_options(node, settings)
    cluster.new_map(up=list(range(size)))
    cluster.make_pg()
    return cluster


def set_options(node, settings):
    for name, value in settings.items():
        setattr(node.shared.options, name, value)


def fill(cluster, client, count=10):
    for number in range(count):
        cluster.ask(client, f"o{number}", write(b"%d" % number * (number + 1)))


def run_until(cluster, condition):
    for _ in range(20_000):
        if condition():
            return
        if cluster.step() or cluster.clock.run_due():
            continue
        if cluster.wanted_temp:
            wanted = cluster.wanted_temp[-1]
            cluster.wanted_temp.clear()
            cluster.new_map(acting=wanted or cluster.maps.mapping[cluster.maps.newest].up)
            continue
        cluster.new_map()
    raise AssertionError("it never happens")


def filled(cluster, osd):
    """Up to where an OSD has been filled."""
    pg = cluster.nodes[osd].pg
    return None if pg is None else pg.info.last_backfill


def is_half_filled(cluster, osd):
    last = filled(cluster, osd)
    return last is not None and not last.is_min and not last.max


def test_a_new_osd_is_filled_while_the_former_one_serves(client):
    cluster = started()
    fill(cluster, client)
    cluster.ask(client, "o3", OSDOp.make(OpCode.OMAPSETHEADER, None, b"header"))
    epoch = cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: cluster.maps.newest > epoch)
    assert cluster.maps.mapping[cluster.maps.newest].acting == [0, 1, 2]
    run_until(cluster, lambda: is_half_filled(cluster, 3))
    assert cluster.state == "active+remapped+backfilling"
    cluster.settle()
    assert cluster.maps.mapping[cluster.maps.newest].acting == [0, 1, 3]
    check_alike(cluster)


def test_who_does_not_serve_any_more_is_told_to_remove_its_copy(client):
    cluster = started()
    fill(cluster, client, 3)
    cluster.new_map(up=[0, 1, 3])
    removed = []
    step = cluster.post

    def post(sender, receiver, message):
        if isinstance(message, MOSDPGRemove):
            removed.append(receiver)
        step(sender, receiver, message)

    cluster.post = post
    cluster.settle()
    assert removed == [2]


def test_the_primary_itself_may_be_new(client):
    cluster = started()
    fill(cluster, client)
    cluster.new_map(up=[3, 1, 2])
    cluster.settle()
    assert cluster.primary.whoami.osd == 3
    check_alike(cluster)


def test_others_serve_at_its_end_at_once_however_much_was_written_meanwhile(client):
    cluster = started()
    fill(cluster, client)
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: is_half_filled(cluster, 3))
    for number in range(16):
        cluster.send(client, cluster.request(f"new{number}", append(b"meanwhile")))
        while cluster.step():
            pass
    cluster.settle()
    acting = [mapping.acting for mapping in cluster.maps.mapping.values()]
    assert acting[-1] == [0, 1, 3]
    assert all(len(each) == 3 for each in acting[1:])
    check_alike(cluster)


def test_several_are_filled_together_and_all_may_be_new(client):
    cluster = started(6)
    fill(cluster, client)
    cluster.new_map(up=[3, 4, 5])
    cluster.settle()
    assert cluster.maps.mapping[cluster.maps.newest].acting == [3, 4, 5]
    check_alike(cluster)


def test_a_copy_that_was_away_too_long_is_filled_anew_with_what_differs(client):
    cluster = started(3)
    fill(cluster, client)
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    cluster.ask(client, "o1", write_full(b"new"))
    cluster.ask(client, "o2", delete())
    cluster.ask(client, "another", write(b"one"))
    for _ in range(5):
        cluster.ask(client, "o4", append(b"more"))
    cluster.nodes[2].restart()
    set_options(cluster.nodes[2], cluster.more_options)
    pushed = []
    step = cluster.post

    def post(sender, receiver, message):
        if isinstance(message, MOSDPGPush):
            pushed.extend(push.soid.oid for push in message.pushes)
        step(sender, receiver, message)

    cluster.post = post
    cluster.new_map(up=[0, 1, 2])
    cluster.settle()
    check_alike(cluster)
    assert sorted(pushed) == ["another", "o1", "o4"]


def test_objects_that_are_gone_are_removed_where_they_still_are(client):
    cluster = started(3)
    fill(cluster, client)
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    for number in range(10):
        cluster.ask(client, f"o{number}", delete())
    cluster.ask(client, "last", write(b"x"))
    cluster.nodes[2].restart()
    cluster.new_map(up=[0, 1, 2])
    cluster.settle()
    check_alike(cluster)


def test_it_goes_on_where_it_was_when_a_new_interval_begins(client):
    cluster = started(5)
    fill(cluster, client, 20)
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: is_half_filled(cluster, 3))
    half = filled(cluster, 3)
    cluster.nodes[1].crash()
    cluster.new_map(up=[0, 2, 3], acting=[0, 2])
    run_until(cluster, lambda: filled(cluster, 3) != half)
    assert filled(cluster, 3) > half
    cluster.ask(client, "o1", append(b"meanwhile"))
    cluster.settle()
    assert filled(cluster, 3).max
    check_alike(cluster)


def test_what_was_filled_survives_a_crash_of_who_is_filled(client):
    cluster = started()
    fill(cluster, client, 20)
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: is_half_filled(cluster, 3) and not cluster.nodes[3].disk)
    half = filled(cluster, 3)
    cluster.nodes[3].crash()
    cluster.new_map(up=[0, 1], acting=[0, 1, 2])
    cluster.settle()
    cluster.ask(client, "o1", append(b"meanwhile"))
    cluster.ask(client, "o2", delete())
    cluster.nodes[3].restart()
    set_options(cluster.nodes[3], cluster.more_options)
    assert filled(cluster, 3) == half
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: cluster.nodes[3].pg.info.last_backfill != half)
    assert filled(cluster, 3) > half
    cluster.settle()
    cluster.ask(client, "end", write(b"so that all trim their logs"))
    check_alike(cluster)


def test_writes_wait_for_the_object_that_is_being_copied_and_no_other(client):
    cluster = started()
    fill(cluster, client)
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: cluster.primary.backfill.in_flight)
    copied = next(iter(cluster.primary.backfill.in_flight))
    cluster.send(client, cluster.request(copied.oid, append(b"!")))
    waits = cluster.primary.waiting.for_object
    assert list(waits) == [copied]
    last_started = cluster.primary.backfill.last_started
    other = next(f"o{n}" for n in range(10) if object_of(f"o{n}") > last_started)
    cluster.send(client, cluster.request(other, append(b"?")))
    assert list(waits) == [copied]
    cluster.settle()
    assert not waits
    assert cluster.stored(3, copied.oid).endswith(b"!")
    assert cluster.stored(3, other).endswith(b"?")
    check_alike(cluster)


def test_copying_waits_for_a_write_that_is_under_way_and_is_not_overtaken_by_others(client):
    cluster = started()
    fill(cluster, client)
    cluster.new_map(up=[0, 1, 3])
    names = sorted(object_of(f"o{n}") for n in range(10))
    first = names[0].oid
    run_until(cluster, lambda: cluster.primary.backfill.scanning)
    cluster.send(client, cluster.request(first, append(b"1")))
    while cluster.step(disks=False) or cluster.clock.run_due():
        pass
    assert cluster.primary.backfill.blocked == names[0]
    for _ in range(3):
        cluster.send(client, cluster.request(first, append(b"2")))
    assert len(cluster.primary.waiting.for_object[names[0]]) == 3
    cluster.settle()
    assert cluster.stored(3, first).endswith(b"1222")
    check_alike(cluster)


def test_who_is_filled_takes_only_the_log_of_writes_that_it_is_not_ready_for(client):
    cluster = started()
    fill(cluster, client)
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: is_half_filled(cluster, 3))
    last_started = cluster.primary.backfill.last_started
    later = max(object_of(f"o{n}") for n in range(10))
    assert later > last_started
    at = cluster.send(client, cluster.request(later.oid, write_full(b"new")))
    run_until(cluster, lambda: client.reply(at) is not None)
    target = cluster.nodes[3].pg
    assert target.log.entries[-1].soid == later
    if filled(cluster, 3) < later and later not in cluster.primary.backfill.in_flight:
        assert not cluster.nodes[3].store.exists(Coll.of(PGID), GHObject(later))
    cluster.settle()
    check_alike(cluster)


@pytest.mark.parametrize("what", ["info", "all"])
def test_what_the_primary_cannot_read_comes_from_another_copy(client, what):
    cluster = started()
    fill(cluster, client)
    bad, damage = GHObject(object_of("o3")), Transaction()
    if what == "info":
        damage.rmattr(Coll.of(PGID), bad, INFO_ATTR)
    else:
        damage.remove(Coll.of(PGID), bad)
        damage.touch(Coll.of(PGID), bad)
    cluster.nodes[0].store.queue_transactions(Coll.of(PGID), [damage])
    cluster.primary.objects.forget(object_of("o3"))
    cluster.new_map(up=[0, 1, 3])
    cluster.settle()
    assert cluster.stored(0, "o3") == cluster.stored(3, "o3") == b"3333"
    check_alike(cluster)


def test_statistics_are_exact_on_the_way_and_at_the_end(client):
    cluster = started()
    fill(cluster, client, 16)
    cluster.new_map(up=[0, 1, 3])
    seen = []

    def watch():
        pg = cluster.primary
        if pg.peering.backfill_targets and pg.is_active():
            total = pg.info.stats.stats.sum
            stats.calculate(pg)
            seen.append((total.num_objects_misplaced, total.num_objects_degraded))
        return cluster.state == "active+clean"

    run_until(cluster, watch)
    assert seen[0] == (16, 0)
    assert all(degraded == 0 for _, degraded in seen)
    falling = [misplaced for misplaced, _ in seen]
    assert falling == sorted(falling, reverse=True)
    total = cluster.primary.info.stats.stats.sum
    assert (total.num_objects, total.num_object_copies) == (16, 48)
    assert (total.num_objects_misplaced, total.num_objects_degraded) == (0, 0)
    check_alike(cluster)


@pytest.mark.parametrize("flag", [OSDMapFlag.NOBACKFILL, OSDMapFlag.NOREBALANCE])
def test_an_operator_can_hold_it_back(client, flag):
    cluster = started()
    fill(cluster, client)
    cluster.maps.current.flags |= flag
    cluster.new_map(up=[0, 1, 3])
    cluster.settle()
    assert cluster.maps.mapping[cluster.maps.newest].acting == [0, 1, 2]
    assert filled(cluster, 3).is_min
    cluster.maps.current.flags &= ~flag
    cluster.new_map()
    cluster.settle()
    check_alike(cluster)


def test_copies_that_are_lacking_are_made_also_when_nothing_is_to_be_rebalanced(client):
    cluster = started()
    fill(cluster, client)
    cluster.maps.current.flags |= OSDMapFlag.NOREBALANCE
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1, 3])
    cluster.wait()
    check_alike(cluster)


def test_an_osd_without_room_refuses_and_is_asked_again(client):
    cluster = started()
    fill(cluster, client)
    is_full = [True]
    cluster.nodes[3].shared.is_backfill_full = lambda extra: is_full[0]
    cluster.new_map(up=[0, 1, 3])
    cluster.settle()
    assert cluster.state == "active+remapped+backfill_toofull"
    cluster.clock.advance(31)
    cluster.settle()
    assert cluster.state == "active+remapped+backfill_toofull"
    is_full[0] = False
    cluster.clock.advance(31)
    cluster.settle()
    check_alike(cluster)


def test_an_osd_that_fills_up_on_the_way_stops_it_until_there_is_room(client):
    cluster = started(3)
    fill(cluster, client, 20)
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    for number in range(20):
        cluster.ask(client, f"o{number}", append(b"more"))
    cluster.nodes[2].restart()
    set_options(cluster.nodes[2], cluster.more_options)
    is_full = [False]
    cluster.nodes[2].shared.is_backfill_full = lambda extra: is_full[0]
    cluster.new_map(up=[0, 1, 2], acting=[0, 1])
    run_until(cluster, lambda: is_half_filled(cluster, 2))
    is_full[0] = True
    cluster.settle()
    assert "backfill_toofull" in cluster.state
    cluster.ask(client, "o7", append(b"meanwhile"))
    cluster.ask(client, "new", append(b"meanwhile"))
    is_full[0] = False
    cluster.clock.advance(31)
    cluster.settle()
    check_alike(cluster)


def test_room_is_set_aside_for_what_is_to_come(client):
    cluster = started()
    fill(cluster, client, 10)
    asked = []

    def is_full(extra):
        asked.append(extra)
        return False

    cluster.nodes[3].shared.is_backfill_full = is_full
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: bool(asked))
    total = cluster.primary.info.stats.stats.sum.num_bytes
    assert asked[0] == total
    run_until(cluster, lambda: is_half_filled(cluster, 3))
    room = cluster.nodes[3].pg.backfill.room
    assert 0 < room.reserved_bytes < total
    assert room.local_bytes == cluster.nodes[3].pg.info.stats.stats.sum.num_bytes
    cluster.settle()
    assert not cluster.nodes[3].pg.backfill.room.reserved_bytes


@pytest.mark.parametrize("seed", range(12))
def test_clients_write_all_the_while_and_osds_come_and_go(client, seed):
    rng = random.Random(seed)  # repeatable on purpose
    cluster = started(5)
    fill(cluster, client, 12)
    model = {f"o{n}": b"%d" % n * (n + 1) for n in range(12)}
    pending = []

    def act():
        name = f"o{rng.randrange(18)}"
        if rng.random() < 0.3:
            if name in model:
                pending.append(cluster.send(client, cluster.request(name, delete())))
                del model[name]
        else:
            data = b"%d" % rng.randrange(1000)
            pending.append(cluster.send(client, cluster.request(name, append(data))))
            model[name] = model.get(name, b"") + data

    for _ in range(4):
        up = rng.sample(range(5), 3)
        cluster.settle()
        cluster.new_map(up=up)
        for _ in range(rng.randrange(400)):
            if rng.random() < 0.1 and cluster.primary.is_active():
                act()
            if not cluster.step() and not cluster.clock.run_due():
                cluster.settle()
    cluster.settle()
    check_alike(cluster)
    assert all(client.reply(tid) is not None for tid in pending)
    for name, data in model.items():
        for osd in cluster.maps.mapping[cluster.maps.newest].acting:
            assert cluster.stored(osd, name) == data
    assert cluster.primary.info.stats.stats.sum.num_objects == len(model)
    assert cluster.primary.info.stats.stats.sum.num_bytes == sum(map(len, model.values()))


# ------------------------------------------------------------------- recovery in the background


def lagging(client, writes=12):
    """The third OSD was away while a dozen objects changed; the log still tells all of it."""
    cluster = started(3, osd_min_pg_log_entries=100, osd_max_pg_log_entries=100)
    cluster.pool.min_size = 2
    for node in cluster.nodes:
        node.shared.options.osd_async_recovery_min_cost = 5
    fill(cluster, client, writes)
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    for number in range(writes):
        cluster.ask(client, f"o{number}", append(b"missed"))
    cluster.nodes[2].restart()
    set_options(cluster.nodes[2], cluster.more_options)
    cluster.new_map(up=[0, 1, 2])
    return cluster


def test_who_lacks_much_does_not_serve_until_it_has_it(client):
    cluster = lagging(client)
    run_until(cluster, lambda: cluster.primary.peering.async_recovery_targets)
    assert cluster.maps.mapping[cluster.maps.newest].acting == [0, 1]
    cluster.settle()
    assert cluster.maps.mapping[cluster.maps.newest].acting == [0, 1, 2]
    check_alike(cluster)


def test_clients_do_not_wait_for_it(client):
    cluster = lagging(client)
    run_until(cluster, lambda: cluster.primary.peering.async_recovery_targets)
    run_until(cluster, cluster.primary.is_active)
    pg = cluster.primary
    (target,) = pg.peering.async_recovery_targets
    lacks = pg.peering.peer_missing[target].missing
    free = next(hoid for hoid in reversed(lacks) if hoid not in pg.recovery.moving)
    before = lacks[free].need
    tid = cluster.send(client, cluster.request(free.oid, append(b"at once")))
    run_until(cluster, lambda: client.reply(tid) is not None)
    assert client.reply(tid).result == 0
    cluster.settle()
    assert before < cluster.primary.info.last_update
    assert cluster.stored(2, free.oid).endswith(b"missedat once")
    check_alike(cluster)


@pytest.mark.parametrize("seed", range(8))
def test_clients_change_and_delete_what_is_recovered_in_the_background(client, seed):
    rng = random.Random(seed)  # repeatable on purpose
    cluster = lagging(client)
    model = {f"o{n}": b"%d" % n * (n + 1) + b"missed" for n in range(12)}
    run_until(cluster, cluster.primary.is_active)
    pending = []
    for _ in range(40):
        name = f"o{rng.randrange(14)}"
        if rng.random() < 0.3 and name in model:
            pending.append(cluster.send(client, cluster.request(name, delete())))
            del model[name]
        else:
            data = b"%d" % rng.randrange(1000)
            pending.append(cluster.send(client, cluster.request(name, append(data))))
            model[name] = model.get(name, b"") + data
        for _ in range(rng.randrange(12)):
            if not cluster.step():
                cluster.clock.run_due()
    cluster.settle()
    check_alike(cluster)
    assert all(client.reply(tid) is not None for tid in pending)
    for name, data in model.items():
        assert [cluster.stored(osd, name) for osd in range(3)] == [data] * 3
    assert cluster.primary.info.stats.stats.sum.num_objects == len(model)


# ------------------------------------------------------------------------------ stopped on the way


@pytest.mark.parametrize("event", ["backfill_revoked", "defer_backfill"])
@pytest.mark.parametrize("steps", [0, 3, 11])
def test_a_slot_that_is_taken_back_only_delays_it(client, event, steps):
    cluster = started()
    fill(cluster, client)
    cluster.new_map(up=[0, 1, 3])
    run_until(cluster, lambda: cluster.primary.backfill.in_flight)
    for _ in range(steps):
        cluster.step()
    copied = min(object_of(f"o{n}") for n in range(10))
    tid = cluster.send(client, cluster.request(copied.oid, append(b"!")))
    cluster.primary.post(event, 1.0)
    cluster.settle()
    cluster.clock.advance(5)
    cluster.settle()
    assert client.reply(tid).result == 0
    assert not cluster.primary.shared.recoveries.active
    check_alike(cluster)


def test_what_nobody_can_read_stops_it_and_is_told(client):
    cluster = started()
    fill(cluster, client)
    for osd in (0, 1, 2):
        damage = Transaction()
        damage.rmattr(Coll.of(PGID), GHObject(object_of("o3")), INFO_ATTR)
        cluster.nodes[osd].store.queue_transactions(Coll.of(PGID), [damage])
        cluster.nodes[osd].pg.objects.forget(object_of("o3"))
    cluster.new_map(up=[0, 1, 3])
    cluster.settle()
    assert "backfill_unfound" in cluster.state
    assert cluster.maps.mapping[cluster.maps.newest].acting == [0, 1, 2]
    assert cluster.ask(client, "o4", append(b"!")).result == 0
