"""Groups of a store whose writers are elsewhere: whom the commit thread waits for, and how long."""

from __future__ import annotations

from itertools import count
from queue import SimpleQueue

import pytest

from spirula.store.disk import commit
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from tests.unit.store.conformance import PG, obj, txn

LONG_S = 60.0


class World:
    """A store with its thread, and how many groups it made of what was queued."""

    def __init__(self, gather_s):
        self.calls, self.told = SimpleQueue(), []
        options = Options(waits_for_writers=False, gather_s=gather_s)
        self.store = DiskObjectStore(MemoryMedium(1 << 26), self.calls.put, options)
        self.store.mount()
        self.commits = self.store._mounted.commits
        self.queue(("create_collection", PG, 0))
        self.settle(1)

    def queue(self, *steps):
        self.store.queue_transactions(PG, [txn(*steps)], None, self.told.append)

    def write(self, name, size=4096):
        self.queue(("write", PG, obj(name), 0, b"x" * size))

    def had(self, writers):
        """The last group had so many; how many groups there were."""
        self.commits.drain()  # the thread has done all that comes behind a group
        self.commits._writers = writers
        return self.commits.groups

    def settle(self, number):
        """Wait until so many were told since the start."""
        while len(self.told) < number:
            self.calls.get(timeout=LONG_S / 2)()
        assert self.told == [None] * number


@pytest.fixture
def world(monkeypatch, request):
    # each commit seems to take as long as that
    monkeypatch.setattr(commit, "monotonic", count(step=1000.0).__next__)
    made = World(request.param)
    yield made
    made.store.umount()


@pytest.mark.parametrize("world", [LONG_S], indirect=True)
def test_a_group_waits_for_as_many_as_the_last_one_had(world):
    before = world.had(3)
    for name in ("a", "b", "c"):
        assert len(world.told) == 1
        world.write(name)
    world.settle(4)
    assert world.commits.groups == before + 1


@pytest.mark.parametrize("world", [LONG_S], indirect=True)
def test_one_writer_alone_never_waits(world):
    for number, name in enumerate("abc"):
        world.write(name)
        world.settle(2 + number)


@pytest.mark.parametrize("world", [LONG_S], indirect=True)
def test_a_large_write_does_not_wait(world):
    world.had(3)
    world.write("a", 1 << 20)
    world.settle(2)


@pytest.mark.parametrize("world", [0.001], indirect=True)
def test_nobody_waits_for_those_who_do_not_come_for_long(world):
    world.had(3)
    world.write("a")
    world.settle(2)
    world.had(2)
    for name in ("b", "c"):
        world.write(name)
    world.settle(4)
