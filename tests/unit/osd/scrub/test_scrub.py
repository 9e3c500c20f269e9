"""Scrubs of a PG of three OSDs: what was changed behind its back is found, and mended if it can be.

Everything crosses as messages; stores are in memory, so what is "rotten" is changed there.
"""

from __future__ import annotations

import pytest

from spirula.osd.scrub import schedule
from spirula.types.hobject import GHObject
from spirula.types.inconsistency import InconsistentObject, ObjectId
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction
from tests.unit.osd.pg.harness import (
    PGID,
    Client,
    Cluster,
    object_of,
    write_full,
)

_COLL = Coll.of(PGID)


class Scrubbed(Cluster):
    """A cluster that keeps what goes to the cluster log."""

    def __init__(self, osds=3):
        super().__init__(osds)
        self.lines = []
        for node in self.nodes:
            node.shared.services.clog = lambda level, text: self.lines.append((int(level), text))
        self.make_pg()

    def begin(self, *, deep=True, repair=False):
        pg = self.primary
        schedule.request(pg, deep=deep, repair=repair)
        schedule.tick(pg.shared, [pg], schedule.Load())
        return pg

    def scrub(self, *, deep=True, repair=False):
        """Scrubs from beginning to end; the lines that were logged."""
        self.lines.clear()
        pg = self.begin(deep=deep, repair=repair)
        assert pg.scrubber.run is not None
        self.finish()
        return [text for _, text in self.lines]

    def finish(self):
        for _ in range(20):
            self.settle()
            pg = self.primary
            if pg.scrubber.run is None and "recover" not in self.state:
                if not pg.scrubber.planned.must_scrub:
                    return
                schedule.tick(pg.shared, [pg], schedule.Load())
            self.clock.advance(0.5)
        raise AssertionError(f"the scrub does not end: {pg.scrubber.run} {self.state}")

    def change(self, osd, name, *steps):
        """Does something to one OSD's copy: (method of Transaction, arguments...)."""
        transaction = Transaction()
        for method, *args in steps:
            getattr(transaction, method)(_COLL, GHObject(object_of(name)), *args)
        self.nodes[osd].store.queue_transactions(_COLL, [transaction])
        self.settle()

    def everywhere(self, name):
        """All that each OSD has of an object."""
        found = []
        for node in self.nodes:
            gh = GHObject(object_of(name))
            store = node.store
            omap = store.omap_get(_COLL, gh)
            found.append((store.read(_COLL, gh), store.getattrs(_COLL, gh), omap))
        return found

    def listed(self):
        """What clients are told is inconsistent, by name."""
        found = self.primary.scrub_findings.objects(ObjectId(), 1000)
        return {(one := InconsistentObject.decode(raw)).object.name: one for raw in found}


@pytest.fixture
def cluster():
    made = Scrubbed()
    client = Client()
    for number in range(40):
        assert made.ask(client, f"o{number}", write_full(b"x" * (number * 100))).result == 0
    return made


DAMAGE = {
    "data": ("write", 0, b"ROT"),
    "longer": ("write", 5000, b"ROT"),
    "shorter": ("truncate", 1),
    "attribute": ("setattr", "_user", b"ROT"),
    "no info": ("rmattr", "_"),
    "bad info": ("setattr", "_", b"\xff\xff"),
    "no snapset": ("rmattr", "snapset"),
    "bad snapset": ("setattr", "snapset", b"\xff"),
    "omap": ("omap_setkeys", {"key": b"ROT"}),
    "omap header": ("omap_setheader", b"ROT"),
    "missing": ("remove",),
}


@pytest.mark.parametrize("osd", [0, 2])
@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damage_is_found_told_and_mended(cluster, osd, damage):
    before = cluster.everywhere("o5")
    cluster.change(osd, "o5", DAMAGE[damage])
    lines = cluster.scrub()
    assert lines[-1].startswith("1.0 deep-scrub ") and lines[-1].endswith(" errors")
    assert "inconsistent" in cluster.state
    assert cluster.primary.info.stats.stats.sum.num_scrub_errors
    assert list(cluster.listed()) == ["o5"]
    cluster.scrub(repair=True)
    assert cluster.everywhere("o5") == before
    assert cluster.state == "active+clean"
    assert cluster.scrub() == ["1.0 deep-scrub ok"]
