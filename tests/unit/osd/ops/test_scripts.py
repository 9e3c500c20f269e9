"""Requests in sequence: what is stored stays sound, and the counters count it.

What they are answered is compared with real OSDs in tests/interop/test_osd_ops_alike.py; here it is
compared with what those answered when it was recorded.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from spirula.kernels.crc32c import crc32c
from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR
from spirula.store.objectstore import list_all
from spirula.types.hobject import NOSNAP
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.snap import SnapSet
from tests.unit.osd.ops.memory_pg import POOL, MemoryPG
from tests.unit.osd.ops.scripts import Script, drawn, written

RECORDED = Path(__file__).parent / "recorded_answers.json"
WRITTEN = written(POOL)


def outline(pg: MemoryPG, script: Script) -> list[list[int]]:
    """Of each answer: result, version, codes, and checksums of what operations answered."""
    made = []
    for step in script:
        answer = pg.ask(step.name, *step.ops, flags=step.flags, snap=step.snap, snapc=step.snapc)
        sums = [zlib.crc32(data) for data in answer.data]
        made.append([answer.result, answer.user_version, *answer.rvals, *sums])
    return made


def check(pg: MemoryPG) -> None:
    """Objects agree with their infos and snapsets, and the counters with them."""
    count = clones = whiteouts = held = omaps = dirty = 0
    for gh in list_all(pg.store, pg.coll):
        attrs = pg.store.getattrs(pg.coll, gh)
        info = ObjectInfo.decode(attrs[INFO_ATTR], exact=True)
        data = pg.store.read(pg.coll, gh)
        assert info.soid == gh.hobj
        assert info.size == len(data)
        if info.flags & ObjectFlag.DATA_DIGEST:
            assert info.data_digest == crc32c(0xFFFFFFFF, data)
        header, entries = pg.store.omap_get(pg.coll, gh)
        assert info.flags & ObjectFlag.OMAP or not (header or entries)
        count += 1
        whiteouts += bool(info.flags & ObjectFlag.WHITEOUT)
        omaps += bool(info.flags & ObjectFlag.OMAP)
        dirty += bool(info.flags & ObjectFlag.DIRTY)
        if gh.hobj.snap == NOSNAP:
            snapset = SnapSet.decode(attrs[SNAPSET_ATTR], exact=True)
            held += info.size + sum(map(snapset.clone_bytes, snapset.clones))
            assert sorted(snapset.clones) == snapset.clones
            assert set(snapset.clone_snaps) == set(snapset.clones) == set(snapset.clone_overlap)
        else:
            clones += 1
    stats = pg.stats
    assert (stats.num_objects, stats.num_object_clones) == (count, clones)
    assert (stats.num_bytes, stats.num_whiteouts) == (held, whiteouts)
    assert (stats.num_objects_omap, stats.num_objects_dirty) == (omaps, dirty)


@pytest.mark.parametrize("name", WRITTEN)
def test_written_scripts(name: str) -> None:
    pg = MemoryPG()
    assert outline(pg, WRITTEN[name]) == json.loads(RECORDED.read_text())[name]
    check(pg)
    pg.forget()
    check(pg)


def test_drawn_scripts(scale: int) -> None:
    for seed in range(60 * scale):
        pg = MemoryPG()
        for number, step in enumerate(drawn(seed)):
            pg.ask(step.name, *step.ops, flags=step.flags, snap=step.snap, snapc=step.snapc)
            if number % 9 == 4:
                pg.forget()
        check(pg)


if __name__ == "__main__":
    # after tests/interop/test_osd_ops_alike.py has passed against a real cluster
    found = {name: outline(MemoryPG(), script) for name, script in WRITTEN.items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in found.items())
    RECORDED.write_text("{\n" + lines + "\n}\n")
