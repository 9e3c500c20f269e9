"""Calls of object classes, and the object as their methods see it.

A method's requests are operations within the client's operation, with their results and errors.
Called by `execute`. Behaviour: upstream `src/osd/objclass.cc` and `PrimaryLogPG.cc` (do_osd_ops);
the interface is `classes.handle.ObjectHandle`.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from spirula.classes.declare import MethodFlag
from spirula.classes.handle import ALL, ObjectSize
from spirula.errors import CephError, NotFound, WireError
from spirula.maps.features import up_osd_features
from spirula.osd.ops.execute import handles, run_one
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityInst, EntityName
from spirula.types.object_info import ListWatchersResponse, ObjectFlag, WatchItem
from spirula.types.osd_op import Extent, OpCode, OpFlag, OSDOp, SnapArgs
from spirula.types.osd_op_payload import (
    OmapEntries,
    OmapGetKeysInput,
    OmapGetKeysReply,
    OmapGetValsInput,
    OmapGetValsReply,
    OmapKeys,
    OmapRmKeyRangeInput,
    StatReply,
)

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext


@handles(OpCode.CALL)
def call(ctx: OpContext, op: OSDOp) -> int:
    """Calls a method; its code and output are the operation's."""
    try:
        name, method_name, indata = op.call_parts()
    except WireError:
        return -errno.EINVAL
    method = ctx.pg.classes.open(name).method(method_name)
    if method.flags & MethodFlag.WRITE:
        ctx.user_modify = True
    reply = method.call(OpHandle(ctx), indata)
    op.outdata = reply.data
    op.raw = op.raw[:8] + len(reply.data).to_bytes(8, "little") + op.raw[16:]
    return reply.code


