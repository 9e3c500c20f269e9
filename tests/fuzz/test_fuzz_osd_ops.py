"""Fuzz target: requests of clients whose operations are random, damaged, or mean harm.

Each is answered with a result; what is refused changes nothing; what is stored stays sound.
"""

from __future__ import annotations

import random

from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR
from spirula.store.objectstore import list_all
from spirula.types.hobject import NOSNAP, SNAPDIR
from spirula.types.object_info import ObjectInfo
from spirula.types.osd_op import TYPE_MASK, TYPE_PG, OpCode, OSDOp, RequestFlag
from spirula.types.snap import SnapContext, SnapSet
from tests.unit.osd.ops.memory_pg import POOL, MemoryPG
from tests.unit.osd.ops.scripts import drawn, written

SOUND = [op for script in written(POOL).values() for step in script for op in step.ops]
FLAGS = (0, 0, 1, 2, 3, 0xFFFF)


def _operation(draw: random.Random) -> OSDOp:
    kind = draw.random()
    if kind < 0.3:
        data = draw.randbytes(draw.choice((0, 1, 4, 8, 20, 100)))
        return OSDOp(
            int(draw.choice(list(OpCode))), draw.choice(FLAGS), draw.randbytes(28), 0, data
        )
    sound = draw.choice(SOUND)
    raw, data = bytearray(sound.raw), bytearray(sound.indata)
    if kind < 0.7:
        for _ in range(draw.randint(1, 4)):
            if data:
                data[draw.randrange(len(data))] = draw.choice((0, 1, 127, 255))
            raw[draw.randrange(28)] = draw.choice((0, 1, 255, draw.randrange(256)))
        if draw.random() < 0.3:
            del data[draw.randint(0, len(data)) :]
    return OSDOp(sound.op, draw.choice(FLAGS), bytes(raw), 0, bytes(data))


def _contents(pg: MemoryPG) -> dict[str, object]:
    found: dict[str, object] = {}
    for gh in list_all(pg.store, pg.coll):
        data, attrs = pg.store.read(pg.coll, gh), pg.store.getattrs(pg.coll, gh)
        found[str(gh)] = data, attrs, pg.store.omap_get(pg.coll, gh)
        info = ObjectInfo.decode(attrs[INFO_ATTR], exact=True)
        assert info.size == len(data)
        if gh.hobj.snap == NOSNAP:
            SnapSet.decode(attrs[SNAPSET_ATTR], exact=True)
    return found


def test_any_operation_is_answered(scale: int) -> None:
    for seed in range(150 * scale):
        draw, pg = random.Random(seed), MemoryPG()
        for step in drawn(seed)[:15]:
            pg.ask("x", *step.ops)
        before = _contents(pg)
        for _ in range(30):
            ops = [_operation(draw) for _ in range(draw.randint(1, 4))]
            if ops[0].op & TYPE_MASK == TYPE_PG:
                assert isinstance(pg.ask_pg(*ops).result, int), seed
                continue
            answer = pg.ask(
                draw.choice("xyz"),
                *ops,
                flags=draw.choice((0, int(RequestFlag.RETURNVEC), draw.getrandbits(28))),
                snap=draw.choice((NOSNAP, NOSNAP, SNAPDIR, 1, 2, draw.getrandbits(64))),
                snapc=draw.choice(
                    (None, SnapContext(5, [5, 3]), SnapContext(draw.getrandbits(64), [7]))
                ),
            )
            after = _contents(pg)
            if answer.result < 0:
                assert after == before, (seed, ops)
            before = after
