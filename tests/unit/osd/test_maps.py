"""An OSD's maps: taken, stored, asked for, trimmed, given to others."""

from __future__ import annotations

import pytest

from spirula.conf.config import Config
from spirula.conf.expand import Identity
from spirula.denc.features import PACIFIC
from spirula.errors import InvalidArgument, NotFound, WireError
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import OSDMap
from spirula.maps.simple import build_simple, everywhere_local
from spirula.maps.state import OSDMapFlag
from spirula.messages.osd_map import MOSDMap
from spirula.osd import purged_snaps
from spirula.osd.maps import Maps
from spirula.osd.mkfs import make_store
from spirula.osd.superblock import check_words, peek
from spirula.store.memory import MemoryObjectStore
from spirula.store.osd_meta import META, final_pool_object, inc_osdmap_object, osdmap_object
from spirula.types.base import UTime
from spirula.types.interval_set import IntervalSet
from spirula.types.pool import PGPool
from spirula.types.transaction import Transaction

FSID, OSD_FSID = bytes(range(16)), bytes(range(16, 32))


class Disk:
    """A store whose commits are called for."""

    def __init__(self):
        self.calls = []
        self.store = MemoryObjectStore(self.calls.append)
        make_store(self.store, cluster_fsid=FSID, osd_fsid=OSD_FSID, whoami=3)
        self.calls.clear()
        self.store.mount()

    def land(self):
        while self.calls:
            self.calls.pop(0)()


def config(**values):
    made = Config(Identity("osd", "3"), daemon=True)
    for name, value in values.items():
        made.set(name, str(value))
    made.start()
    return made


def history(count):
    """Maps of a cluster, and the encoded changes between them."""
    osdmap = build_simple(everywhere_local(4), UTime.at(1_600_000_000))
    osdmap.fsid, osdmap.epoch = FSID, 1
    osdmap = OSDMap.decode(osdmap.encode())
    maps, changes = {1: osdmap}, {}
    for epoch in range(2, count + 1):
        inc = pending_incremental(maps[epoch - 1])
        inc.new_flags = int(OSDMapFlag.NOSCRUB) if epoch % 2 else int(OSDMapFlag.SORTBITWISE)
        if epoch == 5:
            inc.new_pools[1] = PGPool(size=2, pg_num=8, pgp_num=8, crush_rule=0, type=1)
            inc.new_pool_names[1] = "rbd"
            inc.new_pool_max = 1
        if epoch == 9:
            inc.old_pools.add(1)
        inc.encode_features = PACIFIC
        made = apply_incremental(maps[epoch - 1], inc)
        made.encode(PACIFIC)
        inc.full_crc = made.crc
        maps[epoch], changes[epoch] = made, inc.encode()
    return maps, changes


def message(maps, changes, first, last, oldest=1, newest=0, full=()):
    made = MOSDMap(fsid=FSID, oldest_map=oldest, newest_map=newest or last)
    for epoch in range(first, last + 1):
        if epoch in full or epoch not in changes:
            made.maps[epoch] = maps[epoch].encode()
        else:
            made.incremental_maps[epoch] = changes[epoch]
    return made


@pytest.fixture
def disk():
    return Disk()


def test_maps_are_in_force_only_when_they_are_durable(disk):
    maps, changes = history(4)
    done = []
    mine = Maps.load(disk.store, 3, config())
    taken = mine.take(
        message(maps, changes, 1, 4), 0, lambda first, last, error: done.append((first, last))
    )
    assert (taken.first, taken.last, taken.ask_from) == (1, 4, 0)
    assert not done
    disk.land()
    assert done == [(1, 4)]
    assert mine.epoch == 0
    for epoch in range(1, 5):
        assert mine.advance(epoch).epoch == epoch
        assert mine.full(epoch) == maps[epoch].encode()
    assert mine.change(3) == changes[3]
    with pytest.raises(NotFound, match="epoch 9"):
        mine.get(9)
    again = Maps.load(disk.store, 3, config())
    assert (again.oldest, again.newest, again.epoch) == (1, 4, 4)
    assert again.get(2).flags == maps[2].flags
    assert disk.store.exists(META, osdmap_object(4))
    assert disk.store.exists(META, inc_osdmap_object(4))


def test_what_is_missing_is_asked_for(disk):
    maps, changes = history(12)
    mine = Maps.load(disk.store, 3, config())
    # A first map that does not reach back to where the sender begins: as many as there are.
    taken = mine.take(message(maps, changes, 8, 8, oldest=3, full={8}), 0, print)
    assert (taken.last, taken.ask_from, taken.force) == (0, 2, True)
    mine.take(message(maps, changes, 1, 4), 0, lambda *_: None)
    taken = mine.take(message(maps, changes, 7, 9), 0, print)
    assert (taken.last, taken.ask_from, taken.force) == (0, 5, False)
    # What is known already is no news.
    assert mine.take(message(maps, changes, 2, 4), 0, print).last == 0
    # Where the sender has none of those in between, the gap stays.
    taken = mine.take(message(maps, changes, 8, 9, oldest=8, full={8}), 0, lambda *_: None)
    assert (taken.first, taken.last) == (8, 9)
    assert mine.oldest == 8
    disk.land()
    assert not disk.store.exists(META, osdmap_object(2))
    broken = message(maps, changes, 10, 12)
    del broken.incremental_maps[11]
    with pytest.raises(WireError, match="without 11"):
        mine.take(broken, 0, print)
    assert mine.newest == 9


