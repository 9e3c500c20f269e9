"""Large objects as many small ones: what upstream's libradosstriper does, for asyncio.

    striper = Striper(ioctx)
    await striper.write("film", data)

The objects of `film` are `film.0000000000000000` and so on. The first has its layout and size as
attributes, and a lock that readers and writers share and `truncate` and `remove` have alone. As
upstream's, no operation is atomic: who reads during a write may see zeros. Formats and order of
steps: upstream `src/libradosstriper/RadosStriperImpl.cc`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from errno import ECANCELED, EINVAL, ENOENT
from typing import TypeVar

from spirula.client.striper import (
    MIN_STRIPE_UNIT,
    Layout,
    ObjectExtent,
    content_to_objects,
    object_count,
    object_size_at,
)
from spirula.errors import InvalidArgument
from spirula.rados.aio.ioctx import Ioctx
from spirula.rados.constants import LIBRADOS_CMPXATTR_OP_GT
from spirula.rados.errors import Error, ObjectExists, ObjectNotFound, make_error
from spirula.rados.ops import Data, ObjectStat, ReadOp, WriteOp
from spirula.types.base import UTime
from spirula.types.cls.lock import LockOp, LockType
from spirula.types.osd_op import CmpXattrMode, OpCode, OSDOp

MAX_STRIPED_IN_FLIGHT = 32
"""Objects that one operation works on at a time."""

_SIZE = "striper.size"
_UNIT = "striper.layout.stripe_unit"
_COUNT = "striper.layout.stripe_count"
_OBJECT_SIZE = "striper.layout.object_size"
_LOCK = "striper.lock"
_OWN = {_SIZE, _UNIT, _COUNT, _OBJECT_SIZE, f"lock.{_LOCK}"}
_TAG = "Tag"
_U32 = 1 << 32

T = TypeVar("T")


def object_name(name: str, number: int) -> str:
    """What the object with that number of a striped object is called."""
    return f"{name}.{number:016x}"


class Striper:
    """The striped objects of a pool. `layout` is that of objects which are made from now on."""

    def __init__(self, ioctx: Ioctx, layout: Layout | None = None) -> None:
        self.ioctx = ioctx
        self.layout = layout or Layout()

    def set_layout(
        self,
        stripe_unit: int | None = None,
        stripe_count: int | None = None,
        object_size: int | None = None,
    ) -> None:
        """Lay out objects that are made from now on so; what is None stays.

        InvalidArgumentError: sizes are multiples of 64 KiB, `object_size` one of `stripe_unit`.
        """
        now = self.layout
        unit = now.stripe_unit if stripe_unit is None else stripe_unit
        count = now.stripe_count if stripe_count is None else stripe_count
        size = now.object_size if object_size is None else object_size
        if unit % MIN_STRIPE_UNIT or size % MIN_STRIPE_UNIT or max(unit, count, size) >= _U32:
            raise make_error(EINVAL, f"stripe_unit and object_size: multiples of {MIN_STRIPE_UNIT}")
        self.layout = _layout(unit, count, size)

    # ----------------------------------------------------------------------------------------- data

    async def write(self, name: str, data: Data, offset: int = 0) -> None:
        """Write at an offset; the object is made where it is not there.

        `data` must not change until this is done. ObjectBusy: somebody truncates or removes it.
        """
        await self._create(name, offset + len(data))
        async with self._shared(name) as (layout, size):
            await self._grow_to(name, offset + len(data), size)
            await self._write(name, layout, data, offset)

    async def append(self, name: str, data: Data) -> None:
        """Write behind the end. Of two at the same time one may be lost, as with upstream's."""
        await self._create(name, 0)
        async with self._shared(name) as (layout, size):
            await self._grow_to(name, size + len(data), size)
            await self._write(name, layout, data, size)

    async def write_full(self, name: str, data: Data) -> None:
        """Put these bytes in place of the whole content; the layout of what is there stays."""
        with suppress(ObjectNotFound):
            await self.truncate(name, 0)
        await self.write(name, data)

    async def read(self, name: str, length: int, offset: int = 0) -> bytes:
        """Bytes from an offset on, fewer at the end; holes read as zeros. ObjectNotFound."""
        async with self._shared(name) as (layout, size):
            length = max(min(length, size - offset), 0)
            extents = content_to_objects(layout, offset, length)
            parts: list[tuple[int, Data]] = []

            async def read(extent: ObjectExtent) -> None:
                parts.extend(_scatter(extent, await self._read(name, extent)))

            await _all(read, extents)
        parts.sort(key=lambda part: part[0])
        return b"".join(data for _, data in parts)

    async def truncate(self, name: str, size: int) -> None:
        """Give the object this size. ObjectNotFound; ObjectBusy while somebody uses it."""
        first = object_name(name, 0)
        cookie = str(uuid.uuid4())
        await self._lock(first, LockType.EXCLUSIVE, cookie, "")
        try:
            layout, was = await self._look(first)
            if size < was:
                await self._shrink(name, layout, was, size)
            if size != was:
                await self.ioctx.set_xattr(first, _SIZE, b"%d" % size)
        finally:
            await self._unlock(first, cookie)

    async def remove(self, name: str) -> None:
        """Remove all of it, its first object last. ObjectBusy while it is used.

        What is not there is no error, as upstream: its lock makes it.
        """
        first = object_name(name, 0)
        await self._lock(first, LockType.EXCLUSIVE, str(uuid.uuid4()), "", must_exist=False)
        try:
            layout, size = await self._look(first)
        except Error:
            # No striped object, or not all of one: what follows without a gap is removed.
            count = 1
            with suppress(ObjectNotFound):
                while await self.ioctx.stat(object_name(name, count)):
                    count += 1
        else:
            count = object_count(layout, size)
        await _all(lambda number: self._remove(name, number), range(count - 1, 0, -1))
        await self.ioctx.remove(first)

    async def stat(self, name: str) -> ObjectStat:
        """Size, and when the first object changed. ObjectNotFound; NoData: it is not striped."""
        op = ReadOp()
        found, size = op.stat(), op.get_xattr(_SIZE)
        await self.ioctx.operate_read(object_name(name, 0), op)
        return ObjectStat(_number(size.value, _SIZE), found.value.mtime)

    async def get_layout(self, name: str) -> Layout:
        """How a striped object is laid out. ObjectNotFound, also if it is not striped."""
        layout, _ = await self._look(object_name(name, 0))
        return layout

    # ----------------------------------------------------------------------------------- attributes

    async def get_xattr(self, name: str, key: str) -> bytes:
        """An attribute; NoData where it is not set."""
        return await self.ioctx.get_xattr(object_name(name, 0), key)

    async def set_xattr(self, name: str, key: str, value: bytes) -> None:
        """Set an attribute."""
        await self.ioctx.set_xattr(object_name(name, 0), key, value)

    async def rm_xattr(self, name: str, key: str) -> None:
        """Remove an attribute."""
        await self.ioctx.rm_xattr(object_name(name, 0), key)

    async def get_xattrs(self, name: str) -> dict[str, bytes]:
        """All attributes but the striper's own."""
        found = await self.ioctx.get_xattrs(object_name(name, 0))
        return {key: value for key, value in found.items() if key not in _OWN}

    # ---------------------------------------------------------------------------------------- steps

    async def _create(self, name: str, size: int) -> None:
        """Make the first object where it is not there."""
        op = WriteOp()
        op.new(1)
        op.set_xattr(_OBJECT_SIZE, b"%d" % self.layout.object_size)
        op.set_xattr(_UNIT, b"%d" % self.layout.stripe_unit)
        op.set_xattr(_COUNT, b"%d" % self.layout.stripe_count)
        op.set_xattr(_SIZE, b"%d" % size)
        with suppress(ObjectExists):
            await self.ioctx.operate_write(object_name(name, 0), op)

    async def _grow_to(self, name: str, size: int, was: int) -> None:
        """Raise the size; somebody else may have raised it further meanwhile."""
        if size <= was:
            return
        told = size.to_bytes(8, "little")
        op = WriteOp()
        op.ops.append(
            OSDOp.xattr(OpCode.CMPXATTR, _SIZE, told, LIBRADOS_CMPXATTR_OP_GT, CmpXattrMode.U64)
        )
        op.set_xattr(_SIZE, b"%d" % size)
        try:
            await self.ioctx.operate_write(object_name(name, 0), op)
        except Error as error:
            if error.errno != ECANCELED:
                raise

    async def _write(self, name: str, layout: Layout, data: Data, offset: int) -> None:
        view = memoryview(data).cast("B")

        async def write(extent: ObjectExtent) -> None:
            parts = [view[at : at + size] for at, size in extent.buffer_extents]
            content = parts[0] if len(parts) == 1 else b"".join(parts)
            await self.ioctx.write(object_name(name, extent.object_no), content, extent.offset)

        await _all(write, content_to_objects(layout, offset, len(view)))

    async def _read(self, name: str, extent: ObjectExtent) -> bytes:
        try:
            return await self.ioctx.read(
                object_name(name, extent.object_no), extent.length, extent.offset
            )
        except ObjectNotFound:
            return b""

    async def _remove(self, name: str, number: int) -> None:
        with suppress(ObjectNotFound):
            await self.ioctx.remove(object_name(name, number))

    async def _shrink(self, name: str, layout: Layout, was: int, size: int) -> None:
        """Cut objects and remove those behind the end; the last first, as a removal does."""
        first_of_set = size // layout.period * layout.stripe_count

        async def cut(number: int) -> None:
            keep = object_size_at(layout, number, size)
            if keep or not number:
                with suppress(ObjectNotFound):
                    await self.ioctx.truncate(object_name(name, number), keep)
            else:
                await self._remove(name, number)

        await _all(cut, range(object_count(layout, was) - 1, first_of_set - 1, -1))

    async def _look(self, first: str) -> tuple[Layout, int]:
        """Layout and size of a striped object, by its first object."""
        found = await self.ioctx.get_xattrs(first)
        try:
            unit, count, object_size, size = (
                _number(found[key], key) for key in (_UNIT, _COUNT, _OBJECT_SIZE, _SIZE)
            )
        except KeyError as error:
            raise make_error(ENOENT, f"{first!r} has no {error}: it is not striped") from None
        return _layout(unit, count, object_size), size

    @asynccontextmanager
    async def _shared(self, name: str) -> AsyncIterator[tuple[Layout, int]]:
        """The layout and the size, while nobody truncates or removes."""
        first = object_name(name, 0)
        cookie = str(uuid.uuid4())
        await self._lock(first, LockType.SHARED, cookie, _TAG)
        try:
            yield await self._look(first)
        finally:
            await self._unlock(first, cookie)

    async def _lock(
        self, first: str, kind: LockType, cookie: str, tag: str, *, must_exist: bool = True
    ) -> None:
        told = LockOp(_LOCK, kind, cookie, tag, "", UTime.at(0), 0)
        op = WriteOp()
        if must_exist:
            op.assert_exists()
        op.execute("lock", "lock", told.encode())
        await self.ioctx.operate_write(first, op)

    async def _unlock(self, first: str, cookie: str) -> None:
        # Nothing can be done about a lock that does not go; what was done counts.
        with suppress(Error):
            await self.ioctx.unlock(first, _LOCK, cookie)


