"""The `aio_*` methods of `Ioctx`, and those about applications: a part of `spirula.rados.ioctx`.

Each starts an operation and gives a `Completion`; callbacks get what upstream's `rados.pyx` hands
to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from errno import EINVAL, ERANGE, ETIMEDOUT
from typing import TYPE_CHECKING, Any

from spirula.client.objecter.objecter import Outcome
from spirula.kernels.frames import as_bytes
from spirula.rados.aio import pools
from spirula.rados.aio.ioctx import request_flags
from spirula.rados.checks import check, unsigned
from spirula.rados.completion import Answer, Completion, Pending, complete, nothing, start
from spirula.rados.constants import LIBRADOS_OPERATION_NOFLAG
from spirula.rados.errors import Error, ObjectNotFound
from spirula.rados.ops import ReadOp, WriteOp, decode_stat, fill, lose
from spirula.types.osd_op import Extent, OpCode, OSDOp, WriteSameArgs

if TYPE_CHECKING:
    from spirula.rados.aio.ioctx import Ioctx as AioIoctx
    from spirula.rados.background import Background, Throttle
    from spirula.rados.cluster import Rados

OnDone = Callable[..., Any] | None


class AioMethods:
    """What `Ioctx` inherits."""

    if TYPE_CHECKING:
        name: str
        rados: Rados
        beneath: AioIoctx
        pending: dict[Pending, None]

        @property
        def background(self) -> Background:
            """See `Ioctx`."""

        @property
        def throttle(self) -> Throttle:
            """See `Ioctx`."""

        def require_ioctx_open(self) -> None:
            """See `Ioctx`."""

    def _start(
        self,
        oid: str,
        ops: list[OSDOp],
        *,
        write: bool,
        oncomplete: OnDone,
        onsafe: OnDone = None,
        answer: Answer = nothing,
        flags: int = 0,
        mtime: float | None = None,
    ) -> Completion:
        self.require_ioctx_open()
        completion = Completion(self, oncomplete, onsafe)  # type: ignore[arg-type]  # it is one
        try:
            target = self.beneath.target(oid, ops, flags, write=write)
        except Error as error:
            self._fail(completion, -(error.errno or EINVAL), answer)
            return completion
        if not oid or not ops:
            self._fail(completion, -EINVAL, answer)
            return completion
        start(completion, target, ops, answer, mtime)
        return completion

    def _fail(self, completion: Completion, result: int, answer: Answer) -> None:
        completion._pending.completion = completion
        _, arguments = answer(Outcome(result, []))
        complete(self.background, completion._pending, result, arguments)

    # ---------------------------------------------------------------------------------------- data

    def aio_write(
        self,
        object_name: str,
        to_write: bytes,
        offset: int = 0,
        oncomplete: OnDone = None,
        onsafe: OnDone = None,
    ) -> Completion:
        """Write at an offset."""
        check("object_name", object_name, str)
        args = Extent(unsigned("offset", offset), len(check("to_write", to_write, bytes)))
        ops = [OSDOp.make(OpCode.WRITE, args, to_write)]
        return self._start(object_name, ops, write=True, oncomplete=oncomplete, onsafe=onsafe)

    def aio_write_full(
        self,
        object_name: str,
        to_write: bytes,
        oncomplete: OnDone = None,
        onsafe: OnDone = None,
    ) -> Completion:
        """Put these bytes in place of the whole content."""
        check("object_name", object_name, str)
        args = Extent(0, len(check("to_write", to_write, bytes)))
        ops = [OSDOp.make(OpCode.WRITEFULL, args, to_write)]
        return self._start(object_name, ops, write=True, oncomplete=oncomplete, onsafe=onsafe)

    def aio_writesame(
        self,
        object_name: str,
        to_write: bytes,
        write_len: int,
        offset: int = 0,
        oncomplete: OnDone = None,
    ) -> Completion:
        """Write the same bytes again and again until `write_len` bytes are full."""
        check("object_name", object_name, str)
        size = len(check("to_write", to_write, bytes))
        args = WriteSameArgs(unsigned("offset", offset), unsigned("write_len", write_len), size)
        ops = [OSDOp.make(OpCode.WRITESAME, args, to_write)]
        return self._start(object_name, ops, write=True, oncomplete=oncomplete)

    def aio_append(
        self,
        object_name: str,
        to_append: bytes,
        oncomplete: OnDone = None,
        onsafe: OnDone = None,
    ) -> Completion:
        """Write behind the object's end."""
        check("object_name", object_name, str)
        args = Extent(0, len(check("to_append", to_append, bytes)))
        ops = [OSDOp.make(OpCode.APPEND, args, to_append)]
        return self._start(object_name, ops, write=True, oncomplete=oncomplete, onsafe=onsafe)

    def aio_read(
        self, object_name: str, length: int, offset: int, oncomplete: OnDone = None
    ) -> Completion:
        """Read: `oncomplete(completion, data)`; None where that failed. The result is a size."""
        check("object_name", object_name, str)
        args = Extent(unsigned("offset", offset), unsigned("length", length))

        def answer(outcome: Outcome) -> tuple[int, tuple[bytes | None]]:
            if outcome.result < 0:
                return outcome.result, (None,)
            data = as_bytes(outcome.ops[0].outdata)
            return (len(data), (data,)) if len(data) <= length else (-ERANGE, (None,))

        ops = [OSDOp.make(OpCode.READ, args)]
        return self._start(object_name, ops, write=False, oncomplete=oncomplete, answer=answer)

    def aio_cmpext(
        self, object_name: str, cmp_buf: bytes, offset: int = 0, oncomplete: OnDone = None
    ) -> Completion:
        """Compare; the result is 0, or -MAX_ERRNO minus where it differs."""
        check("object_name", object_name, str)
        args = Extent(unsigned("offset", offset), len(check("cmp_buf", cmp_buf, bytes)))
        ops = [OSDOp.make(OpCode.CMPEXT, args, cmp_buf)]
        return self._start(object_name, ops, write=False, oncomplete=oncomplete)

    def aio_stat(self, object_name: str, oncomplete: OnDone) -> Completion:
        """Size and time of change: `oncomplete(completion, size, mtime)`, or None for both."""
        check("object_name", object_name, str)

        def answer(outcome: Outcome) -> tuple[int, tuple[Any, Any]]:
            if outcome.result < 0:
                return outcome.result, (None, None)
            found = decode_stat(bytes(outcome.ops[0].outdata))
            return 0, (found.size, time.localtime(int(found.mtime)))

        ops = [OSDOp.make(OpCode.STAT)]
        return self._start(object_name, ops, write=False, oncomplete=oncomplete, answer=answer)

    def aio_remove(
        self, object_name: str, oncomplete: OnDone = None, onsafe: OnDone = None
    ) -> Completion:
        """Remove an object."""
        check("object_name", object_name, str)
        ops = [OSDOp.make(OpCode.DELETE)]
        return self._start(object_name, ops, write=True, oncomplete=oncomplete, onsafe=onsafe)

    def aio_execute(
        self,
        object_name: str,
        cls: str,
        method: str,
        data: bytes,
        length: int = 8192,
        oncomplete: OnDone = None,
        onsafe: OnDone = None,
    ) -> Completion:
        """Call a method of an object class: `oncomplete(completion, all that it returned)`."""
        check("object_name", object_name, str)

        def answer(outcome: Outcome) -> tuple[int, tuple[bytes | None]]:
            if outcome.result < 0:
                return outcome.result, (None,)
            found = as_bytes(outcome.ops[0].outdata)
            return len(found), (found,)

        ops = [OSDOp.call(check("cls", cls, str), check("method", method, str), data)]
        return self._start(
            object_name, ops, write=False, oncomplete=oncomplete, onsafe=onsafe, answer=answer
        )

    def aio_setxattr(
        self,
        object_name: str,
        xattr_name: str,
        xattr_value: bytes,
        oncomplete: OnDone = None,
    ) -> Completion:
        """Set an attribute."""
        check("object_name", object_name, str)
        check("xattr_name", xattr_name, str)
        ops = [OSDOp.xattr(OpCode.SETXATTR, xattr_name, check("xattr_value", xattr_value, bytes))]
        return self._start(object_name, ops, write=True, oncomplete=oncomplete)

    def aio_rmxattr(
        self, object_name: str, xattr_name: str, oncomplete: OnDone = None
    ) -> Completion:
        """Remove an attribute."""
        check("object_name", object_name, str)
        ops = [OSDOp.xattr(OpCode.RMXATTR, check("xattr_name", xattr_name, str))]
        return self._start(object_name, ops, write=True, oncomplete=oncomplete)

    def operate_aio_write_op(
        self,
        write_op: WriteOp,
        oid: str,
        oncomplete: OnDone = None,
        onsafe: OnDone = None,
        mtime: int = 0,
        flags: int = LIBRADOS_OPERATION_NOFLAG,
    ) -> Completion:
        """Carry a vector of changes out."""
        check("oid", oid, str)
        ops, _ = check("write_op", write_op, WriteOp).take()
        return self._start(
            oid,
            ops,
            write=True,
            oncomplete=oncomplete,
            onsafe=onsafe,
            flags=request_flags(flags),
            mtime=mtime or None,
        )

    def operate_aio_read_op(
        self,
        read_op: ReadOp,
        oid: str,
        oncomplete: OnDone = None,
        onsafe: OnDone = None,
        flag: int = LIBRADOS_OPERATION_NOFLAG,
    ) -> Completion:
        """Answer a vector of questions."""
        check("oid", oid, str)
        ops, steps = check("read_op", read_op, ReadOp).take()

        def answer(outcome: Outcome) -> tuple[int, tuple[()]]:
            if outcome.result < 0:
                lose(steps)
            else:
                fill(steps, outcome.ops)
            return outcome.result, ()

        return self._start(
            oid,
            ops,
            write=False,
            oncomplete=oncomplete,
            onsafe=onsafe,
            answer=answer,
            flags=request_flags(flag),
        )

    def aio_notify(
        self, obj: str, oncomplete: OnDone, msg: str = "", timeout_ms: int = 5000
    ) -> Completion:
        """Tell all watchers: `oncomplete(completion, result, acks, missed)`."""
        self.require_ioctx_open()
        check("obj", obj, str)
        data = check("msg", msg, str).encode()
        completion = Completion(self, oncomplete)  # type: ignore[arg-type]  # it is one
        pending = completion._pending
        pending.completion = completion
        beneath, background = self.beneath, self.background

        async def notify() -> None:
            try:
                outcome = await beneath.notify(obj, data, timeout_ms / 1000)
            except Error as error:
                result = -(error.errno or EINVAL)
                complete(background, pending, result, (result, None, None))
                return
            result = -ETIMEDOUT if outcome.missed else 0
            complete(background, pending, result, (result, outcome.acks, outcome.missed))

        background.post(lambda: background.keep(notify()))
        return completion

    def aio_flush(self) -> None:
        """Wait until everything that was started here before has ended."""
        self.require_ioctx_open()
        for pending in list(self.pending):
            pending.wait()

    # -------------------------------------------------------------------------------- applications

    def application_enable(self, app_name: str, force: bool = False) -> None:
        """Say what the pool is for; a second application needs `force`."""
        self.require_ioctx_open()
        check("app_name", app_name, str)
        cluster, pool = self.beneath.cluster, self.beneath.name
        enabling = pools.enable_application(cluster, pool, app_name, force=force)
        self.background.run(enabling)

    def application_list(self) -> list[str]:
        """What the pool is for."""
        self.require_ioctx_open()
        return list(pools.applications(self.beneath.cluster, self.beneath.pool_id))

    def application_metadata_get(self, app_name: str, key: str) -> str:
        """What an application keeps with the pool. KeyError."""
        self.require_ioctx_open()
        found = pools.applications(self.beneath.cluster, self.beneath.pool_id)
        try:
            return found[app_name][key]
        except KeyError:
            message = f"no metadata {key} for application {app_name.encode()!r}"
            raise KeyError(message) from None

    def application_metadata_set(self, app_name: str, key: str, value: str) -> None:
        """Keep something with the pool. ObjectNotFound: the application is not enabled."""
        self.require_ioctx_open()
        cluster, pool = self.beneath.cluster, self.beneath.name
        self.background.run(pools.set_application_metadata(cluster, pool, app_name, key, value))

    def application_metadata_remove(self, app_name: str, key: str) -> None:
        """Forget that."""
        self.require_ioctx_open()
        cluster, pool = self.beneath.cluster, self.beneath.name
        self.background.run(pools.remove_application_metadata(cluster, pool, app_name, key))

    def application_metadata_list(self, app_name: str) -> list[tuple[str, str]]:
        """All that an application keeps with the pool. ObjectNotFound."""
        self.require_ioctx_open()
        found = pools.applications(self.beneath.cluster, self.beneath.pool_id)
        if app_name not in found:
            raise ObjectNotFound("error listing application metadata", errno=2)
        return list(found[app_name].items())
