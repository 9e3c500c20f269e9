"""Clients that do at random what clients do to objects, each with a model of its objects beside it.

A client works on objects of its own, so that its model says exactly what is there. Drives any
cluster through our objecter: a real one (which judges the model), ours, and simulated ones.
"""

from __future__ import annotations

import asyncio
import random
from copy import deepcopy
from dataclasses import dataclass, field
from errno import EEXIST, ENODATA, ENOENT

from spirula.client.objecter.objecter import Objecter, Outcome
from spirula.messages.mon_client import (
    POOL_OP_CREATE_UNMANAGED_SNAP,
    POOL_OP_DELETE_UNMANAGED_SNAP,
)
from spirula.types.hobject import NOSNAP
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import (
    CmpXattrMode,
    CmpXattrOp,
    CopyFromArgs,
    Extent,
    OpCode,
    OSDOp,
    SnapArgs,
)
from spirula.types.osd_op_payload import (
    CopyFromInput,
    OmapEntries,
    OmapGetValsInput,
    OmapGetValsReply,
    OmapKeys,
    OmapRmKeyRangeInput,
    StatReply,
)
from spirula.types.snap import SnapContext

SIZES = (1, 10, 700, 4096, 5000, 65536, 70_000)
MAX_SIZE = 300_000
ECANCELED = 125


@dataclass
class Model:
    """What an object holds."""

    data: bytearray = field(default_factory=bytearray)
    attrs: dict[str, bytes] = field(default_factory=dict)
    omap: dict[str, bytes] = field(default_factory=dict)
    header: bytes = b""

    def put(self, offset: int, data: bytes) -> None:
        self.resize(max(len(self.data), offset + len(data)))
        self.data[offset : offset + len(data)] = data

    def resize(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))


@dataclass
class Named:
    """An object through time: its head, and what it was when snapshots were made."""

    name: str
    head: Model | None = None
    at: dict[int, Model | None] = field(default_factory=dict)


