"""What an operator is told of an OSD's store: free space, and its counters."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

from spirula.conf.admin_commands import CommandTable
from spirula.conf.perf import PerfCollection
from spirula.osd.commands import store as commands
from spirula.osd.perf import OSDPerf
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.store import DiskObjectStore
from spirula.store.memory import MemoryObjectStore
from tests.unit.store.conformance import PG, obj, txn

BLOCK = 4096


def ask(store, prefix):
    osd: Any = SimpleNamespace(store=store)
    table = CommandTable()
    commands.register(table, osd)
    return asyncio.run(table.execute(json.dumps({"prefix": prefix, "format": "json"})))


def disk_store():
    store = DiskObjectStore(MemoryMedium(1 << 24), lambda call: call(), threaded=False)
    store.mount()
    objects = [obj(str(number)) for number in range(4)]
    writes = [("write", PG, oid, 0, bytes(BLOCK)) for oid in objects]
    for steps in ([("create_collection", PG, 0), *writes], [("remove", PG, objects[1])]):
        store.queue_transactions(PG, [txn(*steps)])
        store._drain()
    store._state().give_back_reserve()
    return store


def test_free_space_is_shown_as_an_allocator_of_bluestore_shows_it():
    store = disk_store()
    dumped = json.loads(ask(store, "bluestore allocator dump block").output)
    extents = dumped.pop("extents")
    assert [int(extent["length"], 16) for extent in extents] == [BLOCK, (1 << 24) - 6 * BLOCK]
    assert extents[0]["offset"] == hex(3 * BLOCK)
    assert dumped == {
        "capacity": 1 << 24,
        "alloc_unit": BLOCK,
        "alloc_type": "spirula",
        "alloc_name": "block",
    }
    rated = json.loads(ask(store, "bluestore allocator fragmentation block").output)
    units = (1 << 24) // BLOCK - 5
    assert rated == {"fragmentation_rating": 1 / (units - 1)}
    rated = json.loads(ask(store, "bluestore allocator score block").output)
    assert 0 < rated["fragmentation_rating"] < 0.01
    memory = MemoryObjectStore(lambda call: call)
    assert "in memory" in ask(memory, "bluestore allocator score block").message


def test_what_a_store_counts_is_in_the_osd_s_counters():
    store, collection = disk_store(), PerfCollection()
    perf = OSDPerf(collection)
    for number in (0, 2, 3):  # what nobody has looked at is not in memory
        store.stat(PG, obj(str(number)))
    store._state().count("checksum_errors")
    store._state().count("read_errors", 2)
    perf.store.update(store.counters)
    assert (perf.store.read_eio.value, perf.store.onodes.value) == (3, 3)
    perf.store.update(MemoryObjectStore(lambda call: call).counters)
    assert perf.store.read_eio.value == 0
