"""The store on disk behaves as every store has to: over twins in memory, and over RocksDB."""

from __future__ import annotations

import random
from collections import deque

import pytest

from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from tests.unit.store.conformance import Conformance


class DiskBench:
    """A store without a thread: groups land when told to, of as many entries as the seed says."""

    def __init__(self, medium, options=None, seed=0):
        self.rng = random.Random(seed)
        self.options = options
        self._mount(medium)

    def _mount(self, medium):
        self.medium = medium
        self.waiting = deque()
        self.store = DiskObjectStore(medium, self.waiting.append, self.options, threaded=False)
        self.store.mount()

    def land(self):
        self.store.land(self.rng.choice([1, 1, 3]))
        self._call()

    def _call(self):
        while self.waiting:
            self.waiting.popleft()()

    def settle(self):
        while self.store.land(self.rng.choice([1, 2, 50])):
            pass
        self._call()

    def crash(self):
        self._mount(self.medium.after_crash(self.rng, lambda left: self.rng.randint(0, left)))


@pytest.fixture(params=["log", "direct"])
def bench(request):
    return DiskBench(MemoryMedium(1 << 28), Options(log_new_blocks=request.param == "log"))


class TestDiskObjectStore(Conformance):
    pass
