"""Large objects as many small ones: what upstream's libradosstriper does, beside `Ioctx`.

    striper = rados.Striper(ioctx)
    striper.set_object_layout_stripe_count(4)
    striper.write("film", data)

Names are those of upstream's `radosstriper/libradosstriper.hpp` where `Ioctx` has none. A face of
`spirula.rados.aio.striper`, which tells the format.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from errno import EINVAL, ESHUTDOWN
from typing import TYPE_CHECKING, Any, TypeVar

from spirula.client.striper import Layout
from spirula.rados.aio.striper import Striper as AioStriper
from spirula.rados.checks import check, unsigned
from spirula.rados.completion import Completion, complete
from spirula.rados.errors import Error

if TYPE_CHECKING:
    from spirula.rados.ioctx import Ioctx

OnDone = Callable[..., Any] | None
T = TypeVar("T")


class Striper:
    """The striped objects of a pool. New ones are laid out as was set; others keep their layout.

    The `aio_*` methods give a `Completion`. Their callbacks get it, and then what the method of the
    same name without `aio_` returns, or None where that is 0.
    """

    def __init__(self, ioctx: Ioctx) -> None:
        ioctx.require_ioctx_open()
        self.ioctx = ioctx
        self.beneath = AioStriper(ioctx.beneath)
        self._under_way: set[Completion] = set()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            self.ioctx.require_ioctx_open()
        except Error:
            work.close()
            raise
        return self.ioctx.background.run(work)

    # --------------------------------------------------------------------------------------- layout

    @property
    def layout(self) -> Layout:
        """How objects that are made from now on are laid out."""
        return self.beneath.layout

    def set_object_layout(self, stripe_unit: int, stripe_count: int, object_size: int) -> None:
        """All three at once. InvalidArgumentError: sizes are multiples of 64 KiB, `object_size` one
        of `stripe_unit`.
        """
        self.beneath.set_layout(stripe_unit, stripe_count, object_size)

    def set_object_layout_stripe_unit(self, stripe_unit: int) -> None:
        """Bytes that go to one object before the next has its turn.

        An object size that does not fit becomes the next multiple.
        """
        size = self.layout.object_size
        if stripe_unit > 0 and size % stripe_unit:
            size = -(-size // stripe_unit) * stripe_unit
        self.beneath.set_layout(stripe_unit, None, size)

    def set_object_layout_stripe_count(self, stripe_count: int) -> None:
        """Over how many objects at a time the content goes."""
        self.beneath.set_layout(stripe_count=stripe_count)

    def set_object_layout_object_size(self, object_size: int) -> None:
        """How large an object becomes before the next set begins."""
        self.beneath.set_layout(object_size=object_size)

    def get_layout(self, key: str) -> Layout:
        """How a striped object is laid out. ObjectNotFound, also if it is not striped."""
        return self._run(self.beneath.get_layout(check("key", key, str)))

    # ----------------------------------------------------------------------------------------- data

    def write(self, key: str, data: bytes, offset: int = 0) -> int:
        """Write at an offset; 0. ObjectBusy: somebody truncates or removes the object."""
        check("key", key, str)
        self._run(self.beneath.write(key, check("data", data, bytes), unsigned("offset", offset)))
        return 0

    def append(self, key: str, data: bytes) -> int:
        """Write behind the end; 0."""
        self._run(self.beneath.append(check("key", key, str), check("data", data, bytes)))
        return 0

    def write_full(self, key: str, data: bytes) -> int:
        """Put these bytes in place of the whole content; 0."""
        self._run(self.beneath.write_full(check("key", key, str), check("data", data, bytes)))
        return 0

    def read(self, key: str, length: int = 8192, offset: int = 0) -> bytes:
        """Bytes from an offset on, fewer at the end. ObjectNotFound."""
        check("key", key, str)
        work = self.beneath.read(key, unsigned("length", length), unsigned("offset", offset))
        return self._run(work)

    def trunc(self, key: str, size: int) -> int:
        """Give the object this size; 0. ObjectNotFound; ObjectBusy while somebody uses it."""
        self._run(self.beneath.truncate(check("key", key, str), unsigned("size", size)))
        return 0

    def stat(self, key: str) -> tuple[int, time.struct_time]:
        """Size and time of change (local time). ObjectNotFound; NoData: it is not striped."""
        found = self._run(self.beneath.stat(check("key", key, str)))
        return found.size, time.localtime(int(found.mtime))

    def remove(self, key: str) -> bool:
        """Remove all of it, if it is there; True. ObjectBusy while somebody uses it."""
        self._run(self.beneath.remove(check("key", key, str)))
        return True

    # ----------------------------------------------------------------------------------- attributes

    def get_xattr(self, key: str, xattr_name: str) -> bytes:
        """An attribute; NoData where it is not set."""
        return self._run(self.beneath.get_xattr(key, xattr_name))

    def get_xattrs(self, key: str) -> dict[str, bytes]:
        """All attributes but the striper's own."""
        return self._run(self.beneath.get_xattrs(check("key", key, str)))

    def set_xattr(self, key: str, xattr_name: str, xattr_value: bytes) -> bool:
        """Set an attribute; True."""
        check("xattr_value", xattr_value, bytes)
        self._run(self.beneath.set_xattr(key, xattr_name, xattr_value))
        return True

    def rm_xattr(self, key: str, xattr_name: str) -> bool:
        """Remove an attribute; True."""
        self._run(self.beneath.rm_xattr(key, xattr_name))
        return True

    # --------------------------------------------------------------------------------- asynchronous

    def aio_write(
        self, key: str, data: bytes, offset: int = 0, oncomplete: OnDone = None
    ) -> Completion:
        """Begin to write at an offset. `data` must not change until that is done."""
        check("data", data, bytes)
        work = self.beneath.write(check("key", key, str), data, unsigned("offset", offset))
        return self._start(work, oncomplete, len(data))

    def aio_append(self, key: str, data: bytes, oncomplete: OnDone = None) -> Completion:
        """Begin to write behind the end."""
        check("data", data, bytes)
        return self._start(self.beneath.append(check("key", key, str), data), oncomplete, len(data))

    def aio_write_full(self, key: str, data: bytes, oncomplete: OnDone = None) -> Completion:
        """Begin to put these bytes in place of the whole content."""
        check("data", data, bytes)
        work = self.beneath.write_full(check("key", key, str), data)
        return self._start(work, oncomplete, len(data))

    def aio_read(self, key: str, length: int, offset: int, oncomplete: OnDone = None) -> Completion:
        """Begin to read; the callback gets the bytes, or None. Returns how many, or the error."""
        check("key", key, str)
        work = self.beneath.read(key, unsigned("length", length), unsigned("offset", offset))
        return self._start(work, oncomplete, length)

    def aio_stat(self, key: str, oncomplete: OnDone = None) -> Completion:
        """Begin to ask for size and time of change (seconds since 1970)."""
        return self._start(self.beneath.stat(check("key", key, str)), oncomplete, 0)

    def aio_remove(self, key: str, oncomplete: OnDone = None) -> Completion:
        """Begin to remove all of it."""
        return self._start(self.beneath.remove(check("key", key, str)), oncomplete, 0)

    def aio_flush(self) -> None:
        """Wait until all that was begun has ended; errors are those of its completions."""
        for completion in list(self._under_way):
            completion.wait_for_complete_and_cb()

    def _start(
        self, work: Coroutine[Any, Any, object], oncomplete: OnDone, size: int
    ) -> Completion:
        try:
            self.ioctx.require_ioctx_open()
        except Error:
            work.close()
            raise
        background, throttle = self.ioctx.background, self.ioctx.throttle
        completion = Completion(self.ioctx, oncomplete)
        pending = completion._pending
        throttle.take(size)
        pending.completion = completion
        self.ioctx.pending[pending] = None
        self._under_way.add(completion)

        async def carry_out() -> None:
            result, found = -ESHUTDOWN, None
            try:
                found = await work
                result = len(found) if isinstance(found, bytes) else 0
            except Error as error:
                result = -(error.errno or EINVAL)
            finally:
                throttle.give(size)
                self.ioctx.pending.pop(pending, None)
                self._under_way.discard(completion)
                complete(background, pending, result, (found,))

        background.post(lambda: background.keep(carry_out()))
        return completion