def test_a_change_that_leads_elsewhere_is_replaced_by_the_full_map(disk):
    maps, changes = history(6)
    mine = Maps.load(disk.store, 3, config())
    mine.take(message(maps, changes, 1, 2), 0, lambda *_: None)
    inc = pending_incremental(maps[3])
    inc.new_flags = 1
    inc.encode_features, inc.full_crc = PACIFIC, 12345
    taken = mine.take(message(maps, {**changes, 4: inc.encode()}, 3, 6), 0, lambda *_: None)
    assert (taken.first, taken.last, taken.ask_full) == (3, 3, (4, 6))
    assert mine.still_asked() == (4, 6)
    taken = mine.take(message(maps, changes, 4, 6, full={4, 5, 6}), 0, lambda *_: None)
    assert (taken.last, mine.still_asked()) == (6, None)


def test_others_get_what_they_lack_in_portions(disk):
    maps, changes = history(30)
    mine = Maps.load(disk.store, 3, config(osd_map_message_max=5, osd_map_share_max_epochs=10))
    mine.take(message(maps, changes, 1, 30), 0, lambda *_: None)
    mine.advance(30)
    found = mine.message(28)
    assert (list(found.incremental_maps), found.newest_map) == ([29, 30], 30)
    # Who is far behind is given the latest, and asks the monitors for the rest.
    assert list(mine.message(3).incremental_maps) == [21, 22, 23, 24, 25]
    mine.superblock.oldest_map = 10
    assert list(mine.message(3).maps) == [30]


def test_old_maps_are_trimmed_as_new_ones_come(disk):
    maps, changes = history(30)
    mine = Maps.load(disk.store, 3, config(osd_map_cache_size=4, osd_target_transaction_size=5))
    mine.take(message(maps, changes, 1, 20), 0, lambda *_: None)
    assert mine.oldest == 1
    mine.take(message(maps, changes, 21, 21, oldest=15), 0, lambda *_: None)
    assert mine.oldest == 6  # a few at a time
    mine.take(message(maps, changes, 22, 22, oldest=15), 0, lambda *_: None)
    mine.take(message(maps, changes, 23, 23, oldest=15), 0, lambda *_: None)
    assert mine.oldest == 15
    disk.land()
    assert not disk.store.exists(META, osdmap_object(14))
    assert disk.store.exists(META, osdmap_object(15))
    assert Maps.load(disk.store, 3, config()).oldest == 15


def test_the_superblock_tells_how_long_it_was_clean(disk):
    maps, changes = history(8)
    mine = Maps.load(disk.store, 3, config())
    mine.take(message(maps, changes, 1, 3), 0, lambda *_: None)
    assert (mine.superblock.mounted, mine.superblock.clean_thru) == (0, 0)
    mine.take(message(maps, changes, 4, 8), 3, lambda *_: None)
    assert (mine.superblock.mounted, mine.superblock.clean_thru) == (3, 8)


def test_changes_of_pools_are_written_down(disk):
    maps, changes = history(10)
    mine = Maps.load(disk.store, 3, config())
    mine.take(message(maps, changes, 1, 10), 0, lambda *_: None)
    disk.land()
    assert mine.history.pg_nums[1] == {5: 8}
    assert mine.history.deleted_pools == {(9, 1)}
    assert mine.history.epoch == 10
    kept = disk.store.read(META, final_pool_object(1))
    pool = maps[8].pools[1].encode()
    assert kept == pool + b"\3\0\0\0rbd" + bytes(4)
    assert Maps.load(disk.store, 3, config()).history == mine.history


def test_purged_snapshots_are_remembered_in_ranges(disk):
    def record(*changes):
        transaction = Transaction()
        purged_snaps.record(disk.store, transaction, changes)
        disk.store.queue_transactions(META, [transaction])

    record({1: IntervalSet([(1, 2)]), 2: IntervalSet([(7, 1)])})
    record({1: IntervalSet([(5, 1)])})
    assert list(purged_snaps.ranges_of(disk.store, 1)) == [(1, 2), (5, 1)]
    record({1: IntervalSet([(3, 2)])})
    assert list(purged_snaps.ranges_of(disk.store, 1)) == [(1, 5)]
    assert list(purged_snaps.ranges_of(disk.store, 2)) == [(7, 1)]
    assert not purged_snaps.ranges_of(disk.store, 12)


def test_a_store_is_one_osds(disk):
    words = peek(disk.store)
    assert words["whoami"] == "3"
    check_words(words, 3)
    with pytest.raises(InvalidArgument, match="OSD id 3 != my id 4"):
        check_words(words, 4)
    with pytest.raises(InvalidArgument, match="belongs to cluster"):
        check_words(words, 3, "11111111-0000-0000-0000-000000000000")
    disk.store.umount()
    make_store(disk.store, cluster_fsid=FSID, osd_fsid=OSD_FSID, whoami=3)  # once more is nothing
    with pytest.raises(InvalidArgument, match="provided osd id 4"):
        make_store(disk.store, cluster_fsid=FSID, osd_fsid=OSD_FSID, whoami=4)
    with pytest.raises(InvalidArgument, match="provided cluster fsid"):
        make_store(disk.store, cluster_fsid=OSD_FSID, osd_fsid=OSD_FSID, whoami=3)
    with pytest.raises(NotFound, match="--mkfs"):
        peek(MemoryObjectStore(print))