class OpHandle:
    """The object of a client's request, for a method of a class (see ObjectHandle)."""

    __slots__ = ("_ctx", "now")

    def __init__(self, ctx: OpContext) -> None:
        self._ctx = ctx
        self.now = UTime.at(ctx.pg.services.wall())

    def _do(self, op: OSDOp) -> bytes:
        """Carries out an operation; its output. Raises the CephError of its code."""
        code = run_one(self._ctx, op)
        if code < 0:
            raise CephError.from_errno(code)
        return bytes(op.outdata)

    def _ask(self, code: OpCode, indata: bytes = b"") -> bytes:
        return self._do(OSDOp(code, indata=indata))

    @property
    def num_read(self) -> int:
        """How often the request has read the object."""
        return self._ctx.num_read

    @property
    def num_write(self) -> int:
        """How often the request has changed the object."""
        return self._ctx.num_write

    # --- the object and its data ---

    def create(self, exclusive: bool) -> None:
        """See ObjectHandle."""
        self._do(OSDOp(OpCode.CREATE, OpFlag.EXCL if exclusive else 0))

    def remove(self) -> None:
        """See ObjectHandle."""
        self._ask(OpCode.DELETE)

    def stat(self) -> ObjectSize:
        """See ObjectHandle."""
        found = StatReply.decode(self._ask(OpCode.STAT))
        return ObjectSize(found.size, found.mtime)

    def read(self, offset: int, length: int, op_flags: int = 0) -> bytes:
        """See ObjectHandle."""
        extent = Extent(offset, length)
        return self._do(OSDOp.make(OpCode.SYNC_READ, extent, flags=op_flags))

    def write(self, offset: int, data: bytes, op_flags: int = 0) -> None:
        """See ObjectHandle."""
        self._do(OSDOp.make(OpCode.WRITE, Extent(offset, len(data)), data, op_flags))

    def write_full(self, data: bytes) -> None:
        """See ObjectHandle."""
        self._do(OSDOp.make(OpCode.WRITEFULL, Extent(0, len(data)), data))

    def replace(self, offset: int, data: bytes) -> None:
        """See ObjectHandle."""
        self.truncate(0)
        self.write(offset, data)

    def truncate(self, size: int) -> None:
        """See ObjectHandle."""
        self._do(OSDOp.make(OpCode.TRUNCATE, Extent(size)))

    def write_zero(self, offset: int, length: int) -> None:
        """See ObjectHandle."""
        self._do(OSDOp.make(OpCode.ZERO, Extent(offset, length)))

    def snap_revert(self, snapid: int) -> None:
        """See ObjectHandle."""
        self._do(OSDOp.make(OpCode.ROLLBACK, SnapArgs(snapid)))

    # --- attributes ---

    def getxattr(self, name: str) -> bytes:
        """See ObjectHandle."""
        return self._do(OSDOp.xattr(OpCode.GETXATTR, name))

    def getxattrs(self) -> dict[str, bytes]:
        """See ObjectHandle."""
        return OmapEntries.decode(self._ask(OpCode.GETXATTRS)).entries

    def setxattr(self, name: str, value: bytes) -> None:
        """See ObjectHandle."""
        self._do(OSDOp.xattr(OpCode.SETXATTR, name, value))

    # --- the omap ---

    def map_get_keys(self, start_after: str, max_to_get: int) -> tuple[list[str], bool]:
        """See ObjectHandle."""
        asked = OmapGetKeysInput(start_after, max_to_get).encode()
        found = OmapGetKeysReply.decode(self._ask(OpCode.OMAPGETKEYS, asked))
        keys = sorted(found.keys, key=lambda key: key.encode("utf-8", "surrogateescape"))
        return keys, found.truncated

    def map_get_vals(
        self, start_after: str, filter_prefix: str, max_to_get: int
    ) -> tuple[dict[str, bytes], bool]:
        """See ObjectHandle."""
        asked = OmapGetValsInput(start_after, max_to_get, filter_prefix).encode()
        found = OmapGetValsReply.decode(self._ask(OpCode.OMAPGETVALS, asked))
        return found.entries, found.truncated

    def map_get_all_vals(self) -> tuple[dict[str, bytes], bool]:
        """See ObjectHandle."""
        return self.map_get_vals("", "", ALL)

    def map_get_val(self, key: str) -> bytes:
        """See ObjectHandle."""
        found = self.map_get_vals_by_keys((key,))
        if key not in found:
            raise NotFound(f"there is no key {key!r}")
        return found[key]

    def map_get_vals_by_keys(self, keys: Collection[str]) -> dict[str, bytes]:
        """See ObjectHandle."""
        asked = OmapKeys(set(keys)).encode()
        return OmapEntries.decode(self._ask(OpCode.OMAPGETVALSBYKEYS, asked)).entries

    def map_read_header(self) -> bytes:
        """See ObjectHandle."""
        return self._ask(OpCode.OMAPGETHEADER)

    def map_set_val(self, key: str, value: bytes) -> None:
        """See ObjectHandle."""
        self.map_set_vals({key: value})

    def map_set_vals(self, entries: Mapping[str, bytes]) -> None:
        """See ObjectHandle."""
        self._ask(OpCode.OMAPSETVALS, OmapEntries(dict(entries)).encode())

    def map_write_header(self, header: bytes) -> None:
        """See ObjectHandle."""
        self._ask(OpCode.OMAPSETHEADER, header)

    def map_remove_key(self, key: str) -> None:
        """See ObjectHandle."""
        self._ask(OpCode.OMAPRMKEYS, OmapKeys({key}).encode())

    def map_remove_range(self, key_begin: str, key_end: str) -> None:
        """See ObjectHandle."""
        self._ask(OpCode.OMAPRMKEYRANGE, OmapRmKeyRangeInput(key_begin, key_end).encode())

    def map_clear(self) -> None:
        """See ObjectHandle."""
        self._ask(OpCode.OMAPCLEAR)

    # --- who asks, and when ---

    def get_request_origin(self) -> EntityInst:
        """See ObjectHandle."""
        session = self._ctx.session
        if session is None:
            return EntityInst(EntityName(0, 0), EntityAddr())
        return EntityInst(session.name, session.addr)

    def list_watchers(self) -> list[WatchItem]:
        """See ObjectHandle."""
        return ListWatchersResponse.decode(self._ask(OpCode.LIST_WATCHERS)).entries

    def get_client_features(self) -> int:
        """See ObjectHandle."""
        session = self._ctx.session
        return 0 if session is None else session.features

    def current_version(self) -> int:
        """See ObjectHandle."""
        return self._ctx.pg.info.last_user_version

    def current_subop_num(self) -> int:
        """See ObjectHandle."""
        return self._ctx.processed

    # --- the cluster ---

    def get_features(self) -> int:
        """See ObjectHandle."""
        return up_osd_features(self._ctx.pg.osdmap)

    def get_required_osd_release(self) -> int:
        """See ObjectHandle."""
        return self._ctx.pg.osdmap.require_osd_release

    def get_min_compatible_client(self) -> int:
        """See ObjectHandle."""
        return self._ctx.pg.osdmap.require_min_compat_client

    def get_snapset_seq(self) -> int:
        """See ObjectHandle."""
        ctx = self._ctx
        ssc = ctx.obc.ssc
        whiteout = ctx.info.flags & ObjectFlag.WHITEOUT
        if not ctx.exists or ssc is None or (whiteout and not ssc.snapset.clones):
            raise NotFound
        return ssc.snapset.seq

    def get_osd_min_alloc_size(self) -> int:
        """See ObjectHandle."""
        return BLOCK_SIZE

    def get_pool_stripe_width(self) -> int:
        """See ObjectHandle."""
        return self._ctx.pg.pool.stripe_width

    # --- further ---

    def call(self, cls: str, method: str, indata: bytes) -> bytes:
        """See ObjectHandle."""
        return self._do(OSDOp.call(cls, method, indata))

    def chunk_write_and_set(
        self, offset: int, data: bytes, op_flags: int, set_indata: bytes
    ) -> None:
        """See ObjectHandle."""
        self.write(offset, data, op_flags)
        self.call("cas", "chunk_set", set_indata)

    def has_chunk(self, fp_oid: str) -> bool:
        """See ObjectHandle."""
        chunks = self._ctx.obc.info.manifest.chunk_map or {}
        return any(chunk.oid.oid == fp_oid for chunk in chunks.values())

    def gen_random_bytes(self, size: int) -> bytes:
        """See ObjectHandle."""
        return self._ctx.pg.services.random(size)

    def log(self, level: int, message: str) -> None:
        """See ObjectHandle."""
        self._ctx.pg.services.log(level, message)
