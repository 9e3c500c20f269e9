"""The store on disk behaves as every store has to: over twins in memory, and over RocksDB."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import deque
from queue import SimpleQueue

import pytest

from spirula.store.disk.medium import FolderMedium, MemoryMedium
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from tests.unit.store.conformance import PG, Conformance


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
        self.store.land(self.rng.choice([1, 1, 3]), apply=self.rng.random() < 0.5)
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
    return DiskBench(
        MemoryMedium(1 << 28), Options(log_new_below=(64 << 10) * (request.param == "log"))
    )


class TestDiskObjectStore(Conformance):
    pass


class FolderBench:
    """A store over RocksDB and a file, with its thread; a crash comes when it has nothing to do."""

    def __init__(self, path):
        self.number = 0
        self.path = path / "0"
        mkfs(self.path, size=1 << 28)
        self.dead = []
        self._mount()

    def _mount(self):
        self.calls = SimpleQueue()
        self.store = DiskObjectStore(FolderMedium(self.path), self.calls.put)
        self.store.mount()

    def land(self):
        told = []
        if not self.store.flush_commit(PG, told.append):
            while not told:
                self.calls.get(timeout=60)()

    def settle(self):
        for cid in [*self.store.list_collections(), PG]:
            told = []
            if not self.store.flush_commit(cid, told.append):
                while not told:
                    self.calls.get(timeout=60)()
        while not self.calls.empty():
            self.calls.get()()

    def crash(self):
        self.settle()
        self.number += 1
        left = self.path.with_name(str(self.number))
        copy = ["cp", "-r", "--sparse=always", self.path, left]
        while subprocess.run(copy, check=False, stderr=subprocess.DEVNULL).returncode:
            shutil.rmtree(left)  # the engine has removed a file meanwhile
        self.dead.append(self.store)
        self.path = left
        self._mount()

    def close(self):
        for store in [*self.dead, self.store]:
            store.umount()


@pytest.mark.slow
class TestDiskObjectStoreInAFolder(Conformance):
    @pytest.fixture
    def bench(self, tmp_path):
        made = FolderBench(tmp_path)
        yield made
        made.close()
