"""`Ioctx` of the synchronous API: the objects of a pool, with upstream's names and results.

A thin face: what an operation is, `spirula.rados.aio.Ioctx` knows; here are argument checks,
messages, return values and waiting. Facts: upstream `rados.pyx`, Debian's python3-rados 16.2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from errno import EINVAL, ERANGE, ETIMEDOUT
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from spirula.client.objecter.objecter import Outcome, Request
from spirula.kernels.frames import as_bytes
from spirula.rados import ioctx_aio
from spirula.rados.aio.ioctx import failure, request_flags
from spirula.rados.checks import check, unsigned
from spirula.rados.completion import Pending, wait
from spirula.rados.constants import LIBRADOS_OPERATION_NOFLAG
from spirula.rados.errors import (
    MAX_ERRNO,
    Error,
    IoctxStateError,
    OutcomeUnknown,
    RadosStateError,
    make_error,
)
from spirula.rados.iterators import ObjectIterator, OmapIterator, Snap, SnapIterator, XattrIterator
from spirula.rados.ops import ReadOp, WriteOp, decode_entries, decode_stat, fill, lose
from spirula.rados.watch import Watch
from spirula.types.osd_op import Extent, OpCode, OSDOp, WriteSameArgs

if TYPE_CHECKING:
    from spirula.rados.aio.ioctx import Ioctx as AioIoctx
    from spirula.rados.background import Background, Throttle
    from spirula.rados.cluster import Rados


class Ioctx(ioctx_aio.AioMethods):
    """The objects of a pool. Made by `Rados.open_ioctx`; a context manager that closes it."""

    def __init__(self, rados: Rados, name: str, beneath: AioIoctx) -> None:
        self.rados = rados
        self.name = name
        self.beneath = beneath
        self.state = "open"
        self.locator_key = ""
        self.nspace = ""
        self.lock = Lock()
        self.safe_completions: list[Any] = []
        self.complete_completions: list[Any] = []
        self.pending: dict[Pending, None] = {}

    @property
    def background(self) -> Background:
        """The threads of the cluster handle."""
        return self.rados.background

    @property
    def throttle(self) -> Throttle:
        """What bounds the operations under way."""
        return self.rados.throttle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False

    def require_ioctx_open(self) -> None:
        """Raise IoctxStateError where it was closed."""
        if self.state != "open":
            raise IoctxStateError(f"The pool is {self.state}")
        if self.rados.state != "connected":
            raise RadosStateError(
                f"You cannot perform that operation on a Rados object in state {self.rados.state}."
            )

    def close(self) -> None:
        """Nothing can be done with it any more; what is under way goes on."""
        if self.state == "open":
            self.state = "closed"

    def dup(self) -> Ioctx:
        """Another one with the same settings."""
        self.require_ioctx_open()
        other = Ioctx(self.rados, str(self.beneath.pool_id), self.beneath.dup())
        other.locator_key, other.nspace = self.locator_key, self.nspace
        return other

    # ------------------------------------------------------------------------------------- beneath

    def _do(
        self,
        what: str,
        oid: str,
        op: OSDOp,
        *,
        write: bool,
        allowed: Callable[[int], bool] | None = None,
    ) -> Outcome:
        """Carry one operation out; `what` is the message of the Error that may be raised."""
        return self._do_all(lambda: what, oid, [op], write=write, allowed=allowed)

    def _do_all(
        self,
        what: Callable[[], str],
        oid: str,
        ops: list[OSDOp],
        *,
        write: bool,
        flags: int = 0,
        mtime: float | None = None,
        allowed: Callable[[int], bool] | None = None,
    ) -> Outcome:
        self.require_ioctx_open()
        if not oid:
            raise make_error(EINVAL, what())
        try:
            target = self.beneath.target(oid, ops, flags, write=write)
        except Error as error:
            raise make_error(error.errno or EINVAL, what()) from error
        beneath = self.beneath

        def submit(finish: Callable[[Outcome], None]) -> Request:
            return beneath.submit(target, ops, finish, mtime)

        size = len(ops[0].indata) if len(ops) == 1 else sum(len(op.indata) for op in ops)
        outcome, request = wait(self.background, self.throttle, submit, size)
        if outcome.result < 0 and not (allowed is not None and allowed(outcome.result)):
            if request is not None:
                raise failure(request, outcome, what())
            raise make_error(outcome.result, what())
        return outcome

    # ------------------------------------------------------------------------------------ settings

    def set_locator_key(self, loc_key: str) -> None:
        """Place objects by this key instead of their names; empty: by their names."""
        self.require_ioctx_open()
        check("loc_key", loc_key, str)
        self.beneath.set_locator_key(loc_key)
        self.locator_key = loc_key

    def get_locator_key(self) -> str:
        """The key that objects are placed by."""
        return self.locator_key

    def set_namespace(self, nspace: str | None) -> None:
        """Look in this namespace; LIBRADOS_ALL_NSPACES: list all of them."""
        self.require_ioctx_open()
        nspace = "" if nspace is None else check("nspace", nspace, str)
        self.beneath.set_namespace(nspace)
        self.nspace = nspace

    def get_namespace(self) -> str:
        """The namespace that operations look in."""
        return self.nspace

    def set_read(self, snap_id: int) -> None:
        """Read at this snapshot; LIBRADOS_SNAP_HEAD: the objects as they are."""
        self.require_ioctx_open()
        self.beneath.set_read(unsigned("snap_id", snap_id))

    def set_osdmap_full_try(self) -> None:
        """Send writes although the pool is full: some, such as removals, may succeed."""
        self.require_ioctx_open()
        self.beneath.set_osdmap_full_try()

    def unset_osdmap_full_try(self) -> None:
        """Have writes wait while the pool is full."""
        self.require_ioctx_open()
        self.beneath.set_osdmap_full_try(on=False)

    # ---------------------------------------------------------------------------------------- data

    def write(self, key: str, data: bytes, offset: int = 0) -> int:
        """Write at an offset; 0."""
        check("key", key, str)
        args = Extent(unsigned("offset", offset), len(check("data", data, bytes)))
        op = OSDOp.make(OpCode.WRITE, args, data)
        self._do(f"Ioctx.write({self.name}): failed to write {key}", key, op, write=True)
        return 0

    def write_full(self, key: str, data: bytes) -> int:
        """Put these bytes in place of the whole content; 0."""
        check("key", key, str)
        op = OSDOp.make(OpCode.WRITEFULL, Extent(0, len(check("data", data, bytes))), data)
        self._do(f"Ioctx.write_full({self.name}): failed to write {key}", key, op, write=True)
        return 0

    def writesame(self, key: str, data: bytes, write_len: int, offset: int = 0) -> None:
        """Write the same bytes again and again until `write_len` bytes are full."""
        check("key", key, str)
        size = len(check("data", data, bytes))
        args = WriteSameArgs(unsigned("offset", offset), unsigned("write_len", write_len), size)
        op = OSDOp.make(OpCode.WRITESAME, args, data)
        self._do(f"Ioctx.writesame({self.name}): failed to write {key}", key, op, write=True)

    def append(self, key: str, data: bytes) -> int:
        """Write behind the object's end; 0."""
        check("key", key, str)
        op = OSDOp.make(OpCode.APPEND, Extent(0, len(check("data", data, bytes))), data)
        self._do(f"Ioctx.append({self.name}): failed to append {key}", key, op, write=True)
        return 0

    def read(self, key: str, length: int = 8192, offset: int = 0) -> bytes:
        """Bytes from an offset on, up to `length` of them."""
        check("key", key, str)
        args = Extent(unsigned("offset", offset), unsigned("length", length))
        what = f"Ioctx.read({self.name}): failed to read {key}"
        outcome = self._do(what, key, OSDOp.make(OpCode.READ, args), write=False)
        data = as_bytes(outcome.ops[0].outdata)
        if len(data) > length:  # 0 reads all there is, and no buffer of 0 bytes holds it
            raise make_error(ERANGE, what)
        return data

    def trunc(self, key: str, size: int) -> int:
        """Give the object this size; 0."""
        check("key", key, str)
        op = OSDOp.make(OpCode.TRUNCATE, Extent(unsigned("size", size)))
        self._do(f"Ioctx.trunc({self.name}): failed to truncate {key}", key, op, write=True)
        return 0

    def cmpext(self, key: str, cmp_buf: bytes, offset: int = 0) -> int:
        """0 where the object has these bytes there, else -MAX_ERRNO minus where it differs."""
        check("key", key, str)
        size = len(check("cmp_buf", cmp_buf, bytes))
        op = OSDOp.make(OpCode.CMPEXT, Extent(unsigned("offset", offset), size), cmp_buf)
        what = f"Ioctx.cmpext({self.name}): failed to compare {key}"
        differs: Callable[[int], bool] = lambda result: result <= -MAX_ERRNO  # noqa: E731 - short
        outcome = self._do(what, key, op, write=False, allowed=differs)
        return min(outcome.result, 0)

    def stat(self, key: str) -> tuple[int, time.struct_time]:
        """Size in bytes and time of change, in local time."""
        check("key", key, str)
        op = OSDOp.make(OpCode.STAT)
        outcome = self._do(f"Failed to stat {key!r}", key, op, write=False)
        found = decode_stat(bytes(outcome.ops[0].outdata))
        return found.size, time.localtime(int(found.mtime))

    def remove_object(self, key: str) -> bool:
        """Remove an object; its snapshots stay."""
        check("key", key, str)
        self._do(f"Failed to remove '{key}'", key, OSDOp.make(OpCode.DELETE), write=True)
        return True

    def execute(
        self, key: str, cls: str, method: str, data: bytes, length: int = 8192
    ) -> tuple[int, bytes]:
        """Call a method of an object class: the size of what it returns, and that."""
        check("key", key, str)
        op = OSDOp.call(check("cls", cls, str), check("method", method, str), data)
        what = f"Ioctx.read({self.name}): failed to read {key}"
        outcome = self._do(what, key, op, write=False)
        answer = bytes(outcome.ops[0].outdata)
        if len(answer) > length:
            raise make_error(ERANGE, what)
        return len(answer), answer

    # ---------------------------------------------------------------------------------- attributes

    def get_xattr(self, key: str, xattr_name: str) -> bytes:
        """An attribute; NoData where it is not set."""
        check("key", key, str)
        op = OSDOp.xattr(OpCode.GETXATTR, check("xattr_name", xattr_name, str))
        outcome = self._do(f"Failed to get xattr {xattr_name!r}", key, op, write=False)
        return as_bytes(outcome.ops[0].outdata)

    def get_xattrs(self, oid: str) -> XattrIterator:
        """All attributes: (name, value) in order."""
        check("oid", oid, str)
        what = f"Failed to get rados xattrs for object {oid!r}"
        outcome = self._do(what, oid, OSDOp.make(OpCode.GETXATTRS), write=False)
        return XattrIterator(self, oid, decode_entries(bytes(outcome.ops[0].outdata)))

    def set_xattr(self, key: str, xattr_name: str, xattr_value: bytes) -> bool:
        """Set an attribute; the object is made where it is not there."""
        check("key", key, str)
        check("xattr_name", xattr_name, str)
        op = OSDOp.xattr(OpCode.SETXATTR, xattr_name, check("xattr_value", xattr_value, bytes))
        self._do(f"Failed to set xattr {xattr_name!r}", key, op, write=True)
        return True

    def rm_xattr(self, key: str, xattr_name: str) -> bool:
        """Remove an attribute."""
        check("key", key, str)
        op = OSDOp.xattr(OpCode.RMXATTR, check("xattr_name", xattr_name, str))
        self._do(f"Failed to delete key {key!r} xattr {xattr_name!r}", key, op, write=True)
        return True

    # ------------------------------------------------------------------------------------- vectors

    def create_write_op(self) -> WriteOp:
        """An empty vector of changes."""
        return WriteOp().create()

    def create_read_op(self) -> ReadOp:
        """An empty vector of questions."""
        return ReadOp().create()

    def release_write_op(self, write_op: WriteOp) -> None:
        """Forget what was added to it."""
        write_op.release()

    def release_read_op(self, read_op: ReadOp) -> None:
        """Forget what was added to it."""
        read_op.release()

    def set_omap(
        self, write_op: WriteOp, keys: Sequence[str], values: Sequence[bytes | str]
    ) -> None:
        """Have a vector set entries of the omap; values that are text are encoded as UTF-8."""
        check("write_op", write_op, WriteOp)
        if len(keys) != len(values):
            raise Error("Rados(): keys and values must have the same number of items")
        encoded = [one.encode() if isinstance(one, str) else one for one in values]
        write_op.omap_set(dict(zip(keys, encoded, strict=True)))

    def remove_omap_keys(self, write_op: WriteOp, keys: Sequence[str]) -> None:
        """Have a vector remove entries of the omap."""
        check("write_op", write_op, WriteOp).omap_rm_keys(keys)

    def remove_omap_range2(self, write_op: WriteOp, key_begin: str, key_end: str) -> None:
        """Have a vector remove the entries from one key on to before another."""
        check("write_op", write_op, WriteOp).omap_rm_range(key_begin, key_end)

    def clear_omap(self, write_op: WriteOp) -> None:
        """Have a vector remove all entries of the omap."""
        check("write_op", write_op, WriteOp).omap_clear()

    def get_omap_vals(
        self, read_op: ReadOp, start_after: str, filter_prefix: str, max_return: int
    ) -> tuple[OmapIterator, int]:
        """Have a vector read entries of the omap: an iterator for afterwards, and 0."""
        check("read_op", read_op, ReadOp)
        step = read_op.omap_get_vals(start_after or "", filter_prefix or "", max_return)
        return OmapIterator(self, step), 0

    def get_omap_keys(
        self, read_op: ReadOp, start_after: str, max_return: int
    ) -> tuple[OmapIterator, int]:
        """Have a vector read keys of the omap: an iterator for afterwards, and 0."""
        check("read_op", read_op, ReadOp)
        return OmapIterator(self, read_op.omap_get_keys(start_after or "", max_return)), 0

    def get_omap_vals_by_keys(
        self, read_op: ReadOp, keys: Sequence[str]
    ) -> tuple[OmapIterator, int]:
        """Have a vector read those entries of the omap: an iterator for afterwards, and 0."""
        check("read_op", read_op, ReadOp)
        return OmapIterator(self, read_op.omap_get_vals_by_keys(keys)), 0

    def operate_write_op(
        self,
        write_op: WriteOp,
        oid: str,
        mtime: int = 0,
        flags: int = LIBRADOS_OPERATION_NOFLAG,
    ) -> None:
        """Carry a vector of changes out; `mtime` of 0 is now."""
        check("oid", oid, str)
        ops, _ = check("write_op", write_op, WriteOp).take()
        if not ops:
            return
        self._do_all(
            lambda: f"Failed to operate write op for oid {oid}",
            oid,
            ops,
            write=True,
            flags=request_flags(flags),
            mtime=mtime or None,
        )

    def operate_read_op(
        self, read_op: ReadOp, oid: str, flag: int = LIBRADOS_OPERATION_NOFLAG
    ) -> None:
        """Answer a vector of questions: its iterators have something to give afterwards."""
        check("oid", oid, str)
        ops, steps = check("read_op", read_op, ReadOp).take()
        if not ops:
            return
        try:
            outcome = self._do_all(
                lambda: f"Failed to operate read op for oid {oid}",
                oid,
                ops,
                write=False,
                flags=request_flags(flag),
            )
        except Error:
            lose(steps)
            raise
        fill(steps, outcome.ops)

    # ---------------------------------------------------------------------------- locks, watching

    def lock_exclusive(
        self,
        key: str,
        name: str,
        cookie: str,
        desc: str = "",
        duration: float | None = None,
        flags: int = 0,
    ) -> None:
        """Take a lock that nobody else may hold. ObjectBusy; ObjectExists: we hold it."""
        self._lock("lock_exclusive", key, name, cookie, desc, duration or 0, flags)

    def lock_shared(
        self,
        key: str,
        name: str,
        cookie: str,
        tag: str,
        desc: str = "",
        duration: float | None = None,
        flags: int = 0,
    ) -> None:
        """Take a lock that others with the same tag may hold, too."""
        check("tag", tag, str)
        self._lock("lock_shared", key, name, cookie, tag, desc, duration or 0, flags)

    def unlock(self, key: str, name: str, cookie: str) -> None:
        """Release one's own lock. ObjectNotFound."""
        self._lock("unlock", key, name, cookie)

    def _lock(self, method: str, key: str, name: str, cookie: str, *rest: Any) -> None:
        check("key", key, str)
        check("name", name, str)
        check("cookie", cookie, str)
        self.require_ioctx_open()
        call = getattr(self.beneath, method)
        try:
            self.background.run(call(key, name, cookie, *rest))
        except OutcomeUnknown:
            raise
        except Error as error:
            what = f"Ioctx.rados_lock_exclusive({self.name}): failed to set lock {name} on {key}"
            raise make_error(error.errno or EINVAL, what) from error

    def watch(
        self,
        obj: str,
        callback: Callable[[int, int, int, bytes], Any],
        error_callback: Callable[[int, int], Any] | None = None,
        timeout: int | None = None,
    ) -> Watch:
        """Call back when the object's watchers are notified; what that returns is the answer."""
        self.require_ioctx_open()
        return Watch(self, check("obj", obj, str), callback, error_callback, timeout)

    def notify(self, obj: str, msg: str = "", timeout_ms: int = 5000) -> bool:
        """Tell all watchers and wait for their answers. TimedOut where one is missing."""
        self.require_ioctx_open()
        check("obj", obj, str)
        data = check("msg", msg, str).encode()
        outcome = self.background.run(self.beneath.notify(obj, data, timeout_ms / 1000))
        if outcome.missed:
            raise make_error(ETIMEDOUT, f"Failed to notify {obj!r}")
        return True

    # ------------------------------------------------------------------------- the pool as a whole

    def list_objects(self) -> ObjectIterator:
        """The objects of the pool, in the namespace that was set."""
        return ObjectIterator(self)

    def list_snaps(self) -> SnapIterator:
        """The snapshots of the pool."""
        self.require_ioctx_open()
        return SnapIterator(self)

    def create_snap(self, snap_name: str) -> None:
        """Make a snapshot of the pool."""
        self.require_ioctx_open()
        self.background.run(self.beneath.create_snap(check("snap_name", snap_name, str)))

    def remove_snap(self, snap_name: str) -> None:
        """Remove a snapshot of the pool."""
        self.require_ioctx_open()
        self.background.run(self.beneath.remove_snap(check("snap_name", snap_name, str)))

    def lookup_snap(self, snap_name: str) -> Snap:
        """A snapshot of the pool. ObjectNotFound."""
        self.require_ioctx_open()
        found = self.beneath.lookup_snap(check("snap_name", snap_name, str))
        return Snap(self, found.name, found.snap_id)

    def snap_rollback(self, oid: str, snap_name: str) -> None:
        """Give an object what it had in a snapshot of the pool."""
        self.require_ioctx_open()
        self.background.run(self.beneath.snap_rollback(check("oid", oid, str), snap_name))

    def create_self_managed_snap(self) -> int:
        """A new snapshot id, for `set_self_managed_snap_write`."""
        self.require_ioctx_open()
        return self.background.run(self.beneath.create_self_managed_snap())

    def remove_self_managed_snap(self, snap_id: int) -> None:
        """Give a snapshot id up."""
        self.require_ioctx_open()
        removing = self.beneath.remove_self_managed_snap(unsigned("snap_id", snap_id))
        self.background.run(removing)

    def set_self_managed_snap_write(self, snaps: Sequence[int]) -> None:
        """Which snapshots exist for what is written from now on."""
        self.require_ioctx_open()
        self.beneath.set_self_managed_snap_write(int(snap) for snap in snaps)

    def rollback_self_managed_snap(self, oid: str, snap_id: int) -> None:
        """Give an object what it had in a snapshot."""
        self.require_ioctx_open()
        self.background.run(
            self.beneath.rollback_self_managed_snap(check("oid", oid, str), snap_id)
        )

    def get_last_version(self) -> int:
        """The version of the object that was last read or written."""
        self.require_ioctx_open()
        return self.beneath.last_version

    def get_stats(self) -> dict[str, int]:
        """The pool's counters, as the monitors last heard of them."""
        self.require_ioctx_open()
        return self.background.run(self.beneath.get_stats())

    def get_pool_id(self) -> int:
        """The pool's number."""
        self.require_ioctx_open()
        return self.beneath.pool_id

    def get_pool_name(self) -> str:
        """The pool's name."""
        self.require_ioctx_open()
        return self.beneath.name

    def alignment(self) -> int | None:
        """What appends to an erasure-coded pool must be aligned to; None: to nothing."""
        self.require_ioctx_open()
        return self.beneath.alignment()
