from __future__ import annotations

from queue import SimpleQueue

from spirula.store.disk import commit
from spirula.store.disk.idle import give_back_memory
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from tests.unit.store.conformance import PG, obj, txn


def test_memory_can_be_given_back():
    assert give_back_memory() in {True, False}


def test_a_store_that_has_nothing_to_do_gives_memory_back(monkeypatch):
    given, calls, told = SimpleQueue(), SimpleQueue(), []
    monkeypatch.setattr(commit, "IDLE_S", 0.001)
    monkeypatch.setattr(commit, "give_back_memory", lambda: given.put(True))
    store = DiskObjectStore(MemoryMedium(1 << 24), calls.put)
    store.mount()
    given.get(timeout=60)
    store.queue_transactions(PG, [txn(("create_collection", PG, 0))], None, told.append)
    while not told:
        calls.get(timeout=60)()
    given.get(timeout=60)
    while not calls.empty():
        calls.get()()
    assert given.empty()  # once: it does not wake up for that again
    store.umount()


def test_a_store_that_has_nothing_to_do_for_long_discards_what_was_freed(monkeypatch):
    calls, told, medium = SimpleQueue(), [], MemoryMedium(1 << 24)
    monkeypatch.setattr(commit, "IDLE_S", 0.01)
    store = DiskObjectStore(medium, calls.put, Options(discard_after_s=0.01))
    store.mount()
    steps = [("create_collection", PG, 0), ("write", PG, obj("a"), 0, b"a" * 20_000)]
    for made in (steps, [("remove", PG, obj("a"))]):
        store.queue_transactions(PG, [txn(*made)], None, told.append)
    while not medium.device.discarded:
        calls.get(timeout=60)()
    assert medium.device.discarded == 20_480
    store.umount()
