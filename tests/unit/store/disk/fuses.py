"""A medium in memory whose power is cut at a chosen operation of its engine or its block device."""

from __future__ import annotations

from spirula.store.disk.journal import Journal
from spirula.store.disk.journaled import JournaledEngine, data_is_there
from spirula.store.disk.mark import CommitMark


class PowerCut(BaseException):
    """Raised out of the operation at which it happens: nobody may go on."""


class Fuse:
    """Blows at the operation number `left` from now on, before or after it; None: never."""

    def __init__(self, rng):
        self.rng = rng
        self.left = None
        self.blown = False

    def around(self, operation):
        def fused(*arguments):
            if self.blown:
                raise PowerCut
            if self.left is None:
                return operation(*arguments)
            self.left -= 1
            if self.left > 0:
                return operation(*arguments)
            self.blown = True
            if self.rng.random() < 0.5:
                operation(*arguments)
            raise PowerCut

        return fused


class _Fused:
    """Something whose named operations go through a fuse."""

    def __init__(self, inner, fuse, names):
        self._inner = inner
        for name in names:
            setattr(self, name, fuse.around(getattr(inner, name)))

    def __getattr__(self, name):
        return getattr(self._inner, name)


class FusedMedium:
    """A `MemoryMedium` behind a fuse, perhaps with a journal on a device of its own."""

    def __init__(self, medium, rng, journal=None):
        self.medium, self.rng, self.journal = medium, rng, journal
        self.fuse = Fuse(rng)

    def open(self, memory, *, read_only=False):
        opened = self.medium.open(memory, read_only=read_only)
        opened.device = _Fused(opened.device, self.fuse, ["write", "sync", "discard"])
        opened.mark = CommitMark(opened.device, opened.label.store)
        opened.engine = _Fused(opened.engine, self.fuse, ["write", "sync"])
        if self.journal is not None:
            try:
                device = _Fused(self.journal, self.fuse, ["write", "sync"])
                journal = Journal(device, opened.label.store)
                is_whole = data_is_there(opened.device, opened.mark.read())
                opened.engine = JournaledEngine(opened.engine, journal, is_whole)
            except PowerCut:
                opened.close()
                raise
        return opened

    def __getattr__(self, name):
        return getattr(self.medium, name)

    def after_crash(self):
        left = self.medium.after_crash(self.rng, lambda unsynced: self.rng.randint(0, unsynced))
        journal = None if self.journal is None else self.journal.after_crash(self.rng)
        return FusedMedium(left, self.rng, journal)