class ModelClient:
    """One client. `monitors` is what makes snapshot ids (a `MonClient`); without, no snapshots.

    `copies`: whether objects are copied from others, of which the OSD reads; `omap_ranges`: whether
    ranges of omap keys are removed. `sizes` are those of what is written, and `max_size` bounds an
    object.
    """

    def __init__(
        self,
        objecter: Objecter,
        locator: ObjectLocator,
        rng: random.Random,
        name: str,
        *,
        objects: int = 5,
        monitors=None,
        copies: bool = True,
        omap_ranges: bool = True,
        sizes: tuple[int, ...] = SIZES,
        max_size: int = MAX_SIZE,
    ) -> None:
        self.sizes = sizes
        self.max_size = max_size
        self.objecter = objecter
        self.locator = locator
        self.rng = rng
        self.monitors = monitors
        self.copies = copies
        self.omap_ranges = omap_ranges
        self.objects = [Named(f"{name} object {n}") for n in range(objects)]
        self.snaps: list[int] = []
        self.snap_seq = 0
        self.done = 0
        self.log: list[str] = []

    # --- what it does ---

    async def run(self, steps: int) -> None:
        """So many steps, one after another."""
        for _ in range(steps):
            await self.step()

    async def step(self) -> None:
        """Change something, or look at something."""
        kind = self.rng.random()
        if self.monitors is not None and kind < 0.04:
            await self._make_snapshot()
        elif self.monitors is not None and kind < 0.05 and self.snaps:
            await self._remove_snapshot()
        elif kind < 0.2:
            await self.check_object(self.rng.choice(self.objects))
        else:
            await self._change(self.rng.choice(self.objects))
        self.done += 1

    async def check(self) -> None:
        """Everything is as the model says."""
        for named in self.objects:
            await self.check_object(named)
            for snap in self.snaps:
                await self.check_snapshot(named, snap)

    async def _ask(self, named: Named, ops: list[OSDOp], snap: int = NOSNAP) -> Outcome:
        snapc = SnapContext(self.snap_seq, self.snaps[::-1]) if self.snap_seq else None
        self.log.append(f"{named.name}: {', '.join(map(str, ops))}")
        operate = self.objecter.operate
        return await operate(named.name, self.locator, ops, snap=snap, snapc=snapc)

    # --- changes ---

    async def _change(self, named: Named) -> None:
        after = deepcopy(named.head)
        choose = self.rng.random
        if after is None:
            await self._bring(named)
            return
        if choose() < 0.04:
            await self._expect(named, [OSDOp.make(OpCode.DELETE)], 0, None)
        elif choose() < 0.05:
            await self._fail(named, after)
        elif choose() < 0.06 and self.snaps:
            await self._roll_back(named)
        elif self.copies and choose() < 0.06:
            await self._copy(named)
        else:
            ops = [self._some_op(after) for _ in range(self.rng.choice((1, 1, 1, 2, 3, 5)))]
            await self._expect(named, ops, 0, after)

    async def _bring(self, named: Named) -> None:
        """The object is not there: reads find nothing, a deletion either, a write makes it."""
        if self.rng.random() < 0.2:
            await self._expect(named, [OSDOp.make(OpCode.DELETE)], -ENOENT, None)
            return
        after = Model()
        create = OSDOp.make(OpCode.CREATE, flags=1)
        ops = [create] if self.rng.random() < 0.3 else []
        ops += [self._some_op(after, fresh=not ops) for _ in range(self.rng.choice((1, 2)))]
        await self._expect(named, ops, 0, after)

    async def _fail(self, named: Named, head: Model) -> None:
        """Of operations together, one is refused: nothing of it happens."""
        refused = self.rng.choice(
            [
                (OSDOp.make(OpCode.CREATE, flags=1), -EEXIST),
                (OSDOp.xattr(OpCode.CMPXATTR, "guard", b"x", *_EQUAL), -ECANCELED),
                (OSDOp.xattr(OpCode.GETXATTR, "never set"), -ENODATA),
            ]
        )
        ops = [self._some_op(deepcopy(head)), refused[0]]
        await self._expect(named, ops, refused[1], head)

    async def _roll_back(self, named: Named) -> None:
        snap = self.rng.choice(self.snaps)
        was = deepcopy(named.at.get(snap, named.head))
        op = OSDOp.make(OpCode.ROLLBACK, SnapArgs(snap))
        await self._expect(named, [op], 0, was)

    async def _copy(self, named: Named) -> None:
        source = self.rng.choice(self.objects)
        if source.head is None or source is named:
            return
        told = CopyFromInput(source.name, self.locator).encode()
        op = OSDOp.make(OpCode.COPY_FROM, CopyFromArgs(NOSNAP), told)
        await self._expect(named, [op], 0, deepcopy(source.head))

    async def _expect(
        self, named: Named, ops: list[OSDOp], result: int, after: Model | None
    ) -> None:
        outcome = await self._ask(named, ops)
        assert outcome.result == result, (self.log[-5:], outcome, result)
        named.head = after

    def _some_op(self, model: Model, *, fresh: bool = False) -> OSDOp:
        """An operation, done to the model as well. `fresh`: one that makes an object."""
        rng = self.rng
        makers = [self._write, self._write, self._write_full, self._append, self._set_attr]
        makers += [self._set_omap, self._set_header]
        if not fresh:
            makers += [self._truncate, self._zero, self._rm_attr, self._rm_omap, self._clear_omap]
            makers += [self._rm_omap_range] if self.omap_ranges else []
            makers += [self._write]
        return rng.choice(makers)(model)

    def _bytes(self) -> bytes:
        size = self.rng.choice(self.sizes)
        return self.rng.randbytes(min(size, 64)) * -(-size // 64)

    def _offset(self, model: Model) -> int:
        aligned = self.rng.randrange(0, self.max_size // 4096) * 4096
        return self.rng.choice((0, aligned, self.rng.randrange(len(model.data) + 1)))

    def _write(self, model: Model) -> OSDOp:
        offset, data = self._offset(model), self._bytes()
        model.put(offset, data)
        return OSDOp.make(OpCode.WRITE, Extent(offset, len(data)), data)

    def _write_full(self, model: Model) -> OSDOp:
        data = self._bytes()
        model.data = bytearray(data)
        return OSDOp.make(OpCode.WRITEFULL, Extent(0, len(data)), data)

    def _append(self, model: Model) -> OSDOp:
        data = self._bytes()
        model.put(len(model.data), data)
        return OSDOp.make(OpCode.APPEND, Extent(0, len(data)), data)

    def _truncate(self, model: Model) -> OSDOp:
        size = self.rng.randrange(self.max_size)
        model.resize(size)
        return OSDOp.make(OpCode.TRUNCATE, Extent(size))

    def _zero(self, model: Model) -> OSDOp:
        offset, length = self._offset(model), self.rng.choice((1, 4096, 50_000))
        size, end = len(model.data), offset + length
        if end >= size:
            model.resize(min(size, offset))  # zeros up to the end are a truncation
        else:
            model.data[offset:end] = bytes(length)
        return OSDOp.make(OpCode.ZERO, Extent(offset, length))

    def _key(self) -> str:
        return f"key {self.rng.randrange(20):02}"

    def _set_attr(self, model: Model) -> OSDOp:
        name, value = self._key(), self._bytes()[:5000]
        model.attrs[name] = value
        return OSDOp.xattr(OpCode.SETXATTR, name, value)

    def _rm_attr(self, model: Model) -> OSDOp:
        if not model.attrs:
            return self._set_attr(model)
        name = self.rng.choice(sorted(model.attrs))
        del model.attrs[name]
        return OSDOp.xattr(OpCode.RMXATTR, name)

    def _set_omap(self, model: Model) -> OSDOp:
        entries = {self._key(): self._bytes()[:700] for _ in range(self.rng.randrange(1, 6))}
        model.omap |= entries
        return OSDOp.make(OpCode.OMAPSETVALS, None, OmapEntries(entries).encode())

    def _rm_omap(self, model: Model) -> OSDOp:
        keys = {self._key() for _ in range(3)}
        for key in keys:
            model.omap.pop(key, None)
        return OSDOp.make(OpCode.OMAPRMKEYS, None, OmapKeys(keys).encode())

    def _rm_omap_range(self, model: Model) -> OSDOp:
        first, end = sorted((self._key(), self._key()))
        model.omap = {key: model.omap[key] for key in model.omap if not first <= key < end}
        told = OmapRmKeyRangeInput(first, end).encode()
        return OSDOp.make(OpCode.OMAPRMKEYRANGE, None, told)

    def _clear_omap(self, model: Model) -> OSDOp:
        model.omap, model.header = {}, b""
        return OSDOp.make(OpCode.OMAPCLEAR)

    def _set_header(self, model: Model) -> OSDOp:
        model.header = self._bytes()[:300]
        return OSDOp.make(OpCode.OMAPSETHEADER, None, model.header)

    # --- snapshots ---

    async def _make_snapshot(self) -> None:
        pool = self.locator.pool
        answer, _ = await self.monitors.pool_op(POOL_OP_CREATE_UNMANAGED_SNAP, pool)
        snap = int.from_bytes(answer[:8], "little")
        self.snaps.append(snap)
        self.snap_seq = snap
        for named in self.objects:
            named.at[snap] = deepcopy(named.head)

    async def _remove_snapshot(self) -> None:
        snap = self.rng.choice(self.snaps)
        self.snaps.remove(snap)
        for named in self.objects:
            named.at.pop(snap, None)
        pool = self.locator.pool
        _, epoch = await self.monitors.pool_op(POOL_OP_DELETE_UNMANAGED_SNAP, pool, snapid=snap)
        await self.objecter.wait_for_map(epoch)

    # --- looking ---

    async def check_object(self, named: Named) -> None:
        """The head is as the model says."""
        await self._check(named, named.head, NOSNAP)

    async def check_snapshot(self, named: Named, snap: int) -> None:
        """The object at a snapshot is what it was then."""
        await self._check(named, named.at.get(snap), snap)

    async def _check(self, named: Named, model: Model | None, snap: int) -> None:
        everything = OmapGetValsInput("", 1000).encode()
        ops = [
            OSDOp.make(OpCode.STAT),
            OSDOp.make(OpCode.READ, Extent(0, 2 * self.max_size)),
            OSDOp.make(OpCode.GETXATTRS),
            OSDOp.make(OpCode.OMAPGETVALS, None, everything),
            OSDOp.make(OpCode.OMAPGETHEADER),
        ]
        outcome = await self._ask(named, ops, snap)
        mine = [line for line in self.log if line.startswith(named.name)]
        where = f"{named.name} at {snap:#x}, after {mine[-8:]}"
        if model is None:
            assert outcome.result == -ENOENT, where
            return
        assert outcome.result >= 0, (where, outcome.result)
        stat, data, attrs, omap, header = (bytes(op.outdata) for op in outcome.ops)
        size = StatReply.decode(stat).size
        assert size == len(model.data), f"{size} bytes, not {len(model.data)}: {where}"
        if data != model.data:
            pairs = zip(data, model.data, strict=False)
            wrong = next((n for n, (a, b) in enumerate(pairs) if a != b), "its end")
            raise AssertionError(f"data differ at {wrong}: {where}")
        assert OmapEntries.decode(attrs).entries == model.attrs, where
        found = OmapGetValsReply.decode(omap).entries
        wrong = sorted(key for key in found | model.omap if found.get(key) != model.omap.get(key))
        assert not wrong, f"keys {wrong} are not among {sorted(model.omap)}: {where}"
        assert header == model.header, where


_EQUAL = (CmpXattrOp.EQ, CmpXattrMode.STRING)


async def run_clients(clients: list[ModelClient], steps: int) -> None:
    """All of them at once; then everything has to be as their models say."""
    await asyncio.gather(*(client.run(steps) for client in clients))
    for client in clients:
        await client.check()