def _layout(unit: int, count: int, object_size: int) -> Layout:
    try:
        return Layout(unit, count, object_size)
    except InvalidArgument as error:
        raise make_error(EINVAL, str(error)) from error


def _number(value: bytes, key: str) -> int:
    if not value.isdigit():
        raise make_error(EINVAL, f"{key} is {value!r}, not a number")
    return int(value)


def _scatter(extent: ObjectExtent, found: bytes) -> list[tuple[int, Data]]:
    """Where in the result the parts of an extent go; what was never written is zeros."""
    view, at, parts = memoryview(found), 0, []
    for offset, size in extent.buffer_extents:
        part: Data = view[at : at + size]
        parts.append((offset, part if len(part) == size else bytes(part).ljust(size, b"\0")))
        at += size
    return parts


async def _all(work: Callable[[T], Awaitable[None]], items: Sequence[T]) -> None:
    """Works on all items, some at a time. Raises the first error when all that began has ended."""
    waiting = iter(items)
    failed: list[Error] = []

    async def worker() -> None:
        for item in waiting:
            if failed:
                return
            try:
                await work(item)
            except Error as error:
                failed.append(error)

    await asyncio.gather(*(worker() for _ in range(min(len(items), MAX_STRIPED_IN_FLIGHT))))
    if failed:
        raise failed[0]
